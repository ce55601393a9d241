/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domains.c, by what domain-events.c makes of libvirt's events. */
#include "testing-daemon.h"

#include "rpc/event-loop.h"

#include <criterion/redirect.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define NONE  TESTING_DOMAIN(TVM0, TESTING_PORT)

static TestingDaemon d;

static void set_up(void)
{
	testing_daemon_init(&d);
}

static void tear_down(void)
{
	testing_daemon_done(&d);
}

TestSuite(daemon_domains, .init = set_up, .fini = tear_down);

static Domain *domain(void)
{
	Uuid uuid;

	uuid_from_string(&uuid, TVM0);
	return registry_find_domain(d.tdid.registry, uuid);
}

Test(daemon_domains, without_any_marker)
{
	testing_daemon_start(&d);
	fake_vmm_domain(TVM0, "tvm0", TESTING_DOMAIN(TVM0, ""));
	fake_vmm_dirty(TVM0, VMM_DIRTY_STARTED, NULL);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	fake_vmm_dirty("rubbish", VMM_DIRTY_STARTED, NULL);
	testing_idle(d.event);
	cr_assert_null(domain());
	cr_assert_eq(fake_vmm.reads, 1);
}

/* Its first read hung, so nothing was known of it yet. */
Test(daemon_domains, reachable_after_all)
{
	testing_daemon_start(&d);
	fake_vmm.read_refused = -EHOSTUNREACH;
	fake_vmm_domain(TVM0, "tvm0", WITH);
	fake_vmm_dirty(TVM0, VMM_DIRTY_STARTED, NULL);
	testing_idle(d.event);
	cr_assert_null(domain());
	fake_vmm.read_refused = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	testing_idle(d.event);
	cr_assert_not_null(domain());
}

/* Before libvirt's XML says so; and what the XML still says then brings nothing back. */
Test(daemon_domains, device_that_qemu_has_let_go)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, "ua-tdi-other");
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, NONE);
	testing_idle(d.event);
	testing_daemon_change(&d, 0, VMM_DIRTY_LIFECYCLE, NULL, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	/* Back at once: libvirt's device-added is newer than what QEMU said of the one before. */
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	fake_vmm_place(ALIAS, 5, 0, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	UNTIL(d.event, testing_assignment(&d, 0, ALIAS)->guest_known);
	/* Whatever libvirt lists when it is back is newer than what QEMU said before. */
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	fake_vmm_disconnect();
	fake_vmm_connect();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

/* As the refusal advises: load the TSM, attach it once more. */
Test(daemon_domains, device_that_a_tsm_has_come_to_serve)
{
	fake_tsm_stop(d.tsm);
	d.tsm->device_text = "0000:41:00.5";
	fake_tsm_start(d.tsm);
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, NONE);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	fake_tsm_stop(d.tsm);
	d.tsm->device_text = NULL;
	fake_tsm_start(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_domains, xml_that_cannot_be_read)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	/* Nothing is concluded from it: the device is not gone. */
	testing_daemon_change(&d, 0, VMM_DIRTY_LIFECYCLE, NULL, "<domain");
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	fake_vmm.read_result = -ETIMEDOUT;
	testing_daemon_change(&d, 0, VMM_DIRTY_LIFECYCLE, NULL, NONE);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	fake_vmm.read_result = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
}

#define GPU   "ua-gpu"
#define LATER "ua-tdi-later"
#define NAMED(metadata, more)                                                                      \
	"<domain type='kvm'><name>tvm</name><uuid>" TVM0                                           \
	"</uuid><metadata><t:d xmlns:t='urn:tdid:domain:1'>" metadata                              \
	"</t:d></metadata><devices>" TESTING_PORT                                                  \
	TESTING_HOSTDEV(GPU, "1") more "</devices></domain>"

static Policy policy(const char *alias)
{
	return engine_assignment(d.tdid.engine, testing_assignment(&d, 0, alias)->id)->policy;
}

static bool is_marked(const char *alias, const char *mark)
{
	const Timeline *timeline = &testing_assignment(&d, 0, alias)->timeline;
	_cleanup_(json_unrefp) json_object *marks = NULL;

	cr_assert_eq(timeline_to_json(timeline, &marks), 0);
	return strstr(json_object_to_json_string(marks), mark);
}

/* The mark of the one device is gone, and its policy; the other is new. */
Test(daemon_domains, malformed_declaration)
{
	d.config = "\"on_error\":\"rebind\",";
	fake_vmm_place(GPU, 5, 0, 0);
	fake_vmm_place(LATER, 6, 0, 0);
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NAMED("<t:device alias='" GPU "' on-error='hold'/>", ""));
	EXPECT_STATE(&d, GPU, ASSIGNMENT_WAITING);
	cr_assert_eq(policy(GPU).on_error, POLICY_HOLD);
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL,
			      NAMED("<t:device alias='gpu ua'/>", TESTING_HOSTDEV(LATER, "2")));
	EXPECT_STATE(&d, LATER, ASSIGNMENT_WAITING);
	cr_assert_eq(testing_state(&d, 0, GPU), ASSIGNMENT_WAITING);
	cr_assert_eq(policy(GPU).on_error, POLICY_HOLD);
	cr_assert(is_marked(GPU, "'gpu ua' is not"));
	/* One that has left the domain has left it. */
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, LATER,
			      NAMED("<t:device alias='gpu ua'/>", ""));
	EXPECT_STATE(&d, LATER, ASSIGNMENT_RELEASED);
	cr_assert_eq(testing_state(&d, 0, GPU), ASSIGNMENT_WAITING);
	/* Its guest is reset: it comes back. */
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	EXPECT_STATE(&d, GPU, ASSIGNMENT_WAITING);
	cr_assert_eq(policy(GPU).on_error, POLICY_HOLD);
	/* Mended: what it says counts again. */
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL,
			      NAMED("<t:device alias='" GPU "'/>", ""));
	UNTIL(d.event, is_marked(GPU, "mended"));
	testing_idle(d.event);
	cr_assert_eq(policy(GPU).on_error, POLICY_REBIND);
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL, NAMED("", ""));
	EXPECT_STATE(&d, GPU, ASSIGNMENT_RELEASED);
}

