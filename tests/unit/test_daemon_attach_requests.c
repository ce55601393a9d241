/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attach: through all of tdid to a fake libvirt and a fake TSM, and back. */
#include "testing-assignments.h"
#include "testing-disk.h"
#include "testing-records.h"

#include "daemon/assignments-service.h"
#include "daemon/attach-private.h"
#include "daemon/director.h"
#include "rpc/event-loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>

#define TDI	 "0000:41:00.1"
#define OTHER	 "0000:41:00.2"
#define OBJECT	 "\"tvm0/" TDI "\""
#define AUTO	 "ua-tdi-0000-41-00-1"
#define ARGS	 "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"nic0\""
#define TOKEN	 "\"client_token\":\"token-1\""
#define PORTLESS TESTING_DOMAIN(TVM0, "")

static TestingCaller one, two;

static void set_up_callers(void)
{
	set_up();
}

static void tear_down_callers(void)
{
	testing_caller_done(&one);
	testing_caller_done(&two);
	tear_down();
}

TestSuite(daemon_attach_requests, .init = set_up_callers, .fini = tear_down_callers);

/* tvm0 runs, with nothing in it, and its agent has said hello. */
static void start(void)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	testing_idle(d.event);
}

/* What libvirt is to do when it is asked. */
static void libvirt_attaches(void)
{
	fake_vmm.attach_xml = WITH;
	fake_vmm.attach_alias = ALIAS;
}

static void ask(TestingCaller *caller, const char *arguments)
{
	char text[1024];

	snprintf(text, sizeof(text), "{%s}", arguments);
	testing_ask(caller, "Attach", text, false);
}

static void ask_more(TestingCaller *caller, const char *arguments)
{
	char text[1024];

	snprintf(text, sizeof(text), "{%s}", arguments);
	testing_ask(caller, "Attach", text, true);
}

static void expect(const char *arguments, const char *answer)
{
	ask(&one, arguments);
	testing_answered(&one, answer);
}

/* And libvirt has not been asked for anything, and nothing is left. */
static void refused(const char *arguments, const char *why)
{
	unsigned int attaches = fake_vmm.attaches;

	ask(&one, arguments);
	testing_answered(&one, why);
	cr_assert_eq(strncmp(one.answer, "Refused {\"object\":\"", 19), 0, "%s", one.answer);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.attaches, attaches);
	cr_assert_eq(testing_records(&d, "attach", NULL), 0);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

static void nothing_is_left(void)
{
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", NULL), 0);
	cr_assert_eq(testing_records(&d, "tdi", NULL), 0);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	cr_assert(!dsm() || (!dsm()->pinned && dsm()->users == 0));
}

/* --- parameters --- */

Test(daemon_attach_requests, parameters_that_are_none)
{
	static const struct {
		const char *arguments, *parameter;
	} bad[] = {
		{ "\"device\":\"" TDI "\"", "domain" },
		{ "\"domain\":\"\",\"device\":\"" TDI "\"", "domain" },
		{ "\"domain\":\"tvm0\"", "device" },
		{ "\"domain\":\"tvm0\",\"device\":\"41:00.1\"", "device" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "'/><x y='\"", "device" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"\"", "name" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"ua-tdi-\"", "name" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"a b\"", "name" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"a'/><alias name='b\"",
		  "name" },
		{ "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"a&amp;b\"", "name" },
		{ ARGS ",\"client_token\":\"\"", "client_token" },
		{ ARGS ",\"client_token\":\"a b\"", "client_token" },
		{ ARGS ",\"wait_for\":\"there\"", "wait_for" },
		{ ARGS ",\"wait_for\":\"released\"", "wait_for" },
		{ ARGS ",\"wait_for\":\"declared\"", "wait_for" },
		{ ARGS ",\"timeout_ms\":0", "timeout_ms" },
		{ ARGS ",\"timeout_ms\":-1", "timeout_ms" },
		{ ARGS ",\"timeout_ms\":86400001", "timeout_ms" },
		{ ARGS ",\"dry_run\":1", "dry_run" },
		{ ARGS ",\"xml\":\"<hostdev/>\"", "xml" },
	};
	char wanted[64];

	start();
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		snprintf(wanted, sizeof(wanted), "InvalidParameter {\"parameter\":\"%s",
			 bad[i].parameter);
		expect(bad[i].arguments, wanted);
	}
	cr_assert_eq(fake_vmm.attaches, 0);
}

Test(daemon_attach_requests, names_and_tokens_that_are_too_long)
{
	char text[512], name[160];

	start();
	memset(name, 'a', sizeof(name));
	name[128] = '\0'; /* 127 are good, but for the prefix */
	snprintf(text, sizeof(text), "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"%s\"",
		 name);
	expect(text, "InvalidParameter {\"parameter\":\"name\"}");
	name[121] = '\0';
	snprintf(text, sizeof(text), "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"%s\"",
		 name);
	expect(text, "InvalidParameter {\"parameter\":\"name\"}");
	memset(name, 'a', sizeof(name));
	name[129] = '\0';
	snprintf(text, sizeof(text), ARGS ",\"client_token\":\"%s\"", name);
	expect(text, "InvalidParameter {\"parameter\":\"client_token\"}");
}

/* --- what is refused before libvirt is asked --- */

Test(daemon_attach_requests, unknown_domain)
{
	start();
	refused("\"domain\":\"tvm9\",\"device\":\"" TDI "\"",
		"tvm9: attach: tdid knows no running domain of that name");
	refused("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"", "libvirt has no such domain");
}

/* What is written as a UUID is one. */
Test(daemon_attach_requests, domain_that_is_named_like_anothers_uuid)
{
	start();
	testing_daemon_run(&d, 1, TESTING_DOMAIN(TVM1, TESTING_PORT));
	fake_vmm_domain(TVM1, TVM0, TESTING_DOMAIN(TVM1, TESTING_PORT));
	testing_idle(d.event);
	expect("\"domain\":\"" TVM0 "\",\"device\":\"" TDI "\",\"dry_run\":true",
	       "ok {\"plan\":{\"domain\":\"" TVM0 "\"");
	fake_vmm_domain(TVM0, TVM1, NONE);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	expect("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\",\"dry_run\":true",
	       "ok {\"plan\":{\"domain\":\"" TVM1 "\"");
}

Test(daemon_attach_requests, domain_that_does_not_run)
{
	start();
	fake_vmm_domain(TVM1, "tvm1", NULL);
	refused("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"",
		TVM1 "/" TDI ": attach: the domain does not run. Start it first");
}

Test(daemon_attach_requests, domain_without_a_guest_port)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, PORTLESS);
	testing_idle(d.event);
	refused(ARGS, "the domain has no guest port io.tdid.guest.0");
	cr_assert(strstr(one.answer, "examples/domain.xml"));
}

