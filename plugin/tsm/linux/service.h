/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serves io.tdid.Tsm (schemas/io.tdid.Tsm.varlink) from the kernel's PCI/TSM. */
#pragma once

#include "config.h"
#include "core/cleanup.h"
#include "kernel.h"

#include <systemd/sd-event.h>

typedef struct Service Service;

typedef struct ServiceOptions {
	const Config *config; /* borrowed */
	int uevents;	      /* taken, from uevent_open(); -1: none */
	/* What tests put in place of the kernel; NULL: the real one. */
	const KernelIo *io;
	void (*kill)(int pidfd);
} ServiceOptions;

/* Begins to look at the kernel at once. */
int service_new(Service **ret, sd_event *event, const ServiceOptions *options, char **ret_error);
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free);

/*
 * No verb is begun any more, and the event loop ends when the one under way is over: to end it half
 * done would leave a device of which nobody knows the state. A second time it ends at once.
 */
void service_stop(Service *service);

/* At the socket that systemd passed, else at the configured path. */
int service_listen(Service *service, char **ret_error);
