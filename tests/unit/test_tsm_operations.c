/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/operations.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static sd_event *event;
static Operations *operations;
static char ran[512]; /* ids of what was run, in order */

typedef struct Work {
	const char *name;
	uint64_t usec;
	bool fails;
} Work;

typedef struct Heard {
	char progress[64];
	char error[32];
	int number;
	unsigned int n_done;
} Heard;

static unsigned int n_freed, n_run;

static void set_up(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(operations_new(&operations, event), 0);
}

static void tear_down(void)
{
	operations_free(operations);
	sd_event_unref(event);
}

static uint64_t on_start(void *userdata)
{
	return ((Work *)userdata)->usec;
}

static void on_run(void *userdata, OperationOutcome *ret)
{
	const Work *work = userdata;

	strcat(ran, work->name);
	n_run++;
	if (work->fails)
		ret->error = strdup("Refused");
	json_build(&ret->parameters, J_INT("number", n_run));
}

static void on_free(void *userdata)
{
	n_freed++;
	free(userdata);
}

static void on_progress(void *watcher, OperationProgress progress, const OperationOutcome *outcome)
{
	Heard *heard = watcher;

	strcat(heard->progress, operation_progress_name(progress));
	strcat(heard->progress, " ");
	cr_assert_eq(progress == OPERATION_DONE, outcome != NULL);
	if (!outcome)
		return;
	heard->n_done++;
	snprintf(heard->error, sizeof(heard->error), "%s", outcome->error ? outcome->error : "");
	heard->number = (int)json_get_int(outcome->parameters, "number", -1);
}

static bool yields; /* of what is submitted from now on */

static int submit_work(const char *id, const char *verb, int parameter, uint32_t queue, Work from,
		       Heard *heard)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	Work *work = malloc(sizeof(*work));

	*work = from;
	cr_assert_eq(json_build(&parameters, J_INT("parameter", parameter)), 0);
	return operations_submit(operations,
				 &(OperationRequest){ .id = id,
						      .verb = verb,
						      .device = "0000:01:00.0",
						      .parameters = parameters,
						      .queue = queue,
						      .yields = yields,
						      .start = on_start,
						      .run = on_run,
						      .userdata = work,
						      .free = on_free },
				 heard ? on_progress : NULL, heard);
}

static int submit(const char *id, uint32_t queue, uint64_t usec, Heard *heard)
{
	return submit_work(id, "bind", 1, queue, (Work){ .name = id, .usec = usec }, heard);
}

/* Until nothing is left to do but what hangs. */
static void run_loop(unsigned int until_run)
{
	for (unsigned int i = 0; n_run < until_run && i < 100; i++)
		cr_assert_geq(sd_event_run(event, 1000000), 0);
	cr_assert_eq(n_run, until_run);
}

static OperationOutcome cancelled(void)
{
	return (OperationOutcome){ .error = strdup("Cancelled"),
				   .parameters = json_object_new_object() };
}

TestSuite(tsm_operations, .init = set_up, .fini = tear_down);

Test(tsm_operations, refuses_bad_ids)
{
	char id[OPERATION_ID_MAX + 2];

	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	cr_assert_eq(submit("", 1, 0, NULL), -EINVAL);
	cr_assert_eq(submit(id, 1, 0, NULL), -EINVAL);
	id[OPERATION_ID_MAX] = '\0';
	cr_assert_eq(submit(id, 1, 0, NULL), 0);
	cr_assert_eq(n_freed, 2);
}

Test(tsm_operations, refuses_an_id_for_something_else)
{
	cr_assert_eq(submit("a", 1, 0, NULL), 0);
	cr_assert_eq(submit_work("a", "unbind", 1, 1, (Work){ .name = "a" }, NULL), -EEXIST);
	cr_assert_eq(submit_work("a", "bind", 2, 1, (Work){ .name = "a" }, NULL), -EEXIST);
	run_loop(1);
	cr_assert_eq(submit_work("a", "unbind", 1, 1, (Work){ .name = "a" }, NULL), -EEXIST);
	cr_assert_str_eq(ran, "a");
}

