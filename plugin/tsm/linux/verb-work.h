/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One verb of io.tdid.Tsm between its call and its outcome: what it asks for, what is refused
 * before the kernel hears of it, and what the kernel's report means.
 */
#pragma once

#include "qemu-vm.h"
#include "service-private.h"

#include <errno.h>

struct VerbWork {
	Service *service;
	KernelVerb verb;
	Bdf device;
	/* BIND, GUEST_REQUEST */
	Uuid tvm;
	uint32_t guest_rid;
	uint64_t generation;
	bool state_change;
	bool force; /* UNBIND */
	uint8_t *message;
	size_t message_size;

	VerbWork *next; /* of the service's works */

	/* Of the one that has its turn. */
	KernelRequest request; /* LOOK: see `checked` */
	Bdf *functions, *excluded;
	QemuVm vm;
	Worker *worker;
	const KernelReport *report; /* the worker's, once it has ended */
	bool recorded;		    /* its bind is in the record, and was not before */
	bool checked;		    /* BIND: what was recorded before was held against the kernel */
	bool was_bound;		    /* UNBIND: as far as was known before */
	/* UNBIND, service-reset.c */
	ServiceReset *reset; /* under way */
	bool reset_tried, reset_done;
	char *reset_reason; /* why it was not done */
	OperationOutcome outcome;
};

VerbWork *verb_work_free(VerbWork *work);
DEFINE_CLEANUP(VerbWork, verb_work_free);

/* The result of looking at what is asked, before the kernel is. */
enum {
	VERB_WORK_READY = 0,
	/* Else a TsmOutcome with a refusal, or: */
	VERB_WORK_DONE = -EALREADY, /* it is so already: success without the kernel */
};

/*
 * Fills work->request and the rest. Besides the above: a negative errno. If the request is a LOOK,
 * the device has a record that only the kernel can tell from a stale one: to be prepared once more
 * after it, with `checked` set.
 */
int verb_work_prepare(VerbWork *work, TsmRefusal *refusal);

/* Of the worker for work->request, in milliseconds. */
uint32_t verb_work_deadline(const VerbWork *work);

/*
 * verb-judge.c: what the end of the worker means: 0 (success), a TsmOutcome with a refusal, or a
 * negative errno. late_ms: its deadline.
 */
int verb_work_judge(const VerbWork *work, WorkerEnd end, const KernelReport *report,
		    uint32_t late_ms, TsmRefusal *refusal);

/* The same for a LOOK of a BIND; 0: to be prepared once more. */
int verb_work_judge_check(const VerbWork *work, WorkerEnd end, const KernelReport *report,
			  TsmRefusal *refusal);

/* service-verbs.c: queues it, with the call as its watcher; `work` is taken. */
int service_submit_verb(Service *service, VarlinkCall *call, const char *id,
			json_object *parameters, VerbWork *work);

/*
 * service-reset.c: records that the device has not confirmed the end of its bind, and begins to
 * reset it: verb_work_reset_ended() follows. False: it must not be reset, or cannot.
 */
bool service_reset_begin(VerbWork *work);
ServiceReset *service_reset_free(ServiceReset *reset);
/*
 * Why the device is not clean, or that it is so by a reset only; NULL: it is by itself. To be
 * freed. asked: the companion has spoken since.
 */
char *service_reset_reason(const VerbWork *work, bool asked, bool confirmed);

/* service-verbs.c */
void verb_work_reset_ended(VerbWork *work);

/* service-guest.c: the outcome of a GUEST_REQUEST that the TSM has answered. */
void service_guest_outcome(VerbWork *work, const KernelReport *report);
