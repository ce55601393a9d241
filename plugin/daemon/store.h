/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records: small JSON objects by name, in the journal (journal.h) of a directory that survives a
 * restart of tdid.
 *
 * A record is there whole or not at all, and once it is there a crash does not take it back. The
 * header says {"version": 7, "boot": BOOT_ID}: a journal of another boot is void, because nothing
 * is bound after a reboot, and gives way to the first record of this one. A newer version is
 * refused.
 *
 * Until 6 no record told when a timer goes off: it begins anew then, once. Until 5 a TDI's record
 * told every bind; now its owner's record tells those since it was written. Until 4 each record was
 * a file of its own, NAME.json, which cost 16 to 27 us in memory instead of 3. Those are not read:
 * a start that finds any is refused.
 */
#pragma once

#include "rpc/json-text.h"

#define STORE_VERSION	     7
#define STORE_OLDEST_VERSION 5 /* that can be read; the first write makes it a new one */

typedef struct Store Store;

/*
 * Makes the directory (0700) if needed. boot_id identifies this boot. What is no journal is set
 * aside as journal.unreadable, with a message in the log. -EPROTO: it is a newer version's; -errno;
 * with a sentence.
 */
int store_open(Store **ret, const char *directory, const char *boot_id, char **ret_error);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free);

/*
 * What was asked for has been done, and whoever reads next sees it so; but it could not be synced,
 * which has been logged: a disk that fails may yet bring back what was before. So it counts for
 * what was asked (it must not be answered that nothing has changed), and not as a ground for a
 * forward verb.
 */
#define STORE_NOT_SYNCED 1

/*
 * Writes `record` (an object that is still open, else -EINVAL) under `name`: [a-zA-Z0-9_.:-] only.
 * 0, STORE_NOT_SYNCED, or a negative errno: then the record is what it was before.
 */
int store_write(Store *store, const char *name, JsonText *record);

/* Returns as above, also where there is no such record; and 0 if none has been written at all. */
int store_remove(Store *store, const char *name);

/*
 * What is written and removed from here on waits for store_commit, which does it together and
 * returns for all of it as store_write. A crash may leave what came first without the rest.
 * store_discard: it is not done.
 */
void store_gather(Store *store);
int store_commit(Store *store);
void store_discard(Store *store);

typedef int (*StoreRecordFn)(const char *name, json_object *record, void *userdata);

/*
 * Calls `fn` for every record: those first whose names begin with `order`'s first prefix, then its
 * second, and so on to its NULL, then (`rest`) all others; each time in the order of their names.
 * One that is malformed, or for which `fn` returns -EBADMSG, is set aside in journal.unreadable,
 * with a message in the log, and the walk goes on. Any other negative return of `fn` ends it with
 * that, and so does a journal that cannot be read now (no fd, no memory, an I/O error), with a
 * sentence.
 */
int store_each(Store *store, const char *const order[], bool rest, StoreRecordFn fn, void *userdata,
	       char **ret_error);