Test(tsm_operations, refuses_too_many)
{
	char id[16];

	for (unsigned int i = 0; i < OPERATIONS_MAX; i++) {
		snprintf(id, sizeof(id), "%u", i);
		cr_assert_eq(submit_work(id, "bind", 1, 1,
					 (Work){ .name = "", .usec = OPERATION_HANGS }, NULL),
			     0);
	}
	cr_assert_eq(submit("more", 1, 0, NULL), -ENOBUFS);
	cr_assert_eq(submit("0", 1, 0, NULL), 0, "known ones are joined all the same");
	cr_assert_eq(n_run, 0);
}

Test(tsm_operations, tells_progress_and_never_answers_inside_submit)
{
	Heard heard = {};

	cr_assert_eq(submit("a", 1, 0, &heard), 0);
	cr_assert_str_eq(heard.progress, "queued started ");
	run_loop(1);
	cr_assert_str_eq(heard.progress, "queued started done ");
	cr_assert_str_empty(heard.error);
	cr_assert_eq(heard.number, 1);
}

Test(tsm_operations, one_at_a_time_in_each_queue)
{
	Heard a = {}, b = {}, other = {};

	cr_assert_eq(submit("a", 1, 30000, &a), 0);
	cr_assert_eq(submit("b", 1, 0, &b), 0);
	cr_assert_eq(submit("o", 2, 0, &other), 0);
	cr_assert_str_eq(b.progress, "queued ");
	cr_assert_str_eq(other.progress, "queued started ");
	run_loop(3);
	cr_assert_str_eq(ran, "oab");
	cr_assert_str_eq(b.progress, "queued started done ");
}

Test(tsm_operations, repeats_and_joins)
{
	Heard first = {}, joined = {}, late = {};

	cr_assert_eq(submit("a", 1, 20000, &first), 0);
	cr_assert_eq(submit("a", 1, 20000, &joined), 0);
	cr_assert_str_eq(joined.progress, "started ");
	run_loop(1);
	cr_assert_str_eq(joined.progress, "started done ");
	cr_assert_eq(submit("a", 1, 0, &late), 0);
	cr_assert_str_eq(late.progress, "done ");
	cr_assert(first.number == 1 && joined.number == 1 && late.number == 1);
	cr_assert_eq(n_run, 1);
	cr_assert_eq(n_freed, 3);
}

Test(tsm_operations, repeats_a_failure)
{
	Heard first = {}, late = {};

	cr_assert_eq(submit_work("a", "bind", 1, 1, (Work){ .name = "a", .fails = true }, &first),
		     0);
	run_loop(1);
	cr_assert_eq(submit("a", 1, 0, &late), 0);
	cr_assert_str_eq(first.error, "Refused");
	cr_assert_str_eq(late.error, "Refused");
}

Test(tsm_operations, goes_on_without_its_watcher)
{
	Heard gone = {}, stays = {};

	cr_assert_eq(submit("a", 1, 0, &gone), 0);
	cr_assert_eq(submit("a", 1, 0, &stays), 0);
	operations_unwatch(operations, &gone);
	run_loop(1);
	cr_assert_eq(gone.n_done, 0);
	cr_assert_eq(stays.n_done, 1);
}

Test(tsm_operations, cancels_what_is_queued_only)
{
	Heard a = {}, b = {}, c = {};
	OperationOutcome outcome;
	bool yes;

	cr_assert_eq(submit("a", 1, 10000, &a), 0);
	cr_assert_eq(submit("b", 1, 0, &b), 0);
	cr_assert_eq(submit("c", 1, 0, &c), 0);
	cr_assert(operations_is_queued(operations, "b"));
	outcome = cancelled();
	cr_assert_eq(operations_cancel(operations, "a", &outcome, &yes), 0);
	cr_assert_not(yes, "it has started");
	outcome = cancelled();
	cr_assert_eq(operations_cancel(operations, "b", &outcome, &yes), 0);
	cr_assert(yes);
	cr_assert_str_eq(b.progress, "queued done ");
	cr_assert_str_eq(b.error, "Cancelled");
	run_loop(2);
	cr_assert_str_eq(ran, "ac");
	outcome = cancelled();
	cr_assert_eq(operations_cancel(operations, "a", &outcome, &yes), 0);
	cr_assert_not(yes, "it is done");
	memset(&b, 0, sizeof(b));
	cr_assert_eq(submit("b", 1, 0, &b), 0);
	cr_assert_str_eq(b.error, "Cancelled", "and stays cancelled");
	cr_assert_eq(n_run, 2);
}

