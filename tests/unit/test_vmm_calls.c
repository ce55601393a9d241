/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/calls.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)

/* A door that work waits behind, and what went through it. */
typedef struct Scene {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	int n_inside, max_inside, n_entered, n_freed;
	char trace[256]; /* names in the order in which their work began */
	sd_event *event;
	Calls *calls;
	int n_done;
	char done_trace[256];
	int n_exhausted;
	char unstuck[64];
} Scene;

typedef struct Job {
	Scene *scene;
	char name;
	bool waits;
} Job;

static void job_work(void *data)
{
	Job *job = data;
	Scene *s = job->scene;
	size_t n;

	pthread_mutex_lock(&s->lock);
	s->n_entered++;
	if (++s->n_inside > s->max_inside)
		s->max_inside = s->n_inside;
	n = strlen(s->trace);
	if (n + 1 < sizeof(s->trace))
		s->trace[n] = job->name;
	pthread_cond_broadcast(&s->changed);
	while (job->waits && !s->open)
		pthread_cond_wait(&s->changed, &s->lock);
	s->n_inside--;
	pthread_mutex_unlock(&s->lock);
}

static void job_done(int r, bool started, void *data);

static void job_free(void *data)
{
	Job *job = data;
	Scene *s = job->scene;

	pthread_mutex_lock(&s->lock);
	s->n_freed++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	free(job);
}

static const CallType job_type = { .work = job_work, .done = job_done, .free = job_free };

static const CallType slow_type = {
	.work = job_work, .done = job_done, .free = job_free, .slow = true
};

static int add_of(Scene *s, const CallType *type, const char *key, char name, bool waits,
		  uint64_t timeout)
{
	Job *job = calloc(1, sizeof(*job));
	int r;

	job->scene = s;
	job->name = name;
	job->waits = waits;
	r = calls_add(s->calls, key, type, job, timeout);
	if (r < 0)
		free(job);
	return r;
}

static int add(Scene *s, const char *key, char name, bool waits, uint64_t timeout)
{
	return add_of(s, &job_type, key, name, waits, timeout);
}

static int add_slow(Scene *s, const char *key, char name, uint64_t timeout)
{
	return add_of(s, &slow_type, key, name, true, timeout);
}

static void job_done(int r, bool started, void *data)
{
	Job *job = data;
	Scene *s = job->scene;
	size_t n = strlen(s->done_trace);

	/* +: worked, t/T: timed out queued/running, u: unreachable, c: cancelled */
	if (n + 2 < sizeof(s->done_trace)) {
		s->done_trace[n] = job->name;
		s->done_trace[n + 1] = r == 0		    ? '+'
				       : r == -ETIMEDOUT    ? (started ? 'T' : 't')
				       : r == -EHOSTUNREACH ? 'u'
				       : r == -ECANCELED    ? 'c'
							    : '?';
	}
	s->n_done++;
	if (job->name == 'R')
		cr_expect_eq(add(s, "again", 'r', false, SECOND), r == -ECANCELED ? -ECANCELED : 0);
}

static void on_unstuck(const char *key, void *userdata)
{
	Scene *s = userdata;

	snprintf(s->unstuck, sizeof(s->unstuck), "%s", key);
}

static void on_exhausted(void *userdata)
{
	((Scene *)userdata)->n_exhausted++;
}

static void scene_init(Scene *s, unsigned n_slots)
{
	static const CallsHandlers handlers = { .unstuck = on_unstuck, .exhausted = on_exhausted };

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	cr_assert_eq(sd_event_new(&s->event), 0);
	cr_assert_eq(calls_new(&s->calls, s->event, "test", n_slots, &handlers, s), 0);
}

static void scene_end(Scene *s)
{
	calls_free(s->calls);
	sd_event_unref(s->event);
}

/* Runs the loop until so many answers have come in all. */
static void run_until(Scene *s, int n_done)
{
	while (s->n_done < n_done)
		cr_assert_geq(sd_event_run(s->event, 5 * SECOND), 1, "%d of %d answers", s->n_done,
			      n_done);
}

