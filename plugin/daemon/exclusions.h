/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid.conf's `excluded`: functions that nobody gets as a trusted device. Each entry is one of
 *
 *   "0000:01:10.0"      a function
 *   "0000:01:*.*"       an address in which bus, slot or function may be "*"
 *   "dsm=0000:01:00.0"  whatever has this DSM, as its TSM says
 */
#pragma once

#include "core/bdf.h"
#include "rpc/json.h"

#define EXCLUSIONS_MAX 1024u

typedef struct Exclusions Exclusions;

/* `array` may be NULL. 0; -EINVAL with a sentence that names the entry; -ENOMEM. */
int exclusions_parse(Exclusions **ret, json_object *array, char **ret_error);
Exclusions *exclusions_free(Exclusions *exclusions);
DEFINE_CLEANUP(Exclusions, exclusions_free);

/* The entry, as written, that excludes the function; NULL: none. dsm NULL: it is not known yet. */
const char *exclusions_find(const Exclusions *exclusions, Bdf function, const Bdf *dsm);