/* The cancellation overtook the call on another connection. */
Test(tsm_operations, cancels_what_has_not_come)
{
	OperationOutcome outcome = cancelled();
	Heard heard = {};
	bool yes;

	cr_assert_eq(operations_cancel(operations, "a", &outcome, &yes), 0);
	cr_assert(yes);
	cr_assert_eq(submit("a", 1, 0, &heard), 0);
	cr_assert_str_eq(heard.error, "Cancelled");
	cr_assert_eq(n_run, 0);
}

Test(tsm_operations, hangs_until_resumed)
{
	OperationStatus status;
	Heard a = {}, b = {};

	cr_assert_eq(submit("a", 1, OPERATION_HANGS, &a), 0);
	cr_assert_eq(submit("b", 1, 0, &b), 0);
	cr_assert_eq(sd_event_run(event, 0), 0, "nothing to wait for");
	cr_assert_eq(operations_at(operations, 0, &status), 0);
	cr_assert(strcmp(status.id, "a") == 0 && status.progress == OPERATION_STARTED);
	cr_assert_eq(operations_at(operations, 1, &status), 0);
	cr_assert(strcmp(status.id, "b") == 0 && status.progress == OPERATION_QUEUED);
	cr_assert_eq(operations_at(operations, 2, &status), -ENOENT);
	operations_resume(operations, 2, false);
	cr_assert_eq(n_run, 0);
	operations_resume(operations, 1, false);
	run_loop(2);
	cr_assert_str_eq(ran, "ab");
	cr_assert_eq(operations_at(operations, 0, &status), -ENOENT);
}

Test(tsm_operations, hangs_until_settled)
{
	OperationOutcome outcome = cancelled();
	Heard a = {}, b = {};

	cr_assert_not(operations_settle(operations, 1, &outcome));
	cr_assert_eq(submit("a", 1, OPERATION_HANGS, &a), 0);
	cr_assert_eq(submit("b", 1, 0, &b), 0);
	outcome = cancelled();
	cr_assert(operations_settle(operations, 1, &outcome));
	cr_assert_str_eq(a.error, "Cancelled");
	run_loop(1);
	cr_assert_str_eq(ran, "b");
}

Test(tsm_operations, forgets_the_oldest)
{
	char id[16];

	for (unsigned int i = 0; i <= OPERATIONS_REMEMBERED; i++) {
		snprintf(id, sizeof(id), "%u", i);
		cr_assert_eq(submit_work(id, "bind", 1, 1, (Work){ .name = "" }, NULL), 0);
		run_loop(i + 1);
	}
	cr_assert_eq(submit_work("1", "bind", 1, 1, (Work){ .name = "" }, NULL), 0);
	cr_assert_eq(sd_event_run(event, 0), 0);
	cr_assert_eq(n_run, OPERATIONS_REMEMBERED + 1, "the second is remembered");
	cr_assert_eq(submit_work("0", "bind", 1, 1, (Work){ .name = "" }, NULL), 0);
	run_loop(OPERATIONS_REMEMBERED + 2);
}

/* What yields waits for all of its queue that does not, in whichever order they came. */
Test(tsm_operations, yields)
{
	static const Work message = { .name = "m" }, later = { .name = "n" };

	cr_assert_eq(submit("a", 1, 20000, NULL), 0);
	yields = true;
	cr_assert_eq(submit_work(NULL, "guest", 1, 1, message, NULL), 0);
	cr_assert_eq(submit_work(NULL, "guest", 1, 1, later, NULL), 0);
	yields = false;
	cr_assert_eq(submit("b", 1, 0, NULL), 0);
	cr_assert_eq(submit("c", 1, 0, NULL), 0);
	run_loop(5);
	cr_assert_str_eq(ran, "abcmn");
}

Test(tsm_operations, so_many_without_an_id)
{
	static const Work hangs = { .name = "m", .usec = OPERATION_HANGS };

	for (unsigned int i = 0; i < OPERATIONS_MAX_ANONYMOUS; i++)
		cr_assert_eq(submit_work(NULL, "guest", 1, 1, hangs, NULL), 0);
	cr_assert_eq(submit_work(NULL, "guest", 1, 1, hangs, NULL), -ENOBUFS);
	cr_assert_eq(submit("verb", 2, 0, NULL), 0);
	run_loop(1);
	cr_assert(operations_settle(operations, 1, &(OperationOutcome){}));
	cr_assert_eq(submit_work(NULL, "guest", 1, 1, hangs, NULL), 0);
}
