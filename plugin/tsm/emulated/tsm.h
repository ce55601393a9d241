/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulated TSM's state and verbs, as schemas/io.tdid.Tsm.varlink has them, without sockets,
 * clock or order: whoever calls sees to it that one thing happens at a time.
 *
 * The verbs return 0, a positive TsmOutcome with a TsmRefusal, or a negative errno for a failure of
 * this process.
 */
#pragma once

#include "common/blob.h"
#include "config.h"
#include "core/bdf.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/tdisp.h"
#include "core/uuid.h"
#include "tsm/common/host-function.h"
#include "tsm/common/tsm-refusal.h"

#include <stdbool.h>
#include <stdint.h>

#define TSM_INSTANCE_SIZE 16

typedef struct Tsm Tsm;

/* What a TVM has asked for and the host has to carry. */
typedef enum TsmAsked {
	TSM_ASKED_NOTHING,
	TSM_ASKED_LOCK,
	TSM_ASKED_START,
} TsmAsked;

typedef struct TsmTdiStatus {
	Bdf device;
	Bdf dsm;
	bool bound;
	Uuid tvm;	     /* if bound */
	uint64_t generation; /* if bound */
	TdispState state;
	bool accepted;
	TsmAsked asked; /* its TVM's request that is open, and its number */
	uint64_t request;
} TsmTdiStatus;

typedef struct TsmDsmStatus {
	Bdf dsm;
	bool connected;
	Digest certificate; /* if connected */
} TsmDsmStatus;

/* May be copied out to the host in clear. */
typedef struct TsmEvidence {
	Blob certificates, vca, measurements, report;
} TsmEvidence;

void tsm_evidence_done(TsmEvidence *evidence);

typedef struct TsmOptions {
	const Config *config; /* borrowed */
	void (*tdi_changed)(void *userdata, const TsmTdiStatus *status, const char *reason);
	void (*dsm_changed)(void *userdata, const TsmDsmStatus *status, const char *reason);
	void *userdata;
} TsmOptions;

/*
 * Opens the CA and takes up the TVMs whose keys are there. Nothing is connected or bound: a new
 * instance begins, and what an earlier one had bound is void.
 */
int tsm_new(Tsm **ret, const TsmOptions *options, char **ret_error);
Tsm *tsm_free(Tsm *tsm);
DEFINE_CLEANUP(Tsm, tsm_free);

const uint8_t *tsm_instance(const Tsm *tsm);

/*
 * Every function of every configured device that is there; *ret is malloc'ed. ret_tee_io, if not
 * NULL: whether each of them can be a TDI.
 */
int tsm_functions(Tsm *tsm, HostFunction **ret, bool **ret_tee_io, size_t *ret_n);

/* The configured DSM of this device. TSM_UNKNOWN_DEVICE or TSM_NOT_TEE_IO. */
int tsm_find_dsm(Tsm *tsm, Bdf device, const ConfigDevice **ret, TsmRefusal *refusal);

/* *ret_key_file is allocated. TSM_TVM_BUSY. */
int tsm_prepare_tvm(Tsm *tsm, Uuid tvm, char **ret_key_file, TsmRefusal *refusal);
/* TSM_UNKNOWN_TVM, TSM_TVM_BUSY. */
int tsm_release_tvm(Tsm *tsm, Uuid tvm, TsmRefusal *refusal);

/* TSM_REFUSED; connecting what is connected is success. */
int tsm_connect(Tsm *tsm, Bdf dsm, uint8_t slot, Digest *ret_certificate, TsmRefusal *refusal);
/* TSM_DEVICE_BUSY while a TDI is bound. */
int tsm_disconnect(Tsm *tsm, Bdf dsm, TsmRefusal *refusal);

typedef struct TsmBind {
	Bdf device;
	Uuid tvm;
	uint32_t guest_rid;
	uint64_t generation;
	uint16_t lock_flags; /* TDISP_LOCK_* */
} TsmBind;

int tsm_bind(Tsm *tsm, const TsmBind *bind, TdispState *ret_state, TsmRefusal *refusal);