static void open_door(Scene *s)
{
	pthread_mutex_lock(&s->lock);
	s->open = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void wait_entered(Scene *s, int n)
{
	pthread_mutex_lock(&s->lock);
	while (s->n_entered < n)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

Test(vmm_calls, refuses)
{
	char longer[CALLS_MAX_KEY + 1] = "";
	Calls *none = NULL;
	Scene s;

	scene_init(&s, 1);
	cr_expect_eq(calls_new(&none, s.event, "x", 0, NULL, NULL), -EINVAL);
	cr_expect_eq(calls_new(&none, s.event, "x", CALLS_MAX_SLOTS + 1, NULL, NULL), -EINVAL);
	cr_expect_null(none);
	memset(longer, 'k', CALLS_MAX_KEY);
	cr_expect_eq(add(&s, longer, 'a', false, SECOND), -EINVAL);
	cr_expect_eq(s.n_done, 0);
	scene_end(&s);
	cr_expect_eq(s.n_freed, 0);
}

Test(vmm_calls, refuses_when_full)
{
	Scene s;

	scene_init(&s, 1);
	cr_expect_eq(add(&s, "k", 'a', true, CALLS_NO_DEADLINE), 0);
	for (unsigned i = 0; i < CALLS_MAX_QUEUED; i++)
		cr_assert_eq(add(&s, "k", 'b', false, CALLS_NO_DEADLINE), 0);
	cr_expect_eq(add(&s, "other", 'c', false, CALLS_NO_DEADLINE), -EAGAIN);
	open_door(&s);
	scene_end(&s);
	cr_expect_eq(s.n_done, CALLS_MAX_QUEUED + 1);
	cr_expect_eq(s.n_freed, CALLS_MAX_QUEUED + 1);
}

Test(vmm_calls, nothing_is_answered_while_adding)
{
	Scene s;

	scene_init(&s, 2);
	cr_expect_eq(add(&s, "k", 'a', false, SECOND), 0);
	wait_entered(&s, 1);
	cr_expect_eq(s.n_done, 0);
	run_until(&s, 1);
	cr_expect_str_eq(s.done_trace, "a+");
	scene_end(&s);
}

Test(vmm_calls, order_and_exclusion_within_a_key)
{
	Scene s;

	scene_init(&s, 4);
	for (char name = 'a'; name <= 'h'; name++)
		cr_assert_eq(add(&s, "k", name, name == 'a', SECOND), 0);
	wait_entered(&s, 1);
	open_door(&s);
	run_until(&s, 8);
	cr_expect_str_eq(s.trace, "abcdefgh");
	cr_expect_str_eq(s.done_trace, "a+b+c+d+e+f+g+h+");
	cr_expect_eq(s.max_inside, 1);
	scene_end(&s);
}

Test(vmm_calls, four_at_a_time)
{
	static const char *const keys[] = { "0", "1", "2", "3", "4", "5", "6", "7" };
	Scene s;

	scene_init(&s, 4);
	for (unsigned i = 0; i < ELEMENTSOF(keys); i++)
		cr_assert_eq(add(&s, keys[i], 'x', true, 5 * SECOND), 0);
	wait_entered(&s, 4);
	cr_expect_eq(s.n_inside, 4);
	open_door(&s);
	run_until(&s, 8);
	cr_expect_eq(s.max_inside, 4);
	scene_end(&s);
}

Test(vmm_calls, keys_take_turns)
{
	Scene s;

	scene_init(&s, 1);
	for (char name = 'a'; name <= 'e'; name++)
		cr_assert_eq(add(&s, "busy", name, name == 'a', SECOND), 0);
	cr_assert_eq(add(&s, "other", 'X', false, SECOND), 0);
	cr_assert_eq(add(&s, "third", 'Y', false, SECOND), 0);
	cr_assert_eq(add(&s, "other", 'Z', false, SECOND), 0);
	wait_entered(&s, 1);
	open_door(&s);
	run_until(&s, 8);
	cr_expect_str_eq(s.trace, "aXYbZcde");
	scene_end(&s);
}

/* Four that take long do not stop the others; and each comes when one of them is through. */
Test(vmm_calls, slow_ones_leave_slots_to_the_others)
{
	static const char *const keys[] = { "0", "1", "2", "3" };
	Scene s;

	scene_init(&s, 4);
	for (unsigned i = 0; i < ELEMENTSOF(keys); i++)
		cr_assert_eq(add_slow(&s, keys[i], (char)('A' + i), CALLS_NO_DEADLINE), 0);
	wait_entered(&s, 2);
	cr_assert_eq(add(&s, "3", 'd', false, CALLS_NO_DEADLINE), 0);
	for (char name = 'a'; name <= 'c'; name++)
		cr_assert_eq(add(&s, (char[]){ name, '\0' }, name, false, SECOND), 0);
	run_until(&s, 3);
	cr_expect_eq(s.n_inside, 2);
	cr_expect_eq(s.n_entered, 5, "%s", s.trace);
	cr_expect_null(strpbrk(s.trace, "CDd"), "%s", s.trace);
	open_door(&s);
	run_until(&s, 8);
	cr_expect_not_null(strchr(strchr(s.trace, 'D'), 'd'), "%s", s.trace);
	scene_end(&s);
}

Test(vmm_calls, slow_ones_get_one_slot_at_least)
{
	Scene s;

	scene_init(&s, 1);
	cr_assert_eq(add_slow(&s, "one", 'a', SECOND), 0);
	wait_entered(&s, 1);
	open_door(&s);
	run_until(&s, 1);
	cr_expect_str_eq(s.done_trace, "a+");
	scene_end(&s);
}

Test(vmm_calls, slow_ones_that_hang_are_written_off)
{
	Scene s;

	scene_init(&s, 4);
	cr_assert_eq(add_slow(&s, "one", 'a', 5 * MS), 0);
	cr_assert_eq(add_slow(&s, "two", 'b', 6 * MS), 0);
	wait_entered(&s, 2);
	cr_assert_eq(add_slow(&s, "three", 'c', CALLS_NO_DEADLINE), 0);
	cr_assert_eq(add_slow(&s, "four", 'd', 5 * MS), 0);
	run_until(&s, 3);
	cr_expect_not_null(strstr(s.done_trace, "dt"), "not begun: it does not count");
	cr_expect_eq(s.n_exhausted, 1);
	cr_expect_eq(s.n_entered, 2);
	cr_expect_eq(calls_write_off(s.calls), 0);
	wait_entered(&s, 3);
	open_door(&s);
	while (calls_n_stuck(s.calls) > 0 || s.n_done < 4)
		cr_assert_geq(sd_event_run(s.event, 5 * SECOND), 1);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(add_slow(&s, i ? "one" : "two", 'e', SECOND), 0);
	run_until(&s, 6);
	scene_end(&s);
	cr_expect_eq(s.n_freed, 6);
}

Test(vmm_calls, deadline_in_the_queue)
{
	Scene s;

	scene_init(&s, 1);
	cr_assert_eq(add(&s, "one", 'a', true, CALLS_NO_DEADLINE), 0);
	cr_assert_eq(add(&s, "two", 'b', false, 5 * MS), 0);
	run_until(&s, 1);
	cr_expect_str_eq(s.done_trace, "bt");
	cr_expect_not(calls_is_stuck(s.calls, "two"));
	cr_expect_eq(s.n_freed, 1);
	open_door(&s);
	run_until(&s, 2);
	cr_expect_str_eq(s.trace, "a");
	scene_end(&s);
}

Test(vmm_calls, stuck_key)
{
	Scene s;

	scene_init(&s, 2);
	cr_assert_eq(add(&s, "bad", 'a', true, 10 * MS), 0);
	cr_assert_eq(add(&s, "bad", 'b', false, SECOND), 0);
	cr_assert_eq(add(&s, "bad", 'c', false, SECOND), 0);
	run_until(&s, 3);
	cr_expect_str_eq(s.done_trace, "aTbucu");
	cr_expect(calls_is_stuck(s.calls, "bad"));
	cr_expect_eq(calls_n_stuck(s.calls), 1);
	cr_expect_eq(add(&s, "bad", 'd', false, SECOND), -EHOSTUNREACH);
	cr_expect_eq(s.n_freed, 2, "work still runs on a");

	cr_assert_eq(add(&s, "good", 'e', false, SECOND), 0);
	run_until(&s, 4);
	cr_expect_eq(s.n_exhausted, 0);

	open_door(&s);
	while (!s.unstuck[0])
		cr_assert_geq(sd_event_run(s.event, 5 * SECOND), 1);
	cr_expect_str_eq(s.unstuck, "bad");
	cr_expect_not(calls_is_stuck(s.calls, "bad"));
	cr_expect_eq(s.n_done, 4, "the late return is not answered again");
	cr_assert_eq(add(&s, "bad", 'f', false, SECOND), 0);
	run_until(&s, 5);
	cr_expect_str_eq(s.done_trace, "aTbucue+f+");
	scene_end(&s);
}

Test(vmm_calls, exhausted_and_written_off)
{
	Scene s;

	scene_init(&s, 2);
	cr_assert_eq(add(&s, "one", 'a', true, 5 * MS), 0);
	cr_assert_eq(add(&s, "two", 'b', true, 6 * MS), 0);
	wait_entered(&s, 2);
	cr_assert_eq(add(&s, "three", 'c', false, CALLS_NO_DEADLINE), 0);
	run_until(&s, 2);
	cr_expect_eq(s.n_exhausted, 1);
	cr_expect_eq(s.n_entered, 2);

	cr_expect_eq(calls_write_off(s.calls), 0);
	run_until(&s, 3);
	cr_expect_eq(calls_n_stuck(s.calls), 2, "written off, but still stuck");
	cr_expect_eq(add(&s, "one", 'd', false, SECOND), -EHOSTUNREACH);

	open_door(&s);
	while (calls_n_stuck(s.calls) > 0)
		cr_assert_geq(sd_event_run(s.event, 5 * SECOND), 1);
	cr_assert_eq(add(&s, "one", 'e', false, SECOND), 0);
	cr_assert_eq(add(&s, "two", 'f', false, SECOND), 0);
	run_until(&s, 5);
	scene_end(&s);
	cr_expect_eq(s.n_freed, 5);
}

Test(vmm_calls, answers_may_add)
{
	Scene s;

	scene_init(&s, 1);
	cr_assert_eq(add(&s, "k", 'R', false, SECOND), 0);
	run_until(&s, 2);
	cr_expect_str_eq(s.done_trace, "R+r+");
	scene_end(&s);
}

Test(vmm_calls, free_waits_for_work_that_returns)
{
	Scene s;

	scene_init(&s, 1);
	cr_assert_eq(add(&s, "one", 'a', false, SECOND), 0);
	wait_entered(&s, 1);
	cr_assert_eq(add(&s, "one", 'b', false, SECOND), 0);
	cr_assert_eq(add(&s, "two", 'R', false, SECOND), 0);
	s.calls = calls_free_wait(s.calls, 5 * SECOND);
	cr_expect_null(s.calls);
	cr_expect_eq(s.n_done, 3);
	cr_expect_eq(s.n_freed, 3);
	cr_expect_str_eq(s.trace, "a");
	scene_end(&s);
}

Test(vmm_calls, free_leaves_hanging_work_behind)
{
	Scene s;

	scene_init(&s, 2);
	cr_assert_eq(add(&s, "one", 'a', true, SECOND), 0);
	cr_assert_eq(add(&s, "one", 'b', false, SECOND), 0);
	wait_entered(&s, 1);
	s.calls = calls_free_wait(s.calls, 5 * MS);
	cr_expect_eq(s.n_done, 2);
	cr_expect_eq(s.n_freed, 1, "b, not a: its work still runs");

	open_door(&s);
	pthread_mutex_lock(&s.lock);
	while (s.n_freed < 2)
		pthread_cond_wait(&s.changed, &s.lock);
	pthread_mutex_unlock(&s.lock);
	scene_end(&s);
}

Test(vmm_calls, free_of_a_stuck_call)
{
	Scene s;

	scene_init(&s, 1);
	cr_assert_eq(add(&s, "one", 'a', true, 5 * MS), 0);
	run_until(&s, 1);
	open_door(&s);
	s.calls = calls_free_wait(s.calls, 5 * SECOND);
	cr_expect_str_eq(s.done_trace, "aT");
	cr_expect_eq(s.n_freed, 1);
	scene_end(&s);
}