Test(daemon_attach_requests, domain_whose_qemu_is_not_known)
{
	start();
	fake_vmm_domain(TVM1, "tvm1", TESTING_DOMAIN(TVM1, TESTING_PORT));
	refused("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"",
		"which QEMU is tvm1's is not known yet");
}

Test(daemon_attach_requests, domain_that_is_being_stopped)
{
	Domain *domain;
	Uuid uuid;

	start();
	uuid_from_string(&uuid, TVM0);
	domain = registry_find_domain(d.tdid.registry, uuid);
	director_event(&d.tdid, &(EngineEvent){ .type = EVENT_TVM_STOPPING, .id = domain->tvm->id },
		       NULL);
	refused(ARGS, "the domain is being stopped");
}

Test(daemon_attach_requests, domain_that_is_no_tvm)
{
	d.require_tvm = "always";
	start();
	refused(ARGS, "its domain is no confidential VM");
}

Test(daemon_attach_requests, xml_that_makes_no_sense)
{
	start();
	fake_vmm_domain(TVM0, "tvm0", "<domain>");
	refused(ARGS, "its domain's XML: ");
}

Test(daemon_attach_requests, devices_that_are_none)
{
	d.tsm->plain = "0000:41:00.7";
	start();
	refused("\"domain\":\"tvm0\",\"device\":\"0000:42:00.1\"",
		"there is no such function on this host");
	refused("\"domain\":\"tvm0\",\"device\":\"0000:41:00.5\"",
		"no TSM serves it as a TEE-IO device");
	refused("\"domain\":\"tvm0\",\"device\":\"0000:41:00.7\"",
		"no TSM serves it as a TEE-IO device");
}

Test(daemon_attach_requests, tsm_that_has_never_answered)
{
	fake_tsm_stop(d.tsm);
	start();
	refused(ARGS, "tsm fake (no protection) is not ready: ");
}

Test(daemon_attach_requests, tsm_that_is_away)
{
	start();
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	refused(ARGS, "is not ready: ");
}

Test(daemon_attach_requests, libvirt_that_is_away)
{
	start();
	fake_vmm_disconnect();
	refused(ARGS, "libvirt: ");
}

Test(daemon_attach_requests, libvirt_that_does_not_tell)
{
	start();
	fake_vmm.read_result = -EHOSTUNREACH;
	refused(ARGS, "libvirt: libvirt does not tell. Try again");
}

Test(daemon_attach_requests, another_tvms)
{
	start();
	testing_daemon_run(&d, 1, WITH1);
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_WAITING);
	d.tsm->calls[FAKE_CONNECT] = 0;
	refused(ARGS, "it is still tvm1's");
}

Test(daemon_attach_requests, excluded)
{
	d.config = "\"excluded\":[\"0000:41:00.1\",\"dsm=0000:43:00.0\"],";
	start();
	refused(ARGS, "tdid.conf excludes it ('0000:41:00.1' in `excluded`)");
	testing_call(&two, "Devices", NULL);
	testing_answered(&two, "\"quarantined\":false,\"excluded\":\"0000:41:00.1\"}");
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\",\"dry_run\":true", "ok {\"plan\":");
}

/* All ways: cold, by plain virsh, and Attach (above). */
Test(daemon_attach_requests, excluded_by_its_dsm_whoever_attaches_it)
{
	d.config = "\"excluded\":[\"dsm=" FAKE_TSM_DSM "\"],";
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "tdid.conf excludes it"));
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

/* --- the function that the DSM is in --- */

#define OWN	  "0000:41:00.0"
#define OWN_ALIAS "ua-tdi-pf"
#define WITH_OWN  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(OWN_ALIAS, "0"))
#define WITH_OWN1 TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(OWN_ALIAS, "0"))
#define WITH_VF	  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2"))
#define WITH_VF1  TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2"))
#define OWN_ARGS  "\"domain\":\"tvm0\",\"device\":\"" OWN "\""
#define VF_ARGS	  "\"domain\":\"tvm0\",\"device\":\"" OTHER "\""

/* In the other domain, by plain virsh. */
static void other_has(const char *alias, const char *xml)
{
	testing_daemon_run(&d, 1, xml);
	UNTIL(d.event, testing_state(&d, 1, alias) == ASSIGNMENT_WAITING);
	d.tsm->calls[FAKE_CONNECT] = 0;
}

Test(daemon_attach_requests, dsms_own_function_while_another_tvm_has_a_device_of_it)
{
	d.tsm->device_text = OWN;
	start();
	expect(OWN_ARGS ",\"dry_run\":true", "ok {\"plan\":");
	other_has(ALIAS, WITH_VF1);
	refused(OWN_ARGS,
		"it is the function that its DSM is in, and " OTHER " of that DSM is tvm1's");
	cr_assert(strstr(one.answer, "Detach those first"), "%s", one.answer);
	/* Plain virsh: the harm may be done, but nobody keeps it. */
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, OWN_ALIAS, WITH_OWN);
	EXPECT_STATE(&d, OWN_ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, OWN_ALIAS)->reason, "tvm1's"));
	cr_assert_eq(testing_state(&d, 1, ALIAS), ASSIGNMENT_WAITING);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, OWN_ALIAS, NONE);
	EXPECT_STATE(&d, OWN_ALIAS, ASSIGNMENT_FAILED);
	/* When the other is gone it is to be had. */
	testing_daemon_change(&d, 1, VMM_DIRTY_DEVICE_REMOVED, ALIAS,
			      TESTING_DOMAIN(TVM1, TESTING_PORT));
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_RELEASED);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, OWN_ALIAS, WITH_OWN);
	EXPECT_STATE(&d, OWN_ALIAS, ASSIGNMENT_WAITING);
}

