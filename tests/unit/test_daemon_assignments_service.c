/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-daemon.h"

#include "daemon/director.h"

#include <errno.h>

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define NONE  TESTING_DOMAIN(TVM0, TESTING_PORT)

#define OTHER_UUID "11111111-2222-3333-4444-55555555ffff"

static TestingDaemon d;
static VarlinkClient *client;
static char *log_of_answers; /* each answer behind the other */

static void set_up(void)
{
	testing_daemon_init(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_start(&d);
	log_of_answers = strdup("");
}

static void tear_down(void)
{
	client = varlink_client_free(client);
	free(log_of_answers);
	testing_daemon_done(&d);
}

TestSuite(daemon_assignments_service, .init = set_up, .fini = tear_down);

static void on_answer(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	char *longer;

	cr_assert_geq(asprintf(&longer, "%s%s %s\n", log_of_answers,
			       reply->status < 0 ? "lost"
			       : reply->error	 ? strrchr(reply->error, '.') + 1
						 : "ok",
			       reply->status < 0
				       ? ""
				       : json_object_to_json_string_ext(reply->parameters,
									JSON_C_TO_STRING_PLAIN)),
		      0);
	free(log_of_answers);
	log_of_answers = longer;
}

static void call(const char *method, const char *domain, const char *name, unsigned int flags)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	char path[128], full[64];

	if (!client) {
		snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
		cr_assert_eq(varlink_client_connect(&client, d.event, path, NULL, NULL), 0);
	}
	snprintf(full, sizeof(full), "io.tdid.Assignments.%s", method);
	cr_assert_eq(json_build(&o, J_STRING("domain", domain), J_STRING("name", name)), 0);
	cr_assert_eq(varlink_client_call(client, full, o, flags, 0, on_answer, NULL), 0);
}

static void expect(const char *method, const char *domain, const char *name, const char *text)
{
	free(log_of_answers);
	log_of_answers = strdup("");
	call(method, domain, name, 0);
	UNTIL(d.event, log_of_answers[0]);
	cr_assert(strstr(log_of_answers, text), "%s: %s", method, log_of_answers);
}

