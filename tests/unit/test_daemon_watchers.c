/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/assignments-service.h"
#include "daemon/change-log.h"
#include "daemon/director.h"
#include "raw-peer.h"
#include "testing-watch.h"
#include "rpc/event-loop.h"

#include <sys/resource.h>
#include <time.h>

static TestingWatch watch, other;

static void begin(void)
{
	set_up();
	testing_daemon_start(&d);
}

static void finish(void)
{
	testing_watch_done(&watch);
	testing_watch_done(&other);
	tear_down();
}

TestSuite(daemon_watchers, .init = begin, .fini = finish, .timeout = 60);

static void monitor(TestingWatch *w, const char *parameters)
{
	testing_watch(w, "Monitor", VARLINK_CALL_MORE, parameters);
}

/* From where `before` has ended. */
static void resume(TestingWatch *w, const char *domain, const TestingWatch *before)
{
	char text[256], instance[64];
	int64_t since = before->sequence;

	strcpy(instance, before->instance);
	snprintf(text, sizeof(text), "{%s%s%s'instance':'%s','since':%lld}",
		 domain ? "'domain':'" : "", domain ?: "", domain ? "'," : "", instance,
		 (long long)since);
	monitor(w, text);
}

/* `n` changes of the assignment; its timeline keeps its length, so that all are of one size. */
static void change(unsigned int n)
{
	Assignment *a = testing_assignment(&d, 0, ALIAS);

	for (unsigned int i = 0; i < n; i++) {
		char detail[32];

		snprintf(detail, sizeof(detail), "change %u", i);
		if (a->timeline.n_marks > 20)
			timeline_clear(&a->timeline);
		director_mark(&d.tdid, a, "test", detail);
	}
}

Test(daemon_watchers, bad_since_and_instance)
{
	static const struct {
		const char *parameters, *answer;
	} bad[] = {
		{ "{'since':1}", "InvalidParameter {\"parameter\":\"instance\"" },
		{ "{'instance':'x'}", "InvalidParameter {\"parameter\":\"since\"" },
		{ "{'instance':'x','since':-1}", "InvalidParameter {\"parameter\":\"since\"" },
		{ "{'instance':'x','since':'1'}", "InvalidParameter {\"parameter\":\"since\"" },
		{ "{'instance':5,'since':1}", "InvalidParameter {\"parameter\":\"instance\"" },
		{ "{'instance':'x','since':1,'until':2}", "InvalidParameter" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		monitor(&watch, bad[i].parameters);
		TESTING_ANSWERED(&watch, bad[i].answer);
	}
	testing_watch(&watch, "Monitor", 0, "{}");
	TESTING_ANSWERED(&watch, "ExpectedMore");
}

Test(daemon_watchers, since_that_was_never_told)
{
	char text[128];

	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	snprintf(text, sizeof(text), "{'instance':'%s','since':%lld}", watch.instance,
		 (long long)watch.sequence + 1);
	monitor(&other, text);
	TESTING_ANSWERED(&other, "InvalidParameter {\"parameter\":\"since\"");
}

Test(daemon_watchers, what_stands_and_what_comes)
{
	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	cr_assert_eq(watch.answers, 2);
	cr_assert_eq(watch.initials, 2);
	cr_assert_not_null(strstr(watch.log, "\"sequence\":0,\"initial\":true,\"assignment\":{"));
	cr_assert_gt(watch.sequence, 1);
	change(3);
	UNTIL(d.event, watch.assignments == 4);
	cr_assert(watch.rising);
	cr_assert_not_null(strstr(watch.log, "\"detail\":\"change 2\""));
}

Test(daemon_watchers, resumes_with_what_it_missed)
{
	int64_t latest;

	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	watch.client = varlink_client_free(watch.client);
	testing_idle(d.event);
	latest = watch.sequence;
	change(5);
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 0);
	cr_assert_eq(other.assignments, 5);
	cr_assert(other.rising);
	cr_assert_eq(other.sequence, latest + 5);
	cr_assert_str_eq(other.instance, watch.instance);
	cr_assert_not_null(strstr(other.log, "\"detail\":\"change 0\""));
	change(1);
	UNTIL(d.event, other.assignments == 6);
	cr_assert_eq(other.sequence, latest + 6);
}

