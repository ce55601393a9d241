/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For varlink-blocking.c. */
#pragma once

#include "rpc/varlink-client.h"

/* varlink_client_connect that waits up to wait_usec for a place in the server's queue. */
int client_connect(VarlinkClient **ret, sd_event *event, const char *path, uint64_t wait_usec,
		   const VarlinkClientOptions *options, char **ret_error);
