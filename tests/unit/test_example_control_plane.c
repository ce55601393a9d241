/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* examples/control-plane with a real tdid, which may be restarted under it. */
#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "testing-child.h"

static TestingChild child;

static void begin(void)
{
	if (access("/usr/bin/python3", X_OK) != 0)
		cr_skip_test("there is no /usr/bin/python3");
	set_up();
	testing_daemon_start(&d);
}

static void finish(void)
{
	testing_child_done(&child);
	if (d.event)
		tear_down();
}

TestSuite(example_control_plane, .init = begin, .fini = finish);

/* Up to four arguments. */
static void run_example(const char *a, const char *b, const char *c, const char *e)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	testing_child_done(&child);
	if (!testing_child_fork(&child))
		return;
	execl("/usr/bin/python3", "python3", "-B",
	      TESTING_REPOSITORY "/examples/control-plane/control-plane", "--socket", path, a, b,
	      b ? c : NULL, b && c ? e : NULL, NULL);
	_exit(100);
}

/* Until its Wait has reached tdid. */
static void waits(void)
{
	CHILD_UNTIL(&child, assignments_service_counts(d.tdid.assignments).waiters == 1);
}

static void leave(void)
{
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
}

Test(example_control_plane, list)
{
	run_example("list", NULL, NULL, NULL);
	CHILD_ENDS(&child, 0);
	cr_assert_str_eq(child.text, "");
	lock();
	run_example("list", "tvm0", NULL, NULL);
	CHILD_ENDS(&child, 0);
	cr_assert_str_eq(child.text, "tvm0/" ALIAS " 0000:41:00.1 locked (tsm: fake (emulated, no "
				     "protection))\n");
	run_example("list", "tvm5", NULL, NULL);
	CHILD_ENDS(&child, 1);
	cr_assert_str_eq(child.text, "control-plane: NoSuchDomain: domain=tvm5\n");
}

Test(example_control_plane, tdid_is_not_there)
{
	testing_daemon_stop(&d);
	run_example("list", NULL, NULL, NULL);
	CHILD_ENDS(&child, 1);
	CHILD_SAYS(&child, "No such file or directory");
}

Test(example_control_plane, wait)
{
	lock();
	run_example("wait", "tvm0", ALIAS, "running");
	waits();
	testing_guest_send(ACCEPT);
	CHILD_ENDS(&child, 0);
	CHILD_SAYS(&child, "tvm0/" ALIAS " 0000:41:00.1 running (tsm: fake");
	leave();
	run_example("wait", "tvm0", "other", "released");
	CHILD_ENDS(&child, 0);
	cr_assert_str_eq(child.text, "not there\n");
}

Test(example_control_plane, wait_in_vain)
{
	run();
	run_example("wait", "tvm0", ALIAS, "held");
	waits();
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	detach();
	CHILD_ENDS(&child, 5);
	CHILD_SAYS(&child, "control-plane: NotReached: tvm0/" ALIAS ": it is quarantined: ");
}

Test(example_control_plane, wait_until_the_time_is_over)
{
	lock();
	run_example("wait", "--timeout=0.3", "tvm0", ALIAS);
	CHILD_ENDS(&child, 4);
	CHILD_SAYS(&child, "TimedOut: tvm0/" ALIAS ": it is not running in time: it is locked");
}

Test(example_control_plane, wait_over_a_restart)
{
	run();
	run_example("wait", "tvm0", ALIAS, "released");
	waits();
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	waits();
	leave();
	CHILD_ENDS(&child, 0);
	CHILD_SAYS(&child, "released");
}

Test(example_control_plane, watch_over_a_restart)
{
	lock();
	run_example("watch", NULL, NULL, NULL);
	CHILD_SAYS(&child, "state: tvm0/" ALIAS " 0000:41:00.1 locked (tsm: ");
	CHILD_SAYS(&child, "current: 1 assignments, sequence ");
	testing_guest_send(ACCEPT);
	CHILD_SAYS(&child, "change: tvm0/" ALIAS " 0000:41:00.1 running");
	testing_daemon_stop(&d);
	CHILD_SAYS(&child, "lost: ");
	testing_daemon_start(&d);
	CHILD_UNTIL(&child, strstr(strstr(child.text, "lost: "), "state: tvm0/" ALIAS));
	CHILD_UNTIL(&child, strstr(strstr(child.text, "lost: "), "current: 1 assignments"));
	leave();
	CHILD_SAYS(&child, "released");
	testing_daemon_kill(&d, 0);
	CHILD_SAYS(&child, "removed: tvm0/" ALIAS);
}

Test(example_control_plane, attach_detach_and_drain)
{
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	testing_idle(d.event);
	run_example("attach", "tvm0", "0000:41:00.1", "--dry-run");
	CHILD_ENDS(&child, 0);
	cr_assert(strstr(child.text, "<hostdev"), "%s", child.text);
	cr_assert_eq(fake_vmm.attaches, 0);

	fake_vmm.attach_xml = WITH;
	fake_vmm.attach_alias = ALIAS;
	run_example("attach", "tvm0", "0000:41:00.1", "--name=nic0");
	CHILD_ENDS(&child, 0);
	CHILD_SAYS(&child, "token ");
	CHILD_SAYS(&child, "tvm0/" ALIAS " 0000:41:00.1 ");

	run_example("detach", "tvm0", ALIAS, NULL);
	UNTIL(d.event, fake_vmm.detaches > 0);
	leave();
	CHILD_ENDS(&child, 0);
	CHILD_SAYS(&child, "tvm0/" ALIAS " 0000:41:00.1 released");

	run_example("drain", FAKE_TSM_DSM, NULL, NULL);
	CHILD_ENDS(&child, 0);
	cr_assert_str_eq(child.text, FAKE_TSM_DSM " idle\n");
	run_example("attach", "tvm0", "0000:41:00.1", NULL);
	CHILD_ENDS(&child, 1);
	CHILD_SAYS(&child, "is being drained");
	run_example("drain", "--end", FAKE_TSM_DSM, NULL);
	CHILD_ENDS(&child, 0);
}

Test(example_control_plane, metrics)
{
	run_example("metrics", NULL, NULL, NULL);
	CHILD_ENDS(&child, 0);
	cr_assert_str_eq(child.text + strlen(child.text) - 6, "# EOF\n");
}

/* It has said that it was lost, and then that it is up to date. Of what it prints the end is kept.
 */
static bool is_back(bool *lost)
{
	const char *p = *lost ? child.text : strstr(child.text, "lost: ");
	bool back = p && strstr(p, "current: 1 assignments");

	*lost |= p != NULL;
	if (!back && child.used > sizeof(child.text) / 2) {
		child.used = 256;
		memmove(child.text, child.text + strlen(child.text) - child.used, child.used);
	}
	return back;
}

/* It is stopped, and does not read: it is dropped, and comes back for what it missed, or all. */
Test(example_control_plane, slow_watcher)
{
	Assignment *a;
	bool lost = false;

	lock();
	run_example("watch", NULL, NULL, NULL);
	CHILD_SAYS(&child, "current: 1 assignments");
	a = testing_assignment(&d, 0, ALIAS);
	kill(child.pid, SIGSTOP);
	for (unsigned int i = 0; i < 6000; i++) {
		if (a->timeline.n_marks > 20)
			timeline_clear(&a->timeline);
		director_mark(&d.tdid, a, "a mark that takes its room", NULL);
		testing_idle(d.event);
	}
	kill(child.pid, SIGCONT);
	CHILD_UNTIL(&child, is_back(&lost));
}
