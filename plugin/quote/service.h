/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Quote. */
#pragma once

#include "quote/records.h"
#include "quote/relay.h"

typedef struct Service Service;

int service_new(Service **ret, Relay *relay, Records *records, char **ret_error);
Service *service_free(Service *service);
DEFINE_CLEANUP(Service, service_free);