Test(daemon_watchers, resumes_with_nothing_missed)
{
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.answers, 1);
	cr_assert_eq(other.initials, 0);
	cr_assert_eq(other.sequence, watch.sequence);
}

Test(daemon_watchers, what_it_missed_has_gone)
{
	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	watch.client = varlink_client_free(watch.client);
	testing_idle(d.event);
	change(CHANGE_LOG_CHANGES_MAX);
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 0);
	cr_assert_eq(other.assignments, CHANGE_LOG_CHANGES_MAX);
	cr_assert(other.rising);
	change(1);
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 2);
	cr_assert_eq(other.assignments, 1);
	cr_assert_gt(other.sequence, watch.sequence);
}

/* From the middle of the initial state nobody can go on: its entries say so. */
Test(daemon_watchers, sequence_of_an_initial_entry)
{
	char text[128];

	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	snprintf(text, sizeof(text), "{'instance':'%s','since':0}", watch.instance);
	monitor(&other, text);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 2);
}

/* It came to its end long before, so that nothing else would tell that it is listed no more. */
Test(daemon_watchers, removed_while_it_was_away)
{
	run();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	watch.client = varlink_client_free(watch.client);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 0);
	cr_assert_eq(other.assignments, 1);
	cr_assert(strstr(other.log, "\"removed\":true}"), "%s", other.log);
	cr_assert(strstr(other.log, "\"state\":\"released\""), "%s", other.log);
}

Test(daemon_watchers, tdid_was_restarted)
{
	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	testing_daemon_stop(&d);
	UNTIL(d.event, strstr(watch.log, "lost"));
	testing_daemon_start(&d);
	resume(&other, NULL, &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_str_neq(other.instance, watch.instance);
	cr_assert_eq(other.initials, 2);
	cr_assert_not_null(strstr(other.log, "\"state\":\"locked\""));
}

Test(daemon_watchers, one_domain_has_gaps)
{
	int64_t first;

	lock();
	monitor(&watch, "{'domain':'tvm1'}");
	monitor(&other, "{'domain':'tvm0'}");
	UNTIL(d.event, watch.up_to_date && other.up_to_date);
	first = watch.sequence;
	change(CHANGE_LOG_CHANGES_MAX / 2 - 1);
	testing_idle(d.event);
	cr_assert_eq(watch.answers, 1);
	cr_assert_eq(other.assignments, CHANGE_LOG_CHANGES_MAX / 2);
	/* It is told how far they are before the log does not reach back any more. */
	change(1);
	UNTIL(d.event, watch.answers == 2);
	cr_assert_eq(watch.assignments, 0);
	cr_assert_eq(watch.sequence, first + CHANGE_LOG_CHANGES_MAX / 2);
	/* What it missed of its own domain is nothing. */
	change(CHANGE_LOG_CHANGES_MAX / 2);
	resume(&other, "tvm1", &watch);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.answers, 1);
	cr_assert_eq(other.initials, 0);
}

/* Assignments that nobody serves, with all the marks that there may be: some 45 kB each. */
static void add_large(unsigned int n)
{
	char detail[TIMELINE_DETAIL_MAX + 1];
	const Assignment *first = testing_assignment(&d, 0, ALIAS);

	memset(detail, 'x', sizeof(detail) - 1);
	detail[sizeof(detail) - 1] = '\0';
	for (unsigned int i = 0; i < n; i++) {
		Bdf bdf = { .bus = 0x80, .device = (uint8_t)(i / 8), .function = i % 8 };
		char alias[32];
		Assignment *a;
		Dsm *dsm;
		Tdi *tdi;

		snprintf(alias, sizeof(alias), "ua-tdi-large%u", i);
		cr_assert_eq(registry_tdi(d.tdid.registry, bdf, &tdi), 0);
		cr_assert_eq(registry_dsm(d.tdid.registry, bdf, &dsm), 0);
		cr_assert_eq(
			registry_add_assignment(d.tdid.registry, first->tvm, dsm, tdi, alias, &a),
			0);
		director_event(&d.tdid,
			       &(EngineEvent){ .type = EVENT_APPEARED,
					       .id = a->id,
					       .tvm = first->tvm->id,
					       .dsm = dsm->id,
					       .tdi = tdi->id,
					       .unserved = true },
			       "nobody serves it");
		for (unsigned int mark = 0; mark < TIMELINE_MARKS_MAX; mark++)
			timeline_mark(&a->timeline, boottime_usec(), "mark", detail);
	}
}

