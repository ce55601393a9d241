/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *   running --exit, signal--> EXITED, SIGNALLED, NOT_STARTED
 *           --time over, too much output--> killed: LATE, FLOOD
 *
 * The pidfd says that it has ended, not the end of its output: that may be held open by whatever it
 * has started. What it wrote before its end is in the pipe by then and is read first. Its process
 * group is killed while its first process is not reaped yet, since until then nobody else can have
 * the number.
 *
 * If this process dies the kernel kills the program (PR_SET_PDEATHSIG). What the program itself has
 * started is the program's affair then, or that of the service manager's control group.
 */
#include "agent/program.h"

#include "agent/child-log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHUNK 16384u

/* The pipes, by the descriptor that the child has them as. */
enum {
	PIPE_INPUT,
	PIPE_OUTPUT,
	PIPE_LOG,
	PIPE_ERRNO, /* closed by a successful execve */
	N_PIPES,
};

struct Program {
	Loop *loop;
	ChildLog log;
	void (*ended)(void *userdata, const ProgramResult *result);
	void *userdata;

	pid_t pid; /* 0: none, or reaped */
	int pid_fd;
	int fds[N_PIPES]; /* our ends */
	LoopFd sources[N_PIPES - 1], end_source;
	LoopTimer deadline;

	char *input;
	size_t input_size, input_used;
	char *output;
	size_t output_size, output_max;
};

static void program_close(Program *program, unsigned int pipe)
{
	if (pipe < PIPE_ERRNO)
		loop_fd_off(&program->sources[pipe]);
	if (program->fds[pipe] >= 0)
		close(steal_fd(&program->fds[pipe]));
}

static void program_kill(Program *program)
{
	if (program->pid <= 0)
		return;
	kill(-program->pid, SIGKILL);
	kill(program->pid, SIGKILL);
}

/* Nothing is heard of it any more. */
static void program_stop(Program *program)
{
	loop_timer_off(&program->deadline);
	loop_fd_off(&program->end_source);
	program_kill(program);
	for (unsigned int i = 0; i < N_PIPES; i++)
		program_close(program, i);
	if (program->pid > 0 && program->pid_fd >= 0)
		loop_bury(program->loop, steal_fd(&program->pid_fd));
	else if (program->pid > 0)
		waitpid(program->pid, NULL, WNOHANG);
	program->pid = 0;
}

static void program_end(Program *program, ProgramEnd end, int value)
{
	ProgramResult result = { .end = end, .value = value, .output_size = program->output_size };

	program_stop(program);
	child_log_end(&program->log);
	program->output[program->output_size] = '\0';
	result.output = program->output;
	/* The handler may free the program. */
	program->ended(program->userdata, &result);
}

/* --- what comes and goes --- */

static void on_input(void *userdata, short revents)
{
	Program *program = userdata;
	ssize_t n = write(program->fds[PIPE_INPUT], program->input + program->input_used,
			  program->input_size - program->input_used);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		program->input_used += (size_t)n;
	/* One that does not want to read on is not to blame. */
	if (n < 0 || program->input_used == program->input_size)
		program_close(program, PIPE_INPUT);
}

/* 1: there was something; 0: nothing yet, or nothing any more; -EFBIG; negative errno. */
static int output_take(Program *program)
{
	/* One byte more than allowed tells that there is too much. */
	ssize_t n = read(program->fds[PIPE_OUTPUT], program->output + program->output_size,
			 program->output_max + 1 - program->output_size);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		program_close(program, PIPE_OUTPUT);
	program->output_size += (size_t)n;
	if (program->output_size > program->output_max)
		return -EFBIG;
	return n > 0;
}

static void output_refuse(Program *program, int error)
{
	program_end(program, error == -EFBIG ? PROGRAM_FLOOD : PROGRAM_LOST, -error);
}

static void on_output(void *userdata, short revents)
{
	Program *program = userdata;
	int r = output_take(program);

	if (r < 0)
		output_refuse(program, r);
}

