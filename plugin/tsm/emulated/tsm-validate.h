/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a TVM may ask of its TSM, after its message has been authenticated. */
#pragma once

#include "core/guest-payload.h"
#include "tsm-private.h"

/* The statement about the TDI, and the evidence that it vouches for. */
GuestStatus tsm_answer_info(Tsm *tsm, Uuid tvm, const GuestTdiInfo *request,
			    uint8_t ret_statement[static STATEMENT_SIZE],
			    TsmEvidence *ret_evidence);

/* The TVM asks for LOCK, where that is its to ask; asking again changes nothing. */
GuestStatus tsm_answer_lock(Tsm *tsm, Uuid tvm, const GuestTdiLock *request, GuestTdiStatus *ret);

/* What the TVM has accepted, with START still open, is as it was then. */
bool tdi_stands(const Tdi *tdi);
/* START for an acceptance of the TVM, which is for the caller to know: RUN, accepted. */
int tdi_run(Tdi *tdi, char **ret_error);

GuestStatus tsm_answer_validate(Tsm *tsm, Uuid tvm, const GuestTdiValidate *request,
				GuestTdiStatus *ret);

/*
 * This TSM compares counts and sizes with the report, and ranges with one another. A real one looks
 * up which host page is mapped at the address; here nobody can.
 */
GuestStatus tsm_answer_mmio(Tsm *tsm, Uuid tvm, const GuestMmioValidate *request);

GuestStatus tsm_answer_state(Tsm *tsm, Uuid tvm, const GuestTdiState *request, GuestTdiStatus *ret);

/* A new session of the TVM: what it was told in the former one can no longer be quoted. */
void tsm_void_told(Tsm *tsm, Uuid tvm);
