/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder of made-up files, for what can only be read from one. It is below $TDID_FUZZ_FOLDER
 * (/tmp if that is not set; better a tmpfs) and goes when the target ends in order.
 */
#pragma once

#include <stddef.h>

/* The folder; made at the first call. */
const char *fuzz_folder(void);

/* Writes FOLDER/`path`, with the folders above it. */
void fuzz_folder_put(const char *path, const void *data, size_t size);

/* Removes what is in FOLDER/`path`, and that itself. */
void fuzz_folder_remove(const char *path);
