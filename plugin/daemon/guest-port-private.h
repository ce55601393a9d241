/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of guest-port.h: the connection, and what is said over it. */
#pragma once

#include "daemon/guest-port.h"
#include "daemon/guest-tsm.h"
#include "daemon/tdid.h"
#include "rpc/frame.h"
#include "rpc/idl.h"
#include "rpc/log.h"

struct GuestPort {
	Tdid *tdid;
	Tvm *tvm;
	IdlInterface *idl;
	bool opening;
	bool orphan; /* freed while an open was under way; the answer frees it */
	int fd;
	sd_event_source *io, *retry;
	FrameReader *reader;
	char session[GUEST_SESSION_LEN + 1]; /* "" before the first Hello */
	char *output;
	size_t output_used;
	unsigned int lines;
	GuestTsm *tsm;
};

/* --- guest-port.c --- */

/* Its name, or "?". */
const char *guest_port_domain(const GuestPort *port);
/* Bounded, because a guest can cause it: of one opened port only so many lines are logged. */
void guest_port_say(GuestPort *port, LogLevel level, const char *what, const char *detail);
/* Dropped where the port is not open. It may close the port, and the session with it. */
void guest_port_send(GuestPort *port, const GuestFrame *frame);

/* --- guest-session.c --- */

/* What the guest has sent; bytes that need not be UTF-8 or JSON. It may close the port. */
void guest_session_frame(GuestPort *port, const char *text, size_t len);
/* Of a GuestPort. */
void guest_session_tsm_answered(void *userdata, const GuestTsmAnswer *answer);
