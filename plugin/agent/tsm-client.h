/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to the TSM: sealed (core/guest-message-tvm.h), carried by the host, retried. One is
 * under way at a time, others wait in line.
 */
#pragma once

#include "agent/session.h"
#include "agent/tvm-key.h"
#include "core/cleanup.h"
#include "core/evidence.h"
#include "core/guest-payload.h"
#include "core/uuid.h"

#define TSM_CLIENT_SENDS 3 /* of the same bytes */
#define TSM_CLIENT_OPENS 4 /* sessions tried for one request */

typedef struct TsmClient TsmClient;

typedef struct TsmClientTimes {
	uint64_t reply_usec; /* how long tdid may take for one answer */
	uint64_t retry_usec; /* wait after TsmUnavailable; doubles */
} TsmClientTimes;

extern const TsmClientTimes tsm_client_times;

/* What the TSM answered, and what the host put beside it. All borrowed for the call. */
typedef struct TsmAnswer {
	GuestStatus status;
	const uint8_t *body; /* nothing unless status is OK */
	size_t body_size;
	bool has_evidence;
	EvidenceBlobs blobs;
} TsmAnswer;

/* answer == NULL: the TSM could not be reached, and error says why. */
typedef void (*TsmHandler)(void *userdata, const TsmAnswer *answer, const char *error);

/* key: borrowed. times: NULL for tsm_client_times. */
int tsm_client_new(TsmClient **ret, Loop *loop, Session *session, const TvmKey *key,
		   const TsmClientTimes *times);
TsmClient *tsm_client_free(TsmClient *client);
DEFINE_CLEANUP(TsmClient, tsm_client_free);

/* The session with the host began (as which TVM) or ended. What waits, waits on. */
int tsm_client_start(TsmClient *client, Uuid tvm);
void tsm_client_stop(TsmClient *client);

/* The payload is copied. The handler is called once, never from within. -EINVAL, -ENOMEM. */
int tsm_client_request(TsmClient *client, GuestMessageType type, const void *payload, size_t size,
		       TsmHandler handler, void *userdata);

/* Revokes in nobody's name: the TDI's owner may be gone before the answer comes. */
int tsm_client_revoke(TsmClient *client, uint32_t rid, uint64_t generation);

/*
 * Forgets all requests with that userdata. One that was under way may or may not have its effect.
 */
void tsm_client_cancel(TsmClient *client, const void *userdata);

/*
 * Forgets the requests with that userdata that nobody has begun, and keeps the session with the TSM
 * whole: one that is under way goes on. Returns whether there is such a one: its handler is still
 * called.
 */
bool tsm_client_withdraw(TsmClient *client, const void *userdata);
