/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the service share. */
#pragma once

#include "bindings.h"
#include "companion.h"
#include "kernel.h"
#include "rpc/varlink-server.h"
#include "service.h"
#include "tsm/common/answer.h"
#include "tsm/common/monitor.h"
#include "tsm/common/operations.h"
#include "tsm/common/tee-io.h"
#include "verb-lock.h"
#include "view.h"
#include "watch.h"
#include "worker.h"

#define USEC_PER_MSEC UINT64_C(1000)

/* All verbs share one queue: the kernel carries out one at a time for the whole host anyway. */
#define SERVICE_QUEUE 0

typedef struct VerbWork VerbWork;
typedef struct ServiceReset ServiceReset;

/* What a held call is answered with. */
typedef int (*ServiceAnswer)(Service *service, VarlinkCall *call);

/* A call that waits for a look at the kernel. */
typedef struct HeldCall {
	struct HeldCall *next;
	VarlinkCall *call;
	ServiceAnswer answer;
	bool later; /* the look under way began before it came: it waits for the next one */
} HeldCall;

/* service-look.c */
typedef struct ServiceLook {
	Worker *worker; /* the one under way */
	bool owed;	/* something happened since it began */
	/* Constant; of the changes that the one under way and the next one find. */
	const char *reason, *owed_reason;
	sd_event_source *due, *again;
	HeldCall *held;
	/* All there is has been looked at, if only to find that it cannot be read. */
	bool once;
	/* Somebody else holds the kernel's lock. */
	bool blocked;
	/* Functions that could not be read at the last one for other reasons. */
	size_t n_failed;
} ServiceLook;

struct Service {
	sd_event *event;
	const Config *config;
	const KernelIo *io;
	void (*kill)(int pidfd);
	char *sysfs, *proxy;
	char boot_id[64];

	Bindings *bindings;
	Companion *companion; /* NULL: none configured */
	Operations *operations;
	Monitor *monitor;
	VarlinkServer *server;
	Watch *watch;

	/* What there is, and what the kernel said of it last. */
	View view;
	ServiceLook look;

	/* service-identity.c */
	char instance[192];
	char *capabilities; /* as they were last, as text */
	TeeIoTsm tsm;	    /* the one that connects; name "": it is not there */
	char *no_tsm;	    /* then a sentence about it */

	/* service-verbs.c */
	VerbWork *work;	 /* the one under way */
	VerbWork *works; /* all there are */
	bool stopping;	 /* no verb is begun any more */

	/* service-stall.c: a child that is inside the kernel for good, and a sentence about it. */
	Worker *stuck;
	char *stalled;
	VerbLock *lock;

	/* service-reset.c: children that are inside the kernel for good. */
	ServiceReset *hung_resets;
};

/* --- service-look.c --- */

/* Looks at the kernel soon; several of these become one. reason: constant. */
void service_look(Service *service, const char *reason);
/* Takes what a report shows, and tells what has changed. */
void service_saw(Service *service, const KernelReport *report, const char *reason);
/* Which TSMs and TEE-IO functions there are now, into `view`. Negative errno. */
int service_read_functions(Service *service);
/* Answers the call after a look; at once if nothing can be looked at now. */
int service_hold(Service *service, VarlinkCall *call, ServiceAnswer answer);
/* A verb begins: a reader in its way could stop it for good. The verb's end looks anew. */
void service_drop_look(Service *service);
void service_look_done(Service *service);

/* Runs a worker with what it needs. fd: as WORKER_FD, or -1. Negative errno: nothing was begun. */
int service_start_worker(Service *service, Worker **ret, const KernelRequest *request, int fd,
			 uint32_t deadline_ms,
			 void (*ended)(Worker *worker, WorkerEnd end, void *shared, void *userdata),
			 void *userdata);

/* --- service-identity.c --- */

/* Which TSM there is now. */
void service_read_tsm(Service *service);
/* The instance and the capabilities as they are now; ends the watches if they are others. */
void service_check_identity(Service *service);
KernelBinder service_binder(const Service *service);
int service_bind_identity(Service *service);
void service_identity_done(Service *service);

/* --- service-stall.c --- */

/* NULL, or why no verb is begun and nothing is looked at: a sentence. */
const char *service_stuck(const Service *service);
/* NULL, or what Query says in `stalled`: the above, or that there is no TSM. */
const char *service_stalled(const Service *service);
/* The worker (taken) of a verb is inside the kernel for good. */
void service_stall(Service *service, Worker *worker, KernelVerb verb, Bdf device);
/* It has come out. */
void service_unstall(Service *service);
/* Takes the lock of the state folder, or begins to wait for it. */
int service_open_lock(Service *service, char **ret_error);
void service_stall_done(Service *service);

/* --- service-reset.c --- */

/* A reset of a function of this DSM that hangs in the kernel, and may still come. */
bool service_reset_hangs(const Service *service, Bdf dsm, Bdf *ret_device);
void service_resets_done(Service *service);

/* --- service-query.c --- */

/* Tells what has changed. */
void service_publish(Service *service, const char *reason);
/* Refuses a call that cannot be answered before the first look. */
int service_refuse_unseen(Service *service, VarlinkCall *call);
int service_bind_query(Service *service);

/* --- the rest --- */

int service_bind_verbs(Service *service); /* service-calls.c */
int service_bind_guest(Service *service); /* service-guest.c */
int service_bind_tvms(Service *service);  /* service-tvm.c */
