/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole agent against a host that lies, in a guest of files, with a TSM and a device whose
 * signatures are real: what gets a driver (agent-functions.c), what makes evidence good or bad
 * (verify-evidence.c), and what the TSM is told.
 */
#include "testing-agent.h"

static void start_with(const char *policy)
{
	testing_bed_init(policy);
	testing_offer_when_greeted();
}

static void setup(void)
{
	start_with("");
}

TestSuite(agent, .init = setup, .fini = testing_bed_done, .timeout = 30);

static void refused(TestingFault fault, const char *verdict)
{
	bed.fault = fault;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait(verdict);
	cr_assert_eq(bed.revokes_before, 0, "tdid may hear of the revocation from the TSM first");
	cr_assert(testing_wait_file(TESTING_DEVICE "/enable", "0"));
	testing_settle();
	cr_assert_null(strstr(bed.events, "accepted"));
	cr_assert_not(testing_probed());
	cr_assert_not(bed.accepted);
}

static void revoked(TestingFault fault, const char *verdict)
{
	refused(fault, verdict);
	cr_assert(testing_wait_count(&bed.revokes, 1));
}

/* --- evidence in the host's hands --- */

Test(agent, swapped_certificates)
{
	revoked(FAULT_CERTIFICATES, "Verdict rejected digests");
}

Test(agent, swapped_vca)
{
	revoked(FAULT_VCA, "Verdict rejected digests");
}

Test(agent, swapped_measurements)
{
	revoked(FAULT_MEASUREMENTS, "Verdict rejected digests");
}

Test(agent, swapped_report)
{
	revoked(FAULT_REPORT, "Verdict rejected digests");
}

Test(agent, evidence_withheld)
{
	revoked(FAULT_WITHHELD, "Verdict rejected digests");
}

Test(agent, run_claimed_by_the_host_only)
{
	revoked(FAULT_HOST_RUN, "Verdict rejected confirm");
	cr_assert_eq(bed.accepts, 1);
}

Test(agent, answers_made_up)
{
	/* What the TSM did is unknown, but nobody believes it. */
	refused(FAULT_FORGED, "Verdict rejected info");
}

Test(agent, no_answers)
{
	refused(FAULT_SILENT, "Verdict rejected info");
}

Test(agent, ranges_elsewhere)
{
	revoked(FAULT_MMIO, "Verdict rejected mmio");
	cr_assert_eq(bed.accepts, 0);
}

Test(agent, bar_moved_meanwhile)
{
	revoked(FAULT_BARS, "Verdict rejected confirm");
}

Test(agent, evidence_changes_all_the_time)
{
	revoked(FAULT_ALWAYS_STALE, "Verdict rejected validate");
	cr_assert_eq(bed.infos, 4);
}

Test(agent, another_generation)
{
	bed.generation = TESTING_GENERATION + 1;
	revoked(FAULT_GENERATION, "Verdict rejected statement");
}

Test(agent, running_without_anybodys_acceptance)
{
	bed.tdisp_state = TDISP_RUN;
	revoked(FAULT_NONE, "Verdict rejected state");
}

Test(agent, wrong_firmware)
{
	bed.record[7] ^= 1;
	revoked(FAULT_NONE, "Verdict rejected references");
}

Test(agent, driver_in_the_way)
{
	testing_wait("Ready");
	testing_bind_driver(&bed.files, true);
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict rejected driver");
	cr_assert_eq(bed.accepts, 0);
	cr_assert(testing_wait_count(&bed.revokes, 1));
}

/* --- a host that misbehaves on the port --- */

Test(agent, rubbish)
{
	static const char rubbish[] = "{]\0{\"session\":\"x\"}\0\xff\xfe\0[[[[";

	testing_wait("Ready");
	cr_assert_eq(bed.hellos, 1);
	testing_say_raw(rubbish, sizeof(rubbish));
	/* Whoever talks like that may be another tdid: asked once. */
	cr_assert(testing_wait_count(&bed.hellos, 2));
	testing_settle();
	testing_say_raw(rubbish, sizeof(rubbish));
	testing_settle();
	cr_assert_eq(bed.hellos, 2);
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
}

Test(agent, frames_of_another_session)
{
	static const char other[] = "0123456789abcdef0123456789abcdef";

	testing_wait("Ready");
	testing_event(other, "Locked", testing_parameters(TESTING_GENERATION, true, NULL));
	testing_settle();
	cr_assert_eq(bed.opens, 0);
}

