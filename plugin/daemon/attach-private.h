/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of attach-requests.h: one request, what its callers are told, and the calls. */
#pragma once

#include "daemon/attach-records.h"
#include "daemon/attach-requests.h"
#include "daemon/timed-calls.h"

typedef struct AttachRequest AttachRequest;

typedef enum AttachStage {
	ATTACH_STAGE_READING,
	ATTACH_STAGE_ASKED,
	ATTACH_STAGE_PLUGGED,
	ATTACH_STAGE_SEEN,
} AttachStage;

/* libvirt's answer may come after the request's end. */
typedef struct AttachAsking {
	AttachRequest *request; /* NULL: that was it */
} AttachAsking;

struct AttachRequest {
	AttachRequests *requests;
	AttachStage stage;
	bool doubtful, dry_run;
	bool named;	     /* by the caller */
	AttachRecord record; /* its texts are the request's */
	char *alias;
	json_object *plan;
	AttachAsking *asking;
	uint64_t reads;	      /* of its domain: those may be older than what libvirt has done */
	uint64_t doubt_until; /* CLOCK_BOOTTIME: before it no read tells that it has not come */
	sd_event_source *doubt_over;
	uint32_t seen; /* the assignment, when it has been */
	AttachRequest *next;
};

struct AttachRequests {
	Tdid *tdid;
	TimedCalls *calls;     /* their object: an AttachRequest or an Assignment; goal: a state */
	sd_event_source *ends; /* of those that have been seen */
	AttachRequest *first;
};

/* --- attach-request.c --- */

void attach_request_free(AttachRequest *request);
/* libvirt attaches it, or may, or has, and the assignment is still to come. */
bool attach_request_is_under_way(const AttachRequest *request);
/* What libvirt has been asked for last is answered for nobody. */
void attach_request_expect_nothing(AttachRequest *request);
/* And its record goes, if it has one. */
void attach_request_end(AttachRequest *request);
/* Its callers are told why it ends. */
void attach_request_refuse(AttachRequest *request, const char *why);
/* It is that assignment's from now on, and is recorded, if that has none. */
void attach_give_token(Tdid *tdid, Assignment *a, const ClientToken *token);
/* libvirt was asked, over a connection that is no more: it may be at it still. */
void attach_request_doubt_on(AttachRequest *request);
/* Reads the domain, checks, and goes on from there. */
void attach_request_read(AttachRequest *request);

/* A read of its domain has shown this. */
void attach_request_compared(AttachRequest *request, const DomainXml *xml, uint64_t number);

/* --- attach-restore.c --- */

int attach_requests_restore(AttachRequests *requests, char **ret_error);

/* --- attach-answers.c --- */

/* The assignment's as of a moment: the engine may be further already. */
typedef struct AttachMoment {
	const Assignment *a;
	AssignmentState state;
	uint64_t generation;
} AttachMoment;

const char *attach_domain_name(Tdid *tdid, Uuid uuid, char text[static UUID_STRING_SIZE]);
int attach_refuse_call(Tdid *tdid, VarlinkCall *call, Uuid domain, Bdf device, const char *why);
/* TimedCallFn; userdata: an AttachMoment, an AttachRequest. */
int attach_settle(Tdid *tdid, const TimedCall *waiting, void *userdata);
int attach_tell_plan(Tdid *tdid, const TimedCall *waiting, void *userdata);
/* One of both is NULL. */
int attach_answer_too_late(Tdid *tdid, const TimedCall *waiting, const AttachRequest *request,
			   const Assignment *assignment);
