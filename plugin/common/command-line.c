/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/command-line.h"

#include "rpc/log.h"

#include <getopt.h>
#include <stdlib.h>

int command_line_options(int argc, char **argv, const char *version, void (*usage)(FILE *to),
			 const char **path)
{
	enum { OPTION_VERSION = 256 };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:dh", options, NULL)) >= 0)
		switch (c) {
		case 'c': *path = optarg; break;
		case 'd': log_set_level(LOG_LEVEL_DEBUG); break;
		case 'h': usage(stdout); return EXIT_SUCCESS;
		case OPTION_VERSION: puts(version); return EXIT_SUCCESS;
		default: usage(stderr); return 2;
		}
	return -1;
}
