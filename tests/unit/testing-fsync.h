/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk that fails when a directory is to be synced. In one file of a test only. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool directory_sync_fails;
static unsigned int directory_syncs_to_fail; /* so many, and then no more */

int fsync(int fd)
{
	struct stat st;

	if ((directory_sync_fails || directory_syncs_to_fail > 0) && fstat(fd, &st) == 0 &&
	    S_ISDIR(st.st_mode)) {
		directory_syncs_to_fail -= directory_syncs_to_fail > 0;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}
