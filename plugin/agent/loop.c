/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn is one poll. A handler may switch off any source, its own included: the array of the
 * turn in progress forgets what is switched off, so that nobody is called after it said goodbye.
 * All timers share a timerfd that is set to the earliest.
 */
#include "agent/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

/* A killed child that is to be reaped. */
typedef struct Buried {
	LoopFd source;
	LIST_ENTRY(Buried) link;
} Buried;

struct Loop {
	LIST_HEAD(, LoopFd) fds;
	LIST_HEAD(, LoopTimer) timers;
	LIST_HEAD(, Buried) buried;
	unsigned int n_fds, n_buried;
	int timer_fd;
	bool leaving;
	unsigned int n_turn;
	LoopFd *turn[LOOP_MAX_FDS];
};

uint64_t loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

int loop_new(Loop **ret)
{
	_cleanup_(loop_freep) Loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	LIST_INIT(&loop->fds);
	LIST_INIT(&loop->timers);
	LIST_INIT(&loop->buried);
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	*ret = steal_ptr(loop);
	return 0;
}

/* False: it is still there. */
static bool reap(int pid_fd)
{
	siginfo_t info = { 0 };

	return waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED | WNOHANG) < 0 || info.si_pid != 0;
}

static void buried_free(Buried *buried, Loop *loop)
{
	loop_fd_off(&buried->source);
	close(buried->source.fd);
	LIST_REMOVE(buried, link);
	loop->n_buried--;
	free(buried);
}

static void on_buried(void *userdata, short revents)
{
	Buried *buried = userdata;

	if (reap(buried->source.fd))
		buried_free(buried, buried->source.loop);
}

void loop_bury(Loop *loop, int pid_fd)
{
	Buried *buried;

	if (reap(pid_fd)) {
		close(pid_fd);
		return;
	}
	buried = loop->n_buried < LOOP_MAX_BURIED ? calloc(1, sizeof(*buried)) : NULL;
	if (!buried || loop_fd_on(loop, &buried->source, pid_fd, POLLIN, on_buried, buried) < 0) {
		close(pid_fd);
		free(buried);
		return;
	}
	LIST_INSERT_HEAD(&loop->buried, buried, link);
	loop->n_buried++;
}

Loop *loop_free(Loop *loop)
{
	LoopFd *source;
	LoopTimer *timer;
	Buried *buried;

	while ((buried = LIST_FIRST(&loop->buried))) {
		reap(buried->source.fd);
		buried_free(buried, loop);
	}
	while ((source = LIST_FIRST(&loop->fds)))
		loop_fd_off(source);
	while ((timer = LIST_FIRST(&loop->timers)))
		loop_timer_off(timer);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	free(loop);
	return NULL;
}

int loop_fd_on(Loop *loop, LoopFd *source, int fd, short events,
	       void (*handler)(void *userdata, short revents), void *userdata)
{
	/* One place is the timerfd's. */
	if (loop->n_fds >= LOOP_MAX_FDS - 1)
		return -EMFILE;
	*source = (LoopFd){
		.loop = loop, .fd = fd, .events = events, .handler = handler, .userdata = userdata
	};
	LIST_INSERT_HEAD(&loop->fds, source, link);
	loop->n_fds++;
	return 0;
}

void loop_fd_off(LoopFd *source)
{
	Loop *loop = source->loop;

	if (!loop)
		return;
	for (unsigned int i = 0; i < loop->n_turn; i++)
		if (loop->turn[i] == source)
			loop->turn[i] = NULL;
	LIST_REMOVE(source, link);
	loop->n_fds--;
	source->loop = NULL;
}

void loop_timer_init(Loop *loop, LoopTimer *timer, void (*handler)(void *userdata), void *userdata)
{
	*timer = (LoopTimer){ .loop = loop, .handler = handler, .userdata = userdata };
}

static void timers_arm(Loop *loop)
{
	struct itimerspec when = { 0 };
	uint64_t first = 0;
	LoopTimer *timer;

	LIST_FOREACH(timer, &loop->timers, link)
	{
		if (!first || timer->due < first)
			first = timer->due;
	}
	when.it_value.tv_sec = (time_t)(first / USEC_PER_SEC);
	when.it_value.tv_nsec = (long)(first % USEC_PER_SEC) * 1000;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_set(LoopTimer *timer, uint64_t usec)
{
	if (!timer->due)
		LIST_INSERT_HEAD(&timer->loop->timers, timer, link);
	timer->due = loop_now() + usec;
	timers_arm(timer->loop);
}

void loop_timer_off(LoopTimer *timer)
{
	if (!timer->due)
		return;
	LIST_REMOVE(timer, link);
	timer->due = 0;
	timers_arm(timer->loop);
}

static LoopTimer *timer_due(Loop *loop, uint64_t now)
{
	LoopTimer *timer;

	LIST_FOREACH(timer, &loop->timers, link)
	{
		if (timer->due <= now)
			return timer;
	}
	return NULL;
}

static void timers_run(Loop *loop)
{
	uint64_t now = loop_now(), expirations;
	LoopTimer *timer;

	if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return;
	while ((timer = timer_due(loop, now))) {
		loop_timer_off(timer);
		timer->handler(timer->userdata);
	}
}

int loop_turn(Loop *loop)
{
	struct pollfd polls[LOOP_MAX_FDS];
	unsigned int n = 0;
	LoopFd *source;

	LIST_FOREACH(source, &loop->fds, link)
	{
		loop->turn[n] = source;
		polls[n++] = (struct pollfd){ .fd = source->fd, .events = source->events };
	}
	polls[n] = (struct pollfd){ .fd = loop->timer_fd, .events = POLLIN };

	if (poll(polls, n + 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;

	loop->n_turn = n;
	for (unsigned int i = 0; i < n; i++)
		if (polls[i].revents && loop->turn[i])
			loop->turn[i]->handler(loop->turn[i]->userdata, polls[i].revents);
	loop->n_turn = 0;
	if (polls[n].revents)
		timers_run(loop);
	return 0;
}

int loop_run(Loop *loop)
{
	int r = 0;

	while (!loop->leaving && r == 0)
		r = loop_turn(loop);
	return r;
}

void loop_exit(Loop *loop)
{
	loop->leaving = true;
}
