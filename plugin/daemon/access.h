/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid.conf's `access`: who of those that the socket lets in may call what of io.tdid.Assignments.
 *
 *   "access": { "read": { "users": ["monitor"], "groups": [101] }, "act": { "groups": ["cloud"] } }
 *
 * read: what only tells. act: everything else, and reading. root may do all. Without `act` those
 * may act who may read; without `read` everybody may read whom the socket's mode lets in. `{}` is
 * root's alone. Names are resolved when the file is read.
 */
#pragma once

#include "rpc/json.h"

#include <sys/socket.h>
#include <sys/types.h>

typedef enum AccessClass {
	ACCESS_READ,
	ACCESS_ACT,
	ACCESS_N,
} AccessClass;

const char *access_class_name(AccessClass class);

/* "io.tdid.Assignments.List". What is not known to tell only, acts. */
AccessClass access_class_of(const char *method);

typedef struct Access Access;

/* `object` may be NULL: open. 0; -EINVAL with a sentence that names key and entry; -ENOMEM. */
int access_parse(Access **ret, json_object *object, char **ret_error);
Access *access_free(Access *access);
DEFINE_CLEANUP(Access, access_free);

/* Whose entries decide about this class. */
AccessClass access_deciding(const Access *access, AccessClass class);

/* `groups`: the peer's supplementary ones, beside peer->gid. */
bool access_allows(const Access *access, AccessClass class, const struct ucred *peer,
		   const gid_t *groups, size_t n_groups);
