/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One verb against the made-up kernel, without a worker. */
#include "testing-linux.h"

static char *sysfs;
static Bdf functions[4], excluded[1];
static KernelReport *report;
static KernelRequest q;

static void set_up(void)
{
	testing_linux_new();
	sysfs = strdup(testing_path("sys"));
	report = malloc(sizeof(*report));
	functions[0] = testing_bdf(PF);
	functions[1] = testing_bdf(VF0);
	functions[2] = testing_bdf(VF1);
	q = (KernelRequest){ .sysfs = sysfs,
			     .proxy = "tsm-proxy-vmm",
			     .io = &testing_kernel,
			     .target = functions[0],
			     .dsm = functions[0],
			     .tsm = "tsm0",
			     .functions = functions,
			     .n_functions = 3,
			     .excluded = excluded };
}

static void tear_down(void)
{
	free(sysfs);
	free(report);
	testing_host_remove();
}

TestSuite(linux_kernel, .init = set_up, .fini = tear_down);

static void run(KernelVerb verb, const char *target)
{
	q.verb = verb;
	q.target = testing_bdf(target);
	memset(report, 0, sizeof(*report));
	kernel_job(&q, report);
}

static void expect_guard(KernelGuard guard)
{
	cr_assert_eq(report->guard, guard, "%d", report->guard);
	cr_assert_eq(report->error, 0);
}

static void expect_done(void)
{
	expect_guard(KERNEL_GUARD_NONE);
	cr_assert_eq(report->step, KERNEL_STEP_LOOKED);
}

Test(linux_kernel, unreadable_attribute_is_not_an_empty_one)
{
	testing_tsm_attribute(PF, "connect", "tsm0\n");
	testing_tsm_attribute(VF0, "bound", "a value that is longer than any\n");
	run(KERNEL_DISCONNECT, PF);
	cr_assert_eq(report->guard, KERNEL_GUARD_UNREADABLE);
	cr_assert(bdf_equal(report->guard_device, functions[1]));
	cr_assert_eq(report->error, -EBADMSG);
	testing_tsm_attribute(VF0, "bound", "tsm0");
	run(KERNEL_DISCONNECT, PF);
	cr_assert_eq(report->guard, KERNEL_GUARD_UNREADABLE, "no newline");
}

Test(linux_kernel, gone)
{
	q.n_functions = 1;
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_GONE);
}

Test(linux_kernel, no_disconnect_under_a_bound_tdi)
{
	run(KERNEL_CONNECT, PF);
	expect_done();
	testing_tsm_attribute(VF1, "bound", "tsm0\n");
	run(KERNEL_DISCONNECT, PF);
	expect_guard(KERNEL_GUARD_BOUND);
	cr_assert(bdf_equal(report->guard_device, functions[2]));
	cr_assert_str_eq(kernel_find(report, functions[0])->connect, "tsm0");
}

