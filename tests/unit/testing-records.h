/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal of a directory of records, from outside. */
#pragma once

#include <stdbool.h>

/* Records of this kind that count; `contains` (may be NULL) has to be in them. */
unsigned int testing_records_count(const char *directory, const char *kind, const char *contains);
/* All lines that have ever been written to it, without the header. */
unsigned int testing_records_lines(const char *directory);
/* Another line, of this boot. The directory and the journal are made if they are not there. */
void testing_records_put(const char *directory, const char *name, const char *text);
/* Those of this kind are no longer. */
void testing_records_remove(const char *directory, const char *kind);
bool testing_records_set_aside(const char *directory, const char *name);
