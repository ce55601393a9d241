/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The emulated quoting service: clients, and who makes it misbehave. */
#pragma once

#include "config.h"
#include "core/cleanup.h"

#include <systemd/sd-event.h>

typedef struct Service Service;

/* Makes what is not there yet (key, certificates) and listens. `config` is borrowed. */
int service_new(Service **ret, sd_event *event, const Config *config, char **ret_error);
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free);
