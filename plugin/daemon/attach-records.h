/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An attach that libvirt has been asked for, as a record: from before it is asked until the
 * assignment that has come of it has its own record, or nothing has come of it. So a tdid that died
 * in between knows whose token that was.
 */
#pragma once

#include "daemon/client-token.h"
#include "daemon/tdid.h"

typedef struct AttachRecord {
	Uuid domain;
	pid_t pid; /* of the incarnation */
	Bdf device, dsm;
	const char *alias;
	ClientToken token;
	uint64_t asked_usec; /* libvirt, CLOCK_BOOTTIME; 0: not yet, or not known */
} AttachRecord;

/* As store_write. */
int attach_record_write(Tdid *tdid, const AttachRecord *record);
void attach_record_remove(Tdid *tdid, const AttachRecord *record);

/* For each of an earlier run; the texts are borrowed. What `fn` returns but 0 ends the walk. */
typedef int (*AttachRecordFn)(Tdid *tdid, const AttachRecord *record, void *userdata);
int attach_records_each(Tdid *tdid, AttachRecordFn fn, void *userdata, char **ret_error);
