/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that take jobs; test_vmm_calls.c has what becomes of many, in order and with limits. */
#include "vmm/workers.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000)

typedef struct Errand {
	Job job;
	bool waits;
} Errand;

static sd_event *event;
static Workers *workers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool open_door;
static unsigned n_worked, n_returned, n_freed;

static void work(Job *job)
{
	Errand *errand = (Errand *)job;

	pthread_mutex_lock(&lock);
	n_worked++;
	while (errand->waits && !open_door)
		pthread_cond_wait(&opened, &lock);
	pthread_mutex_unlock(&lock);
}

static void returned(Job *job, void *userdata)
{
	cr_assert_eq(userdata, &event);
	n_returned++;
	free(job);
}

static void free_job(Job *job)
{
	pthread_mutex_lock(&lock);
	n_freed++;
	pthread_mutex_unlock(&lock);
	free(job);
}

static const JobType type = { .work = work, .returned = returned, .free = free_job };

static void open_it(void)
{
	pthread_mutex_lock(&lock);
	open_door = true;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&lock);
}

static unsigned read_count(const unsigned *count)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = *count;
	pthread_mutex_unlock(&lock);
	return n;
}

static Errand *run(bool waits)
{
	Errand *errand = calloc(1, sizeof(*errand));

	errand->waits = waits;
	workers_run(workers, &errand->job);
	return errand;
}

static void until_returned(unsigned n)
{
	for (int i = 0; n_returned < n && i < 100; i++)
		cr_assert_geq(sd_event_run(event, SECOND / 10), 0);
	cr_assert_eq(n_returned, n);
}

static void until_worked(unsigned n)
{
	for (int i = 0; read_count(&n_worked) < n && i < 1000; i++)
		usleep(10000);
	cr_assert_eq(read_count(&n_worked), n);
}

static void set_up(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(workers_new(&workers, event, "test", 1, &type, &event), 0);
}

static void tear_down(void)
{
	open_it();
	workers = workers_free_wait(workers, 5 * SECOND);
	sd_event_unref(event);
}

TestSuite(vmm_workers, .init = set_up, .fini = tear_down);

Test(vmm_workers, returns_on_the_loops_thread)
{
	for (int i = 0; i < 20; i++)
		run(false);
	cr_assert_eq(n_returned, 0, "not before the loop runs");
	until_returned(20);
	cr_assert_eq(n_freed, 0);
}

Test(vmm_workers, one_that_is_written_off_has_a_substitute)
{
	Errand *stuck = run(true);

	until_worked(1);
	cr_assert_eq(workers_write_off(workers, &stuck->job), 1);
	cr_assert_eq(workers_write_off(workers, &stuck->job), 0, "that has been done");
	run(false);
	until_returned(1);
	/* What returns after all is delivered. */
	open_it();
	until_returned(2);
}

Test(vmm_workers, ends_with_one_that_hangs_and_one_that_waits)
{
	run(true);
	until_worked(1);
	run(false);
	workers = workers_free_wait(workers, SECOND / 100);
	cr_assert_eq(n_returned, 0);
	cr_assert_eq(read_count(&n_freed), 1, "what nobody had begun");
	open_it();
	for (int i = 0; read_count(&n_freed) < 2 && i < 1000; i++)
		usleep(10000);
	cr_assert_eq(read_count(&n_freed), 2, "and, by its worker, what was left behind");
}
