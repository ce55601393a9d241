/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's event loop: poll(2) over descriptors and one timerfd. Sources live in their owners.
 */
#pragma once

#include "core/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define LOOP_MAX_FDS	370
#define LOOP_MAX_BURIED 32
#define USEC_PER_SEC	1000000ULL
#define USEC_PER_MS	1000ULL

typedef struct Loop Loop;
typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;

struct LoopFd {
	Loop *loop; /* NULL: not watched */
	int fd;	    /* the owner's */
	short events;
	void (*handler)(void *userdata, short revents);
	void *userdata;
	LIST_ENTRY(LoopFd) link;
};

struct LoopTimer {
	Loop *loop;
	uint64_t due; /* microseconds of CLOCK_BOOTTIME; 0: off */
	void (*handler)(void *userdata);
	void *userdata;
	LIST_ENTRY(LoopTimer) link;
};

int loop_new(Loop **ret);
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop, loop_free);

/*
 * Watches a descriptor until loop_fd_off(), which may be called in any handler and more than once;
 * the descriptor is not closed. -EMFILE beyond LOOP_MAX_FDS.
 */
int loop_fd_on(Loop *loop, LoopFd *source, int fd, short events,
	       void (*handler)(void *userdata, short revents), void *userdata);
void loop_fd_off(LoopFd *source);

void loop_timer_init(Loop *loop, LoopTimer *timer, void (*handler)(void *userdata), void *userdata);
/* Goes off once, `usec` from now; replaces what was set before. */
void loop_timer_set(LoopTimer *timer, uint64_t usec);
/* Also safe on a timer that is off or was never initialised (all zero). */
void loop_timer_off(LoopTimer *timer);

/*
 * Takes the pidfd of a child that was sent SIGKILL and that nobody asks for any more: it is reaped
 * when it has ended. Beyond LOOP_MAX_BURIED of them, which a kernel that does not let go of
 * children makes, one stays a zombie until this process ends.
 */
void loop_bury(Loop *loop, int pid_fd);

/* Waits for something and handles all that is ready. 0, or a negative errno of poll. */
int loop_turn(Loop *loop);
/* Turns until loop_exit(). */
int loop_run(Loop *loop);
void loop_exit(Loop *loop);

/* Microseconds of CLOCK_BOOTTIME. */
uint64_t loop_now(void);