typedef struct TsmCarry {
	Bdf device;
	Uuid tvm;
	uint64_t generation;
	uint64_t request; /* of this TVM, in this bind */
} TsmCarry;

/*
 * Carry a request of the TVM to LOCK, or to START. TSM_INVALID_STATE when no such one is open;
 * then nothing has changed. It is over when the device has refused.
 */
int tsm_lock(Tsm *tsm, const TsmCarry *carry, TdispState *ret_state, TsmRefusal *refusal);
int tsm_start(Tsm *tsm, const TsmCarry *carry, TdispState *ret_state, TsmRefusal *refusal);

typedef struct TsmUnbound {
	bool freed;
	bool device_confirmed;
	TdispState state;
} TsmUnbound;

/* Never refuses a device that is configured. */
int tsm_unbind(Tsm *tsm, Bdf device, TsmUnbound *ret, TsmRefusal *refusal);

/*
 * After a tsm_unbind() that the device has not confirmed: resets the function, unless that would
 * take another bound TDI with it, and asks the device again. *unbound becomes what is so then.
 * *ret_reason: what became of it, a sentence to be freed; also where the device has confirmed now.
 */
int tsm_reset_unbound(Tsm *tsm, Bdf device, TsmUnbound *unbound, char **ret_reason);

/* Whether it is bound to a TVM. */
bool tsm_is_bound(Tsm *tsm, Bdf device);

int tsm_measure(Tsm *tsm, Bdf device, const uint8_t *nonce, uint64_t *ret_sequence,
		TsmEvidence *ret, TsmRefusal *refusal);
int tsm_evidence(Tsm *tsm, Bdf device, TsmEvidence *ret, TsmRefusal *refusal);

/* *ret is malloc'ed. TDIs: all functions that can be one. */
int tsm_query_tdis(Tsm *tsm, TsmTdiStatus **ret, size_t *ret_n);
int tsm_query_dsms(Tsm *tsm, TsmDsmStatus **ret, size_t *ret_n);

typedef enum TsmScope {
	TSM_SCOPE_INFO, /* changes nothing */
	TSM_SCOPE_STATE_CHANGE,
} TsmScope;

/* A request of a TVM about one of its TDIs, authenticated and in hand. */
typedef struct TsmGuestWork TsmGuestWork;

TsmGuestWork *tsm_guest_work_free(TsmGuestWork *work);
DEFINE_CLEANUP(TsmGuestWork, tsm_guest_work_free);

bool tsm_guest_work_measures(const TsmGuestWork *work);
/* Whose turn it has to wait for. */
Bdf tsm_guest_work_dsm(const TsmGuestWork *work);

typedef struct TsmGuestReply {
	Blob message;
	bool has_evidence;
	TsmEvidence evidence;
} TsmGuestReply;

void tsm_guest_reply_done(TsmGuestReply *reply);

/*
 * Takes a sealed message. 0 and either *ret_work (to be performed later, exactly once, in the order
 * of its DSM) or, if that stays NULL, *ret_reply. TSM_UNKNOWN_TVM, TSM_GUEST_MESSAGE_REJECTED.
 */
int tsm_guest_receive(Tsm *tsm, Uuid tvm, TsmScope scope, const void *message, size_t size,
		      TsmGuestWork **ret_work, TsmGuestReply *ret_reply, TsmRefusal *refusal);

/* TSM_GUEST_MESSAGE_REJECTED if the TVM or the session ended meanwhile. */
int tsm_guest_perform(Tsm *tsm, TsmGuestWork *work, TsmGuestReply *ret, TsmRefusal *refusal);

/* --- faults (io.tdid.TsmEmulated) --- */

/* DEVICE_FAULT_* of this function, in place of those before. */
int tsm_set_device_faults(Tsm *tsm, Bdf device, unsigned int faults, TsmRefusal *refusal);
/* A security violation of this TDI: it goes to ERROR if it was locked or running. */
int tsm_violate(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal);
/* The same of a function level reset of a virtual function. */
int tsm_reset_virtual(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal);
/* The DSM loses its session; every TDI of it that was bound goes to ERROR. */
int tsm_lose_session(Tsm *tsm, Bdf dsm, const char *reason, TsmRefusal *refusal);
