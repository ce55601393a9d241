/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The events that tdid gets about one device. Lost without a sign if there is no session. */
#pragma once

#include "agent/session.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct TellSubject {
	Session *session;
	const char *name;
	const char *address;
	uint64_t generation;
	uint64_t locked_at; /* microseconds of CLOCK_BOOTTIME */
} TellSubject;

void tell_ready(TellSubject subject);
/* reason: may be NULL. False: it was not said, because there is no session, or no memory. */
bool tell_verdict(TellSubject subject, bool accepted, const char *step, const char *reason);
void tell_progress(TellSubject subject, const char *step);
void tell_driver(TellSubject subject, const char *driver);