Test(daemon_attach_requests, device_whose_dsms_own_function_is_a_tvms)
{
	d.tsm->device_text = OWN;
	start();
	other_has(OWN_ALIAS, WITH_OWN1);
	refused(VF_ARGS, "the function that its DSM is in, " OWN ", is itself tvm1's");
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH_VF);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "is itself tvm1's"));
	/* A refused one does not keep the other from coming back with its guest. */
	fake_vmm_dirty(TVM1, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	UNTIL(d.event, testing_state(&d, 1, OWN_ALIAS) == ASSIGNMENT_WAITING);
	/* And does not become good by a reset itself. */
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* libvirt attaches the one, and there is no assignment yet. */
Test(daemon_attach_requests, dsms_own_function_while_another_of_it_is_being_attached)
{
	static const char *const arguments[][2] = {
		{ OWN_ARGS, "\"domain\":\"tvm1\",\"device\":\"" OTHER "\"" },
		{ VF_ARGS, "\"domain\":\"tvm1\",\"device\":\"" OWN "\"" },
	};

	d.tsm->device_text = OWN;
	start();
	testing_daemon_run(&d, 1, TESTING_DOMAIN(TVM1, TESTING_PORT));
	testing_idle(d.event);
	for (int i = 0; i < 2; i++) {
		fake_vmm.hold_attaches = true;
		fake_vmm.attach_result = VMM_ATTACH_REFUSED;
		ask(&two, arguments[i][0]);
		UNTIL(d.event, fake_vmm.attaches == (unsigned int)i + 1);
		expect(arguments[i][1],
		       "of the same DSM is being attached to tvm0, and one of them is "
		       "the function that the DSM is in");
		fake_vmm_let_go();
		testing_answered(&two, "Refused ");
	}
	expect(OWN_ARGS ",\"dry_run\":true", "ok {\"plan\":");
}

/* Cold, and tdid was not there to refuse the start. */
Test(daemon_attach_requests, dsms_own_function_in_a_domain_that_runs_already)
{
	d.tsm->device_text = OWN;
	start();
	other_has(ALIAS, WITH_VF1);
	testing_daemon_run(&d, 0, WITH_OWN);
	EXPECT_STATE(&d, OWN_ALIAS, ASSIGNMENT_DETACHING);
	/* Refused, but its guest has it and may reset it: so nobody gets another one of it. */
	testing_daemon_change(&d, 1, VMM_DIRTY_DEVICE_REMOVED, ALIAS,
			      TESTING_DOMAIN(TVM1, TESTING_PORT));
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_RELEASED);
	refused("\"domain\":\"tvm1\",\"device\":\"" OTHER "\"",
		"is itself tvm0's (detaching), who may reset it at any time. 'tdictl detach "
		"tvm0/" OWN_ALIAS "' first (if its guest does not let it go, only the end of that "
		"domain takes it back)");
}

static void quarantine_tdi(void)
{
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	d.tsm->calls[FAKE_CONNECT] = 0;
}

Test(daemon_attach_requests, quarantined)
{
	start();
	quarantine_tdi();
	refused(ARGS, "it is still there as " ALIAS ", and quarantined");
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, NONE);
	testing_idle(d.event);
	refused(ARGS, "it is quarantined: what the TSM holds of it is not known");
	cr_assert(strstr(one.answer, "'tdictl clear " TDI "' is the way out"));
}

Test(daemon_attach_requests, dsm_that_is_quarantined)
{
	start();
	d.tsm->answers[FAKE_CONNECT] = FAKE_BREAK_OFF;
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "Refused");
	d.tsm->calls[FAKE_CONNECT] = 0;
	refused(ARGS, "its DSM " FAKE_TSM_DSM " is quarantined");
}

Test(daemon_attach_requests, name_that_is_taken)
{
	start();
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS,
			      TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	d.tsm->calls[FAKE_CONNECT] = 0;
	refused(ARGS, "the name " ALIAS " is " OTHER "'s there");
}

Test(daemon_attach_requests, what_was_before_is_still_being_unbound)
{
	start();
	libvirt_attaches();
	expect(ARGS ",\"wait_for\":\"waiting\"", "ok ");
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, NONE);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_UNBINDING);
	d.tsm->calls[FAKE_CONNECT] = 0;
	refused(ARGS, "what was attached before is still unbinding");
}

/* The record comes before the effect that it announces. */
Test(daemon_attach_requests, record_that_cannot_be_written)
{
	start();
	no_room_for = "attach-" TVM0;
	ask(&one, ARGS);
	testing_answered(&one, "its record cannot be written");
	cr_assert_eq(fake_vmm.attaches, 0);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	no_room_for = NULL;
	libvirt_attaches();
	expect(ARGS, "ok ");
}

/* --- dry run --- */

Test(daemon_attach_requests, dry_run)
{
	start();
	expect(ARGS ",\"dry_run\":true,\"wait_for\":\"running\"," TOKEN,
	       "ok {\"plan\":{\"domain\":\"" TVM0 "\",\"domain_name\":\"tvm0\",\"name\":\"" ALIAS
	       "\",\"device\":\"" TDI "\",\"dsm\":\"" FAKE_TSM_DSM
	       "\",\"tsm\":\"fake (emulated, no protection)\",\"protection\":false,"
	       "\"connects\":true,\"already_attached\":false,\"xml\":\"<hostdev mode='subsystem' "
	       "type='pci' managed='yes'>\\n");
	cr_assert(strstr(one.answer, "<address domain='0x0000' bus='0x41' slot='0x00' "
				     "function='0x1'/>"));
	cr_assert(strstr(one.answer, "<alias name='" ALIAS "'/>"));
	cr_assert_eq(fake_vmm.attaches, 0);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	nothing_is_left();
	/* The token is free. */
	fake_vmm.attach_result = VMM_ATTACH_REFUSED;
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\"," TOKEN, "libvirt does not attach it");
}