Test(agent, events_out_of_form)
{
	testing_wait("Ready");
	testing_event(NULL, "Locked", testing_parameters(0, true, NULL));
	testing_event(NULL, "Locked", testing_parameters(TESTING_GENERATION, false, NULL));
	testing_event(NULL, "Locked", testing_parameters(TESTING_GENERATION, true, "extra"));
	testing_event(NULL, "Accept", testing_parameters(TESTING_GENERATION, true, NULL));
	testing_event(NULL, "Locked", NULL);
	testing_withdraw(TESTING_GENERATION);
	testing_settle();
	cr_assert_eq(bed.opens, 0);
	cr_assert_eq(bed.hellos, 1);
}

Test(agent, locked_twice)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	cr_assert_eq(bed.infos, 1);
	cr_assert_eq(bed.states, 1);
}

Test(agent, withdrawn_in_the_middle)
{
	bed.fault = FAULT_WITHDRAWN;
	testing_wait("Ready");
	bed.events[0] = '\0';
	testing_locked(TESTING_GENERATION);
	testing_wait("Ready\n");
	testing_settle();
	cr_assert_null(strstr(bed.events, "Verdict"));
	cr_assert_eq(bed.accepts, 0);
	cr_assert_not(testing_probed());

	/* Bound anew. */
	bed.fault = FAULT_NONE;
	bed.tdisp_state = TDISP_CONFIG_LOCKED;
	bed.generation = TESTING_GENERATION + 1;
	testing_locked(bed.generation);
	testing_wait("Verdict accepted");
}

Test(agent, removed_in_the_middle)
{
	bed.fault = FAULT_REMOVED;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	cr_assert(testing_wait_count(&bed.infos, 1));
	testing_settle();
	cr_assert_null(strstr(bed.events, "Verdict"));
	cr_assert_eq(bed.accepts, 0);
}

Test(agent, host_replaced_in_the_middle)
{
	bed.fault = FAULT_RESTARTED;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	cr_assert(testing_wait_count(&bed.hellos, 2));
	testing_offer();
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	cr_assert_eq(bed.infos, 2);
	cr_assert_eq(bed.accepts, 1);
}

/* --- troubles that pass --- */

static void passes(TestingFault fault)
{
	bed.fault = fault;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	cr_assert_eq(bed.tdisp_state, TDISP_RUN);
	cr_assert_eq(bed.revokes, 0);
	cr_assert_gt(bed.faults, 0);
}

Test(agent, answers_lost)
{
	passes(FAULT_LOST);
	/* The same bytes again: the TSM worked on it once. */
	cr_assert_eq(bed.infos, 1);
	cr_assert_eq(bed.opens, 1);
}

Test(agent, rejected_once)
{
	passes(FAULT_REJECTED);
}

Test(agent, unavailable_once)
{
	passes(FAULT_UNAVAILABLE);
}

Test(agent, stale_once)
{
	passes(FAULT_STALE);
	cr_assert_eq(bed.infos, 2);
}

Test(agent, busy)
{
	passes(FAULT_BUSY);
}

/* --- as it should be --- */

Test(agent, accepted)
{
	static const char order[] = "Ready\nProgress ready\nProgress info\nProgress checked\n"
				    "Progress mmio\nProgress validated\nProgress confirmed\n"
				    "Verdict accepted confirmed\n";
	uint8_t command[2];
	int config;

	testing_wait("Ready");
	cr_assert(testing_file_is(&bed.files, "/sys/bus/pci/drivers_autoprobe", "0"));
	cr_assert(testing_file_is(&bed.files, TESTING_DEVICE "/enable", "1"));
	config = tree_open(&bed.files.tree, O_RDONLY, TESTING_DEVICE "/config");
	cr_assert_eq(pread(config, command, 2, 4), 2);
	cr_assert_eq(command[0], 6, "memory and bus mastering");
	close(config);
	cr_assert_not(testing_probed());

	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	cr_assert_str_eq(bed.events, order);
	cr_assert_eq(bed.mmios, 1);
	cr_assert_eq(bed.last_mmio.address, TESTING_BAR0);
	cr_assert_eq(bed.last_mmio.pages, TESTING_BAR0_SIZE / 4096);
	cr_assert_eq(bed.last_mmio.generation, TESTING_GENERATION);
	testing_driver_binds();
	cr_assert(testing_wait_file(TESTING_PROBE, TESTING_BDF));

	/* A second Locked of the same bind: only the state is asked for. */
	bed.events[0] = '\0';
	testing_locked(TESTING_GENERATION);
	testing_wait("DriverBound");
	cr_assert_not_null(strstr(bed.events, "Verdict accepted"));
	cr_assert_eq(bed.infos, 1);
	cr_assert_eq(bed.revokes, 0);
}

/* --- where the host issues LOCK and START --- */

static void wait_for_host(bool lock, bool start)
{
	bed.tvm_asks_lock = lock;
	bed.tvm_asks_start = start;
	if (lock)
		bed.tdisp_state = TDISP_CONFIG_UNLOCKED;
}

