/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stand-in.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

int stand_in_start(pid_t *ret, const char *const argv[])
{
	return -posix_spawn(ret, "/proc/self/exe", NULL, NULL, (char *const *)argv, environ);
}

void stand_in_begin(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int stand_in_wait(void)
{
	stand_in_begin();
	for (;;)
		pause();
}
