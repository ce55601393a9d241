/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serves io.tdid.Tsm (schemas/io.tdid.Tsm.varlink) for the emulated TSM. */
#pragma once

#include "config.h"
#include "core/cleanup.h"

#include <systemd/sd-event.h>

typedef struct Service Service;

/* `config` is borrowed. */
int service_new(Service **ret, sd_event *event, const Config *config, char **ret_error);
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free);

/*
 * At the socket that systemd passed, else at the configured path; and, if the configuration names
 * it, behind the kernel.
 */
int service_listen(Service *service, char **ret_error);
