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
#include "view.h"
#include "watch.h"
#include "worker.h"

#define USEC_PER_MSEC UINT64_C(1000)

/* All verbs share one queue: the kernel carries out one at a time for the whole host anyway. */
#define SERVICE_QUEUE 0

typedef struct VerbWork VerbWork;

/* A Query that waits for a look at the kernel. */
typedef struct HeldQuery {
	struct HeldQuery *next;
	VarlinkCall *call;
} HeldQuery;

struct Service {
	sd_event *event;
	const Config *config;
	const KernelIo *io;
	void (*kill)(int pidfd);
	char *sysfs, *proxy;
	char boot_id[64];
	char instance[192];

	Bindings *bindings;
	Companion *companion; /* NULL: none configured */
	Operations *operations;
	Monitor *monitor;
	VarlinkServer *server;
	Watch *watch;

	/* What there is, and what the kernel said of it last. */
	View view;
	char tsm[TEE_IO_TSM_NAME_SIZE]; /* "": none */
	char tsm_driver[64];

	/* service-look.c */
	Worker *look;
	sd_event_source *look_due, *look_again;
	bool looked_once;
	const char *look_reason; /* constant; of the changes that it will find */
	HeldQuery *queries;
	/* Somebody else holds the kernel's lock. */
	bool blocked;

	/* service-verbs.c */
	VerbWork *work; /* the one under way */
	/* A child that is inside the kernel for good, and a sentence about it. */
	Worker *stuck;
	char *stalled;
};

/* Looks at the kernel soon; several of these become one. reason: constant. */
void service_look(Service *service, const char *reason);
/* Takes what a verb's report shows, and tells what has changed. */
void service_saw(Service *service, const KernelReport *report, const char *reason);
/* Tells what has changed. */
void service_publish(Service *service, const char *reason);
/* Which TSMs there are now. */
void service_read_tsm(Service *service);
/* Which TSMs and TEE-IO functions there are now, into `view`. Negative errno. */
int service_read_functions(Service *service);
/* The TSM to connect with, into `ret`; false: there is none. */
bool service_tsm(const Service *service, char ret[static TEE_IO_TSM_NAME_SIZE]);
KernelBinder service_binder(const Service *service);
int service_hold_query(Service *service, VarlinkCall *call);
/* A verb begins: a reader in its way could stop it for good. The verb's end looks anew. */
void service_drop_look(Service *service);
void service_look_done(Service *service);

/* service.c: as io.tdid.Tsm has them; NULL: no memory. */
json_object *service_dsm_json(const Service *service, const ViewDsm *dsm);
json_object *service_tdi_json(const ViewTdi *tdi);
/* Answers one Query from what is known. */
int service_answer_query(Service *service, VarlinkCall *call);
/* The instance text and the capabilities as they are now; ends the watches if they are others. */
void service_check_identity(Service *service);

int service_bind_verbs(Service *service);
int service_bind_guest(Service *service);
void service_verbs_done(Service *service);

/* Runs a verb's worker with what it needs. Negative errno: it was not started. */
int service_start_worker(Service *service, Worker **ret, const KernelRequest *request, int fd,
			 uint32_t deadline_ms,
			 void (*ended)(Worker *worker, WorkerEnd end, void *shared, void *userdata),
			 void *userdata);
