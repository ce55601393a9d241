/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/linux/worker.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef struct Shared {
	int seen;
	bool other_open;
} Shared;

static sd_event *event;
static Worker *worker;
static WorkerEnd ends[4];
static unsigned int n_ends;
static int seen;
static bool other_open;
static int unkillable = -1, held = -1;

static void set_up(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
}

static void tear_down(void)
{
	worker_free(worker);
	sd_event_unref(event);
}

TestSuite(linux_worker, .init = set_up, .fini = tear_down);

static void on_ended(Worker *w, WorkerEnd end, void *shared, void *userdata)
{
	const Shared *s = shared;

	cr_assert_eq(w, worker);
	cr_assert_eq(userdata, event);
	ends[n_ends++] = end;
	seen = s->seen;
	other_open = s->other_open;
	if (end != WORKER_ABANDONED)
		worker = worker_free(w);
}

static void start(void (*job)(const void *, void *), const void *input, int fd,
		  const WorkerLimits *limits)
{
	cr_assert_eq(worker_start(&worker, event,
				  &(WorkerOptions){ .job = job,
						    .input = input,
						    .shared_size = sizeof(Shared),
						    .fd = fd,
						    .held = held,
						    .limits = limits,
						    .ended = on_ended,
						    .userdata = event }),
		     0);
}

static void wait_ends(unsigned int n)
{
	while (n_ends < n)
		cr_assert_gt(sd_event_run(event, 5000000), 0, "nothing happens any more");
}

static void copy_job(const void *input, void *shared)
{
	((Shared *)shared)->seen = *(const int *)input;
}

static void crash_job(const void *input, void *shared)
{
	((Shared *)shared)->seen = 7;
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
}

static void hang_job(const void *input, void *shared)
{
	((Shared *)shared)->seen = 3;
	for (;;)
		pause();
}

static void descriptors_job(const void *input, void *shared)
{
	char c = 0;

	((Shared *)shared)->seen = read(WORKER_FD, &c, 1) == 1 ? c : -1;
	((Shared *)shared)->other_open = fcntl(*(const int *)input, F_GETFD) >= 0;
}

static void release_job(const void *input, void *shared)
{
	char c;

	((Shared *)shared)->seen = 4;
	if (read(WORKER_FD, &c, 1) == 1)
		((Shared *)shared)->seen = 5;
}

static void write_job(const void *input, void *shared)
{
	(void)!write(WORKER_FD, "x", 1);
}

static void refuse_to_kill(int pidfd)
{
	unkillable = pidfd;
}

Test(linux_worker, crash_is_told)
{
	start(crash_job, NULL, -1, &(WorkerLimits){});
	wait_ends(1);
	cr_assert_eq(ends[0], WORKER_KILLED);
	cr_assert_eq(seen, 7);
}

Test(linux_worker, hang_is_killed)
{
	start(hang_job, NULL, -1, &(WorkerLimits){ 20000, 5000000, NULL });
	wait_ends(1);
	cr_assert_eq(ends[0], WORKER_KILLED);
	cr_assert_eq(seen, 3);
}

Test(linux_worker, what_cannot_be_killed_is_abandoned_and_comes_back)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	start(release_job, NULL, fds[0], &(WorkerLimits){ 10000, 10000, refuse_to_kill });
	wait_ends(1);
	cr_assert_eq(ends[0], WORKER_ABANDONED);
	cr_assert_geq(unkillable, 0);
	cr_assert_eq(seen, 4);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	wait_ends(2);
	cr_assert_eq(ends[1], WORKER_GONE);
	cr_assert_eq(seen, 5);
	close(fds[0]);
	close(fds[1]);
}

/* Then the caller may say that nothing was done. */
Test(linux_worker, what_cannot_be_started_is_not_begun)
{
	struct rlimit limit, none;
	int fds[2];
	WorkerLimits limits = {};
	char c;
	int r;

	cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	/* No numbers free below. */
	while ((r = open("/dev/null", O_RDONLY | O_CLOEXEC)) < fds[1])
		cr_assert_geq(r, 0);
	close(r);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Some more descriptors each time: it fails at one place after the other. */
	for (int more = 0; more < 2; more++) {
		none = limit;
		none.rlim_cur = (rlim_t)(fds[1] + 1 + more);
		setrlimit(RLIMIT_NOFILE, &none);
		r = worker_start(&worker, event,
				 &(WorkerOptions){ .job = write_job,
						   .shared_size = sizeof(Shared),
						   .fd = fds[1],
						   .held = -1,
						   .limits = &limits,
						   .ended = on_ended,
						   .userdata = event });
		setrlimit(RLIMIT_NOFILE, &limit);
		cr_assert_lt(r, 0, "%d", more);
	}
	while (sd_event_run(event, 100000) > 0)
		;
	cr_assert_eq(read(fds[0], &c, 1), -1, "no job has run");
}

/* Whether this process has children, dead or alive. */
static bool has_children(void)
{
	siginfo_t info = {};

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

Test(linux_worker, freed_while_running)
{
	for (unsigned int i = 0; i < 5; i++) {
		start(hang_job, NULL, -1, &(WorkerLimits){});
		worker = worker_free(worker);
	}
	cr_assert_eq(n_ends, 0);
	while (has_children())
		cr_assert_gt(sd_event_run(event, 5000000), 0, "a zombie stays");
}

/* What is held open by the child tells, by its end, when the child is no more. */
Test(linux_worker, ends_with_its_parent)
{
	int fds[2], status;
	pid_t parent;
	char c;

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		sd_event_new(&event);
		held = fds[1];
		worker_start(&worker, event,
			     &(WorkerOptions){ .job = hang_job,
					       .shared_size = sizeof(Shared),
					       .fd = -1,
					       .held = held,
					       .limits = &(WorkerLimits){},
					       .ended = on_ended });
		_exit(0);
	}
	cr_assert_eq(waitpid(parent, &status, 0), parent);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &c, 1), 0);
	close(fds[0]);
}

Test(linux_worker, holds_what_it_is_given)
{
	int fds[2];
	char c;

	cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	held = fds[1];
	start(hang_job, NULL, fds[0], &(WorkerLimits){ 50000, 5000000, NULL });
	close(fds[1]);
	cr_assert_eq(read(fds[0], &c, 1), -1, "the child has it open");
	wait_ends(1);
	cr_assert_eq(read(fds[0], &c, 1), 0);
	close(fds[0]);
}

Test(linux_worker, result)
{
	int value = 42;

	start(copy_job, &value, -1, &(WorkerLimits){ 5000000, 5000000, NULL });
	value = 43; /* the child has its own */
	wait_ends(1);
	cr_assert_eq(ends[0], WORKER_DONE);
	cr_assert_eq(seen, 42);
}

Test(linux_worker, has_its_descriptor_and_no_other)
{
	int fds[2], other = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(other, 0);
	other = fcntl(other, F_DUPFD, 40);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	cr_assert_eq(write(fds[1], "A", 1), 1);
	start(descriptors_job, &other, fds[0], &(WorkerLimits){ 5000000, 5000000, NULL });
	wait_ends(1);
	cr_assert_eq(ends[0], WORKER_DONE);
	cr_assert_eq(seen, 'A');
	cr_assert_not(other_open);
}
