/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider that speaks for the TSM behind the kernel: it prepares TVMs, holds evidence, and
 * tells TDISP states, none of which the kernel's PCI/TSM has an interface for. It serves
 * io.tdid.Tsm itself, with verbs that it refuses (they reach that TSM through the kernel).
 *
 * What it says of TDIs and DSMs is kept up to date by its Monitor.
 */
#pragma once

#include "companion-state.h"
#include "core/bdf.h"
#include "core/cleanup.h"
#include "rpc/json.h"
#include "rpc/varlink-server.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

typedef struct Companion Companion;

typedef struct CompanionOptions {
	const char *socket;
	uid_t uid; /* who has to serve it */
	/* Reached, and all it says is known; or not any more, and nothing is. Never from within a
	 * function of this file. */
	void (*ready)(void *userdata);
	void (*lost)(void *userdata, const char *reason);
	void (*tdi_changed)(void *userdata, Bdf device, const char *reason);
	void (*dsm_changed)(void *userdata, Bdf dsm, const char *reason);
	void *userdata;
} CompanionOptions;

/* Starts to connect, and keeps trying, from 100 ms up to 5 s apart: no event tells that a socket is
 * served again. */
int companion_new(Companion **ret, sd_event *event, const CompanionOptions *options);
Companion *companion_free(Companion *companion);
DEFINE_CLEANUP(Companion, companion_free);

/* NULL: it is ready. Else why it is not. */
const char *companion_trouble(const Companion *companion);

/* Of a ready one; borrowed. */
const char *companion_instance(const Companion *companion);
json_object *companion_capabilities(const Companion *companion);

/*
 * What it said last, also while it is not ready. NULL: it does not know the function. Valid until
 * the event loop runs.
 */
const CompanionTdi *companion_tdi(const Companion *companion, Bdf device);
/* Hex digest of the certificate chain; NULL: not connected, as far as is known. */
const char *companion_certificate(const Companion *companion, Bdf dsm);

/*
 * Asks anew, so that whatever happened before is known. `asked` runs once, from the event loop,
 * with true if it answered in time. One at a time: -EBUSY.
 */
int companion_refresh(Companion *companion, uint64_t timeout_usec,
		      void (*asked)(void *userdata, bool answered), void *userdata);

/*
 * Hands the call on as it is, and its answer back. object: what a failure to do so is about.
 * Returns what answering returned, or 0 and the answer comes later.
 */
int companion_forward(Companion *companion, VarlinkCall *call, const char *object,
		      uint64_t timeout_usec);