/* No event follows the refusal by itself. */
Test(daemon_domains, read_that_libvirt_refuses_is_tried_again)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.read_result = -EREMOTEIO;
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	testing_idle(d.event);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	fake_vmm.read_result = 0;
	for (int i = 0; i < 8 && !testing_assignment(&d, 0, ALIAS); i++)
		testing_turn(d.event);
	cr_assert_not_null(testing_assignment(&d, 0, ALIAS));
	cr_assert(testing_assignment(&d, 0, ALIAS)->announced, "the mark is not forgotten");
	/* One that waits when tdid ends. */
	fake_vmm.read_result = -EREMOTEIO;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
}

/* However many marks there are while libvirt refuses. */
Test(daemon_domains, reads_of_one_domain_are_tried_again_as_one)
{
	unsigned int reads;

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.read_result = -EREMOTEIO;
	for (int i = 0; i < 5; i++) {
		fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
		testing_idle(d.event);
	}
	reads = fake_vmm.reads;
	fake_vmm.read_result = 0;
	for (int i = 0; i < 4; i++)
		testing_turn(d.event);
	cr_assert_eq(fake_vmm.reads, reads + 1);
}

/* Too many calls wait already: nothing else would follow here either. */
Test(daemon_domains, read_that_finds_no_room_is_tried_again)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm_place(ALIAS, 5, 0, 0);
	fake_vmm.read_refused = -EAGAIN;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	for (int i = 0; i < 4; i++) /* and there is none again */
		testing_turn(d.event);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	cr_assert_not_null(d.tdid.failed_reads);
	fake_vmm.read_refused = 0;
	for (int i = 0; i < 8 && !testing_assignment(&d, 0, ALIAS); i++)
		testing_turn(d.event);
	cr_assert_not_null(testing_assignment(&d, 0, ALIAS));
	cr_assert(testing_assignment(&d, 0, ALIAS)->announced, "the mark is not forgotten");
}

/* A mark says that it is reachable again, and the list that libvirt is back. */
Test(daemon_domains, read_that_cannot_even_wait_is_not_tried_again)
{
	static const int errors[] = { -EHOSTUNREACH, -ENOTCONN };

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		fake_vmm.read_refused = errors[i];
		fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
		testing_idle(d.event);
		cr_assert_null(d.tdid.failed_reads);
	}
}

