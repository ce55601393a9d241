/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The requests of one guest to its TSM, on their way. tdid carries them and reads nothing of them:
 * they are sealed. How many may be in flight is bounded, for one guest and for all of them; where
 * all have as many as there may be, guests take turns: whoever waits gets the next free place, one
 * request of each guest after the other, each guest's oldest first.
 */
#pragma once

#include "daemon/tdid.h"
#include "rpc/frame.h"

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

/*
 * Is answered, now or later, unless memory is out or the session ends before it has been sent. To
 * be answered may end the session.
 */
void guest_tsm_request(GuestTsm *guest, const GuestFrame *frame);

/* One is there again: what was held back goes to it now, in the order of arrival. NULL-safe. */
void guest_tsm_provider_ready(GuestTsm *guest);
/* Of all guests; nobody waits any more. */
void guest_turns_done(GuestTurns *turns);

/* What is held back is forgotten: nobody waits for it, and it might change something. NULL-safe. */
void guest_tsm_end_session(GuestTsm *guest);
