/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client, who asks once. */
#pragma once

#include "behaviour.h"
#include "core/cleanup.h"
#include "enclave.h"

#include <systemd/sd-event.h>

/* QGS's: for the request, and once more for what it takes to answer. */
#define CLIENT_TIMEOUT_USEC (30 * UINT64_C(1000000))

typedef struct Client Client;

typedef struct ClientOptions {
	const Enclave *enclave;
	Behaviour *behaviour;
	/* Once, from the event loop: it may be freed. */
	void (*ended)(Client *client, void *userdata);
	void *userdata;
} ClientOptions;

/* Takes the fd, also on failure; `options` is borrowed. */
int client_new(Client **ret, sd_event *event, int fd, const ClientOptions *options);
Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free);