/* CONFIG_LOCKED is not RUN, however often it is heard. */
Test(agent, started_by_nobody)
{
	unsigned int states;

	wait_for_host(false, true);
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Progress start-asked");
	cr_assert(testing_wait_count(&bed.states, 4), "it asks again");
	cr_assert_eq(bed.accepts, 1, "and for START once");
	cr_assert_null(strstr(bed.events, "Verdict"));
	cr_assert_not(testing_probed());

	testing_withdraw(TESTING_GENERATION);
	cr_assert(testing_wait_count(&bed.revokes, 1));
	states = bed.states;
	testing_settle();
	cr_assert_eq(bed.states, states, "of a bind that is over nothing is asked");
	cr_assert_null(strstr(bed.events, "Verdict"));
	cr_assert_not(testing_probed());
}

Test(agent, start_that_is_not_asked_for_any_more)
{
	wait_for_host(false, true);
	bed.dropped_at = 2;
	revoked(FAULT_NONE, "Verdict rejected confirm");
}

Test(agent, accepted_is_not_run)
{
	wait_for_host(false, true);
	bed.dropped_at = 2;
	bed.accepted_at_drop = true;
	revoked(FAULT_NONE, "Verdict rejected confirm");
}

Test(agent, lock_that_is_not_asked_for_any_more)
{
	wait_for_host(true, true);
	bed.dropped_at = 2;
	revoked(FAULT_NONE, "Verdict rejected lock");
	cr_assert_eq(bed.locks, 1);
	cr_assert_eq(bed.accepts, 0);
}

/* The host says that it is locked, which it is not; the TSM does not let itself be asked. */
Test(agent, lock_of_another_generation)
{
	wait_for_host(true, true);
	bed.generation = TESTING_GENERATION + 1;
	refused(FAULT_NONE, "Verdict rejected lock");
}

Test(agent, locked_and_started_by_the_host)
{
	static const char order[] = "Ready\nProgress ready\nProgress lock-asked\n"
				    "Progress locked\nProgress info\nProgress checked\n"
				    "Progress mmio\nProgress validated\nProgress start-asked\n"
				    "Progress confirmed\nVerdict accepted confirmed\n";

	wait_for_host(true, true);
	bed.carried_at = 2;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	cr_assert_str_eq(bed.events, order);
	cr_assert_eq(bed.locks, 1);
	cr_assert_eq(bed.infos, 2, "refused before LOCK");
	cr_assert_eq(bed.accepts, 1);
	cr_assert(testing_wait_file(TESTING_PROBE, TESTING_BDF));
	cr_assert_eq(bed.revokes, 0);
}

Test(agent, locked_without_offer)
{
	testing_wait("Ready");
	testing_agent_stop();
	testing_agent_start();
	bed.events[0] = '\0';
	bed.no_offer = true;
	cr_assert(testing_wait_count(&bed.hellos, 2));
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
}

Test(agent, agent_restarted)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	testing_agent_stop();
	cr_assert_eq(bed.tdisp_state, TDISP_RUN);

	bed.events[0] = '\0';
	testing_agent_start();
	cr_assert(testing_wait_count(&bed.hellos, 2));
	/* Only the agents' own record is left to know it: no evidence, no acceptance. */
	bed.accepted = false;
	testing_locked(TESTING_GENERATION);
	testing_wait("DriverBound");
	cr_assert_not_null(strstr(bed.events, "Verdict accepted"));
	cr_assert_null(strstr(bed.events, "Ready"));
	cr_assert_eq(bed.infos, 2);
	cr_assert_eq(bed.mmios, 2);
	cr_assert_eq(bed.accepts, 1);
	cr_assert_eq(bed.revokes, 0);
	cr_assert(testing_file_is(&bed.files, TESTING_UNBIND, ""));
}

Test(agent, running_with_the_tsms_record)
{
	bed.tdisp_state = TDISP_RUN;
	bed.accepted = true;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	cr_assert_eq(bed.accepts, 0);
	cr_assert_eq(bed.mmios, 1, "where the BARs are, no record knows");
}

Test(agent, withdrawn_after_acceptance)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	bed.events[0] = '\0';
	testing_withdraw(TESTING_GENERATION);
	testing_settle();
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
	cr_assert(testing_wait_count(&bed.revokes, 1));
}

Test(agent, removed_after_acceptance)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_pci_uevent("remove");
	testing_settle();
	cr_assert(testing_wait_count(&bed.revokes, 1));
}

Test(agent, driver_loaded_late)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	cr_assert(testing_wait_file(TESTING_PROBE, TESTING_BDF));
	testing_put(&bed.files, TESTING_PROBE, "%s", "");
	testing_uevent("add@/bus/pci/drivers/nvme|ACTION=add|DEVPATH=/bus/pci/drivers/nvme|"
		       "SUBSYSTEM=drivers|");
	testing_settle();
	cr_assert(testing_wait_file(TESTING_PROBE, TESTING_BDF));
}

