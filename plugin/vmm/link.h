/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps one connection to libvirtd up: connects, hears that it broke, waits, connects again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"
#include "vmm/closer.h"
#include "vmm/connection.h"

/* There is no event for "libvirtd is back": its socket may stand there all the time (systemd), or
 * appear before anybody listens. So attempts are timed, from FIRST doubling up to MAX. */
#define LINK_BACKOFF_FIRST_USEC (500 * UINT64_C(1000))
#define LINK_BACKOFF_MAX_USEC	(30 * UINT64_C(1000000))

/* An attempt that takes longer is reported, and waited for. */
#define LINK_SLOW_USEC (10 * UINT64_C(1000000))

typedef struct Link Link;

/* The connection of the moment, for worker threads. */
typedef struct Current Current;
Current *current_ref(Current *current);
Current *current_unref(Current *current);
DEFINE_CLEANUP(Current, current_unref);
/* A reference, or NULL while there is none. */
Connection *current_get(Current *current);

typedef struct LinkHandlers {
	void (*up)(const VmmDomainName *domains, size_t n_domains, void *userdata);
	/* `lost`: there was a connection and libvirtd has ended it. */
	void (*down)(const char *reason, bool lost, void *userdata);
	void (*dirty)(const VmmDirty *dirty, void *userdata); /* only while up */
} LinkHandlers;

/* The first attempt begins at once; `closer` must outlive the Link. */
int link_new(Link **ret, sd_event *event, const char *uri, Closer *closer,
	     const LinkHandlers *handlers, void *userdata);

/* Waits for an attempt under way, `wait_usec` at most; the connection is left to the closer. */
Link *link_free_wait(Link *link, uint64_t wait_usec);

bool link_is_up(const Link *link);
Current *link_current(Link *link); /* borrowed */

/* Drops the connection, which hangs, and opens another. */
void link_replace(Link *link, const char *reason);