Test(daemon_attach_requests, dry_run_of_what_is_there)
{
	start();
	libvirt_attaches();
	expect(ARGS, "ok ");
	expect("\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"dry_run\":true",
	       "\"name\":\"" ALIAS "\"");
	cr_assert(strstr(one.answer, "\"connects\":false,\"already_attached\":true"));
}

/* --- attaching --- */

Test(daemon_attach_requests, to_running_with_each_change_told)
{
	start();
	libvirt_attaches();
	ask_more(&one, ARGS "," TOKEN ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_str_eq(fake_vmm.attached, TVM0 " " ALIAS " " TDI);
	cr_assert(strstr(one.told, "{\"plan\":{"), "%s", one.told);
	cr_assert_null(strstr(strstr(one.told, "{\"plan\":{") + 1, "{\"plan\":{"));
	testing_guest_event(SESSION_A, "Ready", READY);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
	testing_guest_send(ACCEPT);
	testing_answered(&one, "ok {\"assignment\":{\"domain\":\"" TVM0 "\"");
	cr_assert(strstr(one.answer, "\"state\":\"running\""));
	cr_assert(strstr(one.told, "\"state\":\"attached\""));
	cr_assert(strstr(one.told, "\"state\":\"locked\""));
	cr_assert_null(strstr(one.told, "\"state\":\"running\""));
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", "\"attach_token\":\"token-1\""), 1);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_attach_requests, by_uuid_with_a_name_of_its_own)
{
	start();
	fake_vmm.attach_xml = TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(AUTO, "1"));
	fake_vmm.attach_alias = AUTO;
	expect("\"domain\":\"" TVM0 "\",\"device\":\"" TDI "\"",
	       "\"name\":\"" AUTO "\",\"device\":\"" TDI "\"");
	cr_assert(strstr(one.answer, "\"state\":\"attached\""));
}

/* libvirt's event may be late or lost. */
Test(daemon_attach_requests, libvirts_answer_is_enough)
{
	start();
	fake_vmm.attach_xml = WITH;
	expect(ARGS, "\"state\":\"attached\"");
	cr_assert(strstr(one.answer, "\"name\":\"device-added\""));
}

/* While libvirt attaches, and without a reference. */
Test(daemon_attach_requests, connects_meanwhile)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.attaches, 0, "the read is held");
	fake_vmm_let_go();
	fake_vmm.hold_attaches = true;
	UNTIL(d.event, fake_vmm.attaches == 1);
	libvirt_attaches();
	UNTIL(d.event, dsm() && dsm()->state == DSM_CONNECTED);
	cr_assert_not(dsm()->pinned);
	cr_assert_eq(testing_records(&d, "attach-" TVM0, ALIAS), 1);
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
	cr_assert_eq(dsm()->users, 1);
}

/* Its session would not outlive the reset. */
Test(daemon_attach_requests, dsms_own_function_is_not_connected_ahead)
{
	d.tsm->device_text = OWN;
	start();
	fake_vmm.hold_attaches = true;
	fake_vmm.attach_xml = WITH_OWN;
	fake_vmm.attach_alias = OWN_ALIAS;
	ask(&one, OWN_ARGS ",\"name\":\"pf\"");
	UNTIL(d.event, fake_vmm.attaches == 1);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	EXPECT_STATE(&d, OWN_ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_attach_requests, libvirt_refuses)
{
	d.idle_grace_ms = 1;
	start();
	fake_vmm.attach_result = VMM_ATTACH_REFUSED;
	fake_vmm.attach_message = "domain x: cannot attach: no more available PCI slots";
	expect(ARGS "," TOKEN, "tvm0/" TDI ": attach: libvirt: domain x: cannot attach: no more "
			       "available PCI slots. Nothing is left of it");
	nothing_is_left();
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);

	/* The token is as free as before, even for something else. */
	fake_vmm.attach_result = 0;
	fake_vmm.attach_xml =
		TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV("ua-tdi-nic1", "2"));
	fake_vmm.attach_alias = "ua-tdi-nic1";
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\",\"name\":\"nic1\"," TOKEN, "ok ");
}

/* Its connect waits at the TSM for its turn; libvirt needs no session to say no. */
Test(daemon_attach_requests, connect_ahead_of_what_libvirt_refuses)
{
	start();
	d.tsm->answers[FAKE_CONNECT] = FAKE_QUEUE_HOLD;
	fake_vmm.hold_attaches = true;
	fake_vmm.attach_result = VMM_ATTACH_REFUSED;
	fake_vmm.attach_message = "not so";
	ask(&one, ARGS);
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_vmm_let_go();
	testing_answered(&one, "Nothing is left of it");
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(d.tsm->cancels, 1);
}

Test(daemon_attach_requests, libvirt_is_busy)
{
	start();
	fake_vmm.attach_result = VMM_ATTACH_BUSY;
	expect(ARGS, "Nothing was done; try again when that job is over");
	nothing_is_left();
}

/* Not the ground for what it announces; and nothing of it is left. */
Test(daemon_attach_requests, record_that_is_not_synced)
{
	start();
	syncs_fail = true;
	refused(ARGS "," TOKEN, "may be lost: the directory cannot be synced");
	syncs_fail = false;
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
}

Test(daemon_attach_requests, failed_connect)
{
	start();
	d.tsm->answers[FAKE_CONNECT] = FAKE_REFUSE;
	libvirt_attaches();
	expect(ARGS ",\"wait_for\":\"waiting\"", "NotReached {\"assignment\":{");
	cr_assert(strstr(one.answer, "\"state\":\"detaching\""));
	cr_assert(strstr(one.answer,
			 "tvm0/" ALIAS ": attach: it is detaching: device_connect " FAKE_TSM_DSM));
}

Test(daemon_attach_requests, rejected_by_the_guest)
{
	start();
	libvirt_attaches();
	ask(&one, ARGS ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"policy\",\"reason\":\"another firmware\"");
	testing_answered(&one, "NotReached ");
	cr_assert(strstr(one.answer, "another firmware"));
}

Test(daemon_attach_requests, time_is_over)
{
	start();
	libvirt_attaches();
	expect(ARGS ",\"wait_for\":\"running\",\"timeout_ms\":100", "TimedOut {\"assignment\":{");
	cr_assert(strstr(one.answer,
			 "tvm0/" ALIAS ": attach: after 0.1 s it is waiting. It goes on"));
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
}

