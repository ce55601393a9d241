/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One verb on the kernel's PCI/TSM: look, refuse what the kernel would not refuse, act, look again.
 *
 * Runs in a worker: the kernel's PCI/TSM lock is host-wide, and reading tsm/connect or tsm/bound
 * waits for it as writing does. The report lies in memory that the parent reads whatever happens to
 * the worker, so it is filled in the order in which things become true.
 */
#pragma once

#include "core/bdf.h"
#include "core/uuid.h"
#include "kmod/tsm-proxy.h"
#include "tsm/common/tee-io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_FUNCTIONS_MAX 8192
#define KERNEL_METHODS_MAX   64 /* all names there are take 40 */
/* Between two looks at tsm/bound, which does not notify, while somebody else is to change it. */
#define KERNEL_OBSERVE_MSEC 50

typedef enum KernelVerb {
	KERNEL_LOOK,
	KERNEL_CONNECT,
	KERNEL_DISCONNECT,
	KERNEL_BIND,
	KERNEL_UNBIND,
	KERNEL_RESET, /* of what is not bound; see kernel-reset.h */
	KERNEL_GUEST_REQUEST,
} KernelVerb;

/* Who carries bind and unbind to the kernel, for which it has no interface of its own. */
typedef enum KernelBinder {
	KERNEL_BINDER_PROXY,   /* the tsm-proxy module, on this provider's request */
	KERNEL_BINDER_OBSERVE, /* the VMM, by itself; this provider waits for tsm/bound */
} KernelBinder;

typedef struct KernelFunction {
	Bdf bdf;
	int error; /* negative errno: it could not be read, and the rest says nothing; -EINTR: the
		    * lock was not free */
	char connect[TEE_IO_TSM_NAME_SIZE]; /* of a DSM's own function; "": not connected */
	char bound[TEE_IO_TSM_NAME_SIZE];   /* "": not bound */
	bool has_dsm;
	Bdf dsm; /* as the kernel says while it is connected */
} KernelFunction;

/* Why nothing was done. */
typedef enum KernelGuard {
	KERNEL_GUARD_NONE,
	KERNEL_GUARD_ALREADY,	   /* it is so already: success */
	KERNEL_GUARD_OTHER_TSM,	   /* it is connected with another TSM, see its `connect` */
	KERNEL_GUARD_BOUND,	   /* DISCONNECT, BIND, RESET: guard_device is bound */
	KERNEL_GUARD_DISCONNECTED, /* BIND, GUEST_REQUEST: its DSM is not connected */
	KERNEL_GUARD_GONE,	   /* the function is not there (any more) */
	KERNEL_GUARD_UNREADABLE,   /* an attribute of guard_device cannot be read: `error` */
	KERNEL_GUARD_DRIVER,	   /* RESET: `driver` uses guard_device */
	KERNEL_GUARD_NO_RESET,	   /* RESET: the kernel offers none */
	KERNEL_GUARD_NO_FLR,	   /* RESET: the first of `methods` is another one */
} KernelGuard;

typedef enum KernelStep {
	KERNEL_STEP_LOOKING,
	KERNEL_STEP_ACTING, /* from here on something may have been done */
	KERNEL_STEP_ACTED,  /* `error` holds */
	KERNEL_STEP_LOOKED, /* functions[] is as after the act, target and DSM at least */
} KernelStep;

typedef struct KernelReport {
	KernelStep step;
	KernelGuard guard;
	Bdf guard_device;
	int error;	 /* of the act: 0 or a negative errno */
	int unconfirmed; /* UNBIND: why the TSM did not confirm, a negative errno; else 0.
			  * -ENXIO: nobody has heard */
	char driver[64]; /* with KERNEL_GUARD_DRIVER */
	/* RESET: what reset_method said, and whether it says less now. */
	char methods[KERNEL_METHODS_MAX];
	bool narrowed;
	size_t n;
	KernelFunction functions[KERNEL_FUNCTIONS_MAX]; /* as in the request */
	size_t reply_size;
	uint8_t reply[TSM_PROXY_PAYLOAD_MAX]; /* of GUEST_REQUEST, also with an error */
} KernelReport;

/* How the worker reaches the kernel; tests put a made-up kernel here. 0 or a negative errno. */
typedef struct KernelIo {
	/* One write(2) of `text` to an attribute. */
	int (*write)(const char *path, const char *text);
	/* One ioctl(2) on the module's device at `path`. */
	int (*ioctl)(const char *path, unsigned long request, void *argument);
	/* Lets time pass between two looks at tsm/bound: somebody else's turn. */
	void (*pause)(uint32_t ms);
} KernelIo;

extern const KernelIo kernel_io_system;

typedef struct KernelRequest {
	KernelVerb verb;
	const char *sysfs; /* "/sys" */
	const char *proxy; /* path of tsm-proxy-vmm */
	const KernelIo *io;
	KernelBinder binder;
	Bdf target; /* CONNECT, DISCONNECT: the DSM */
	Bdf dsm;
	char tsm[TEE_IO_TSM_NAME_SIZE]; /* what `dsm` is, or is to be, connected with */
	/* What is looked at: all functions of the DSM at least. dsms: LOOK: of each of them. */
	const Bdf *functions, *dsms;
	size_t n_functions;
	/*
	 * Those of them that must not be bound. BIND: when the target is (a PF and its VFs); RESET:
	 * what it takes with it.
	 */
	const Bdf *excluded;
	size_t n_excluded;
	/* BIND; the KVM VM's descriptor is WORKER_FD. */
	uint32_t guest_rid;
	uint32_t generation;
	Uuid tvm;
	/*
	 * How long one look may wait for the kernel's lock, in milliseconds; 0: for ever. A reader
	 * that waits for the lock stops a disconnect under way for good, which waits for the
	 * reader (seen on 7.3.4): it has to let go by itself. A LOOK then goes on with what other
	 * DSMs serve, for as long again at most.
	 */
	uint32_t look_ms;
	/* BIND, UNBIND by the VMM: for how long it is waited for. */
	uint32_t observe_ms;
	/* BIND by the VMM: if it is bound already, that VMM did it. */
	bool adopts;
	/* UNBIND of what the kernel has no bind of, and the TSM holds all the same: it lets go with
	 * its session, which is ended if nothing else of the DSM is bound. */
	bool ends_session;
	/* RESET: nothing but puts these back into reset_method; see `narrowed`. */
	const char *methods;
	/* GUEST_REQUEST */
	bool state_change;
	const uint8_t *message;
	size_t message_size;
} KernelRequest;

/* A worker's job: `input` is a KernelRequest, `shared` a zeroed KernelReport. */
void kernel_job(const void *input, void *shared);

/* NULL: not in the report. */
const KernelFunction *kernel_find(const KernelReport *report, Bdf bdf);

/* "look", "connect", ... as io.tdid.Tsm's verbs are called in messages. */
const char *kernel_verb_name(KernelVerb verb);
