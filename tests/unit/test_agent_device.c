/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an agent makes of a bind's end, its replacement and its acceptance by somebody else, when
 * the host lies about them, or the kernel's word of them is lost.
 */
#include "testing-agent.h"

#include "agent/uevent.h"

#include <dlfcn.h>
#include <errno.h>

static void setup(void)
{
	testing_bed_init("");
	testing_offer_when_greeted();
}

TestSuite(agent_device, .init = setup, .fini = testing_bed_done, .timeout = 30);

/* --- a host that keeps the answer to an acceptance, and has something else to say --- */

static void instead_withdraw(void)
{
	testing_withdraw(TESTING_GENERATION);
}

static void instead_lock_another(void)
{
	testing_locked(TESTING_GENERATION + 1);
	testing_withdraw(TESTING_GENERATION + 1);
}

static void instead_remove(void)
{
	testing_pci_uevent("remove");
}

static void instead_rename(void)
{
	testing_offer_as("nic1");
}

/* The TSM has it in RUN, and the agent has heard that the bind is gone: then nothing may be left.
 */
static void accepted_and(void (*instead)(void))
{
	bed.instead = instead;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	cr_assert(testing_wait_count(&bed.revokes, 1), "the acceptance is still there");
	cr_assert_eq(bed.accepts, 1);
	cr_assert_not(bed.accepted);
	testing_settle();
	cr_assert_not(testing_probed());
}

Test(agent_device, withdrawn_and_the_acceptance_kept)
{
	accepted_and(instead_withdraw);
}

Test(agent_device, locked_anew_and_the_acceptance_kept)
{
	accepted_and(instead_lock_another);
}

Test(agent_device, removed_and_the_acceptance_kept)
{
	accepted_and(instead_remove);
}

Test(agent_device, renamed_and_the_acceptance_kept)
{
	accepted_and(instead_rename);
}

Test(agent_device, bound_anew_by_word_only)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	testing_locked(TESTING_GENERATION + 1);
	testing_withdraw(TESTING_GENERATION + 1);
	cr_assert(testing_wait_count(&bed.revokes, 1), "the first bind is still accepted");
}

/* The child that unbinds must not be cut off before it has done so. */
Test(agent_device, renamed_while_its_driver_is_unbound)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	testing_write_slowly(TESTING_UNBIND);
	testing_withdraw(TESTING_GENERATION);
	testing_settle();
	testing_offer_as("nic1");
	testing_settle();
	bed.events[0] = '\0';
	testing_bind_driver(&bed.files, false);
	testing_write_now(TESTING_UNBIND);
	testing_wait("Ready");
}

/* What is revoked when the driver is gone is the bind that it had. */
Test(agent_device, locked_anew_while_its_driver_is_unbound)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	testing_write_slowly(TESTING_UNBIND);
	testing_withdraw(TESTING_GENERATION);
	testing_settle();
	bed.generation = TESTING_GENERATION + 1;
	bed.tdisp_state = TDISP_CONFIG_LOCKED;
	bed.accepted = false;
	bed.events[0] = '\0';
	testing_locked(TESTING_GENERATION + 1);
	testing_settle();
	testing_bind_driver(&bed.files, false);
	testing_write_now(TESTING_UNBIND);
	testing_wait("Verdict");
	cr_assert_not_null(strstr(bed.events, "Verdict accepted"), "%s", bed.events);
	cr_assert_eq(bed.revokes, 0);
}

/* A new tdid under which the bind is gone: it offers, and waits for Ready. */
static void replaced(void)
{
	bed.tdisp_state = TDISP_CONFIG_UNLOCKED;
	bed.accepted = false;
	bed.events[0] = '\0';
	testing_say_raw("", 1);
	cr_assert(testing_wait_count(&bed.hellos, 2));
	bed.fault = FAULT_NONE;
	testing_wait("Verdict rejected");
}

Test(agent_device, bind_gone_with_tdid)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	testing_write_slowly(TESTING_UNBIND);
	replaced();
	cr_assert(testing_wait_count(&bed.revokes, 1));
	testing_settle();
	testing_bind_driver(&bed.files, false);
	testing_write_now(TESTING_UNBIND);
	testing_wait("Ready");
	bed.tdisp_state = TDISP_CONFIG_LOCKED;
	bed.generation = TESTING_GENERATION + 1;
	testing_locked(TESTING_GENERATION + 1);
	testing_wait("Verdict accepted");
}

