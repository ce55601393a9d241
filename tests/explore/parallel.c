/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parallel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Job {
	FILE *output;
	pid_t process; /* 0: not begun, -1: over */
} Job;

static bool start(Job *one, size_t i, int (*job)(size_t i, FILE *to, void *userdata),
		  void *userdata)
{
	one->output = tmpfile();
	if (!one->output)
		return false;
	fflush(stdout);
	one->process = fork();
	if (one->process == 0) {
		int r = job(i, one->output, userdata);

		_exit(fflush(one->output) == 0 ? r : 2);
	}
	return one->process > 0;
}

static void show(Job *one)
{
	char buffer[4096];
	size_t n;

	rewind(one->output);
	while ((n = fread(buffer, 1, sizeof(buffer), one->output)) > 0)
		fwrite(buffer, 1, n, stdout);
	fclose(one->output);
	fflush(stdout);
}

/* False when it did not end well, or there was none. */
static bool wait_for_one(Job *jobs, size_t n)
{
	int status;
	pid_t process = wait(&status);

	for (size_t i = 0; i < n; i++)
		if (process > 0 && jobs[i].process == process)
			jobs[i].process = -1;
	return process > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool parallel_run(size_t n, int (*job)(size_t i, FILE *to, void *userdata), void *userdata)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t begun = 0, running = 0, shown = 0;
	Job *jobs = calloc(n, sizeof(*jobs));
	bool well = jobs != NULL;

	while (jobs && shown < n) {
		if (begun < n && running < (size_t)(processors > 0 ? processors : 1)) {
			if (!start(&jobs[begun], begun, job, userdata)) {
				well = false;
				break;
			}
			begun++;
			running++;
			continue;
		}
		well &= wait_for_one(jobs, n);
		running--;
		for (; shown < begun && jobs[shown].process < 0; shown++)
			show(&jobs[shown]);
	}
	for (; running > 0; running--)
		wait_for_one(jobs, n);
	free(jobs);
	return well;
}

void *parallel_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}
