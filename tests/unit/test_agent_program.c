/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Real children: ones that answer, and all the ways in which one does not. */
#include "agent/child-log.h"
#include "agent/program.h"
#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PATIENCE (20 * USEC_PER_SEC)

static struct {
	Loop *loop;
	Program *program;
	char folder[64];
	unsigned int ended;
	ProgramEnd end;
	int value;
	char output[65536];
	size_t size;
	bool timed_out;
} bed;

static void setup(void)
{
	/* As tdi-agent does: none of it is the program's. */
	sigset_t blocked;

	memset(&bed, 0, sizeof(bed));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	cr_assert_eq(loop_new(&bed.loop), 0);
	cr_assert(scratch_folder(bed.folder, sizeof(bed.folder), NULL));
}

static void done(void)
{
	char command[128];

	if (bed.program)
		bed.program = program_free(bed.program);
	loop_free(bed.loop);
	snprintf(command, sizeof(command), "rm -rf %s", bed.folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(agent_program, .init = setup, .fini = done, .timeout = 60);

static void on_ended(void *userdata, const ProgramResult *result)
{
	bed.ended++;
	bed.end = result->end;
	bed.value = result->value;
	bed.size = result->output_size;
	cr_assert_eq(result->output[result->output_size], '\0');
	memcpy(bed.output, result->output,
	       bed.size < sizeof(bed.output) ? bed.size + 1 : sizeof(bed.output));
	bed.program = program_free(bed.program);
}

static int start_with(char *const *arguments, const void *input, size_t size, size_t max,
		      uint64_t usec)
{
	const ProgramOptions options = { .title = "test",
					 .arguments = arguments,
					 .input = input,
					 .input_size = size,
					 .output_max = max,
					 .time_usec = usec,
					 .ended = on_ended };
	int r;

	bed.ended = 0;
	r = program_new(&bed.program, bed.loop, &options);
	cr_assert_eq(bed.ended, 0, "called from within");
	return r;
}

static void start(char *const *arguments, uint64_t usec)
{
	cr_assert_eq(start_with(arguments, "question", 8, 1000, usec), 0);
}

static void start_shell(const char *script, uint64_t usec)
{
	start((char *[]){ (char *)"/bin/sh", (char *)"-c", (char *)script, bed.folder, NULL },
	      usec);
}

static void on_guard(void *userdata)
{
	bed.timed_out = true;
}

/* Turns the loop until it has ended, or for so long if until is NULL. */
static void turn(const unsigned int *until, uint64_t usec)
{
	LoopTimer guard;

	loop_timer_init(bed.loop, &guard, on_guard, NULL);
	loop_timer_set(&guard, usec);
	bed.timed_out = false;
	while (!bed.timed_out && !(until && *until))
		cr_assert_eq(loop_turn(bed.loop), 0);
	loop_timer_off(&guard);
	cr_assert(!until || *until, "it does not end");
}

static void ends(ProgramEnd end, int value)
{
	turn(&bed.ended, PATIENCE);
	cr_assert_eq(bed.ended, 1);
	cr_assert_eq(bed.end, end, "ended by %d, value %d", bed.end, bed.value);
	cr_assert_eq(bed.value, value, "value %d", bed.value);
}

static void shell(const char *script, ProgramEnd end, int value)
{
	start_shell(script, PATIENCE);
	ends(end, value);
}

/* No child is left, reaped or not. */
static void none_left(void)
{
	siginfo_t info;
	int r;

	for (unsigned int i = 0; i < 1000; i++) {
		r = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
		if (r < 0)
			break;
		turn(NULL, 5 * USEC_PER_MS);
	}
	cr_assert(r < 0 && errno == ECHILD, "a child is left");
}

/* A process that is none of our children. Zombies count as gone. */
static bool is_gone(pid_t pid)
{
	char path[64], text[256] = "";
	const char *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return true;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	state = strrchr(text, ')');
	return !state || state[2] == 'Z' || state[2] == 'X';
}

static void wait_gone(pid_t pid)
{
	cr_assert_gt(pid, 1);
	for (unsigned int i = 0; i < 1000 && !is_gone(pid); i++)
		turn(NULL, 5 * USEC_PER_MS);
	cr_assert(is_gone(pid), "process %d is still there", pid);
}

/* The number that a child has written to a file of ours. */
static int file_number(const char *name)
{
	char path[128], text[32] = "";

	snprintf(path, sizeof(path), "%s/%s", bed.folder, name);
	for (unsigned int i = 0; i < 10000 && !strchr(text, '\n'); i++) {
		int fd = open(path, O_RDONLY);

		if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		if (fd >= 0)
			close(fd);
		turn(NULL, 2 * USEC_PER_MS);
	}
	return atoi(text);
}

/* --- that does not answer --- */

Test(agent_program, missing)
{
	start((char *[]){ (char *)"/nowhere/at/all", NULL }, PATIENCE);
	ends(PROGRAM_NOT_STARTED, ENOENT);
	none_left();
}

Test(agent_program, not_executable)
{
	start((char *[]){ (char *)"/etc/passwd", NULL }, PATIENCE);
	ends(PROGRAM_NOT_STARTED, EACCES);
	start((char *[]){ bed.folder, NULL }, PATIENCE);
	ends(PROGRAM_NOT_STARTED, EACCES);
}

Test(agent_program, without_its_interpreter)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/program", bed.folder);
	file = fopen(path, "w");
	fputs("#!/nowhere/sh\n", file);
	fclose(file);
	chmod(path, 0755);
	start((char *[]){ path, NULL }, PATIENCE);
	ends(PROGRAM_NOT_STARTED, ENOENT);
}

Test(agent_program, exit_status)
{
	shell("echo yes; exit 1", PROGRAM_EXITED, 1);
	cr_assert_str_eq(bed.output, "yes\n");
	shell("exit 127", PROGRAM_EXITED, 127);
	none_left();
}

Test(agent_program, ended_by_a_signal)
{
	shell("echo yes; kill -SEGV $$", PROGRAM_SIGNALLED, SIGSEGV);
	shell("kill -TERM $$", PROGRAM_SIGNALLED, SIGTERM);
	shell("kill -KILL $$", PROGRAM_SIGNALLED, SIGKILL);
	none_left();
}

/* Long enough for a shell to begin on a busy machine. */
#define SHORT (1500 * USEC_PER_MS)

static void late(const char *script)
{
	uint64_t begin = loop_now();

	start_shell(script, SHORT);
	ends(PROGRAM_LATE, 0);
	cr_assert_geq(loop_now() - begin, SHORT);
	cr_assert_lt(loop_now() - begin, PATIENCE);
}

Test(agent_program, hangs)
{
	late("echo $$ >$0/pid; echo yes; exec sleep 1000");
	wait_gone(file_number("pid"));
	none_left();
}

Test(agent_program, hangs_deaf)
{
	late("trap '' TERM INT HUP; echo $$ >$0/pid; while :; do :; done");
	wait_gone(file_number("pid"));
}

Test(agent_program, hangs_with_children)
{
	late("sleep 1000 & echo $! >$0/pid; wait");
	wait_gone(file_number("pid"));
	none_left();
}

Test(agent_program, closes_its_output_and_hangs)
{
	late("exec >&- 2>&- <&-; exec sleep 1000");
}

Test(agent_program, floods)
{
	shell("exec yes", PROGRAM_FLOOD, EFBIG);
	cr_assert_gt(bed.size, 1000);
	none_left();
	/* Also one that is gone by the time that we look. */
	shell("head -c 1001 /dev/zero", PROGRAM_FLOOD, EFBIG);
	shell("head -c 1000 /dev/zero", PROGRAM_EXITED, 0);
	cr_assert_eq(bed.size, 1000);
}

/* --- that leaves something behind --- */

Test(agent_program, leaves_a_child_that_holds_its_output)
{
	shell("sleep 1000 & echo $! >$0/pid; echo yes", PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "yes\n");
	wait_gone(file_number("pid"));
	none_left();
}

Test(agent_program, freed_while_it_runs)
{
	start_shell("echo $$ >$0/pid; sleep 1000; echo yes", PATIENCE);
	file_number("pid");
	bed.program = program_free(bed.program);
	wait_gone(file_number("pid"));
	none_left();
	cr_assert_eq(bed.ended, 0);
}

Test(agent_program, freed_at_once)
{
	for (unsigned int i = 0; i < 20; i++) {
		start_shell("sleep 1000", PATIENCE);
		bed.program = program_free(bed.program);
	}
	none_left();
	cr_assert_eq(bed.ended, 0);
}

Test(agent_program, freed_and_the_loop_with_it)
{
	start_shell("sleep 1000", PATIENCE);
	bed.program = program_free(bed.program);
	loop_free(bed.loop);
	cr_assert_eq(loop_new(&bed.loop), 0);
}

/* Whoever started it dies without a word. */
Test(agent_program, orphaned)
{
	int pid, status;
	pid_t starter;

	/* Orphans become ours: only so can be seen how they end. */
	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	starter = fork();
	if (starter == 0) {
		/* The timer of the first one is shared. */
		cr_assert_eq(loop_new(&bed.loop), 0);
		start_shell("echo $$ >$0/pid; exec sleep 1000", PATIENCE);
		for (;;)
			loop_turn(bed.loop);
	}
	pid = file_number("pid");
	cr_assert_gt(pid, 1);
	cr_assert_eq(kill(starter, SIGKILL), 0);
	cr_assert_eq(waitpid(starter, &status, 0), starter);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* --- what it is given --- */

Test(agent_program, not_what_is_ours)
{
	int leak = open("/dev/null", O_RDWR); /* without O_CLOEXEC */

	setenv("TDID_SECRET", "x", 1);
	start((char *[]){ (char *)"/usr/bin/env", NULL }, PATIENCE);
	ends(PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLANG=C.UTF-8\n");
	/* The last one is the folder that it lists. */
	start((char *[]){ (char *)"/bin/ls", (char *)"/proc/self/fd", NULL }, PATIENCE);
	ends(PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "0\n1\n2\n3\n");
	start((char *[]){ (char *)"/bin/grep", (char *)"-E", (char *)"Sig(Blk|Ign|Cgt)",
			  (char *)"/proc/self/status", NULL },
	      PATIENCE);
	ends(PROGRAM_EXITED, 0);
	cr_assert_not_null(strstr(bed.output, "SigBlk:\t0000000000000000\n"), "%s", bed.output);
	cr_assert_not_null(strstr(bed.output, "SigIgn:\t0000000000000000\n"), "%s", bed.output);
	/* Its process group, the fifth field, is its own. */
	shell("pwd; read -r a b c d e f </proc/$$/stat; [ $e = $$ ] && echo own", PROGRAM_EXITED,
	      0);
	cr_assert_str_eq(bed.output, "/\nown\n");
	close(leak);
}

/* Neither splits nor expands anything. */
Test(agent_program, arguments_as_they_are)
{
	start((char *[]){ (char *)"/bin/echo", (char *)"a b", (char *)"$HOME;`id`", (char *)"*",
			  (char *)"", NULL },
	      PATIENCE);
	ends(PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "a b $HOME;`id` * \n");
}

Test(agent_program, input_arrives_whole)
{
	_cleanup_free_ char *input = malloc(1000000);

	for (unsigned int i = 0; i < 1000000; i++)
		input[i] = (char)('a' + i % 26);
	start_shell("exec cat", PATIENCE);
	ends(PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "question");
	cr_assert_eq(start_with((char *[]){ (char *)"/usr/bin/wc", (char *)"-c", NULL }, input,
				1000000, 100, PATIENCE),
		     0);
	ends(PROGRAM_EXITED, 0);
	cr_assert_str_eq(bed.output, "1000000\n");
	/* Both pipes are full at the same time. */
	cr_assert_eq(start_with((char *[]){ (char *)"/bin/cat", NULL }, input, 1000000, 1000000,
				PATIENCE),
		     0);
	ends(PROGRAM_EXITED, 0);
	cr_assert_eq(bed.size, 1000000);
	cr_assert_arr_eq(bed.output, input, sizeof(bed.output));
	/* Not read at all. */
	cr_assert_eq(
		start_with((char *[]){ (char *)"/bin/true", NULL }, input, 1000000, 100, PATIENCE),
		0);
	ends(PROGRAM_EXITED, 0);
	cr_assert_eq(bed.size, 0);
}

/* --- what it says on standard error --- */

/* What is logged until *saved is given to log_caught(). */
static int log_catch(void)
{
	char path[128];
	int saved = dup(STDERR_FILENO), fd;

	snprintf(path, sizeof(path), "%s/log", bed.folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return saved;
}

static char *log_caught(int saved)
{
	char *text = calloc(1, 65536);

	cr_assert_gt(pread(STDERR_FILENO, text, 65535, 0), 0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	return text;
}

Test(agent_program, log_lines)
{
	_cleanup_free_ char *log = NULL;
	int saved = log_catch();

	shell("printf 'one\\ntwo\\033[1m\\n\\nlast' >&2; echo yes", PROGRAM_EXITED, 0);
	log = log_caught(saved);
	cr_assert_not_null(strstr(log, "test: one\n"), "%s", log);
	cr_assert_not_null(strstr(log, "test: two\\x1b[1m\n"), "%s", log);
	cr_assert_not_null(strstr(log, "test: last\n"), "%s", log);
	cr_assert_str_eq(bed.output, "yes\n");
}

Test(agent_program, log_flood)
{
	_cleanup_free_ char *log = NULL;
	int saved = log_catch();

	/* It is not held up by that either. */
	shell("head -c 3000000 /dev/zero >&2; i=0; while [ $i -lt 20000 ]; do echo line; "
	      "i=$((i+1)); done >&2; echo yes",
	      PROGRAM_EXITED, 0);
	log = log_caught(saved);
	cr_assert_str_eq(bed.output, "yes\n");
	cr_assert_not_null(strstr(log, "is left out"), "%s", log);
	cr_assert_lt(strlen(log), 2 * CHILD_LOG_MAX);
}

Test(agent_program, log_line_cut_between_characters)
{
	ChildLog log;
	_cleanup_free_ char *text = NULL;
	char line[CHILD_LOG_LINE_MAX + 8];
	int saved = log_catch();

	child_log_init(&log, "test");
	memset(line, 'x', sizeof(line));
	/* Its second byte is the first that has no room. */
	memcpy(line + CHILD_LOG_LINE_MAX - 1, "\u00e4", 2);
	child_log_add(&log, line, sizeof(line));
	child_log_add(&log, "more\nnext\n", 10);
	child_log_end(&log);
	text = log_caught(saved);
	cr_assert_not_null(strstr(text, "xxx...\n"), "%s", text);
	cr_assert_null(strstr(text, "\xc3"));
	cr_assert_null(strstr(text, "more"));
	cr_assert_not_null(strstr(text, "test: next\n"));
}
