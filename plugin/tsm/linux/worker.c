/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *	running --job returns--> DONE
 *	running --deadline--> killed --it dies--> KILLED
 *	                      killed --grace--> ABANDONED --it dies--> GONE
 *
 * The pidfd tells of every death. A child that sleeps uninterruptibly keeps what it holds, its
 * open files among them: therefore it closes everything that is not its own before it starts, or
 * peers of this process would wait for ever for the end of their connections.
 *
 * The job begins only when its parent watches it: the child waits for a word on a socket, and ends
 * without having done anything if its parent's end is closed.
 */
#include "worker.h"

#include "rpc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

/* --- a child that nobody asks for any more --- */

static bool reap(int pidfd)
{
	siginfo_t info = {};

	return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid != 0;
}

static int on_leftover_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	/* The event loop's reference was the last one. */
	if (reap(fd))
		sd_event_source_set_floating(source, false);
	return 0;
}

/* Takes the descriptor. SIGKILL may take its time, so the event loop keeps it until then. */
static void leave(sd_event *event, int pidfd)
{
	sd_event_source *source = NULL;
	int r;

	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	r = sd_event_add_io(event, &source, pidfd, EPOLLIN, on_leftover_end, NULL);
	if (r >= 0)
		r = sd_event_source_set_io_fd_own(source, true);
	if (r >= 0)
		r = sd_event_source_set_floating(source, true);
	if (r >= 0) {
		sd_event_source_unref(source);
		return;
	}
	log_error("a child that was killed cannot be waited for: %s", strerror(-r));
	reap(pidfd);
	if (source)
		sd_event_source_set_io_fd_own(source, false);
	sd_event_source_disable_unref(source);
	close(pidfd);
}

Worker *worker_free(Worker *worker)
{
	if (!worker)
		return NULL;
	sd_event_source_disable_unref(worker->timer);
	sd_event_source_disable_unref(worker->end);
	if (worker->pidfd >= 0)
		leave(worker->event, worker->pidfd);
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

/* The child's end of the socket; the rest of its descriptors stays what it is. */
static void wait_for_word(int socket, pid_t parent)
{
	char word;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || read(socket, &word, 1) != 1)
		_exit(1);
}

/* Everything from `first` on but `held`. */
static int close_others(unsigned int first, int held)
{
	if (held < (int)first)
		return syscall(SYS_close_range, first, ~0U, 0) < 0 ? -errno : 0;
	if ((unsigned int)held > first &&
	    syscall(SYS_close_range, first, (unsigned int)held - 1, 0) < 0)
		return -errno;
	return syscall(SYS_close_range, (unsigned int)held + 1, ~0U, 0) < 0 ? -errno : 0;
}

_Noreturn static void child(const WorkerOptions *options, void *shared, int word, pid_t parent)
{
	unsigned int first = WORKER_FD;
	int held = -1;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	wait_for_word(word, parent);
	/* Out of the way of WORKER_FD. */
	if (options->held >= 0)
		held = fcntl(options->held, F_DUPFD, WORKER_FD + 1);
	if (options->held >= 0 && held < 0)
		_exit(1);
	if (options->fd >= 0) {
		if (options->fd != WORKER_FD && dup2(options->fd, WORKER_FD) < 0)
			_exit(1);
		first++;
	}
	if (close_others(first, held) < 0)
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

/* Forks, and leaves the child waiting for a word on *ret_word. */
static int start_child(Worker *worker, const WorkerOptions *options, int *ret_word)
{
	int ends[2], r = 0;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child(options, worker->shared, ends[1], parent);
	}
	if (pid < 0)
		r = -errno;
	close(ends[1]);
	*ret_word = ends[0];
	if (r < 0)
		return r;
	worker->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (worker->pidfd >= 0)
		return 0;
	r = -errno;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r;
}

int worker_start(Worker **ret, sd_event *event, const WorkerOptions *options)
{
	_cleanup_(worker_freep) Worker *worker = calloc(1, sizeof(*worker));
	_cleanup_close_ int word = -1;
	void *shared;
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
	r = start_child(worker, options, &word);
	if (r == 0)
		r = watch(worker);
	if (r < 0)
		return r;
	/* To a child that has died already nothing is to be said. */
	(void)!send(word, "x", 1, MSG_NOSIGNAL);
	*ret = steal_ptr(worker);
	return 0;
}
