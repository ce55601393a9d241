/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What service.c (clients) and service-control.c (io.tdid.QeEmulated) share. */
#pragma once

#include "behaviour.h"
#include "client.h"
#include "listener.h"
#include "pck-chain.h"
#include "rpc/varlink-server.h"
#include "service.h"

struct Service {
	const Config *config;
	sd_event *event;
	PckChain *chain;
	Enclave *enclave;
	Behaviour behaviour;
	Listener *listener;
	Client **clients;
	size_t n_clients;
	VarlinkServer *control; /* NULL: nobody makes it misbehave */
};

int service_control_open(Service *service, char **ret_error);
