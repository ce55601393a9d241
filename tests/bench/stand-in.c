/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stand-in.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
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

static cpu_set_t processors; /* that this program may run on */

static void keep_to(pid_t pid, int place)
{
	cpu_set_t one;

	if (CPU_COUNT(&processors) < 2)
		return;
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &processors) && place-- == 0)
			CPU_SET(i, &one);
	if (sched_setaffinity(pid, sizeof(one), &one) < 0)
		perror("bench: a processor of its own");
}

void stand_in_processors(void)
{
	if (sched_getaffinity(0, sizeof(processors), &processors) < 0)
		perror("bench: processors");
	if (CPU_COUNT(&processors) < 2)
		fputs("bench: one processor only, for tdid and all the others\n", stderr);
	keep_to(0, 0);
}

void stand_in_elsewhere(pid_t pid)
{
	keep_to(pid, 1);
}

int stand_in_wait(void)
{
	stand_in_begin();
	for (;;)
		pause();
}
