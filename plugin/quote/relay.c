/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/relay.h"

#include "quote/monotonic.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

/* --- queues --- */

static void turn_append(Relay *relay, Domain *domain)
{
	domain->turn_next = NULL;
	domain->in_turn = true;
	if (relay->turn_last)
		relay->turn_last->turn_next = domain;
	else
		relay->turn_first = domain;
	relay->turn_last = domain;
}

static void turn_remove(Relay *relay, Domain *domain)
{
	Domain *before = NULL;

	for (Domain *at = relay->turn_first; at && at != domain; at = at->turn_next)
		before = at;
	if (before)
		before->turn_next = domain->turn_next;
	else
		relay->turn_first = domain->turn_next;
	if (relay->turn_last == domain)
		relay->turn_last = before;
	domain->in_turn = false;
}

/* A TVM waits in a queue of its own; all peers that belong to none in one together. */
static Domain *queue_of(const Request *request)
{
	return request->domain->kind == DOMAIN_TVM ? request->domain : &request->relay->strangers;
}

/* One that has been asked before goes ahead of what came later. */
static void enqueue(Request *request)
{
	Domain *domain = queue_of(request);

	request->queued = true;
	request->next = NULL;
	if (!domain->first) {
		domain->first = domain->last = request;
	} else if (request->upstream) {
		request->next = domain->first;
		domain->first = request;
	} else {
		domain->last->next = request;
		domain->last = request;
	}
	if (!domain->in_turn)
		turn_append(request->relay, domain);
}

static void dequeue(Request *request)
{
	Domain *domain = queue_of(request);
	Request *before = NULL;

	for (Request *at = domain->first; at != request; at = at->next)
		before = at;
	if (before)
		before->next = request->next;
	else
		domain->first = request->next;
	if (domain->last == request)
		domain->last = before;
	request->queued = false;
	if (!domain->first)
		turn_remove(request->relay, domain);
}

/* --- one request --- */

static void done(Request *request, const RequestAnswer *answer)
{
	RequestAnswer whole = *answer;

	whole.upstream = request->upstream ? request->upstream->config->name : NULL;
	request->done(request, &whole, request->userdata);
}

/* All have been tried, or none may be. */
static void give_up(Request *request)
{
	RequestAnswer answer = {
		.outcome = QUOTE_UNAVAILABLE,
		.error = QGS_ERROR_UNEXPECTED,
		.why = request->failed
			       ?: "no quoting service answers its checks; see 'tdictl quotes'",
	};
	_cleanup_free_ uint8_t *frame = steal_ptr(request->error_frame);

	if (frame)
		answer = (RequestAnswer){
			.outcome = QUOTE_ERROR,
			.frame = frame,
			.size = request->error_size,
			.message = &request->error,
		};
	done(request, &answer);
}

/* Whether another service may know better: not if the request itself is at fault. */
static bool is_the_requests_fault(uint32_t error)
{
	return error >= QGS_ERROR_INVALID_PARAMETER && error <= QGS_ERROR_INVALID_CODE;
}

static bool may_ask(const Request *request, size_t i)
{
	return !(request->tried & (1u << i)) && upstream_is_usable(request->relay->upstreams[i]);
}

static bool any_left(const Request *request)
{
	for (size_t i = 0; i < request->relay->n_upstreams; i++)
		if (may_ask(request, i))
			return true;
	return false;
}

/* With an answer in hand, even an error, nobody is waited for. */
static bool may_hope(const Request *request)
{
	for (size_t i = 0; !request->error_frame && i < request->relay->n_upstreams; i++)
		if (!(request->tried & (1u << i)) &&
		    upstream_is_worth_waiting_for(request->relay->upstreams[i],
						  request->until_usec))
			return true;
	return false;
}

/* Whether it need not wait any longer: a service has room for it, or none is left to be asked. */
static bool is_placeable(const Request *request)
{
	for (size_t i = 0; i < request->relay->n_upstreams; i++)
		if (may_ask(request, i) && upstream_has_room(request->relay->upstreams[i]))
			return true;
	return !any_left(request) && !may_hope(request);
}

static bool place(Request *request);
static void look_for_work(Relay *relay);

static int keep_error(Request *request, const ExchangeResult *result)
{
	uint8_t *copy = malloc(result->size);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, result->frame, result->size);
	free(request->error_frame);
	request->error_frame = copy;
	request->error_size = result->size;
	request->error = (QgsMessage){
		.major = result->message.major,
		.minor = result->message.minor,
		.type = result->message.type,
		.error = result->message.error,
	};
	return 0;
}

static size_t upstream_index(const Relay *relay, const Upstream *upstream)
{
	size_t i = 0;

	while (relay->upstreams[i] != upstream)
		i++;
	return i;
}

