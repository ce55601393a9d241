/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Feeds the engine and carries out what it decides. */
#pragma once

#include "daemon/tdid.h"

int director_new(Tdid *tdid);
void director_free(Tdid *tdid);

/*
 * Takes an event; effects are carried out before this returns, except when it is called from within
 * an effect: then right after that one. `reason` (may be NULL) becomes the assignment's when the
 * event takes it off its way.
 */
void director_event(Tdid *tdid, const EngineEvent *event, const char *reason);

/* A device that is about to appear, as it is going to be called. */
typedef struct ExpectedDevice {
	Bdf device, dsm;
	Provider *provider;
	Uuid domain;
	const char *domain_name; /* or NULL */
	const char *alias;
} ExpectedDevice;

/*
 * Its DSM is needed. Nothing is done for the DSM's own function: libvirt resets what it attaches,
 * and the session would go with that.
 */
void director_connect_ahead(Tdid *tdid, const ExpectedDevice *expected);
/* What the DSM (NULL: none) was to be connected for does not come: if nobody else needs it, it is
 * not, if that can be had. */
void director_connect_needless(Dsm *dsm);

/*
 * The time is over for which libvirt's stop of this domain waits: what is still being bound or
 * unbound of it is quarantined.
 */
void director_stop_overdue(Tdid *tdid, Uuid domain);

/* Marks a point in the assignment's life, now. detail may be NULL. */
void director_mark(Tdid *tdid, Assignment *assignment, const char *name, const char *detail);

/*
 * The same on a guest's word: only so many for one bind, because every mark goes to every watcher
 * and into the record.
 */
void director_guest_mark(Tdid *tdid, Assignment *assignment, const char *name, const char *detail);

/* OperationHandlers, userdata is the Tdid. */
extern const OperationHandlers director_operation_handlers;

/* After records were restored: sends what was in flight again, and sets timers. */
void director_resume(Tdid *tdid);
