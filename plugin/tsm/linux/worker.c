/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *	running --job returns--> DONE
 *	running --deadline--> killed --it dies--> KILLED
 *	                      killed --grace--> ABANDONED --it dies--> GONE
 *
 * The pidfd tells of every death. A child that sleeps uninterruptibly keeps what it holds, its
 * open files among them: therefore it closes everything that is not its own before it starts, or
 * peers of this process would wait for ever for the end of their connections.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TIMER_ACCURACY_USEC 1000

struct Worker {
	sd_event *event;
	WorkerLimits limits;
	void (*ended)(Worker *worker, WorkerEnd end, void *shared, void *userdata);
	void *userdata;
	void *shared;
	size_t shared_size;
	int pidfd;
	bool killed, abandoned;
	sd_event_source *end, *timer;
};

Worker *worker_free(Worker *worker)
{
	if (!worker)
		return NULL;
	sd_event_source_disable_unref(worker->timer);
	sd_event_source_disable_unref(worker->end);
	if (worker->pidfd >= 0) {
		siginfo_t info;

		syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
		/* Whatever does not end at once is left to init. */
		waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED | WNOHANG);
		close(worker->pidfd);
	}
	if (worker->shared)
		munmap(worker->shared, worker->shared_size);
	sd_event_unref(worker->event);
	free(worker);
	return NULL;
}

static void kill_child(int pidfd)
{
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata);

static int set_timer(Worker *worker, uint64_t usec)
{
	worker->timer = sd_event_source_disable_unref(worker->timer);
	return sd_event_add_time_relative(worker->event, &worker->timer, CLOCK_MONOTONIC, usec,
					  TIMER_ACCURACY_USEC, on_time, worker);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	Worker *worker = userdata;

	if (!worker->killed) {
		worker->killed = true;
		worker->limits.kill(worker->pidfd);
		return set_timer(worker, worker->limits.grace_usec);
	}
	worker->abandoned = true;
	worker->timer = sd_event_source_disable_unref(worker->timer);
	worker->ended(worker, WORKER_ABANDONED, worker->shared, worker->userdata);
	return 0;
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Worker *worker = userdata;
	siginfo_t info = {};
	WorkerEnd end = WORKER_KILLED;

	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return 0;
	worker->timer = sd_event_source_disable_unref(worker->timer);
	worker->end = sd_event_source_disable_unref(worker->end);
	close(worker->pidfd);
	worker->pidfd = -1;
	if (worker->abandoned)
		end = WORKER_GONE;
	else if (info.si_code == CLD_EXITED && info.si_status == 0)
		end = WORKER_DONE;
	worker->ended(worker, end, worker->shared, worker->userdata);
	return 0;
}

_Noreturn static void child(const WorkerOptions *options, void *shared)
{
	sigset_t none;
	int first = WORKER_FD;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (options->fd >= 0) {
		if (options->fd != WORKER_FD && dup2(options->fd, WORKER_FD) < 0)
			_exit(1);
		first++;
	}
	if (syscall(SYS_close_range, (unsigned int)first, ~0U, 0) < 0)
		_exit(1);
	options->job(options->input, shared);
	_exit(0);
}

static int watch(Worker *worker)
{
	int r = sd_event_add_io(worker->event, &worker->end, worker->pidfd, EPOLLIN, on_end,
				worker);

	if (r >= 0 && worker->limits.deadline_usec)
		r = set_timer(worker, worker->limits.deadline_usec);
	return r < 0 ? r : 0;
}

int worker_start(Worker **ret, sd_event *event, const WorkerOptions *options)
{
	_cleanup_(worker_freep) Worker *worker = calloc(1, sizeof(*worker));
	void *shared;
	pid_t pid;
	int r;

	if (!worker)
		return -ENOMEM;
	worker->pidfd = -1;
	worker->event = sd_event_ref(event);
	worker->limits = *options->limits;
	if (!worker->limits.kill)
		worker->limits.kill = kill_child;
	worker->ended = options->ended;
	worker->userdata = options->userdata;
	shared = mmap(NULL, options->shared_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -errno;
	worker->shared = shared;
	worker->shared_size = options->shared_size;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(options, shared);
	worker->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (worker->pidfd < 0) {
		r = -errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	r = watch(worker);
	if (r < 0)
		return r;
	*ret = steal_ptr(worker);
	return 0;
}