/* The list that comes with the next connection makes up for it. */
Test(daemon_domains, read_without_a_connection_is_not_tried_again)
{
	unsigned int reads;

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.read_result = -ENOTCONN;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	reads = fake_vmm.reads;
	for (int i = 0; i < 3; i++)
		testing_turn(d.event);
	cr_assert_eq(fake_vmm.reads, reads);
}

Test(daemon_domains, device_that_no_tsm_serves)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "7")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "no TSM serves it"));
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

Test(daemon_domains, device_in_a_domain_that_is_no_tvm)
{
	d.require_tvm = "always";
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "no confidential VM"));
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

Test(daemon_domains, device_while_the_provider_is_not_there_yet)
{
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	testing_idle(d.event);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

/* query-pci taints the domain: it is asked for trusted devices whose place is not known. */
Test(daemon_domains, place_in_the_guest)
{
	uint64_t before, after;
	const Mark *mark;

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.reads_of_pci, 0);
	before = boottime_usec();
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	after = boottime_usec();
	usleep(10);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert(!testing_assignment(&d, 0, ALIAS)->guest_known);
	mark = &testing_assignment(&d, 0, ALIAS)->timeline.marks[0];
	cr_assert(mark->at_usec >= before && mark->at_usec <= after, "the event's time");
	fake_vmm_place(ALIAS, 0, 0, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert(!testing_assignment(&d, 0, ALIAS)->guest_known);
	fake_vmm_place(ALIAS, 7, 1, 2);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(bdf_requester_id(testing_assignment(&d, 0, ALIAS)->guest), 0x070a);
	cr_assert_eq(fake_vmm.reads_of_pci, 3);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.reads_of_pci, 3);
}

/* Nothing tells when the firmware has numbered the buses; the agent's Hello comes after that. */
Test(daemon_domains, place_of_a_cold_plugged_device_is_asked_for_at_hello)
{
	testing_daemon_start(&d);
	fake_vmm_place(ALIAS, 0, 0, 0);
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm_place(ALIAS, 7, 0, 0);
	testing_idle(d.event);
	cr_assert(!testing_assignment(&d, 0, ALIAS)->guest_known);
	testing_guest_hello(SESSION_A);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
	cr_assert_eq(bdf_requester_id(testing_assignment(&d, 0, ALIAS)->guest), 0x0700);
}

/* Without an agent's Ready the requester id still has to be the guest's. */
Test(daemon_domains, bind_when_added_waits_for_the_place)
{
	d.tsm->bind_when = "added";
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
	fake_vmm_place(ALIAS, 5, 0, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(d.tsm->requester_id, 0x0500);
}

/* While QEMU is still asked where the guest has it. */
Test(daemon_domains, connects_ahead_of_the_place)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.hold = true;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	testing_idle(d.event);
	fake_vmm_answer_one();
	UNTIL(d.event, d.tsm->calls[FAKE_CONNECT] == 1);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	fake_vmm_let_go();
	UNTIL(d.event, testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

/* libvirt resets what it attaches: the DSM's own function would lose its session. */
Test(daemon_domains, does_not_connect_ahead_of_the_dsms_own_function)
{
	d.tsm->device_text = FAKE_TSM_DSM;
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.hold = true;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS,
			      TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "0")));
	testing_idle(d.event);
	fake_vmm_answer_one();
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	fake_vmm_let_go();
	UNTIL(d.event, testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_domains, marks_during_a_read_cause_one_more)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.reads = 0;
	fake_vmm.hold = true;
	for (int i = 0; i < 50; i++)
		fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	fake_vmm_let_go();
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.reads, 2);
}

#define OTHER "ua-tdi-nic1"
#define BOTH                                                                                       \
	TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1") TESTING_HOSTDEV(OTHER, "2"))

