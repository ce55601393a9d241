/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of (call, object) with a counter each. A socket's name is that of the path to which it
 * was connected or on which it was accepted; what has no name of its own is named by the kernel
 * (/proc/self/fd).
 */
#include "points.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE  128
#define POINTS_MAX 1024

typedef struct Counter {
	char call[40], object[NAME_SIZE];
	unsigned int n;
} Counter;

static Counter counters[POINTS_MAX];
static size_t n_counters;
static bool armed, tracing, kills, hit;
static char wanted_call[40], wanted_object[NAME_SIZE];
static unsigned int wanted_number;

void points_init(void)
{
	const char *text = getenv("TDID_SWEEP_POINT");
	char how[8] = "";

	armed = getenv("TDID_SWEEP_ARMED");
	tracing = getenv("TDID_SWEEP_TRACE");
	if (text && sscanf(text, "%7s %39s %127s %u", how, wanted_call, wanted_object,
			   &wanted_number) != 4) {
		fprintf(stderr,
			"TDID_SWEEP_POINT: \"%s\" is not \"fail|kill CALL OBJECT NUMBER\"\n", text);
		exit(2);
	}
	kills = strcmp(how, "kill") == 0;
}

bool points_arm(bool on)
{
	bool before = armed;

	armed = on;
	return before;
}

static bool is_record(const char *object)
{
	static const char *const kinds[] = { "tvm-", "dsm-",	    "drain-",
					     "tdi-", "assignment-", "attach-" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(object, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return false;
}

/* The errno with which a call may fail at any time, through no fault of its caller. */
static int plausible(const char *call, const char *object)
{
	static const struct {
		const char *call;
		int error;
	} errors[] = {
		{ "accept4", EMFILE },
		{ "access", EACCES },
		{ "connect", ECONNREFUSED },
		{ "fopen", EMFILE },
		{ "fsync", EIO },
		{ "getrandom", ENOSYS },
		{ "libvirt", EREMOTEIO },
		{ "mkdir", ENOSPC },
		{ "open", EMFILE },
		{ "openat", EMFILE },
		{ "openat-new", ENOSPC },
		{ "pidfd_open", EMFILE },
		{ "pread", EIO },
		{ "read", EIO },
		{ "recv", ECONNRESET },
		{ "renameat", EIO },
		{ "scandirat", EMFILE },
		{ "sd_event_add_defer", ENOMEM },
		{ "sd_event_add_io", ENOSPC }, /* epoll: max_user_watches */
		{ "sd_event_add_time", EMFILE },
		{ "send", EPIPE },
		{ "socket", EMFILE },
		{ "unlinkat", EIO },
		{ "write", ENOSPC },
	};

	if (strcmp(call, "write") == 0 && strncmp(object, "guest", 5) == 0)
		return EPIPE;
	/* For want of room the journal would be written anew, and nothing have failed. */
	if (strcmp(call, "write") == 0 && is_record(object))
		return EIO;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].call, call) == 0)
			return errors[i].error;
	return EIO;
}

static Counter *counter(const char *call, const char *object)
{
	for (size_t i = 0; i < n_counters; i++)
		if (strcmp(counters[i].call, call) == 0 && strcmp(counters[i].object, object) == 0)
			return &counters[i];
	if (n_counters == POINTS_MAX) {
		fputs("points: more objects than there is room for\n", stderr);
		abort();
	}
	snprintf(counters[n_counters].call, sizeof(counters[0].call), "%s", call);
	snprintf(counters[n_counters].object, sizeof(counters[0].object), "%s", object);
	return &counters[n_counters++];
}

int point(const char *call, const char *object)
{
	int saved = errno;
	Counter *c;

	if (!armed)
		return 0;
	c = counter(call, object);
	c->n++;
	if (tracing) {
		printf("point %s %s %u\n", call, object, c->n);
		fflush(stdout);
	}
	errno = saved;
	if (hit || c->n != wanted_number || strcmp(call, wanted_call) != 0 ||
	    strcmp(object, wanted_object) != 0)
		return 0;
	hit = true;
	printf("hit %s %s %u\n", call, object, c->n);
	fflush(stdout);
	if (kills)
		kill(getpid(), SIGKILL);
	errno = saved;
	return plausible(call, object);
}
