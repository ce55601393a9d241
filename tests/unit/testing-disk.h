/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk that fails when it is to be synced, or is full for some. In one file of a test only. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool syncs_fail;
static bool directory_syncs_fail;  /* but not files' */
static unsigned int syncs_to_fail; /* so many, and then no more */
static unsigned int syncs;	   /* asked for until now */
/* The beginning of a line that finds no room, nor do those beside it; NULL: everything has some. */
static const char *no_room_for;

int fsync(int fd)
{
	struct stat st;

	syncs++;
	if (syncs_fail || syncs_to_fail > 0 ||
	    (directory_syncs_fail && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))) {
		syncs_to_fail -= syncs_to_fail > 0;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

ssize_t write(int fd, const void *data, size_t size)
{
	const char *found =
		no_room_for ? memmem(data, size, no_room_for, strlen(no_room_for)) : NULL;

	if (found && (found == data || found[-1] == '\n')) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_write, fd, data, size);
}
