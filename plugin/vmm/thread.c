/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/thread.h"

#include <signal.h>
#include <stdio.h>

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *userdata)
{
	sigset_t all, before;
	char cut[16];
	int r;

	snprintf(cut, sizeof(cut), "%s", name);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, fn, userdata);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return -r;
	pthread_setname_np(*ret, cut);
	return 0;
}
