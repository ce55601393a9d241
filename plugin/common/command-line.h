/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that our services have in common: -c FILE, -d, -h, --version. */
#pragma once

#include <stdio.h>

/*
 * -1: go on with what is left at optind. Else it is done, or wrong, and the program ends with that
 * status. `version` is what --version prints; *path is left alone when no file is named.
 */
int command_line_options(int argc, char **argv, const char *version, void (*usage)(FILE *to),
			 const char **path);