/* All that come while it is read share the next read, and each counts from its own mark. */
Test(daemon_domains, devices_added_together)
{
	uint64_t times[3];

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm_domain(TVM0, "tvm0", BOTH);
	fake_vmm.reads = fake_vmm.reads_of_pci = 0;
	fake_vmm.hold = true;
	times[0] = boottime_usec();
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, ALIAS);
	usleep(1000);
	times[1] = boottime_usec();
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, OTHER);
	usleep(1000);
	times[2] = boottime_usec();
	cr_assert_eq(fake_vmm.reads, 1);
	fake_vmm_let_go();
	UNTIL(d.event, testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING);
	UNTIL(d.event, testing_state(&d, 0, OTHER) == ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.reads, 2);
	cr_assert_eq(fake_vmm.reads_of_pci, 1);
	for (int i = 0; i < 2; i++) {
		const Assignment *a = testing_assignment(&d, 0, i ? OTHER : ALIAS);

		cr_assert_str_eq(a->timeline.marks[0].name, "device-added");
		cr_assert_geq(a->timeline.marks[0].at_usec, times[i]);
		cr_assert_lt(a->timeline.marks[0].at_usec, times[i + 1]);
		cr_assert(a->announced);
	}
}

/* One that was told of before QEMU let the device go tells nothing about after that. */
Test(daemon_domains, deleted_after_its_mark)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm_place(OTHER, 6, 0, 0);
	fake_vmm_domain(TVM0, "tvm0", BOTH);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, ALIAS);
	fake_vmm_answer_one(); /* a deeper read follows */
	usleep(10);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, OTHER);
	fake_vmm_answer_one(); /* which shows it already */
	cr_assert_not_null(testing_assignment(&d, 0, OTHER));
	usleep(10);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, OTHER);
	UNTIL(d.event, testing_state(&d, 0, OTHER) == ASSIGNMENT_RELEASED);
	fake_vmm_let_go();
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, OTHER), ASSIGNMENT_RELEASED);
	usleep(10);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, OTHER);
	UNTIL(d.event, testing_state(&d, 0, OTHER) == ASSIGNMENT_WAITING);
}

/* The read that was to show it is lost; the next one does, as that which has been added. */
Test(daemon_domains, device_added_while_the_domain_is_out_of_reach)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm_domain(TVM0, "tvm0", WITH);
	fake_vmm.read_refused = -EHOSTUNREACH;
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, ALIAS);
	testing_idle(d.event);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	fake_vmm.read_refused = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REACHABLE, NULL);
	UNTIL(d.event, testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING);
	cr_assert_str_eq(testing_assignment(&d, 0, ALIAS)->timeline.marks[0].name, "device-added");
}

/* It came after the read that is under way had been begun, and is in none of what that shows. */
Test(daemon_domains, device_added_during_a_read_that_does_not_show_it)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, OTHER);
	fake_vmm_answer_one();
	cr_assert_null(testing_assignment(&d, 0, OTHER));
	fake_vmm_domain(TVM0, "tvm0", BOTH);
	fake_vmm_let_go();
	UNTIL(d.event, testing_state(&d, 0, OTHER) == ASSIGNMENT_WAITING);
	cr_assert_str_eq(testing_assignment(&d, 0, OTHER)->timeline.marks[0].name, "device-added");
}

Test(daemon_domains, libvirtd_goes_and_comes_back)
{
	testing_daemon_start(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	fake_vmm_disconnect();
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	fake_vmm_domain(TVM0, "tvm0", NONE);
	fake_vmm_connect();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
}

Test(daemon_domains, forgotten_when_off)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	cr_assert_not_null(domain());
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !domain());
	cr_assert_null(registry_tvm_at(d.tdid.registry, 0));
}

/* What has been logged since the last call. */
static const char *logged(void)
{
	static char text[8192];
	FILE *f = cr_get_redirected_stderr();

	fflush(stderr);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	return text;
}

/* Until its stop is over libvirt lists it, with no pid file any more: that is no trouble. */
Test(daemon_domains, ended_while_libvirt_still_lists_it)
{
	cr_redirect_stderr();
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	domain()->told_pid = d.qemu[0];
	domain()->told_start_time = domain()->tvm->start_time;
	kill(d.qemu[0], SIGKILL);
	waitpid(d.qemu[0], NULL, 0);
	d.qemu[0] = 0;
	UNTIL(d.event, !domain()->tvm);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_not(strstr(logged(), "its QEMU is not known"));

	domain()->told_pid = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert(strstr(logged(), "its QEMU is not known"));
}
