/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is the case, put together from what each one knows: the kernel which functions there are and
 * what is connected and bound; this provider's record for whom; the companion, where there is one,
 * everything about TDIs. Pure.
 */
#pragma once

#include "bindings.h"
#include "companion.h"
#include "kernel.h"
#include "tsm/common/tee-io.h"

typedef struct ViewTdi {
	Bdf device, dsm;
	bool owned; /* tvm and generation are known */
	Uuid tvm;
	uint64_t generation;
	TdispState state;
	bool accepted;
} ViewTdi;

typedef struct ViewDsm {
	Bdf dsm;
	bool connected;
} ViewDsm;

typedef struct View {
	TeeIoFunction *functions; /* malloc'ed; `dsm` as the kernel says, if it says */
	KernelFunction *kernel;	  /* malloc'ed, in the same order */
	size_t n;
	/* The TSM that connects: what another one has connected is not. "": there is none. */
	char tsm[TEE_IO_TSM_NAME_SIZE];
	/* What was told last. */
	ViewTdi *told_tdis;
	size_t n_told_tdis;
	ViewDsm *told_dsms;
	size_t n_told_dsms;
} View;

void view_done(View *view);

/*
 * Other functions (taken; malloc'ed); what the kernel said of those that were there stays. Returns
 * whether a listing of them would differ: 1, 0, or -ENOMEM.
 */
int view_set_functions(View *view, TeeIoFunction *functions, size_t n);
/* What the kernel says now of some of them; what could not be read stays what it was. */
void view_set_kernel(View *view, const KernelFunction *list, size_t n);

/* What was known of it does not hold any more: until it is read its record speaks. */
void view_forget(View *view, Bdf bdf);

const TeeIoFunction *view_function(const View *view, Bdf bdf);
const KernelFunction *view_kernel(const View *view, Bdf bdf);

/* The index is that of a function. */
ViewTdi view_tdi(const View *view, size_t index, const Bindings *bindings,
		 const Companion *companion);

/* False: the function at the index is no DSM. */
bool view_dsm(const View *view, size_t index, ViewDsm *ret);

/*
 * Compares with what was told before, and takes that this is told now. -ENOMEM. The callbacks run
 * for each that differs.
 */
int view_tell(View *view, const Bindings *bindings, const Companion *companion,
	      void (*tdi)(void *userdata, const ViewTdi *tdi),
	      void (*dsm)(void *userdata, const ViewDsm *dsm), void *userdata);