/* Slow, but there is no other to be asked: to close it would only waste what it has done. */
static void wait_longer(Request *request, const ExchangeResult *result)
{
	Upstream *upstream = request->upstream;

	if (!request->overdue) {
		log_warning("%s: upstream %s: %s; there is no other to be asked, so it is waited "
			    "for",
			    request->domain->label, upstream->config->name, result->why);
		upstream_tell(upstream, result, monotonic_usec() - request->asked_usec);
	}
	request->overdue = true;
	exchange_go_on(request->exchange);
}

static void on_exchanged(Exchange *exchange, const ExchangeResult *result, void *userdata)
{
	Request *request = userdata;
	Relay *relay = request->relay;
	Upstream *upstream = request->upstream;
	uint32_t error = result->outcome == EXCHANGE_ANSWERED ? result->message.error : 0;
	RequestAnswer answer = { .outcome = QUOTE_OK,
				 .frame = result->frame,
				 .size = result->size,
				 .message = &result->message };

	if (result->outcome == EXCHANGE_LATE && !request->error_frame && !any_left(request)) {
		wait_longer(request, result);
		return;
	}
	request->exchange = NULL;
	upstream->asked--;
	if (result->outcome == EXCHANGE_REFUSED)
		request->tried &= ~(1u << upstream_index(relay, upstream));
	/* That it is late has been told; how that ends badly is no second failure. */
	if (result->outcome == EXCHANGE_ANSWERED || !request->overdue)
		upstream_tell(upstream, result, monotonic_usec() - request->asked_usec);
	request->overdue = false;
	if (result->outcome != EXCHANGE_ANSWERED) {
		request->failed = result->why;
		log_warning("%s: upstream %s: %s", request->domain->label, upstream->config->name,
			    result->why);
		place(request);
	} else if (error && !is_the_requests_fault(error) && !request->error_frame &&
		   any_left(request) && keep_error(request, result) == 0) {
		place(request);
	} else {
		answer.outcome = error ? QUOTE_ERROR : QUOTE_OK;
		done(request, &answer);
	}
	exchange_free(exchange);
	look_for_work(relay);
}

typedef enum Asked {
	ASKED,
	ASKED_IN_VAIN, /* it could not even be begun */
	ASKED_LATER,   /* we lack what it takes */
} Asked;

static Asked ask(Request *request, size_t index)
{
	Relay *relay = request->relay;
	Upstream *upstream = relay->upstreams[index];
	ExchangeResult refused = { .outcome = EXCHANGE_REFUSED };
	int r;

	request->upstream = upstream;
	request->asked_usec = monotonic_usec();
	r = exchange_begin(&request->exchange, relay->event, &upstream->config->address,
			   request->frame, request->size, (QgsType)(request->type + 1),
			   &relay->attempt, on_exchanged, request);
	if (exchange_is_shortage(r)) {
		relay->short_of = true;
		sd_event_source_set_time_relative(relay->again, EXCHANGE_AGAIN_USEC);
		sd_event_source_set_enabled(relay->again, SD_EVENT_ONESHOT);
		return ASKED_LATER;
	}
	if (r == 0) {
		request->tried |= 1u << index;
		upstream->asked++;
		return ASKED;
	}
	/* Nobody is there; or does not take connections, and its socket's queue is full. */
	refused.why = strerrordesc_np(-r) ?: "it cannot be reached";
	request->failed = refused.why;
	upstream_tell(upstream, &refused, 0);
	return ASKED_IN_VAIN;
}

/*
 * Asks the next service, or waits for one to have room or to be back, or gives up (false). What is
 * suspect comes last.
 */
static bool place(Request *request)
{
	Relay *relay = request->relay;
	bool busy = false;

	for (int suspect = 0; suspect < 2; suspect++)
		for (size_t i = 0; i < relay->n_upstreams; i++) {
			Upstream *upstream = relay->upstreams[i];
			Asked asked = ASKED_IN_VAIN;

			if (!may_ask(request, i) || upstream_is_suspect(upstream) != suspect)
				continue;
			if (upstream_has_room(upstream))
				asked = ask(request, i);
			else
				busy = true;
			if (asked == ASKED)
				return true;
			busy = busy || asked == ASKED_LATER;
		}
	busy = busy || may_hope(request);
	if (busy)
		enqueue(request);
	else
		give_up(request);
	return busy;
}

/* The first domain's whose turn it is with something that need not wait any longer. */
static Request *next_in_turn(const Relay *relay)
{
	for (Domain *domain = relay->turn_first; domain; domain = domain->turn_next)
		for (Request *request = domain->first; request; request = request->next)
			if (is_placeable(request))
				return request;
	return NULL;
}

