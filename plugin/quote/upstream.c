/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The check is GET_PLATFORM_INFO, which needs no report. Any reply will do, an error too, and also
 * that it hangs up: Intel's service does that with what it does not know. One timer serves both:
 * while the breaker is closed it looks after a service that was long not in use, while it is open
 * it waits for the next probe.
 */
#include "quote/upstream.h"

#include "quote/monotonic.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

/* A GET_PLATFORM_INFO request, framed (qgs-message.h). */
static const uint8_t check_request[QGS_FRAME_SIZE + QGS_HEADER_SIZE] = {
	0, 0, 0, QGS_HEADER_SIZE, QGS_MAJOR, 0, QGS_MINOR, 0, QGS_GET_PLATFORM_INFO_REQUEST,
	0, 0, 0, QGS_HEADER_SIZE,
};

const char *upstream_state(const Upstream *upstream)
{
	static const char *const words[] = { "closed", "open", "probing" };

	return words[upstream->breaker.state];
}

static void set_timer(Upstream *upstream, uint64_t at_usec)
{
	if (sd_event_source_set_time(upstream->timer, at_usec) < 0 ||
	    sd_event_source_set_enabled(upstream->timer, SD_EVENT_ONESHOT) < 0)
		log_error("upstream %s: no timer for its next check", upstream->config->name);
}

/* What follows for the timer, and for those who wait. */
static void moved(Upstream *upstream, BreakerState from, const char *why)
{
	BreakerState to = upstream->breaker.state;

	if (from == BREAKER_CLOSED && to == BREAKER_OPEN)
		log_warning("upstream %s: not asked any more until it answers a check: %s",
			    upstream->config->name, why);
	if (from == BREAKER_CLOSED && to == BREAKER_PROBING)
		log_warning("upstream %s: checked, because of failures in a row: %s",
			    upstream->config->name, why);
	if (from != BREAKER_CLOSED && to == BREAKER_CLOSED)
		log_info("upstream %s: it answers again", upstream->config->name);
	if (to == BREAKER_OPEN)
		set_timer(upstream, upstream->breaker.until_usec);
	else if (to == BREAKER_CLOSED && from != BREAKER_CLOSED)
		set_timer(upstream, monotonic_usec() + upstream->check_usec);
	else if (to == BREAKER_PROBING && !upstream->check)
		set_timer(upstream, 0);
	if (from != to)
		upstream->moved(upstream, upstream->userdata);
}

void upstream_tell(Upstream *upstream, const ExchangeResult *result, uint64_t usec)
{
	BreakerState from = upstream->breaker.state;
	uint64_t now = monotonic_usec();

	if (result->outcome == EXCHANGE_ANSWERED) {
		upstream->n_answered++;
		histogram_observe(&upstream->latency, usec);
		upstream->trouble = NULL;
		upstream->heard_usec = now;
		breaker_answered(&upstream->breaker);
	} else {
		upstream->n_failed++;
		upstream->trouble = result->why;
		breaker_failed(&upstream->breaker, result->outcome == EXCHANGE_REFUSED, now);
	}
	if (upstream->breaker.state != from)
		moved(upstream, from, result->why);
}

static void checked(Upstream *upstream, const ExchangeResult *result)
{
	BreakerState from = upstream->breaker.state;
	bool good = result->outcome == EXCHANGE_ANSWERED || result->outcome == EXCHANGE_BROKEN;
	uint64_t now = monotonic_usec();

	/* A request's answer, meanwhile, is worth more. */
	if (from == BREAKER_CLOSED && !good && upstream->heard_usec > upstream->check_began_usec)
		good = true;
	if (!good) {
		upstream->n_failed++;
		upstream->trouble = result->why;
	} else {
		upstream->heard_usec = now;
	}
	breaker_checked(&upstream->breaker, good, now);
	if (good && !breaker_is_suspect(&upstream->breaker))
		upstream->trouble = NULL;
	moved(upstream, from, result->why);
	if (from == BREAKER_CLOSED && good)
		set_timer(upstream, now + upstream->check_usec);
}

static void on_checked(Exchange *exchange, const ExchangeResult *result, void *userdata)
{
	Upstream *upstream = userdata;

	upstream->check = NULL;
	checked(upstream, result);
	exchange_free(exchange);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Upstream *upstream = userdata;
	ExchangeResult refused = { .outcome = EXCHANGE_REFUSED };
	uint64_t now = monotonic_usec();
	int r;

	if (upstream->check)
		return 0;
	if (upstream_is_usable(upstream) && upstream->heard_usec &&
	    now < upstream->heard_usec + upstream->check_usec) {
		set_timer(upstream, upstream->heard_usec + upstream->check_usec);
		return 0;
	}
	breaker_wait_over(&upstream->breaker, now);
	upstream->check_began_usec = now;
	r = exchange_begin(&upstream->check, upstream->event, &upstream->config->address,
			   check_request, sizeof(check_request), QGS_GET_PLATFORM_INFO_RESPONSE,
			   upstream->check_timeout, on_checked, upstream);
	if (exchange_is_shortage(r)) {
		set_timer(upstream, now + EXCHANGE_AGAIN_USEC);
		return 0;
	}
	upstream->n_checks++;
	if (r < 0) {
		refused.why = strerrordesc_np(-r) ?: "it cannot be reached";
		checked(upstream, &refused);
	}
	return 0;
}

int upstream_new(Upstream **ret, sd_event *event, const ConfigUpstream *config, uint64_t check_usec,
		 Expiries *check_timeout, UpstreamMoved on_moved, void *userdata)
{
	Upstream *upstream = calloc(1, sizeof(*upstream));
	int r;

	if (!upstream)
		return -ENOMEM;
	upstream->config = config;
	upstream->event = event;
	upstream->check_usec = check_usec;
	upstream->check_timeout = check_timeout;
	upstream->moved = on_moved;
	upstream->userdata = userdata;
	r = sd_event_add_time(event, &upstream->timer, CLOCK_MONOTONIC, 0, 1, on_timer, upstream);
	if (r < 0) {
		upstream_free(upstream);
		return r;
	}
	*ret = upstream;
	return 0;
}

Upstream *upstream_free(Upstream *upstream)
{
	if (!upstream)
		return NULL;
	exchange_free(upstream->check);
	sd_event_source_disable_unref(upstream->timer);
	free(upstream);
	return NULL;
}
