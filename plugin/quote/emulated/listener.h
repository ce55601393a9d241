/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where clients connect: a unix socket, and vsock and TCP if the configuration says so. */
#pragma once

#include "config.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct Listener Listener;

typedef struct ListenerOptions {
	/* Somebody wants to connect. false: accept(2) is to fail as if there were no fd left */
	bool (*accept)(void *userdata);
	void (*connected)(int fd, void *userdata); /* non-blocking, and now the callee's */
	void *userdata;
} ListenerOptions;

/* At all of the configuration's sockets. `options` is borrowed for the call. */
int listener_new(Listener **ret, sd_event *event, const Config *config,
		 const ListenerOptions *options, char **ret_error);
/* Removes the unix socket. */
Listener *listener_free(Listener *listener);
DEFINE_CLEANUP(Listener, listener_free);

bool listener_accepts(const Listener *listener);
/* After it has stopped. */
void listener_resume(Listener *listener);