/* The kernel may have looked at its drivers just before. */
Test(agent, driver_loaded_while_the_probe_is_under_way)
{
	testing_wait("Ready");
	testing_write_slowly(TESTING_PROBE);
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	testing_uevent("add@/bus/pci/drivers/nvme|ACTION=add|DEVPATH=/bus/pci/drivers/nvme|"
		       "SUBSYSTEM=drivers|");
	testing_settle();
	testing_write_now(TESTING_PROBE);
	testing_settle();
	testing_write_now(TESTING_PROBE);
}

Test(agent, function_comes_late)
{
	testing_wait("Ready");
	testing_pci_uevent("remove");
	testing_put(&bed.files, TESTING_DEVICE "/resource",
		    "0x0 0x3fff 0x140204\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n"
		    "0x0 0x0 0x0\n");
	testing_settle();
	bed.events[0] = '\0';
	testing_offer();
	testing_settle();
	cr_assert_str_eq(bed.events, "");
	/* The BARs are assigned, and nobody says so. */
	testing_put_resource(&bed.files, TESTING_BAR0);
	testing_wait("Ready");
}

static void put_other(const char *address, const char *vendor, const char *class_code)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", address);
	testing_put(&bed.files, path, "%s\n", vendor);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", address);
	testing_put(&bed.files, path, "%s\n", class_code);
}

static void bind_other(const char *address)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver", bed.files.root, address);
	cr_assert_eq(symlink("../../../bus/pci/drivers/nvme", path), 0);
	testing_uevent("bind@/devices/x|ACTION=bind|DEVPATH=/devices/x|SUBSYSTEM=pci|"
		       "PCI_SLOT_NAME=%s|DRIVER=nvme|",
		       address);
	testing_settle();
}

Test(agent, nobodys_function_binds)
{
	put_other("0000:02:00.0", "0x8086", "0x020000");
	put_other("0000:00:1c.0", "0x8086", "0x060400");
	bind_other("0000:00:1c.0");
	cr_assert(testing_file_is(&bed.files, TESTING_UNBIND, ""), "a bridge keeps its driver");
	bind_other("0000:02:00.0");
	cr_assert(testing_wait_file(TESTING_UNBIND, "0000:02:00.0"));
}

Test(agent, offered_function_binds_by_itself)
{
	testing_wait("Ready");
	testing_bind_driver(&bed.files, true);
	testing_pci_uevent("bind");
	testing_settle();
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
}

/* With a policy or a start of their own. */
TestSuite(agent_start, .fini = testing_bed_done, .timeout = 30);

Test(agent_start, probed_unless_offered)
{
	testing_bed_init(",\"unverified\":[\"virtio\",\"" TESTING_BDF "\"]");
	bed.no_offer = true;
	testing_agent_stop();
	testing_put(&bed.files, TESTING_PROBE, "%s", "");
	testing_pci_gone();
	put_other("0000:00:03.0", "0x1af4", "0x020000");
	put_other("0000:02:00.0", "0x8086", "0x020000");
	testing_agent_start();
	testing_settle();
	cr_assert(testing_wait_file(TESTING_PROBE, "0000:00:03.0"));
	bind_other("0000:00:03.0");
	cr_assert(testing_file_is(&bed.files, TESTING_UNBIND, ""));
}

Test(agent_start, policy_unbinds)
{
	testing_bed_init(",\"unbind_driver\":true");
	testing_bind_driver(&bed.files, true);
	testing_offer_when_greeted();
	testing_settle();
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
	cr_assert_null(strstr(bed.events, "Ready"));
	testing_bind_driver(&bed.files, false);
	testing_pci_uevent("add");
	testing_wait("Ready");
}

Test(agent_start, driven_and_running_without_acceptance)
{
	testing_bed_init("");
	testing_bind_driver(&bed.files, true);
	bed.tdisp_state = TDISP_RUN;
	testing_offer_when_greeted();
	cr_assert(testing_wait_count(&bed.hellos, 1));
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict rejected state");
	testing_settle();
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
}

Test(agent_start, driver_held_without_policy)
{
	testing_bed_init("");
	testing_bind_driver(&bed.files, true);
	testing_offer_when_greeted();
	testing_settle();
	cr_assert(testing_file_is(&bed.files, TESTING_UNBIND, ""));
	cr_assert_null(strstr(bed.events, "Ready"));
	/* Done by hand, as the message says. */
	testing_bind_driver(&bed.files, false);
	testing_pci_uevent("unbind");
	testing_wait("Ready");
}
