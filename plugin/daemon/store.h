/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records: one small JSON file each, in a directory that survives a restart of tdid.
 *
 * A record is there whole or not at all: O_NOFOLLOW temporary file, fsync, rename, fsync of the
 * directory. Every record says {"version": 4, "boot": BOOT_ID, ...}: one of another boot is void,
 * because nothing is bound after a reboot, and is removed when the store is read. An older version
 * is read, with what it cannot say taken as false; a newer one is refused.
 *
 * 2: a DSM may be pinned, and be reclaimed from quarantine. A tdid that knows 1 must not read that.
 * 3: an assignment has a policy, and the tokens of its clients; a DSM may be drained.
 * 4: an attach says when libvirt was asked, and whose device it is; a TDI, which assignment owns
 * it.
 */
#pragma once

#include "rpc/json-text.h"

#define STORE_VERSION 4

typedef struct Store Store;

/*
 * Makes the directory (0700) if needed, and removes what a crash has left half-written. boot_id
 * identifies this boot. -errno with a sentence.
 */
int store_open(Store **ret, const char *directory, const char *boot_id, char **ret_error);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free);

/*
 * What was asked for has been done, and whoever reads next sees it so; but the directory could not
 * be synced, which has been logged: a disk that fails may yet bring back what was before. So it
 * counts for what was asked (it must not be answered that nothing has changed), and not as a ground
 * for a forward verb.
 */
#define STORE_NOT_SYNCED 1

/*
 * Writes `record` (an object that is still open, else -EINVAL; version and boot are added to it)
 * under `name`: [a-zA-Z0-9_.:-] only. 0, STORE_NOT_SYNCED, or a negative errno: then the record is
 * what it was before.
 */
int store_write(Store *store, const char *name, JsonText *record);

/* Returns as above. A record that is not there is success. */
int store_remove(Store *store, const char *name);

typedef int (*StoreRecordFn)(const char *name, json_object *record, void *userdata);

/*
 * Calls `fn` for every record of this boot: those first whose names begin with `order`'s first
 * prefix, then its second, and so on to its NULL, then (`rest`) all others; each time in the order
 * of their names. One that
 * is malformed, or for which `fn` returns -EBADMSG, is set aside as NAME.unreadable, with a message
 * in the log, and the walk goes on. One that the system fails to read (no fd, no memory, an I/O
 * error) may be all right: that ends the walk, as a newer version does with -EPROTO, both with a
 * sentence; any other negative return of `fn` ends it with that.
 */
int store_each(Store *store, const char *const order[], bool rest, StoreRecordFn fn, void *userdata,
	       char **ret_error);
