/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-hook HOOK NOTHING XML [N]: the hook on a domain without markers against a program that
 * reads as much and exits, in turn, as libvirt calls it. Medians and their ratio.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double run(const char *program, const char *xml)
{
	const char *argv[] = { program, "bench", "prepare", "begin", "-", NULL };
	posix_spawn_file_actions_t actions;
	double began = now();
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, xml, O_RDONLY, 0);
	if (posix_spawn(&pid, program, &actions, NULL, (char **)argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "bench-hook: %s: %s\n", program,
			status > 0 ? "failed" : strerror(errno));
		exit(1);
	}
	posix_spawn_file_actions_destroy(&actions);
	return now() - began;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[n / 2];
}

int main(int argc, char **argv)
{
	size_t n = argc > 4 ? strtoul(argv[4], NULL, 10) : 1000;
	double *hook = calloc(n + 1, sizeof(*hook)), *nothing = calloc(n + 1, sizeof(*nothing));

	if (argc < 4 || n == 0 || !hook || !nothing) {
		fputs("Usage: bench-hook HOOK NOTHING XML [N]\n", stderr);
		return 2;
	}
	run(argv[1], argv[3]);
	run(argv[2], argv[3]);
	for (size_t i = 0; i < n; i++) {
		hook[i] = run(argv[1], argv[3]);
		nothing[i] = run(argv[2], argv[3]);
	}
	printf("hook: on an unmarked domain %.0f us, a program that reads and exits %.0f us "
	       "(medians of %zu): %.2f, limit 1.2\n",
	       median(hook, n), median(nothing, n), n, median(hook, n) / median(nothing, n));
	free(hook);
	free(nothing);
	return 0;
}
