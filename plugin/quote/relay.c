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

/* One that has been asked before goes ahead of what came later. */
static void enqueue(Request *request)
{
	Domain *domain = request->domain;

	request->queued = true;
	request->next = NULL;
	if (!domain->first) {
		domain->first = domain->last = request;
	} else if (request->tried) {
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
	Domain *domain = request->domain;
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
		.why = request->upstream && request->upstream->trouble
			       ? request->upstream->trouble
			       : "no quoting service answers its checks; see 'tdictl quotes'",
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

static bool any_left(const Request *request)
{
	const Relay *relay = request->relay;

	for (size_t i = 0; i < relay->n_upstreams; i++)
		if (!(request->tried & (1u << i)) && upstream_is_usable(relay->upstreams[i]))
			return true;
	return false;
}

static void place(Request *request);
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

	request->exchange = NULL;
	upstream->asked--;
	upstream_tell(upstream, result, monotonic_usec() - request->asked_usec);
	if (result->outcome != EXCHANGE_ANSWERED) {
		log_warning("%s: upstream %s: %s", request->domain->label, upstream->config->name,
			    result->why);
		place(request);
	} else if (error && !is_the_requests_fault(error) && any_left(request) &&
		   keep_error(request, result) == 0) {
		place(request);
	} else {
		answer.outcome = error ? QUOTE_ERROR : QUOTE_OK;
		done(request, &answer);
	}
	exchange_free(exchange);
	look_for_work(relay);
}

/* False: it could not even be begun, which is one try. */
static bool ask(Request *request, size_t index)
{
	Relay *relay = request->relay;
	Upstream *upstream = relay->upstreams[index];
	ExchangeResult refused = { .outcome = EXCHANGE_REFUSED };
	int r;

	request->tried |= 1u << index;
	request->upstream = upstream;
	request->asked_usec = monotonic_usec();
	r = exchange_begin(&request->exchange, relay->event, &upstream->config->address,
			   request->frame, request->size, (QgsType)(request->type + 1),
			   &relay->attempt, on_exchanged, request);
	if (r == 0) {
		upstream->asked++;
		return true;
	}
	refused.why = strerrordesc_np(-r) ?: "it cannot be reached";
	upstream_tell(upstream, &refused, 0);
	return false;
}

/* Asks the next service, or waits for one to have room, or gives up. */
static void place(Request *request)
{
	Relay *relay = request->relay;
	bool busy = false;

	for (size_t i = 0; i < relay->n_upstreams; i++) {
		Upstream *upstream = relay->upstreams[i];

		if ((request->tried & (1u << i)) || !upstream_is_usable(upstream))
			continue;
		if (!upstream_has_room(upstream))
			busy = true;
		else if (ask(request, i))
			return;
	}
	if (busy)
		enqueue(request);
	else
		give_up(request);
}

static bool any_room(const Relay *relay)
{
	for (size_t i = 0; i < relay->n_upstreams; i++)
		if (upstream_is_usable(relay->upstreams[i]) &&
		    upstream_has_room(relay->upstreams[i]))
			return true;
	return false;
}

static bool any_usable(const Relay *relay)
{
	for (size_t i = 0; i < relay->n_upstreams; i++)
		if (upstream_is_usable(relay->upstreams[i]))
			return true;
	return false;
}

/* Each domain in its turn, one request each. */
static int on_defer(sd_event_source *source, void *userdata)
{
	Relay *relay = userdata;
	Domain *seen = NULL;

	/* `seen`: one whose request waits for a service other than that which has room. */
	while (relay->turn_first && relay->turn_first != seen &&
	       (any_room(relay) || !any_usable(relay))) {
		Domain *domain = relay->turn_first;
		Request *request = domain->first;

		turn_remove(relay, domain);
		domain->first = request->next;
		if (!domain->first)
			domain->last = NULL;
		else
			turn_append(relay, domain);
		request->queued = false;
		place(request);
		if (request->queued && !seen)
			seen = domain;
	}
	return 0;
}

static void look_for_work(Relay *relay)
{
	if (relay->turn_first)
		sd_event_source_set_enabled(relay->defer, SD_EVENT_ONESHOT);
}

void relay_submit(Request *request)
{
	Relay *relay = request->relay;

	/* Nobody is passed by: a request comes on at once only if none waits. */
	if (relay->turn_first) {
		enqueue(request);
		look_for_work(relay);
	} else {
		place(request);
	}
}

void relay_cancel(Request *request)
{
	if (request->queued)
		dequeue(request);
	if (request->exchange) {
		request->exchange = exchange_free(request->exchange);
		request->upstream->asked--;
		look_for_work(request->relay);
	}
	free(steal_ptr(request->error_frame));
}

/* --- life --- */

static void on_back(Upstream *upstream, void *userdata)
{
	look_for_work(userdata);
}

#define CHECK_TIMEOUT_USEC UINT64_C(2000000)
#define WRITING_USEC	   UINT64_C(5000000)

static int init_expiries(Relay *relay)
{
	const Config *config = relay->config;
	int r = expiries_init(&relay->attempt, relay->event, config->attempt_usec);

	if (r >= 0)
		r = expiries_init(&relay->check, relay->event, CHECK_TIMEOUT_USEC);
	if (r >= 0)
		r = expiries_init(&relay->silence, relay->event, config->silence_usec);
	if (r >= 0)
		r = expiries_init(&relay->deadline, relay->event, config->deadline_usec);
	if (r >= 0)
		r = expiries_init(&relay->writing, relay->event, WRITING_USEC);
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
	for (size_t i = 0; r >= 0 && i < config->n_upstreams; i++) {
		r = upstream_new(&relay->upstreams[i], event, &config->upstreams[i],
				 config->check_usec, &relay->check, on_back, relay);
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
	expiries_done(&relay->attempt);
	expiries_done(&relay->check);
	expiries_done(&relay->silence);
	expiries_done(&relay->deadline);
	expiries_done(&relay->writing);
	sd_event_unref(relay->event);
	free(relay);
	return NULL;
}