Test(linux_kernel, no_bind_that_is_refused_by_the_kernel_too_late)
{
	run(KERNEL_BIND, VF0);
	expect_guard(KERNEL_GUARD_DISCONNECTED);
	run(KERNEL_CONNECT, PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	run(KERNEL_BIND, VF0);
	expect_guard(KERNEL_GUARD_BOUND);
	/* The PF, while a VF of it is another TVM's. */
	excluded[0] = functions[1];
	q.n_excluded = 1;
	run(KERNEL_BIND, PF);
	expect_guard(KERNEL_GUARD_BOUND);
	cr_assert(bdf_equal(report->guard_device, functions[1]));
}

Test(linux_kernel, connected_to_another_tsm)
{
	testing_tsm_attribute(PF, "connect", "tsm7\n");
	run(KERNEL_CONNECT, PF);
	expect_guard(KERNEL_GUARD_OTHER_TSM);
}

Test(linux_kernel, errors_are_told_with_the_state)
{
	testing_behave("errno 5");
	run(KERNEL_CONNECT, PF);
	cr_assert_eq(report->error, -5);
	cr_assert_eq(report->step, KERNEL_STEP_LOOKED);
	cr_assert_str_empty(kernel_find(report, functions[0])->connect);
}

Test(linux_kernel, what_is_so_already)
{
	run(KERNEL_DISCONNECT, PF);
	expect_guard(KERNEL_GUARD_ALREADY);
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
	run(KERNEL_CONNECT, PF);
	run(KERNEL_CONNECT, PF);
	expect_guard(KERNEL_GUARD_ALREADY);
}

Test(linux_kernel, there_and_back)
{
	struct tsm_proxy_bind bind;
	FILE *f;

	run(KERNEL_CONNECT, PF);
	expect_done();
	cr_assert(bdf_equal(kernel_find(report, functions[1])->dsm, functions[0]));
	q.guest_rid = 0x200;
	q.generation = 7;
	q.tvm = testing_uuid(TVM_A);
	run(KERNEL_BIND, VF0);
	expect_done();
	cr_assert_str_eq(kernel_find(report, functions[1])->bound, "tsm0");
	f = fopen(testing_path("bind"), "r");
	cr_assert_eq(fread(&bind, 1, sizeof(bind), f), sizeof(bind));
	fclose(f);
	cr_assert_eq(bind.tdi_id, 0x200);
	cr_assert_eq(bind.flags, 7);
	cr_assert_eq(memcmp(bind.tvm, q.tvm.bytes, 16), 0);
	q.message = (const uint8_t *)"hello";
	q.message_size = 5;
	run(KERNEL_GUEST_REQUEST, VF0);
	expect_done();
	cr_assert_eq(report->reply_size, strlen("{\"message\": \"hello\"}"));
	run(KERNEL_UNBIND, VF0);
	expect_done();
	run(KERNEL_DISCONNECT, PF);
	expect_done();
	cr_assert_str_empty(kernel_find(report, functions[0])->connect);
}

Test(linux_kernel, unbind_that_the_tsm_did_not_confirm)
{
	run(KERNEL_CONNECT, PF);
	run(KERNEL_BIND, VF0);
	testing_write(testing_path("unconfirmed"), "", 0);
	run(KERNEL_UNBIND, VF0);
	expect_done();
	cr_assert_eq(report->unconfirmed, -EPROTO);
}

/* The kernel has no bind of it: the session that the TSM holds it by is ended, unless it is used.
 */
Test(linux_kernel, unbind_of_what_only_the_tsm_holds)
{
	run(KERNEL_CONNECT, PF);
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
	q.ends_session = true;
	run(KERNEL_BIND, VF1);
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
	cr_assert_str_eq(kernel_find(report, functions[0])->connect, "tsm0");
	run(KERNEL_UNBIND, VF1);
	expect_done();
	cr_assert_str_eq(kernel_find(report, functions[0])->connect, "tsm0");
	run(KERNEL_UNBIND, VF0);
	expect_done();
	cr_assert_str_empty(kernel_find(report, functions[0])->connect);
	cr_assert_eq(report->unconfirmed, -ENXIO);
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
}

Test(linux_kernel, session_that_may_be_used_is_not_ended)
{
	run(KERNEL_CONNECT, PF);
	testing_tsm_attribute(VF1, "bound", "rubbish without an end");
	q.ends_session = true;
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
	testing_tsm_attribute(VF1, "bound", "\n");
	testing_tsm_attribute(PF, "connect", "tsm1\n");
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
}

Test(linux_kernel, observes)
{
	run(KERNEL_CONNECT, PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	q.binder = KERNEL_BINDER_OBSERVE;
	testing_behave("errno 5"); /* nothing is asked of the module */
	testing_tsm_attribute(VF0, "bound", "\n");
	run(KERNEL_UNBIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
}

/* A LOOK tells what it could read; a verb minds only what it depends on. */
Test(linux_kernel, one_unreadable_attribute)
{
	testing_tsm_attribute(VF1, "bound", "rubbish without an end");
	run(KERNEL_LOOK, PF);
	cr_assert_eq(report->step, KERNEL_STEP_LOOKED);
	cr_assert_eq(kernel_find(report, functions[2])->error, -EBADMSG);
	cr_assert_eq(kernel_find(report, functions[0])->error, 0);
	run(KERNEL_CONNECT, PF);
	expect_done();
	run(KERNEL_BIND, VF0);
	cr_assert_eq(report->guard, KERNEL_GUARD_NONE);
	run(KERNEL_DISCONNECT, PF);
	cr_assert_eq(report->guard, KERNEL_GUARD_BOUND);
}

/* Each DSM has a lock of its own under the kernel's. */
Test(linux_kernel, slow_dsm)
{
	const Bdf dsms[] = { functions[0], functions[0], functions[0], testing_bdf(DISTANT_PF) };

	functions[3] = dsms[3];
	q.n_functions = 4;
	q.dsms = dsms;
	q.look_ms = 50;
	testing_tsm_attribute(DISTANT_PF, "connect", "tsm0\n");
	remove(testing_path("sys/bus/pci/devices/" PF "/tsm/bound"));
	cr_assert_eq(mkfifo(testing_path("sys/bus/pci/devices/" PF "/tsm/bound"), 0600), 0);
	run(KERNEL_LOOK, PF);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(kernel_find(report, functions[i])->error, -EINTR);
	cr_assert_eq(kernel_find(report, functions[3])->error, 0);
	cr_assert_str_eq(kernel_find(report, functions[3])->connect, "tsm0");
	run(KERNEL_CONNECT, PF);
	cr_assert_eq(report->guard, KERNEL_GUARD_UNREADABLE);
	cr_assert_eq(report->error, -EINTR);
}

Test(linux_kernel, session_of_another_tsm)
{
	testing_tsm_attribute(PF, "connect", "tsm7\n");
	run(KERNEL_BIND, VF0);
	expect_guard(KERNEL_GUARD_OTHER_TSM);
	run(KERNEL_DISCONNECT, PF);
	expect_guard(KERNEL_GUARD_OTHER_TSM);
}

/* One that says which other DSM serves it is none of this one's. */
Test(linux_kernel, disconnect_under_what_is_elsewhere)
{
	run(KERNEL_CONNECT, PF);
	functions[3] = testing_bdf(OTHER_PF);
	q.n_functions = 4;
	testing_tsm_attribute(OTHER_PF, "bound", "tsm0\n");
	run(KERNEL_DISCONNECT, PF);
	expect_guard(KERNEL_GUARD_BOUND);
	testing_tsm_attribute(OTHER_PF, "dsm", DISTANT_PF "\n");
	run(KERNEL_DISCONNECT, PF);
	expect_done();
}

Test(linux_kernel, observed_bind)
{
	q.binder = KERNEL_BINDER_OBSERVE;
	run(KERNEL_CONNECT, PF);
	run(KERNEL_BIND, VF0);
	cr_assert_eq(report->error, -ETIME);
	cr_assert_eq(report->step, KERNEL_STEP_LOOKED);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	run(KERNEL_BIND, VF0);
	expect_guard(KERNEL_GUARD_BOUND);
	q.adopts = true;
	run(KERNEL_BIND, VF0);
	expect_guard(KERNEL_GUARD_ALREADY);
	run(KERNEL_UNBIND, VF0);
	cr_assert_eq(report->error, -ETIME);
}

/* --- resets --- */

Test(linux_kernel, reset_is_an_flr_or_none)
{
	static const char *const others[] = { "",	  "bus",    "device_specific flr",
					      "flr_like", "pm flr", "fl" };

	run(KERNEL_RESET, VF0);
	expect_guard(KERNEL_GUARD_NO_RESET);
	testing_attribute(VF0, "reset", "");
	run(KERNEL_RESET, VF0);
	expect_guard(KERNEL_GUARD_NO_FLR);
	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		testing_resettable(VF0, others[i]);
		run(KERNEL_RESET, VF0);
		expect_guard(KERNEL_GUARD_NO_FLR);
		cr_assert_str_eq(report->methods, others[i]);
	}
	cr_assert_str_empty(testing_resets());
	testing_resettable(VF0, "flr");
	run(KERNEL_RESET, VF0);
	expect_done();
	cr_assert_str_eq(testing_resets(), VF0 " flr;");
}

/* The kernel would go on to the others by itself, and not say so. */
Test(linux_kernel, reset_tries_nothing_after_the_flr)
{
	char methods[64] = "";
	FILE *f;

	testing_resettable(VF0, "flr pm bus");
	testing_reset_behave("errno 25");
	run(KERNEL_RESET, VF0);
	cr_assert_eq(report->error, -ENOTTY);
	cr_assert_not(report->narrowed);
	cr_assert_str_eq(testing_resets(), VF0 " flr;");
	f = fopen(testing_path("sys/bus/pci/devices/" VF0 "/reset_method"), "r");
	cr_assert(fgets(methods, sizeof(methods), f));
	fclose(f);
	cr_assert_str_eq(methods, "flr pm bus\n");
}

Test(linux_kernel, no_reset_of_or_under_what_is_bound)
{
	testing_resettable(VF0, "flr");
	testing_resettable(PF, "flr");
	run(KERNEL_CONNECT, PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	run(KERNEL_RESET, VF0);
	expect_guard(KERNEL_GUARD_BOUND);
	excluded[0] = functions[1];
	q.n_excluded = 1;
	run(KERNEL_RESET, PF);
	expect_guard(KERNEL_GUARD_BOUND);
	cr_assert(bdf_equal(report->guard_device, functions[1]));
	testing_tsm_attribute(VF0, "bound", "rubbish without an end");
	run(KERNEL_RESET, PF);
	cr_assert_eq(report->guard, KERNEL_GUARD_UNREADABLE);
	cr_assert_str_empty(testing_resets());
	testing_tsm_attribute(VF0, "bound", "\n");
	testing_take_driver(VF0);
	run(KERNEL_RESET, PF);
	expect_done();
}

/* Whoever asked for it looked at the drivers some time before. */
Test(linux_kernel, no_reset_under_a_driver_of_the_host)
{
	testing_resettable(VF0, "flr");
	testing_resettable(PF, "flr");
	testing_give(VF0, "igbvf");
	run(KERNEL_RESET, VF0);
	expect_guard(KERNEL_GUARD_DRIVER);
	cr_assert_str_eq(report->driver, "igbvf");
	excluded[0] = functions[1];
	q.n_excluded = 1;
	run(KERNEL_RESET, PF);
	expect_guard(KERNEL_GUARD_DRIVER);
	cr_assert(bdf_equal(report->guard_device, functions[1]));
	cr_assert_str_empty(testing_resets());
	testing_take_driver(VF0);
	run(KERNEL_RESET, VF0);
	expect_done();
	run(KERNEL_RESET, PF);
	expect_done();
	cr_assert_str_eq(testing_resets(), VF0 " flr;" PF " flr;");
}
