/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A UUID, such as libvirt gives every domain. The names keep clear of libuuid's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* In the order in which the text has them. */
typedef struct Uuid {
	uint8_t bytes[16];
} Uuid;

/* "8-4-4-4-12" and its NUL. */
#define UUID_STRING_SIZE 37

/* Strictly "8-4-4-4-12" digits, either case. Returns 0, or -EINVAL and leaves *ret alone. */
int uuid_from_string(Uuid *ret, const char *text);

/* Lower case. Returns `buffer`. */
const char *uuid_format(Uuid uuid, char buffer[static UUID_STRING_SIZE]);

bool uuid_equal(Uuid a, Uuid b);

/* For sorting: less than, equal to or greater than 0, in the order of the texts. */
int uuid_order(Uuid a, Uuid b);
