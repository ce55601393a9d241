/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thousand connections that do nothing must cost nobody else anything but time. */
#include "daemon/director.h"
#include "raw-peer.h"
#include "testing-watch.h"
#include "rpc/event-loop.h"

#include <sys/resource.h>

#define CALLERS 1000
#define MONITOR "{\"method\":\"io.tdid.Assignments.Monitor\",\"more\":true}|"
#define LIST	"{\"method\":\"io.tdid.Assignments.List\"}|"
#define HOOK                                                                                       \
	"{\"method\":\"io.tdid.Hook.Run\",\"parameters\":{\"domain\":\"tvm0\",\"operation\":"      \
	"\"prepare\",\"sub_operation\":\"begin\",\"extra\":\"-\",\"xml\":\"<domain "               \
	"type='kvm'><name>tvm0"                                                                    \
	"</name><uuid>" TVM0 "</uuid></domain>\"}}|"

static int callers[CALLERS];
static TestingWatch client;

static void set_file_limit(rlim_t limit)
{
	struct rlimit files;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = limit < files.rlim_max ? limit : files.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void begin(void)
{
	if (getuid() != 0)
		cr_skip_test("only root may call the hook");
	for (size_t i = 0; i < CALLERS; i++)
		callers[i] = -1;
	set_up();
}

static void finish(void)
{
	for (size_t i = 0; i < CALLERS; i++)
		if (callers[i] >= 0)
			close(callers[i]);
	testing_watch_done(&client);
	if (d.event)
		tear_down();
}

TestSuite(daemon_many_callers, .init = begin, .fini = finish);

static int connect_to(const char *interface)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", d.directory, interface);
	return raw_connect(path);
}

/* One call's answer, on a connection of its own. */
static const char *call(const char *interface, const char *text)
{
	int fd = connect_to(interface);
	const char *answer;

	if (send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		testing_idle(d.event);
	answer = raw_received(fd);
	close(fd);
	return answer;
}

static void hook_is_served(void)
{
	int fd = connect_to("io.tdid.Hook");

	raw_send(fd, HOOK);
	testing_idle(d.event);
	EXPECT_RECEIVED(fd, "{\"parameters\":{}}|");
	close(fd);
}

/* The connections of callers that are still open. */
static unsigned int open_callers(void)
{
	unsigned int n = 0;
	char byte;

	for (size_t i = 0; i < CALLERS; i++)
		n += callers[i] >= 0 && recv(callers[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		     errno == EAGAIN;
	return n;
}

static void change(void)
{
	director_mark(&d.tdid, testing_assignment(&d, 0, ALIAS), "test", NULL);
}

static double seconds_of(void (*what)(void))
{
	uint64_t begin = boottime_usec();

	what();
	return (double)(boottime_usec() - begin) / 1e6;
}

static void serve_list(void)
{
	testing_watch(&client, "List", 0, "{}");
	TESTING_ANSWERED(&client, "ok {\"assignments\":[{");
}

static void connect_callers(const char *text)
{
	for (size_t i = 0; i < CALLERS; i++) {
		callers[i] = connect_to("io.tdid.Assignments");
		if (text)
			raw_send(callers[i], text);
		if (i % 50 == 49)
			testing_idle(d.event);
	}
	testing_idle(d.event);
}

Test(daemon_many_callers, idle_connections)
{
	set_file_limit(8192);
	testing_daemon_start(&d);
	lock();
	connect_callers(NULL);
	cr_assert_eq(open_callers(), CALLERS);
	serve_list();
	hook_is_served();
}

Test(daemon_many_callers, idle_watchers)
{
	double list, one, hook;

	set_file_limit(8192);
	testing_daemon_start(&d);
	lock();
	connect_callers(MONITOR);
	list = seconds_of(serve_list);
	hook = seconds_of(hook_is_served);
	one = seconds_of(change);
	fprintf(stderr,
		"# %d watchers: List %.1f ms, hook %.1f ms, one change told to all %.1f ms\n",
		CALLERS, list * 1e3, hook * 1e3, one * 1e3);
	testing_idle(d.event);
	for (size_t i = 0; i < CALLERS; i += 333)
		cr_assert_not_null(strstr(raw_received(callers[i]), "\"name\":\"test\""));
	/* They leave all at once, and nothing is left of them. */
	for (size_t i = 0; i < CALLERS; i++) {
		close(callers[i]);
		callers[i] = -1;
	}
	testing_idle(d.event);
	serve_list();
	hook_is_served();
}

/* Where there are fewer descriptors, one user is refused before all of them are gone. */
Test(daemon_many_callers, few_descriptors)
{
	unsigned int served = 0;

	set_file_limit(128);
	testing_daemon_start(&d);
	lock();
	set_file_limit(8192); /* for our own ends */
	for (size_t i = 0; i < 100; i++) {
		callers[i] = connect_to("io.tdid.Assignments");
		testing_idle(d.event);
	}
	served = open_callers();
	cr_assert_eq(served, 48, "%u", served);
	cr_assert_str_eq(call("io.tdid.Assignments", LIST), "<end>");
	hook_is_served();
	close(callers[0]);
	callers[0] = -1;
	testing_idle(d.event);
	serve_list();
}
