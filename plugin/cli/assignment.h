/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Assignment, read, and its fields in words. */
#pragma once

#include "cli/table.h"
#include "rpc/json.h"

#include <stdbool.h>
#include <stdint.h>

/* Strings are borrowed from the object; NULL where it does not say. */
typedef struct Assignment {
	const char *domain, *domain_name;
	const char *name, *device;
	const char *dsm;
	const char *guest_address;
	int64_t generation;
	const char *state, *reason;
	const char *tdi_state, *state_source;
	const char *tsm;
	bool protection;
	json_object *timeline;
} Assignment;

/* `object` has been held against the interface's description already. */
Assignment assignment_read(json_object *object);

/* By its alias or its host address. */
bool assignment_is(const Assignment *assignment, const char *name);

/* "emulated (no protection)": never without that remark where there is none. Allocated. */
char *assignment_tsm_words(const Assignment *assignment);

/* "run", or "run (the TVM says)" where the host's TSM cannot tell; NULL if not known.
 * Allocated. */
char *assignment_tdi_words(const Assignment *assignment);

/* What a state means, for those who do not know the word. "" for one from a later version. */
const char *assignment_state_words(const char *state);

TableTone assignment_state_tone(const char *state);
