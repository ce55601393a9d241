/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The requests of one guest to its TSM, on their way. tdid carries them and reads nothing of them:
 * they are sealed. How many may be in flight is bounded, for one guest and for all of them.
 */
#pragma once

#include "daemon/tdid.h"
#include "rpc/frame.h"

typedef struct GuestTsm GuestTsm;

/* What goes back under the session and id of the request: `reply`, or an error of io.tdid.Guest. */
typedef struct GuestTsmAnswer {
	const char *session;
	int64_t id;
	json_object *reply;
	const char *error; /* NULL: none */
	const char *reason;
} GuestTsmAnswer;

int guest_tsm_new(GuestTsm **ret, Tdid *tdid, Tvm *tvm,
		  void (*answered)(void *userdata, const GuestTsmAnswer *answer), void *userdata);
/* Requests that are under way go on; nobody is answered. */
GuestTsm *guest_tsm_free(GuestTsm *guest);

/* What was held back until a provider is there goes to it now. */
void guest_tsm_provider_ready(GuestTsm *guest);
/* Is answered, now or later, unless memory is out. */
void guest_tsm_request(GuestTsm *guest, const GuestFrame *frame);

/* One is there again: what waits for it goes on. NULL-safe. */
void guest_tsm_provider_ready(GuestTsm *guest);