Test(daemon_attach_requests, time_is_over_within_libvirt)
{
	start();
	fake_vmm.hold = true;
	expect(ARGS ",\"timeout_ms\":50", "libvirt has not told of the domain yet");
	fake_vmm_let_go();
	fake_vmm.hold_attaches = true;
	UNTIL(d.event, fake_vmm.attaches == 1);
	expect(ARGS ",\"timeout_ms\":50", "TimedOut {\"message\":\"tvm0/" ALIAS
					  ": attach: after 0.1 s libvirt is still attaching it");
	libvirt_attaches();
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

Test(daemon_attach_requests, domain_that_ends_meanwhile)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS);
	UNTIL(d.event, fake_vmm.attaches == 1);
	testing_daemon_kill(&d, 0);
	testing_answered(&one, "the domain has ended meanwhile");
	fake_vmm.attach_result = VMM_ATTACH_GONE;
	fake_vmm_let_go();
	nothing_is_left();
}

/* --- what starts over is still on its way --- */

static void ask_until_locked(void)
{
	libvirt_attaches();
	ask(&one, ARGS ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
}

/* The agent of the boot after: tdid has closed the port, and opens it with the guest. */
static void boot_anew(void)
{
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	UNTIL(d.event, fake_vmm.opens == 2);
	testing_idle(d.event);
	testing_guest_hello(SESSION_B);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
}

Test(daemon_attach_requests, guest_that_is_reset_meanwhile)
{
	start();
	libvirt_attaches();
	ask(&one, ARGS ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	cr_assert_null(one.answer);
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	boot_anew();
	testing_guest_event(SESSION_B, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_null(one.answer);
	fake_tsm_set(d.tsm, tdi(), "run", true);
	testing_answered(&one, "\"state\":\"running\"");
}

/* The unbind takes longer than the read; and then it is the other way round. */
Test(daemon_attach_requests, guest_that_is_reset_when_it_is_bound)
{
	start();
	ask_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_UNBINDING);
	cr_assert_null(one.answer);
	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	boot_anew();
	testing_guest_event(SESSION_B, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_null(one.answer);
}

Test(daemon_attach_requests, guest_that_is_reset_and_the_device_is_gone)
{
	start();
	libvirt_attaches();
	ask(&one, ARGS ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_daemon_change(&d, 0, VMM_DIRTY_REBOOT, NULL, NONE);
	testing_answered(&one, "NotReached ");
	cr_assert(strstr(one.answer, "it is released"), "%s", one.answer);
}

/* Nothing shows the device again, and nothing is left to wait for. */
Test(daemon_attach_requests, guest_that_is_reset_and_ends)
{
	start();
	libvirt_attaches();
	ask(&one, ARGS ",\"wait_for\":\"running\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm.read_refused = -EHOSTUNREACH;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	cr_assert_null(one.answer);
	testing_daemon_kill(&d, 0);
	testing_answered(&one, "NotReached ");
	cr_assert(strstr(one.answer, "it is released"), "%s", one.answer);
}

Test(daemon_attach_requests, bound_again_by_its_policy)
{
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":1,\"rebinds\":1,";
	start();
	ask_until_locked();
	fake_tsm_set(d.tsm, tdi(), "error", false);
	UNTIL(d.event, tdi()->generation == 2);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_null(one.answer);
	fake_tsm_set(d.tsm, tdi(), "error", false);
	testing_answered(&one, "NotReached ");
	cr_assert(strstr(one.answer, "\"state\":\"held\""), "%s", one.answer);
}

/* --- callers that go away --- */

Test(daemon_attach_requests, cancelled_before_libvirt_is_asked)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN);
	ask(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	testing_caller_done(&one);
	testing_idle(d.event);
	testing_caller_done(&two);
	testing_idle(d.event);
	fake_vmm_let_go();
	nothing_is_left();
	cr_assert_eq(fake_vmm.attaches, 0);
}

Test(daemon_attach_requests, goes_on_for_those_who_stay)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS);
	ask(&two, ARGS);
	testing_idle(d.event);
	testing_caller_done(&one);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&two, "ok ");
	cr_assert_eq(fake_vmm.attaches, 1);
}

Test(daemon_attach_requests, caller_that_goes_away_after_that_changes_nothing)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS "," TOKEN);
	UNTIL(d.event, fake_vmm.attaches == 1);
	testing_caller_done(&one);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(ARGS "," TOKEN, "ok {\"assignment\":");
	cr_assert_eq(fake_vmm.attaches, 1);
}

/* --- asking again --- */

Test(daemon_attach_requests, same_token_while_it_is_under_way)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN);
	testing_idle(d.event);
	ask_more(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
	cr_assert_eq(fake_vmm.attaches, 1);
	cr_assert(strstr(two.told, "{\"plan\":{"));
}

/* Whoever asks first without one: it is the token that counts. */
Test(daemon_attach_requests, token_of_the_second_caller)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS);
	testing_idle(d.event);
	ask(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
	UNTIL(d.event, testing_records(&d, "assignment", "\"attach_token\":\"token-1\"") == 1);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
	cr_assert_eq(fake_vmm.attaches, 1);
}

Test(daemon_attach_requests, token_of_the_second_caller_while_libvirt_attaches)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS);
	UNTIL(d.event, fake_vmm.attaches == 1);
	ask(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "\"attach_token\":\"token-1\""), 1);
	testing_daemon_stop(&d);
	fake_vmm.hold_attaches = false;
	fake_vmm_domain(TVM0, "tvm0", WITH);
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	UNTIL(d.event, testing_records(&d, "assignment", "\"attach_token\":\"token-1\"") == 1);
}

Test(daemon_attach_requests, token_of_the_second_caller_that_cannot_be_recorded)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS);
	UNTIL(d.event, fake_vmm.attaches == 1);
	no_room_for = "attach-" TVM0;
	ask(&two, ARGS "," TOKEN);
	testing_answered(&two, "the client_token cannot be recorded");
	no_room_for = NULL;
	ask(&two, ARGS ",\"client_token\":\"token-2\"");
	testing_idle(d.event);
	cr_assert_null(two.answer, "the other one has not been taken");
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
}

