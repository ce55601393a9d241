/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is asked next, by whom: fair queueing over domains, fail-over over upstreams.
 *
 * A request waits in its domain's queue until a service has room; domains take turns, one request
 * each. It goes to the first service in the configuration's order that may be asked and has room,
 * to one that has failed lately last. A service that fails is told to its breaker, and the next is
 * asked, within the request's deadline; after an error of its own just one other. One that is slow
 * counts as failed, but is waited for as long as there is no other to turn to: a request at which
 * the only service hangs keeps one of its `parallel` places until deadline_ms. Every request ends
 * with exactly one call of its `done`.
 *
 * While no service may be asked, a request waits in its queue for one that is being checked, or
 * will be before its deadline: what one guest's requests make of a service costs others a check's
 * time, and a service that is restarted nobody a quote. One that refused the connection has not
 * been asked by that. Only when every service has been away for long (breaker.h), or has failed at
 * this very request, it ends with QUOTE_UNAVAILABLE at once.
 */
#pragma once

#include "quote/domains.h"
#include "quote/upstream.h"

typedef struct Relay Relay;

typedef struct RequestAnswer {
	QuoteOutcome outcome;
	uint32_t error;	 /* QgsError: what the guest is told, unless QUOTE_OK or QUOTE_ERROR */
	const char *why; /* for the log, unless QUOTE_OK */
	/* QUOTE_OK and QUOTE_ERROR: the reply, frame included; the relay's, to be used at once. */
	uint8_t *frame;
	size_t size;
	const QgsMessage *message;
	const char *upstream; /* who has answered, or was asked last; NULL: nobody */
} RequestAnswer;

/* The request is in nobody's queue any more. */
typedef void (*RequestDone)(Request *request, const RequestAnswer *answer, void *userdata);

/* Belongs to whoever asks; zeroed, and the first part filled in. */
struct Request {
	Relay *relay;
	Domain *domain;
	const uint8_t *frame; /* with its frame; stays until the end */
	size_t size;
	QgsType type;
	RequestDone done;
	void *userdata;

	/* The relay's. */
	Request *next;
	bool queued;
	uint64_t until_usec; /* its deadline; whoever asks keeps it (relay_give_up) */
	unsigned tried;	     /* upstreams that were asked, a bit each */
	Upstream *upstream;  /* that has it, or had it last */
	Exchange *exchange;
	bool overdue; /* its upstream has had its time, and it is waited for */
	uint64_t asked_usec;
	const char *failed;   /* the last failure, in words; NULL: none */
	uint8_t *error_frame; /* of the last service that answered with an error; for the guest if
				 no other does better */
	size_t error_size;
	QgsMessage error;
};

struct Relay {
	sd_event *event;
	const Config *config;
	Domains domains;
	Upstream *upstreams[CONFIG_UPSTREAMS_MAX];
	size_t n_upstreams;
	/* Of an upstream, for a request and for a check; of a connection: for its request, its
	 * answer, and to take that. */
	Expiries attempt, check, silence, deadline, writing;
	/* Domains with something in their queue, in their order. */
	Domain *turn_first, *turn_last;
	Domain strangers;	/* its queue is that of all peers that are no TVM of ours */
	sd_event_source *defer; /* looks for work when no caller waits for us on the stack */
	sd_event_source *again; /* and when there was no descriptor for it */
	bool short_of;
	bool stopping; /* the loop has ended: nothing can be waited for */
};

int relay_new(Relay **ret, sd_event *event, const Config *config);
Relay *relay_free(Relay *relay);
DEFINE_CLEANUP(Relay, relay_free);

/* True: it waits for an answer. False: `done` has run, since nobody is there to be asked. */
bool relay_submit(Request *request);
/* Whoever asked does not want it any more: `done` does not run. */
void relay_cancel(Request *request);
/*
 * Its deadline is over. True: a service has answered with an error before, and `done` has run with
 * that. False: it is cancelled.
 */
bool relay_give_up(Request *request);
