/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which domains there are, for the next of us: a small file each, UUID.json, written before the
 * call that told of it is answered.
 */
#pragma once

#include "quote/relay.h"

typedef struct Records Records;

/* The directory is made (0700) if it is not there. -errno with a sentence. */
int records_open(Records **ret, const char *path, char **ret_error);
Records *records_free(Records *records);
DEFINE_CLEANUP(Records, records_free);

/* The directory, for messages. */
const char *records_path(const Records *records);

int records_write(Records *records, const Domain *domain);
/* The domain has ended: it goes, and its record. */
void records_forget(Records *records, Relay *relay, Domain *domain);

/*
 * Every domain that is recorded, with its door open again; one whose QEMU has ended waits for
 * another, or for libvirt's release, as long as domains.h says. What cannot be read is said and
 * left out. -errno with a sentence.
 */
int records_restore(Records *records, Relay *relay, char **ret_error);
