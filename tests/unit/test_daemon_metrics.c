/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/metrics.h"

#include "raw-peer.h"
#include "testing-metrics.h"
#include "testing-watch.h"
#include "rpc/event-loop.h"

#include <signal.h>
#include <sys/resource.h>

static TestingWatch caller, watcher, waiter;
static MetricsText text;

static void begin(void)
{
	set_up();
	testing_daemon_start(&d);
}

static void finish(void)
{
	testing_watch_done(&caller);
	testing_watch_done(&watcher);
	testing_watch_done(&waiter);
	tear_down();
}

TestSuite(daemon_metrics, .init = begin, .fini = finish);

static void read_metrics(void)
{
	_cleanup_free_ char *all = NULL;

	cr_assert_eq(metrics_to_text(&d.tdid, &all), 0);
	metrics_read(&text, all);
}

#define VALUE(name, labels) metrics_value(&text, "tdid_" name, labels)

static double transitions(const char *state)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "state=\"%s\",tsm=\"fake\",", state);
	return VALUE("transitions_total", labels);
}

Test(daemon_metrics, nothing_yet)
{
	read_metrics();
	cr_assert_eq(VALUE("tsm_ready", "tsm=\"fake\","), 1);
	cr_assert_eq(VALUE("dsms", "state=\"idle\","), 1);
	cr_assert_eq(VALUE("changes_total", ""), 0);
	cr_assert_eq(transitions("running"), 0);
	for (size_t i = 0; i < text.n_samples; i++)
		if (strstr(text.samples[i].name, "_total"))
			cr_assert_eq(text.samples[i].value, 0, "%s", text.samples[i].name);
}

Test(daemon_metrics, by_the_api)
{
	testing_watch(&caller, "Metrics", 0, "{}");
	TESTING_ANSWERED(&caller, "ok {\"text\":\"# TYPE tdid_build_info gauge\\n");
	TESTING_ANSWERED(&caller, "tdid_api_connections 1\\n");
	TESTING_ANSWERED(&caller, "# EOF\\n\"}");
}

Test(daemon_metrics, from_attach_to_running)
{
	run();
	testing_watch(&watcher, "Monitor", VARLINK_CALL_MORE, "{}");
	testing_watch(&waiter, "Wait", 0,
		      "{'domain':'tvm0','name':'" ALIAS "','states':['failed']}");
	UNTIL(d.event, watcher.up_to_date);
	testing_idle(d.event);
	read_metrics();
	cr_assert_eq(transitions("attached"), 1);
	cr_assert_eq(transitions("connecting"), 1);
	cr_assert_eq(transitions("running"), 1);
	cr_assert_eq(VALUE("assignments", "state=\"running\","), 1);
	cr_assert_eq(VALUE("assignments", "state=\"locked\","), 0);
	cr_assert_eq(VALUE("dsms", "state=\"connected\","), 1);
	cr_assert_eq(VALUE("dsms", "state=\"idle\","), 0);
	cr_assert_eq(VALUE("verbs_total", "verb=\"device_connect\",outcome=\"done\","), 1);
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_bind\",outcome=\"done\","), 1);
	cr_assert_eq(VALUE("verb_duration_seconds_count", "verb=\"tdi_bind\","), 1);
	cr_assert_gt(VALUE("verb_duration_seconds_sum", "verb=\"tdi_bind\","), 0);
	cr_assert_eq(VALUE("attach_to_running_seconds_count", ""), 1);
	cr_assert_gt(VALUE("attach_to_running_seconds_sum", ""), 0);
	cr_assert_lt(VALUE("attach_to_running_seconds_sum", ""), 60);
	cr_assert_eq(VALUE("watchers", ""), 1);
	cr_assert_eq(VALUE("waiters", ""), 1);
	cr_assert_eq(VALUE("api_connections", ""), 2);
	cr_assert_eq(VALUE("changes_total", ""), watcher.sequence - 1);
}

Test(daemon_metrics, callers_that_leave)
{
	lock();
	testing_watch(&watcher, "Monitor", VARLINK_CALL_MORE, "{}");
	testing_watch(&waiter, "Wait", 0,
		      "{'domain':'tvm0','name':'" ALIAS "','states':['running']}");
	UNTIL(d.event, watcher.up_to_date);
	testing_watch_done(&watcher);
	testing_watch_done(&waiter);
	testing_idle(d.event);
	read_metrics();
	cr_assert_eq(VALUE("watchers", ""), 0);
	cr_assert_eq(VALUE("waiters", ""), 0);
	cr_assert_eq(VALUE("api_connections", ""), 0);
}

Test(daemon_metrics, faults_and_refusals)
{
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	read_metrics();
	/* Once, however many states it goes through with it. */
	cr_assert_eq(VALUE("faults_total", "fault=\"bind\","), 1);
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_bind\",outcome=\"refused\","), 1);
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_bind\",outcome=\"done\","), 0);
	/* And anew with the next one. */
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	read_metrics();
	cr_assert_eq(VALUE("faults_total", "fault=\"bind\","), 2);
}