static void attach(void)
{
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

static void lock(void)
{
	testing_guest_event(SESSION_A, "Ready",
			    "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	UNTIL(d.event, testing_assignment(&d, 0, ALIAS)->evidence);
}

Test(daemon_assignments_service, nothing_there)
{
	expect("List", NULL, NULL, "ok {\"assignments\":[]}");
	expect("List", "tvm0", NULL, "NoSuchDomain");
	expect("Get", "tvm0", ALIAS, "NoSuchAssignment");
	expect("Evidence", "tvm0", ALIAS, "NoSuchAssignment");
	expect("Get", NULL, NULL, "InvalidParameter");
	expect("Monitor", NULL, NULL, "ExpectedMore");
}

Test(daemon_assignments_service, by_name_and_by_address)
{
	attach();
	expect("List", NULL, NULL, "\"name\":\"" ALIAS "\"");
	expect("List", "tvm0", NULL, "\"state\":\"waiting\"");
	expect("List", TVM0, NULL, "\"guest_address\":\"0000:05:00.0\"");
	expect("List", "tvm1", NULL, "NoSuchDomain");
	expect("Get", "tvm0", ALIAS,
	       "\"tsm\":\"fake (emulated, no protection)\",\"protection\":false");
	expect("Get", TVM0, "0000:41:00.1", "\"device\":\"0000:41:00.1\"");
	expect("Get", "tvm0", "0000:41:00.2", "NoSuchAssignment");
	expect("Evidence", "tvm0", ALIAS, "NoEvidence");
	lock();
	expect("Evidence", "tvm0", ALIAS, "\"generation\":1");
	expect("Get", "tvm0", ALIAS, "\"tdi_state\":\"config_locked\"");
}

#define OTHER "ua-tdi-other"

/* Of the other one nobody knows yet whose it is: its TSM's provider is not there. */
Test(daemon_assignments_service, declared_and_not_begun)
{
	char socket[128], tsms[256];
	FakeTsm *second;

	testing_daemon_stop(&d);
	snprintf(socket, sizeof(socket), "%s/second", d.directory);
	snprintf(tsms, sizeof(tsms), ",{\"name\":\"second\",\"socket\":\"%s\",\"uid\":%d}", socket,
		 (int)getuid());
	d.tsms = tsms;
	testing_daemon_start(&d);
	fake_vmm_place(OTHER, 5, 1, 0);
	testing_daemon_run(&d, 0,
			   TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1")
							TESTING_HOSTDEV(OTHER, "5")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	expect("Get", "tvm0", OTHER, "\"state\":\"declared\"");
	expect("Get", TVM0, "0000:41:00.5", "the provider of tsm second is not there");
	expect("Get", "tvm0", ALIAS, "\"state\":\"waiting\"");
	expect("List", "tvm0", NULL, "\"name\":\"" OTHER "\"");
	expect("List", NULL, NULL, "\"device\":\"0000:41:00.5\"");
	second = fake_tsm_new(d.event, socket);
	second->only_device = "0000:41:00.5";
	second->dsm_text = "0000:42:00.0";
	UNTIL(d.event, testing_assignment(&d, 0, OTHER));
	testing_idle(d.event);
	expect("Get", "tvm0", OTHER, "\"tsm\":\"second");
	cr_assert_null(strstr(log_of_answers, "declared"));
	expect("List", NULL, NULL, OTHER);
	cr_assert_null(strstr(log_of_answers, "declared"));
	client = varlink_client_free(client);
	testing_daemon_stop(&d);
	fake_tsm_free(second);
}

/* libvirt does not mind. */
Test(daemon_assignments_service, domain_that_is_named_like_anothers_uuid)
{
	attach();
	testing_daemon_run(&d, 1,
			   TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")
							TESTING_HOSTDEV("ua-tdi-nic1", "1")));
	fake_vmm_domain(TVM1, TVM0,
			TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")
						     TESTING_HOSTDEV("ua-tdi-nic1", "1")));
	UNTIL(d.event, testing_assignment(&d, 1, ALIAS));
	testing_idle(d.event);
	cr_assert_str_eq(testing_assignment(&d, 1, ALIAS)->tvm->domain->name, TVM0);
	expect("List", TVM0, NULL, "ok {\"assignments\":[{\"domain\":\"" TVM0 "\"");
	cr_assert_null(strstr(log_of_answers, TVM1), "%s", log_of_answers);
	expect("Get", TVM0, ALIAS, "ok {\"assignment\":{\"domain\":\"" TVM0 "\"");
	expect("Get", TVM0, "ua-tdi-nic1", "NoSuchAssignment");
	expect("Get", TVM1, "ua-tdi-nic1", "ok {\"assignment\":{\"domain\":\"" TVM1 "\"");
	/* A UUID that nobody has is nobody's name either. */
	testing_daemon_change(&d, 1, VMM_DIRTY_LIFECYCLE, NULL, TESTING_DOMAIN(TVM1, TESTING_PORT));
	fake_vmm_domain(TVM1, OTHER_UUID, TESTING_DOMAIN(TVM1, TESTING_PORT));
	testing_idle(d.event);
	expect("List", OTHER_UUID, NULL, "NoSuchDomain");
}

Test(daemon_assignments_service, monitor_until_the_end)
{
	const char *p;

	attach();
	call("Monitor", NULL, NULL, VARLINK_CALL_MORE);
	lock();
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	testing_idle(d.event);
	/* In this order; the last one although the assignment is forgotten with its TVM. */
	p = strstr(log_of_answers, "\"initial\":true,\"assignment\":{");
	cr_assert_not_null(p);
	p = strstr(p, "\"initial\":true}");
	cr_assert_not_null(p);
	p = strstr(p, "\"state\":\"binding\"");
	cr_assert_not_null(p);
	p = strstr(p, "\"state\":\"locked\"");
	cr_assert_not_null(p);
	p = strstr(p, "\"state\":\"unbinding\"");
	cr_assert_not_null(p);
	p = strstr(p, "\"state\":\"released\"");
	cr_assert_not_null(p, "%s", log_of_answers);
	p = strchr(p, '\n');
	cr_assert_not_null(strstr(p, "\"state\":\"released\""), "%s", log_of_answers);
	cr_assert_not_null(strstr(p, "\"removed\":true}"), "%s", log_of_answers);
}

Test(daemon_assignments_service, monitor_of_one_domain)
{
	call("Monitor", "tvm1", NULL, VARLINK_CALL_MORE);
	attach();
	testing_idle(d.event);
	cr_assert_null(strstr(log_of_answers, ALIAS));
}

Test(daemon_assignments_service, watchers_that_go_away)
{
	attach();
	call("Monitor", NULL, NULL, VARLINK_CALL_MORE);
	testing_idle(d.event);
	client = varlink_client_free(client);
	lock();
	call("Monitor", NULL, NULL, VARLINK_CALL_MORE);
	testing_idle(d.event);
	testing_daemon_stop(&d);
	UNTIL(d.event, strstr(log_of_answers, "lost"));
}

/* An error of the engine must not leave something behind that no list can show. */
Test(daemon_assignments_service, domain_that_is_over_is_forgotten)
{
	attach();
	testing_daemon_kill(&d, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_STOPPED, NULL);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	testing_idle(d.event);
	expect("List", "tvm0", NULL, "NoSuchDomain");
}
