/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who had a DSM connected, and why: a caller of Connect, or a device of a domain that needed it.
 * Decided with device_connect, and in the DSM's record until it is idle again.
 */
#pragma once

#include "core/engine.h"
#include "core/uuid.h"
#include "rpc/json-text.h"

#include <sys/types.h>

typedef struct Dsm Dsm;

typedef enum DsmCauseKind {
	DSM_CAUSE_UNKNOWN,
	DSM_CAUSE_REQUEST,
	DSM_CAUSE_DEVICE,
} DsmCauseKind;

typedef struct DsmCause {
	DsmCauseKind kind;
	uid_t uid; /* of a request */
	/* Of a device, which may be gone by now: its domain, and its alias there */
	Uuid domain;
	char *domain_name, *name;
} DsmCause;

void dsm_cause_clear(DsmCause *cause);
/* uid: anything that is none leaves it unknown. */
void dsm_cause_set_request(DsmCause *cause, int64_t uid);
/* domain_name: may be NULL. Without memory it is unknown. */
void dsm_cause_set_device(DsmCause *cause, Uuid domain, const char *domain_name, const char *name);

/* The event has given EFFECT_CONNECT: whose doing that is. */
void dsm_cause_of_connect(Dsm *dsm, EngineEventType event);

/* For io.tdid.Assignments. *ret is NULL for what is unknown. -ENOMEM. */
int dsm_cause_to_json(const DsmCause *cause, json_object **ret);
