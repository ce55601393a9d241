/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to libvirtd with its event callbacks, and the list of domains made after them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/cleanup.h"
#include "vmm/mailbox.h"
#include "vmm/vmm.h"

#include <libvirt/libvirt.h>

/*
 * A connection whose other end does not answer is given up after (count + 1) intervals: its calls
 * then fail. Answers come from libvirtd's own loop, so a busy libvirtd does answer.
 */
#define CONNECTION_KEEPALIVE_INTERVAL 5 /* seconds */
#define CONNECTION_KEEPALIVE_COUNT    3

/* What the event callbacks post: to `dirty` and to `control`. */
typedef struct DirtyPost {
	Post post;
	char uuid[VMM_UUID_MAX];
	VmmDirtyReason reason;
	uint64_t boottime_usec;
	char *alias;
} DirtyPost;

typedef struct ClosedPost {
	Post post;
	uint64_t generation;
	const char *reason; /* static */
} ClosedPost;

typedef struct Connection Connection;

/*
 * Blocks. Opens `uri`, registers everything, then lists the active domains into *ret_domains
 * (domain_names_free). `dirty` and `control` get posts from now on, also if this fails.
 * Returns 0, -ENOTCONN, -EREMOTEIO or -ENOMEM, with a sentence.
 */
int connection_open(Connection **ret, const char *uri, Mailbox *dirty, Mailbox *control,
		    uint64_t generation, VmmDomainName **ret_domains, size_t *ret_n_domains,
		    char **ret_error);

/* Opens `uri` with keepalive and nothing else. */
int connection_dial(virConnectPtr *ret, const char *uri, char **ret_error);

/* Blocks: deregisters the callbacks and drops the reference. What others still refer to stays. */
void connection_close(Connection *connection);

Connection *connection_ref(Connection *connection);
Connection *connection_unref(Connection *connection); /* the last one blocks */
DEFINE_CLEANUP(Connection, connection_unref);

virConnectPtr connection_get(Connection *connection);

void domain_names_free(VmmDomainName *domains, size_t n);

/*
 * -ENOTCONN when the last libvirt error of this thread means that the connection is no more, else
 * -EREMOTEIO; the sentence is "object: step: libvirt's words".
 */
int connection_error(virConnectPtr conn, char **ret_error, const char *object, const char *step);