static bool log_take(Program *program)
{
	char chunk[CHUNK];
	ssize_t n = read(program->fds[PIPE_LOG], chunk, sizeof(chunk));

	if (n > 0)
		child_log_add(&program->log, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		program_close(program, PIPE_LOG);
	return n > 0;
}

static void on_log(void *userdata, short revents)
{
	log_take(userdata);
}

/* --- its end --- */

/* The errno of an execve that failed, or 0. */
static int start_error(const Program *program)
{
	int error = 0;

	return read(program->fds[PIPE_ERRNO], &error, sizeof(error)) == sizeof(error) ? error : 0;
}

static void on_end(void *userdata, short revents)
{
	Program *program = userdata;
	siginfo_t info = { 0 };
	int r = 0, error;

	/* Without reaping: its number is still needed. */
	if (waitid(P_PIDFD, (id_t)program->pid_fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
		program_end(program, PROGRAM_LOST, errno);
		return;
	}
	if (info.si_pid == 0)
		return;
	/* Nobody else fills the pipes from here on. */
	program_kill(program);
	while (program->fds[PIPE_OUTPUT] >= 0 && (r = output_take(program)) > 0)
		;
	/* Of a pipe that others refill no more than it holds. */
	for (unsigned int i = 0; i < CHILD_LOG_MAX / CHUNK + 1 && program->fds[PIPE_LOG] >= 0; i++)
		if (!log_take(program))
			break;
	if (r < 0) {
		output_refuse(program, r);
		return;
	}
	error = start_error(program);
	if (error)
		program_end(program, PROGRAM_NOT_STARTED, error);
	else if (info.si_code == CLD_EXITED)
		program_end(program, PROGRAM_EXITED, info.si_status);
	else
		program_end(program, PROGRAM_SIGNALLED, info.si_status);
}

static void on_deadline(void *userdata)
{
	program_end(userdata, PROGRAM_LATE, 0);
}

/* --- its start --- */

static void signals_reset(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The pipes become 0 to 3, and nothing else stays open. */
static int descriptors_take(int fds[static N_PIPES])
{
	/* Out of each other's way first. */
	for (int i = 0; i < N_PIPES; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, N_PIPES);
		if (fds[i] < 0)
			return -errno;
	}
	for (int i = 0; i < N_PIPES; i++) {
		if (dup3(fds[i], i, i == PIPE_ERRNO ? O_CLOEXEC : 0) < 0)
			return -errno;
		fds[i] = i;
	}
	return syscall(SYS_close_range, N_PIPES, ~0U, 0) < 0 ? -errno : 0;
}

/* Only what may be done between fork and exec in any process. */
_Noreturn static void child(char *const *arguments, int fds[static N_PIPES], pid_t parent)
{
	static char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
					     (char *)"LANG=C.UTF-8", NULL };
	int error;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signals_reset();
	error = -descriptors_take(fds);
	if (error == 0 && chdir("/") < 0)
		error = errno;
	if (error == 0) {
		execve(arguments[0], arguments, environment);
		error = errno;
	}
	(void)!write(fds[PIPE_ERRNO], &error, sizeof(error));
	_exit(127);
}

static int pipes_make(Program *program, int theirs[static N_PIPES])
{
	for (unsigned int i = 0; i < N_PIPES; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		theirs[i] = ends[i == PIPE_INPUT ? 0 : 1];
		program->fds[i] = ends[i == PIPE_INPUT ? 1 : 0];
		if (fcntl(program->fds[i], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int program_start(Program *program, char *const *arguments)
{
	int theirs[N_PIPES] = { -1, -1, -1, -1 };
	pid_t parent = getpid();
	int r;

	r = pipes_make(program, theirs);
	if (r == 0) {
		program->pid = fork();
		if (program->pid < 0)
			r = -errno;
		if (program->pid == 0)
			child(arguments, theirs, parent);
	}
	for (unsigned int i = 0; i < N_PIPES; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	if (r < 0)
		return r;
	/* Whoever comes first: the group has to be there before it can be killed. */
	setpgid(program->pid, program->pid);
	program->pid_fd = (int)syscall(SYS_pidfd_open, program->pid, 0);
	return program->pid_fd < 0 ? -errno : 0;
}

static int program_watch(Program *program)
{
	static void (*const handlers[])(void *userdata, short revents) = {
		[PIPE_INPUT] = on_input,
		[PIPE_OUTPUT] = on_output,
		[PIPE_LOG] = on_log,
	};
	int r = loop_fd_on(program->loop, &program->end_source, program->pid_fd, POLLIN, on_end,
			   program);

	for (unsigned int i = 0; r == 0 && i < ELEMENTSOF(handlers); i++)
		r = loop_fd_on(program->loop, &program->sources[i], program->fds[i],
			       i == PIPE_INPUT ? POLLOUT : POLLIN, handlers[i], program);
	return r;
}

_Static_assert(PROGRAM_FDS == N_PIPES - 1 + 1, "what program_watch() takes");

int program_new(Program **ret, Loop *loop, const ProgramOptions *options)
{
	_cleanup_(program_freep) Program *program = calloc(1, sizeof(*program));
	int r;

	if (!program)
		return -ENOMEM;
	program->loop = loop;
	program->pid_fd = -1;
	for (unsigned int i = 0; i < N_PIPES; i++)
		program->fds[i] = -1;
	program->ended = options->ended;
	program->userdata = options->userdata;
	program->output_max = options->output_max;
	child_log_init(&program->log, options->title);
	loop_timer_init(loop, &program->deadline, on_deadline, program);
	program->input = malloc(options->input_size + 1);
	program->output = malloc(options->output_max + 2);
	if (!program->input || !program->output)
		return -ENOMEM;
	memcpy(program->input, options->input, options->input_size);
	program->input_size = options->input_size;
	r = program_start(program, options->arguments);
	if (r == 0)
		r = program_watch(program);
	if (r < 0)
		return r;
	loop_timer_set(&program->deadline, options->time_usec);
	*ret = steal_ptr(program);
	return 0;
}

Program *program_free(Program *program)
{
	program_stop(program);
	free(program->input);
	free(program->output);
	free(program);
	return NULL;
}