Test(daemon_attach_requests, another_token_while_it_is_under_way)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN);
	testing_idle(d.event);
	ask(&two, ARGS ",\"client_token\":\"token-2\"");
	testing_answered(&two, "Refused ");
	cr_assert(strstr(two.answer, "tvm0/" TDI ": attach: its attach there is under way under "
				     "another client_token"),
		  "%s", two.answer);
	cr_assert_null(strstr(two.answer, "token-1"), "it is the other caller's");
	ask(&two, ARGS);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
	cr_assert_eq(fake_vmm.attaches, 1);
}

/* For a while there is no memory for another event source. */
static bool no_more_sources;

int sd_event_add_defer(sd_event *event, sd_event_source **ret, sd_event_handler_t callback,
		       void *userdata)
{
	static int (*next)(sd_event *, sd_event_source **, sd_event_handler_t, void *);

	if (!next)
		next = (int (*)(sd_event *, sd_event_source **, sd_event_handler_t, void *))dlsym(
			RTLD_NEXT, "sd_event_add_defer");
	return no_more_sources ? -ENOMEM : next(event, ret, callback, userdata);
}

Test(daemon_attach_requests, its_end_needs_no_memory)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS "," TOKEN);
	UNTIL(d.event, dsm() && dsm()->state == DSM_CONNECTED);
	cr_assert_eq(testing_records(&d, "attach-" TVM0, ALIAS), 1);
	libvirt_attaches();
	no_more_sources = true;
	fake_vmm_let_go();
	testing_answered(&one, "ok ");
	testing_idle(d.event);
	no_more_sources = false;
	cr_assert_eq(testing_records(&d, "attach-" TVM0, ALIAS), 0);
}

Test(daemon_attach_requests, same_token_after_it)
{
	start();
	libvirt_attaches();
	expect(ARGS "," TOKEN, "\"state\":\"attached\"");
	expect(ARGS "," TOKEN ",\"wait_for\":\"waiting\"", "\"state\":\"waiting\"");
	/* And after it has been taken out again. */
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
	expect(ARGS "," TOKEN ",\"wait_for\":\"running\"", "NotReached ");
	cr_assert_eq(fake_vmm.attaches, 1);
	/* With another one it is attached again, and that one's it is now. */
	libvirt_attaches();
	expect(ARGS ",\"client_token\":\"token-2\"", "\"state\":\"attached\"");
	cr_assert_eq(fake_vmm.attaches, 2);
	UNTIL(d.event, testing_records(&d, "assignment", "\"attach_token\":\"token-2\"") == 1);
}

Test(daemon_attach_requests, same_token_for_something_else)
{
	start();
	fake_vmm.hold = true;
	ask(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	ask(&one, "\"domain\":\"tvm0\",\"device\":\"" OTHER "\"," TOKEN);
	testing_answered(&one, "tvm0/" OTHER ": attach: client_token token-1 stands for the attach "
			       "of " TDI " to tvm0 as " ALIAS ". Use another one");
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&two, "ok ");
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\"," TOKEN,
	       "client_token token-1 stands");
	expect("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"," TOKEN,
	       "client_token token-1 stands");
	expect("\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"nic7\"," TOKEN,
	       "client_token token-1 stands");
	cr_assert_eq(fake_vmm.attaches, 1);
}

Test(daemon_attach_requests, what_is_there_is_success_without_a_token)
{
	start();
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(ARGS, "\"state\":\"waiting\"");
	expect("\"domain\":\"tvm0\",\"device\":\"" TDI "\"", "\"name\":\"" ALIAS "\"");
	expect("\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"nic7\"",
	       "it is there already, as " ALIAS);
	cr_assert_eq(fake_vmm.attaches, 0);
	/* A token that comes with that is remembered. */
	expect(ARGS "," TOKEN, "ok ");
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
	cr_assert_eq(fake_vmm.attaches, 0);
}

/* Its TSM is not asked for that. */
Test(daemon_attach_requests, what_is_there_is_success_while_its_tsm_is_away)
{
	start();
	libvirt_attaches();
	expect(ARGS ",\"wait_for\":\"waiting\"", "ok ");
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	expect(ARGS, "\"state\":\"waiting\"");
	expect(ARGS ",\"dry_run\":true", "\"already_attached\":true");
}

Test(daemon_attach_requests, another_attach_of_the_device_is_under_way)
{
	start();
	fake_vmm.hold = true;
	ask(&two, ARGS);
	testing_idle(d.event);
	ask(&one, "\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"nic7\"");
	testing_answered(&one, "its attach to tvm0 as " ALIAS " is under way");
	fake_vmm.attach_result = VMM_ATTACH_BUSY;
	fake_vmm_let_go();
	testing_answered(&two, "Refused");
}

/* --- nobody knows --- */

static void end_in_doubt(int result)
{
	start();
	fake_vmm.attach_result = result;
	fake_vmm.attach_message = "domain x: attach: libvirt has not answered in 300.0 s";
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS "," TOKEN);
	UNTIL(d.event, fake_vmm.attaches == 1);
	/* It hangs: so does the domain. */
	fake_vmm.read_refused = result == -ETIMEDOUT ? -EHOSTUNREACH : 0;
	fake_vmm_let_go();
	testing_answered(&one, "has not answered in 300.0 s. Ask again to see what has come of it");
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm.attach_result = 0;
}

Test(daemon_attach_requests, nobody_else_gets_it_in_doubt)
{
	end_in_doubt(-ETIMEDOUT);
	expect("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"",
	       "whether libvirt has attached it to tvm0 as " ALIAS " is not known");
	cr_assert_eq(fake_vmm.attaches, 1);
}

