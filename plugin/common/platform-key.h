/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The secret of the emulated platform, with which its TDREPORTs are MACed. On real hardware it
 * never leaves the CPU; here it is a file of 32 bytes, shared by whatever makes reports
 * (tdi-tsm-emulated) and whatever checks them, and made by whoever comes first.
 */
#pragma once

#include "core/tdreport.h"

#include <stdint.h>

/*
 * Makes the file (0640, the process's own group) if there is none: of several who try, one succeeds
 * and all read the same. One that is there has to be a regular file of 32 bytes that nobody but its
 * owner and its group may read: -EBADMSG, -EPERM and others, with a sentence.
 */
int platform_key_open(uint8_t ret[static TDREPORT_KEY_SIZE], const char *path, char **ret_error);
