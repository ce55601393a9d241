/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A quoting service that is asked: its circuit breaker, its health checks, what it has done. */
#pragma once

#include "quote/breaker.h"
#include "quote/config.h"
#include "quote/exchange.h"
#include "rpc/open-metrics.h"

typedef struct Upstream Upstream;

/* Whether it may be asked, or is worth waiting for, is not what it was. */
typedef void (*UpstreamMoved)(Upstream *upstream, void *userdata);

struct Upstream {
	const ConfigUpstream *config;
	sd_event *event;
	Breaker breaker;
	/* Static; of the last failure. NULL after a request's answer, or a check that leaves
	 * nothing suspect. */
	const char *trouble;
	unsigned asked; /* requests that it has now */
	uint64_t check_usec;
	uint64_t heard_usec; /* when it answered last, of CLOCK_MONOTONIC */
	sd_event_source *timer;
	Expiries *check_timeout;
	Exchange *check;
	uint64_t check_began_usec;
	UpstreamMoved moved;
	void *userdata;
	/* Since the start. An error of the service's is an answer. */
	uint64_t n_answered, n_failed, n_checks;
	Histogram latency; /* of what it answered */
};

/* Checks begin at once, so that the first request meets one of which something is known. */
int upstream_new(Upstream **ret, sd_event *event, const ConfigUpstream *config, uint64_t check_usec,
		 Expiries *check_timeout, UpstreamMoved on_moved, void *userdata);
Upstream *upstream_free(Upstream *upstream);
DEFINE_CLEANUP(Upstream, upstream_free);

static inline bool upstream_is_usable(const Upstream *upstream)
{
	return upstream->breaker.state == BREAKER_CLOSED;
}

/* It is not usable, but may be before `until_usec`, of CLOCK_MONOTONIC. */
static inline bool upstream_is_worth_waiting_for(const Upstream *upstream, uint64_t until_usec)
{
	return breaker_is_worth_waiting_for(&upstream->breaker, until_usec);
}

static inline bool upstream_has_room(const Upstream *upstream)
{
	return upstream->asked < upstream->config->parallel;
}

/* Answers checks, but has not answered the last requests: others are better. */
static inline bool upstream_is_suspect(const Upstream *upstream)
{
	return breaker_is_suspect(&upstream->breaker);
}

/* The end of an exchange that a request had with it. */
void upstream_tell(Upstream *upstream, const ExchangeResult *result, uint64_t usec);

/* "closed", "open", "probing" */
const char *upstream_state(const Upstream *upstream);