/* Who reads gets it all, however much it is. */
Test(daemon_watchers, more_than_may_wait)
{
	lock();
	add_large(200);
	monitor(&watch, "{}");
	UNTIL(d.event, watch.assignments > 10);
	cr_assert_not(watch.up_to_date);
	/* The first one has been told already: it comes again. */
	change(1);
	UNTIL(d.event, watch.up_to_date);
	cr_assert_eq(watch.assignments, 202);
	cr_assert_eq(watch.initials, 203);
	change(1);
	UNTIL(d.event, watch.assignments == 203);
	cr_assert_eq(watch.initials, 203);
	cr_assert(watch.rising);
}

/* Who does not read is not sent more than it can be, and is dropped when there are changes. */
Test(daemon_watchers, more_than_may_wait_and_nobody_reads)
{
	char path[96];
	int fd;

	lock();
	add_large(200);
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	fd = raw_connect(path);
	raw_send(fd, "{\"method\":\"io.tdid.Assignments.Monitor\",\"more\":true}|");
	testing_idle(d.event);
	cr_assert_eq(assignments_service_counts(d.tdid.assignments).watchers, 1);
	while (assignments_service_counts(d.tdid.assignments).watchers > 0) {
		change(100);
		testing_idle(d.event);
	}
	close(fd);
}

/* All that lies in the socket, up to its last whole message; true: and then its end. */
static bool read_to_the_end(int fd, char *text, size_t size)
{
	size_t used = 0, n;
	bool end;

	do {
		const char *piece = raw_received(fd);

		end = strcmp(piece, "<end>") == 0;
		n = end ? 0 : strlen(piece);
		cr_assert_lt(used + n, size);
		memcpy(text + used, piece, n);
		used += n;
	} while (n > 0);
	while (used > 0 && text[used - 1] != '|')
		used--;
	text[used] = '\0';
	return end;
}

/* It is dropped, and goes on from the last that it has read. */
Test(daemon_watchers, slow_client)
{
	static char text[4 * 1024 * 1024];
	char call[128], path[96];
	long long since = 0;
	int fd;

	lock();
	monitor(&watch, "{}");
	UNTIL(d.event, watch.up_to_date);
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	fd = raw_connect(path);
	raw_send(fd, "{\"method\":\"io.tdid.Assignments.Monitor\",\"more\":true}|");
	testing_idle(d.event);
	/*
	 * Until the socket and then the connection's output are full. How many changes that takes
	 * depends on how many digits their times have.
	 */
	while (assignments_service_counts(d.tdid.assignments).watchers > 1) {
		change(100);
		testing_idle(d.event);
	}
	cr_assert(read_to_the_end(fd, text, sizeof(text)), "it was not dropped");
	close(fd);
	for (const char *p = text; (p = strstr(p, "\"sequence\":")); p++)
		sscanf(p, "\"sequence\":%lld", &since);
	cr_assert_gt(since, 1);
	/* The one that reads has all of them, and the slow one has the rest, or all, again. */
	cr_assert(watch.rising);
	cr_assert_gt(watch.sequence, since);
	snprintf(call, sizeof(call), "{'instance':'%s','since':%lld}", watch.instance, since);
	monitor(&other, call);
	UNTIL(d.event, other.up_to_date);
	cr_assert_eq(other.initials, 2);
	cr_assert_eq(other.sequence, watch.sequence);
}