Test(daemon_attach_requests, it_comes_after_all)
{
	end_in_doubt(-ETIMEDOUT);
	fake_vmm.read_refused = 0;
	testing_daemon_change(&d, 0, VMM_DIRTY_REACHABLE, NULL, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	UNTIL(d.event, testing_records(&d, "assignment", "\"attach_token\":\"token-1\"") == 1);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
}

Test(daemon_attach_requests, it_has_not_come_and_is_asked_for_again)
{
	end_in_doubt(-ENOTCONN);
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
	cr_assert_eq(fake_vmm.attaches, 2);
}

Test(daemon_attach_requests, it_stays_in_doubt_while_libvirt_does_not_tell)
{
	end_in_doubt(-ETIMEDOUT);
	fake_vmm.read_refused = 0;
	fake_vmm.read_result = -EHOSTUNREACH;
	expect(ARGS "," TOKEN, "libvirt does not tell");
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm.read_result = 0;
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
}

/* What was read for one who has left is answered for nobody. */
Test(daemon_attach_requests, who_asks_in_doubt_leaves_and_another_one_asks)
{
	end_in_doubt(-ETIMEDOUT);
	fake_vmm.read_refused = 0;
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN);
	testing_idle(d.event);
	testing_caller_done(&one);
	testing_idle(d.event);
	ask(&two, ARGS "," TOKEN);
	testing_idle(d.event);
	libvirt_attaches();
	fake_vmm_let_go();
	testing_answered(&two, "ok ");
	cr_assert_eq(fake_vmm.attaches, 2);
}

/* And whoever else wants it need not wait for the domain's end. */
Test(daemon_attach_requests, it_has_not_come_and_a_read_shows_that)
{
	end_in_doubt(-ETIMEDOUT);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1, "it hangs still");
	fake_vmm.read_refused = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	nothing_is_left();
	libvirt_attaches();
	expect(ARGS ",\"client_token\":\"token-2\"", "ok ");
	cr_assert_eq(fake_vmm.attaches, 2);
}

Test(daemon_attach_requests, it_has_not_come_and_libvirt_is_back)
{
	end_in_doubt(-ENOTCONN);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm_disconnect();
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm_connect();
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1, "libvirtd may be at it still");
	assignments_service_attach_requests(d.tdid.assignments)->first->doubt_until = 1;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	nothing_is_left();
}

/* Not begun in time: nothing hangs, so nothing would tell by itself. */
Test(daemon_attach_requests, it_has_not_been_begun)
{
	start();
	fake_vmm.attach_result = -ETIMEDOUT;
	expect(ARGS "," TOKEN, "Ask again to see what has come of it");
	nothing_is_left();
}

/* What a read had seen before libvirt's answer says nothing; and one that fails says nothing. */
Test(daemon_attach_requests, reads_that_show_nothing)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS "," TOKEN);
	UNTIL(d.event, fake_vmm.attaches == 1);
	fake_vmm.hold_attaches = false;
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	fake_vmm_answer_one(); /* the attach */
	fake_vmm_answer_one(); /* the read of before it */
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm.read_result = -EREMOTEIO;
	fake_vmm_answer_one();
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	cr_assert_null(one.answer);
	fake_vmm.read_result = 0;
	fake_vmm_domain(TVM0, "tvm0", WITH);
	fake_vmm_let_go();
	for (int i = 0; i < 8 && !one.answer; i++) /* it is tried again, after a second */
		testing_turn(d.event);
	testing_answered(&one, "ok ");
}

/* Done, and gone again before tdid looks: no assignment ever comes. */
Test(daemon_attach_requests, taken_out_again_at_once)
{
	start();
	ask(&one, ARGS "," TOKEN ",\"wait_for\":\"running\"");
	testing_answered(&one, "Refused ");
	cr_assert(strstr(one.answer, "it has been taken out again"), "%s", one.answer);
	nothing_is_left();
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
	cr_assert_eq(fake_vmm.attaches, 2);
}

/* --- restarts --- */

static void restart(void)
{
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
}

static void die_within_libvirt(void)
{
	start();
	fake_vmm.hold_attaches = true;
	ask(&one, ARGS "," TOKEN);
	UNTIL(d.event, fake_vmm.attaches == 1);
	testing_daemon_stop(&d);
	testing_answered(&one, "lost");
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	fake_vmm.hold_attaches = false;
}

/*
 * As when tdid is killed between its assignment's record and the removal of this one. Without
 * `asked_usec` it does not say when libvirt was asked.
 */
static void leave_record(const char *token)
{
	char name[128], text[512];

	snprintf(name, sizeof(name), "attach-" TVM0 "-%d-" TDI, (int)d.qemu[0]);
	snprintf(text, sizeof(text),
		 "{\"kind\":\"attach\",\"domain\":\"" TVM0 "\",\"pid\":%d,\"device\":\"" TDI
		 "\",\"dsm\":\"" FAKE_TSM_DSM "\",\"name\":\"" ALIAS "\"%s}",
		 (int)d.qemu[0], token);
	testing_records_put(d.records, name, text);
}

Test(daemon_attach_requests, restart_before_libvirt_is_asked)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN);
	testing_idle(d.event);
	testing_daemon_stop(&d);
	fake_vmm.hold = false;
	testing_daemon_start(&d);
	nothing_is_left();
	cr_assert_eq(fake_vmm.attaches, 0);
}

Test(daemon_attach_requests, restart_while_libvirt_attaches_and_it_comes)
{
	die_within_libvirt();
	fake_vmm_domain(TVM0, "tvm0", WITH);
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", "\"attach_token\":\"token-1\""), 1);
	expect(ARGS "," TOKEN, "ok ");
	cr_assert_eq(fake_vmm.attaches, 1);
}

Test(daemon_attach_requests, restart_while_libvirt_attaches_and_it_does_not)
{
	die_within_libvirt();
	leave_record(",\"asked_usec\":1,\"attach_token\":\"token-1\",\"attach_uid\":0");
	fake_vmm.read_refused = -EHOSTUNREACH;
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	cr_assert(!dsm() || !dsm()->pinned);
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\"," TOKEN,
	       "client_token token-1 stands");
	fake_vmm.read_refused = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	nothing_is_left();
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
	cr_assert_eq(fake_vmm.attaches, 2);
}

Test(daemon_attach_requests, restart_while_libvirt_attaches_and_since_when_is_not_known)
{
	die_within_libvirt();
	leave_record(",\"attach_token\":\"token-1\",\"attach_uid\":0");
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	cr_assert_gt(assignments_service_attach_requests(d.tdid.assignments)->first->doubt_until,
		     boottime_usec());
}