Test(agent_device, bind_gone_with_tdid_in_the_middle)
{
	uint8_t asked = bed.counter;

	testing_wait("Ready");
	bed.fault = FAULT_SILENT;
	testing_locked(TESTING_GENERATION);
	for (unsigned int i = 0; i < 1000 && bed.counter == asked; i++)
		testing_wait_within(NULL, 2);
	cr_assert_neq(bed.counter, asked);
	replaced();
	testing_wait("Ready");
}

/* --- in RUN already --- */

/* Accepted by an earlier boot, say, whose BARs were elsewhere. */
Test(agent_device, running_with_ranges_elsewhere)
{
	bed.tdisp_state = TDISP_RUN;
	bed.accepted = true;
	bed.fault = FAULT_MMIO;
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict rejected mmio");
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert_not(testing_probed());
}

/*
 * Generations are the host's to give out: it binds another device under the one that was accepted,
 * and that device says that it runs.
 */
Test(agent_device, another_device_under_an_accepted_generation)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	bed.accepted = false;
	bed.record[7] ^= 1;
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict rejected references");
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
}

Test(agent_device, another_device_under_a_recorded_generation)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_settle();
	testing_agent_stop();
	testing_put(&bed.files, TESTING_PROBE, "%s", "");
	bed.accepted = false;
	bed.record[7] ^= 1;
	testing_agent_start();
	cr_assert(testing_wait_count(&bed.hellos, 2));
	bed.events[0] = '\0';
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict rejected references");
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert_not(testing_probed());
}

/* --- what the kernel says is lost --- */

/* The kernel's queue of uevents overflows once: the next one is lost, and that is told. */
static bool lose_uevent;

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	static ssize_t (*next)(int fd, struct msghdr *message, int flags);
	char lost[UEVENT_MAX_SIZE];

	if (!next)
		next = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
	if (!lose_uevent)
		return next(fd, message, flags);
	lose_uevent = false;
	cr_assert_gt(recv(fd, lost, sizeof(lost), MSG_DONTWAIT), 0);
	errno = ENOBUFS;
	return -1;
}

/* "remove" and "add" among what was lost: another function, or the same with its BARs elsewhere. */
Test(agent_device, replaced_while_uevents_are_lost)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	cr_assert(testing_wait_file(TESTING_PROBE, TESTING_BDF));
	testing_settle();
	testing_put(&bed.files, TESTING_PROBE, "%s", "");
	bed.fault = FAULT_MMIO;
	lose_uevent = true;
	testing_pci_uevent("add");
	testing_wait("Verdict rejected mmio");
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert_not(testing_probed());
}

Test(agent_device, uevents_lost)
{
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	bed.events[0] = '\0';
	lose_uevent = true;
	testing_pci_uevent("add");
	testing_wait("DriverBound");
	cr_assert_eq(bed.infos, 2);
	cr_assert_eq(bed.revokes, 0);
}

TestSuite(agent_reattest, .fini = testing_bed_done, .timeout = 30);

/* A session's end is the host's to bring about: it must not end what was due. */
Test(agent_reattest, reattestation_outlives_the_session)
{
	uint8_t asked;

	testing_bed_init(",\"reattest_interval_sec\":1");
	testing_offer_when_greeted();
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	testing_wait("Verdict accepted");
	testing_driver_binds();
	cr_assert_eq(bed.infos, 1);
	/* The next request is the one for fresh evidence, and it goes nowhere. */
	asked = bed.counter;
	bed.fault = FAULT_SILENT;
	for (unsigned int i = 0; i < 1000 && bed.counter == asked; i++)
		testing_wait_within(NULL, 2);
	cr_assert_neq(bed.counter, asked);
	bed.no_offer = true;
	testing_say_raw("", 1);
	cr_assert(testing_wait_count(&bed.hellos, 2));
	bed.record[7] ^= 1;
	bed.fault = FAULT_NONE;
	testing_wait("Verdict rejected references");
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
}