/* Each domain in its turn, one request each. */
static int on_defer(sd_event_source *source, void *userdata)
{
	Relay *relay = userdata;
	Request *request;

	while ((request = next_in_turn(relay))) {
		Domain *queue = queue_of(request);

		dequeue(request);
		if (queue->in_turn) {
			turn_remove(relay, queue);
			turn_append(relay, queue);
		}
		relay->short_of = false;
		place(request);
		if (relay->short_of)
			break; /* the timer comes back to it */
	}
	return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	return on_defer(source, userdata);
}

static void look_for_work(Relay *relay)
{
	if (relay->turn_first)
		sd_event_source_set_enabled(relay->defer, SD_EVENT_ONESHOT);
}

bool relay_submit(Request *request)
{
	Relay *relay = request->relay;

	request->until_usec = monotonic_usec() + relay->config->deadline_usec;
	/* Nobody is passed by: a request comes on at once only if none waits. */
	if (!relay->turn_first)
		return place(request);
	enqueue(request);
	look_for_work(relay);
	return true;
}

static void withdraw(Request *request)
{
	if (request->queued)
		dequeue(request);
	if (request->exchange) {
		request->exchange = exchange_free(request->exchange);
		request->upstream->asked--;
		look_for_work(request->relay);
	}
}

void relay_cancel(Request *request)
{
	withdraw(request);
	free(steal_ptr(request->error_frame));
}

bool relay_give_up(Request *request)
{
	withdraw(request);
	if (!request->error_frame)
		return false;
	give_up(request);
	return true;
}

/* --- life --- */

static void on_moved(Upstream *upstream, void *userdata)
{
	look_for_work(userdata);
}

#define CHECK_TIMEOUT_USEC UINT64_C(2000000)
#define WRITING_USEC	   UINT64_C(5000000)

static int init_expiries(Relay *relay)
{
	const Config *config = relay->config;
	const struct {
		Expiries *expiries;
		const char *what;
		uint64_t length_usec;
	} all[] = {
		{ &relay->attempt, "what a service has not answered (attempt_ms)",
		  config->attempt_usec },
		{ &relay->check, "health checks", CHECK_TIMEOUT_USEC },
		{ &relay->silence, "connections without a request (silence_ms)",
		  config->silence_usec },
		{ &relay->deadline, "requests without an answer (deadline_ms)",
		  config->deadline_usec },
		{ &relay->writing, "answers that nobody takes", WRITING_USEC },
		{ &relay->domains.ended, "TVMs that have ended", DOMAINS_ENDED_USEC },
		{ &relay->domains.unstarted, "TVMs that do not start", DOMAINS_UNSTARTED_USEC },
		{ &relay->domains.unheld, "waits for a QEMU to be held", DOMAINS_UNHELD_USEC },
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(all); i++)
		r = expiries_init(all[i].expiries, relay->event, all[i].what, CLOCK_MONOTONIC,
				  all[i].length_usec);
	return r;
}

int relay_new(Relay **ret, sd_event *event, const Config *config)
{
	_cleanup_(relay_freep) Relay *relay = calloc(1, sizeof(*relay));
	int r;

	if (!relay)
		return -ENOMEM;
	relay->event = sd_event_ref(event);
	relay->config = config;
	relay->domains.limits = &config->limits;
	r = init_expiries(relay);
	if (r >= 0)
		r = sd_event_add_defer(event, &relay->defer, on_defer, relay);
	if (r >= 0)
		r = sd_event_source_set_enabled(relay->defer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(event, &relay->again, CLOCK_MONOTONIC, 0, 1000, on_again,
				      relay);
	if (r >= 0)
		r = sd_event_source_set_enabled(relay->again, SD_EVENT_OFF);
	for (size_t i = 0; r >= 0 && i < config->n_upstreams; i++) {
		r = upstream_new(&relay->upstreams[i], event, &config->upstreams[i],
				 config->check_usec, &relay->check, on_moved, relay);
		if (r >= 0)
			relay->n_upstreams++;
	}
	if (r < 0)
		return r;
	*ret = steal_ptr(relay);
	return 0;
}

Relay *relay_free(Relay *relay)
{
	if (!relay)
		return NULL;
	domains_remove_all(&relay->domains);
	for (size_t i = 0; i < relay->n_upstreams; i++)
		upstream_free(relay->upstreams[i]);
	sd_event_source_disable_unref(relay->defer);
	sd_event_source_disable_unref(relay->again);
	expiries_done(&relay->attempt);
	expiries_done(&relay->check);
	expiries_done(&relay->silence);
	expiries_done(&relay->deadline);
	expiries_done(&relay->writing);
	expiries_done(&relay->domains.ended);
	expiries_done(&relay->domains.unstarted);
	expiries_done(&relay->domains.unheld);
	sd_event_unref(relay->event);
	free(relay);
	return NULL;
}
