/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the TSM share: its records of DSMs, TDIs and TVMs. */
#pragma once

#include "core/cert-chain.h"
#include "core/guest-message-tsm.h"
#include "core/interface-report.h"
#include "core/statement.h"
#include "core/tdreport.h"
#include "core/vca.h"
#include "device.h"
#include "pki.h"
#include "requester.h"
#include "tsm.h"
#include "tvm-keys.h"

/* Measurements with what vouches for them. */
typedef struct Measured {
	Blob transcript;
	Digest digest;
	uint64_t sequence;
} Measured;

typedef struct Dsm {
	Tsm *tsm;
	const ConfigDevice *config;
	/* The emulated device, from the first Connect on. */
	Device *device;
	DeviceIdentity identity;
	Requester requester;

	bool connected;
	uint8_t slot;
	Vca vca;
	Digest vca_digest;
	Blob certificates;
	Digest certificates_digest;
	CertChain *chain;
	uint64_t identity_sequence;
	Measured measured;
} Dsm;

/* A range of the report that the TVM has validated against its own address. */
typedef struct MmioValidation {
	bool valid;
	uint64_t address;
	uint64_t pages;
} MmioValidation;

/*
 * One TDI from its bind to its unbind. It stays, unbound, while its device has not confirmed STOP:
 * then nobody knows what is left in it.
 */
typedef struct Tdi {
	Bdf bdf;
	uint32_t function_id;
	Dsm *dsm;
	bool bound;
	Uuid tvm;
	uint32_t guest_rid;
	uint64_t generation;

	TdispState state;
	bool accepted;
	/* Of its TVM; open from its question until the host has carried it or it is over. */
	TsmAsked asked;
	uint64_t request;
	StatementEvidence granted; /* TSM_ASKED_START: what the TVM has accepted */
	bool spent; /* it was locked in this bind, or its TVM has let it go: no LOCK any more */
	uint16_t lock_flags;
	uint8_t lock_nonce[TDISP_NONCE_SIZE];

	Blob report_bytes;
	InterfaceReport report; /* borrows from report_bytes */
	Digest report_digest;
	uint64_t report_sequence;
	Measured measured;

	/* What the TVM was told last, and whether it may still quote it. */
	bool told;
	StatementEvidence told_evidence;
	MmioValidation mmio[INTERFACE_REPORT_MAX_RANGES];
} Tdi;

/* One TVM from PrepareTvm to the next, or to ReleaseTvm. */
typedef struct Tvm {
	Uuid uuid;
	GuestMessageTsm *messages;
	/* Which request is in hand: what was begun for an earlier one must not be answered. */
	uint64_t request;
	/* To be repeated with the sealed answer to a repeated request. */
	bool has_evidence;
	TsmEvidence evidence;
} Tvm;

struct Tsm {
	const Config *config;
	TsmOptions options;
	uint8_t instance[TSM_INSTANCE_SIZE];
	Pki *pki;
	TvmKeys *keys;
	bool has_platform_key;
	uint8_t platform_key[TDREPORT_KEY_SIZE];

	Dsm *dsms; /* one for each configured device, in their order */
	Tdi **tdis;
	size_t n_tdis;
	Tvm **tvms;
	size_t n_tvms;
	/* Sequence of evidence, and of requests. Never goes back within an instance. */
	uint64_t sequence;
	/* The last request's number. Begins anywhere: none of another instance is met again. */
	uint64_t request;
};

/* *ret_function, if not NULL: the function as sysfs has it. Positive TsmOutcome or 0. */
int tsm_dsm_of(Tsm *tsm, Bdf device, Dsm **ret, HostFunction *ret_function, TsmRefusal *refusal);

Tdi *tsm_find_tdi(Tsm *tsm, Bdf device);
Tvm *tsm_find_tvm(Tsm *tsm, Uuid uuid);
/* By the requester id under which the TVM sees it; bound ones only. */
Tdi *tsm_find_tvm_tdi(Tsm *tsm, Uuid tvm, uint32_t guest_rid);

void tsm_tdi_changed(Tdi *tdi, const char *reason);
void tsm_dsm_changed(Dsm *dsm, const char *reason);

/* STOP was answered or acceptance has ended for another reason: nothing of it remains. */
void tdi_forget_acceptance(Tdi *tdi);
/*
 * STOP, and the state after it: whether the device has confirmed its end. If not, *ret_error may
 * hold a sentence why.
 */
bool tdi_stop(Tdi *tdi, char **ret_error);
/* What is over, and confirmed. Frees the TDI. */
void tdi_end(Tdi *tdi, const char *reason);

/* Its TVM's request is open, with a number of its own; whoever watches is told. */
void tdi_ask(Tdi *tdi, TsmAsked asked, const char *reason);
/* It is open no more; told likewise, if there was one. */
void tdi_ask_no_more(Tdi *tdi, const char *reason);
/* The TDI of which exactly this request is open, its device asked. 0, or a TsmOutcome. */
int tsm_find_asked(Tsm *tsm, const TsmCarry *carry, TsmAsked asked, Tdi **ret, TsmRefusal *refusal);
/* Asks the device, and tells whoever watches if the state is another one. Negative errno. */
int tdi_refresh(Tdi *tdi, const char *reason, char **ret_error);
/* Measures the TDI, or the DSM alone if `tdi` is NULL. Negative errno. */
int tsm_collect(Dsm *dsm, Tdi *tdi, const uint8_t *nonce, char **ret_error);
int tsm_copy_evidence(const Dsm *dsm, const Tdi *tdi, TsmEvidence *ret);

void tsm_remove_tdi(Tsm *tsm, Tdi *tdi);
void dsm_disconnect(Dsm *dsm);
void dsm_done(Dsm *dsm);

int tsm_load_tvms(Tsm *tsm, char **ret_error);
void tsm_free_tvms(Tsm *tsm);