Test(daemon_metrics, outcome_not_known)
{
	run();
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	read_metrics();
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_unbind\",outcome=\"unknown\","), 1);
	cr_assert_eq(VALUE("quarantined_devices", ""), 1);
	cr_assert_eq(VALUE("faults_total", "fault=\"unbind\","), 1);
}

/* What was before a restart is not counted again; what was sent before it cannot be timed. */
Test(daemon_metrics, restart)
{
	run();
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	read_metrics();
	cr_assert_eq(VALUE("faults_total", "fault=\"unbind\","), 0);
	cr_assert_eq(VALUE("assignments", "state=\"quarantined\","), 1);
	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	testing_watch(&caller, "Clear", 0, "{'device':'0000:41:00.1'}");
	UNTIL(d.event, caller.answers);
	read_metrics();
	cr_assert_eq(VALUE("verbs_total", "verb=\"clear\",outcome=\"done\","), 1);
	cr_assert_eq(VALUE("quarantined_devices", ""), 0);
	cr_assert_eq(VALUE("faults_total", "fault=\"unbind\","), 0);
}

Test(daemon_metrics, resumed_verb_is_not_timed)
{
	d.tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held);
	testing_daemon_stop(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
	testing_daemon_start(&d);
	UNTIL(d.event, testing_state(&d, 0, ALIAS) != ASSIGNMENT_BINDING);
	read_metrics();
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_bind\",outcome=\"done\","), 1);
	cr_assert_eq(VALUE("verb_duration_seconds_count", "verb=\"tdi_bind\","), 0);
}

Test(daemon_metrics, records_that_cannot_be_written)
{
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };

	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	read_metrics();
	cr_assert_eq(VALUE("record_write_failures_total", ""), 0);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	read_metrics();
	cr_assert_gt(VALUE("record_write_failures_total", ""), 0);
	cr_assert_eq(VALUE("faults_total", "fault=\"bind\","), 1);
	/* tdid's own refusal is no answer of the TSM. */
	cr_assert_eq(VALUE("verbs_total", "verb=\"tdi_bind\",outcome=\"refused\","), 0);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* A call of the hook for tvm0; '|' stands for NUL. */
static int call_hook(const char *operation, const char *xml)
{
	_cleanup_free_ char *call = NULL;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/io.tdid.Hook", d.directory);
	fd = raw_connect(path);
	cr_assert_geq(
		asprintf(&call,
			 "{\"method\":\"io.tdid.Hook.Run\",\"parameters\":{\"domain\":\"tvm0\","
			 "\"operation\":\"%s\",\"sub_operation\":\"begin\",\"extra\":\"-\","
			 "\"xml\":\"%s\"}}|",
			 operation, xml),
		0);
	raw_send(fd, call);
	testing_idle(d.event);
	return fd;
}

static double hook_calls(const char *operation, const char *outcome)
{
	char labels[96];

	read_metrics();
	snprintf(labels, sizeof(labels), "operation=\"%s\",outcome=\"%s\",", operation, outcome);
	return VALUE("hook_calls_total", labels);
}

Test(daemon_metrics, hook_calls)
{
	if (getuid() != 0)
		cr_skip_test("only root may call the hook");
	close(call_hook("prepare", "<domain"));
	cr_assert_eq(hook_calls("prepare", "refused"), 1);
	close(call_hook("migrate", NONE));
	cr_assert_eq(hook_calls("migrate", "answered"), 1);
	close(call_hook("a word that libvirt does not have yet", NONE));
	cr_assert_eq(hook_calls("other", "answered"), 1);
	/* It waits for an unbind that does not end. */
	lock();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	close(call_hook("stopped", NONE));
	testing_idle(d.event);
	cr_assert_eq(hook_calls("stopped", "gone"), 1);
	cr_assert_eq(hook_calls("stopped", "answered"), 0);
}

Test(daemon_metrics, hook_call_that_is_late)
{
	int fd;

	if (getuid() != 0)
		cr_skip_test("only root may call the hook");
	lock();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	d.tdid.config->stop_timeout_usec = 1000;
	fd = call_hook("stopped", NONE);
	UNTIL(d.event, hook_calls("stopped", "late") == 1);
	cr_assert_eq(hook_calls("stopped", "answered"), 0);
	close(fd);
}

Test(daemon_metrics, none)
{
	metrics_transition(NULL, ASSIGNMENT_RUNNING, NULL);
	metrics_fault(NULL, FAULT_BIND);
	metrics_ran(NULL, 1);
	metrics_verb(NULL, VERB_BIND, &(OperationResult){});
	metrics_record_failed(NULL);
	metrics_hook(NULL, "prepare", METRICS_HOOK_GONE);
	metrics_free(NULL);
}
