/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tdid says it serves: io.tdid.Assignments.Devices, for looking up. */
#pragma once

#include "cli/cli.h"

#include "core/bdf.h"

/* tdid answers from its own records; who looks at the host is not to be held up by it. */
#define SERVED_TIMEOUT_USEC (3 * 1000000ULL)

/* Borrowed from `reply`; all NULL when tdid has not answered. */
typedef struct Served {
	json_object *reply; /* owned */
	json_object *tsms, *dsms, *devices;
} Served;

/*
 * 0; a negative errno when tdid does not answer, or 1 when it answers with an error; both with a
 * sentence, and served_done() is needed either way.
 */
int served_load(Served *ret, const Cli *cli, char **ret_sentence);
void served_done(Served *served);

/* By name and by address; NULL: tdid knows of none. Served may be empty. */
json_object *served_tsm(const Served *served, const char *title);
json_object *served_dsm(const Served *served, Bdf dsm);
json_object *served_device(const Served *served, Bdf device);
