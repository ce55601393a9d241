/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of detach-requests.h: one request, what its callers are told, and the calls. */
#pragma once

#include "daemon/detach-requests.h"
#include "daemon/timed-calls.h"

/* Of what a drain asks for. */
#define DETACH_DRAIN_USEC (300 * UINT64_C(1000000))

typedef struct DetachRequest DetachRequest;

/* libvirt's answer may come after the request's end. */
typedef struct Asking {
	DetachRequest *request; /* NULL: that was it */
} Asking;

struct DetachRequest {
	DetachRequests *requests;
	Assignment *assignment;
	uint64_t until_usec; /* CLOCK_BOOTTIME */
	bool guest_asked;
	bool of_caller; /* not only of a drain */
	bool is_taken;	/* libvirt has said that it does it */
	char *not_yet;	/* why it has not; NULL: it has not said no */
	bool is_reset;	/* its guest boots anew: it comes back with the next read */
	Asking *asking;
	sd_event_source *again; /* libvirt is asked then */
	sd_event_source *end;	/* at until_usec */
	DetachRequest *next;
};

struct DetachRequests {
	Tdid *tdid;
	TimedCalls *calls;
	DetachFailed failed;
	DetachRequest *first;
};

typedef struct DetachMoment {
	Assignment *a;
	AssignmentState state;
	uint64_t generation;
	const char *why; /* it cannot be done */
} DetachMoment;

/* --- detach-request.c --- */

/* It has until `usec` from now, and nobody has been asked yet. -ENOMEM. */
int detach_request_begin(DetachRequests *requests, Assignment *a, uint64_t usec,
			 DetachRequest **ret);
/* It has until then at least. */
int detach_request_extend(DetachRequest *request, uint64_t usec);
/* The guest or libvirt, unless libvirt is being asked. It may end the request. */
void detach_request_ask(DetachRequest *request);
/* Its assignment has come into this state, which is not the end. */
void detach_request_follow(DetachRequest *request, AssignmentState state);
/* Who waits for it is told why; it is ended. */
void detach_request_fail(DetachRequest *request, const char *why);
/* It is ended, and what was asked for stands. */
void detach_request_let_be(DetachRequest *request);
void detach_request_free(DetachRequest *request);

/* --- detach-answers.c --- */

bool detach_is_over(const Assignment *a, AssignmentState state);
int detach_refuse(VarlinkCall *call, const Assignment *a, const char *why);
int detach_answer_quarantined(VarlinkCall *call, const DetachMoment *moment, json_object *o);
/* A TimedCallFn; of a DetachMoment. */
int detach_settle(Tdid *tdid, const TimedCall *waiting, void *userdata);
int detach_timed_out(Tdid *tdid, const TimedCall *waiting);

/* --- detach-requests.c --- */

/* NULL: none is under way. */
DetachRequest *detach_requests_find(DetachRequests *requests, const Assignment *a);