/* libvirtd goes on without whoever asked it, and shows the device at the end. */
Test(daemon_attach_requests, restart_while_libvirt_attaches_and_it_takes_long)
{
	die_within_libvirt();
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	expect("\"domain\":\"" TVM1 "\",\"device\":\"" TDI "\"",
	       "whether libvirt has attached it to tvm0 as " ALIAS " is not known");
	/* Who asks again may meet the job of before, or what has just come of it. */
	fake_vmm.attach_result = VMM_ATTACH_BUSY;
	expect(ARGS "," TOKEN, "Ask again to see what has come of it");
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", "\"attach_token\":\"token-1\""), 1);
}

Test(daemon_attach_requests, restart_while_libvirt_attaches_and_asked_again_it_refuses)
{
	die_within_libvirt();
	testing_daemon_start(&d);
	testing_idle(d.event);
	fake_vmm.attach_result = VMM_ATTACH_REFUSED;
	expect(ARGS "," TOKEN, "Ask again to see what has come of it");
	nothing_is_left();
}

/* The second one has not been begun in time: that says nothing of the first. */
Test(daemon_attach_requests, restart_while_libvirt_attaches_and_asked_again_it_hangs)
{
	die_within_libvirt();
	testing_daemon_start(&d);
	testing_idle(d.event);
	fake_vmm.attach_result = -ETIMEDOUT;
	expect(ARGS "," TOKEN, "Ask again to see what has come of it");
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
}

/* Nothing need happen: tdid looks by itself. */
Test(daemon_attach_requests, restart_while_libvirt_attaches_and_its_time_is_over)
{
	AttachRequest *request;

	die_within_libvirt();
	testing_daemon_start(&d);
	testing_idle(d.event);
	request = assignments_service_attach_requests(d.tdid.assignments)->first;
	cr_assert_gt(request->doubt_until, boottime_usec());
	request->doubt_until = boottime_usec() + 100000;
	sd_event_source_set_time(request->doubt_over, request->doubt_until);
	UNTIL(d.event, testing_records(&d, "attach-", NULL) == 0);
}

Test(daemon_attach_requests, restart_after_the_domain_has_ended)
{
	die_within_libvirt();
	testing_daemon_kill(&d, 0);
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
}

Test(daemon_attach_requests, restart_when_it_has_come_and_its_record_is_left)
{
	start();
	libvirt_attaches();
	expect(ARGS "," TOKEN ",\"wait_for\":\"waiting\"", "ok ");
	testing_daemon_stop(&d);
	leave_record("");
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", "\"attach_token\":\"token-1\""), 1);
	expect(ARGS "," TOKEN, "ok ");
	cr_assert_eq(fake_vmm.attaches, 1);
}

/* No room for the assignment's record: then the request's says whose token it is. */
Test(daemon_attach_requests, restart_when_it_has_come_and_could_not_be_recorded)
{
	start();
	no_room_for = "assignment-" TVM0;
	libvirt_attaches();
	expect(ARGS "," TOKEN, "ok ");
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", "token-1"), 1);
	testing_daemon_stop(&d);
	no_room_for = NULL;
	testing_daemon_start(&d);
	UNTIL(d.event, testing_records(&d, "assignment", "\"attach_token\":\"token-1\"") == 1);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
}

Test(daemon_attach_requests, restart_when_it_has_come_and_only_its_record_has_the_token)
{
	start();
	libvirt_attaches();
	expect(ARGS ",\"wait_for\":\"waiting\"", "ok ");
	testing_daemon_stop(&d);
	leave_record(",\"attach_token\":\"token-1\",\"attach_uid\":0");
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "attach-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment", "\"attach_token\":\"token-1\""), 1);
}

Test(daemon_attach_requests, token_after_a_restart)
{
	start();
	libvirt_attaches();
	expect(ARGS "," TOKEN ",\"wait_for\":\"waiting\"", "ok ");
	restart();
	expect(ARGS "," TOKEN, "ok {\"assignment\":");
	expect("\"domain\":\"tvm0\",\"device\":\"" OTHER "\"," TOKEN,
	       "client_token token-1 stands");
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	restart();
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
	cr_assert_eq(fake_vmm.attaches, 1);
}

/* What is on disk may be anything. */
Test(daemon_attach_requests, records_that_make_no_sense)
{
	static const char *const records[] = {
		"\"domain\":\"x\",\"pid\":1,\"device\":\"" TDI "\",\"name\":\"" ALIAS "\"",
		"\"domain\":\"" TVM0 "\",\"pid\":0,\"device\":\"" TDI "\",\"name\":\"" ALIAS "\"",
		"\"domain\":\"" TVM0 "\",\"pid\":1,\"device\":\"41\",\"name\":\"" ALIAS "\"",
		"\"domain\":\"" TVM0 "\",\"pid\":1,\"device\":\"" TDI "\",\"name\":\"a b\"",
		"\"domain\":\"" TVM0 "\",\"pid\":1,\"device\":\"" TDI "\"",
		"\"domain\":\"" TVM0 "\",\"pid\":1,\"device\":\"" TDI "\",\"name\":\"" ALIAS
		"\",\"attach_token\":\"\"",
		"\"domain\":\"" TVM0 "\",\"pid\":1,\"device\":\"" TDI "\",\"name\":\"" ALIAS
		"\",\"attach_token\":\"a\",\"attach_uid\":-1",
	};
	char name[32], text[512];

	for (size_t i = 0; i < ELEMENTSOF(records); i++) {
		snprintf(name, sizeof(name), "attach-%zu", i);
		snprintf(text, sizeof(text),
			 "{\"kind\":\"attach\",\"dsm\":\"" FAKE_TSM_DSM "\",%s}", records[i]);
		testing_records_put(d.records, name, text);
	}
	testing_daemon_start(&d);
	for (size_t i = 0; i < ELEMENTSOF(records); i++) {
		snprintf(name, sizeof(name), "attach-%zu", i);
		cr_expect(testing_records_set_aside(d.records, name), "%s", records[i]);
	}
}
