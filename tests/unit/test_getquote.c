/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls, buffers and the end: with services that do what they should, or nothing. */
#include "testing-getquote.h"

#include <dirent.h>
#include <errno.h>

TestSuite(getquote, .timeout = GETQUOTE_TEST_TIMEOUT);

/* --- what is refused --- */

Test(getquote, options_refused)
{
	char path[200];
	Getquote *g = NULL;

	memset(path, 'a', sizeof(path));
	path[108] = '\0';
	cr_assert_eq(getquote_new(&g, &(GetquoteOptions){ .unix_path = "" }), -EINVAL);
	cr_assert_eq(getquote_new(&g, &(GetquoteOptions){ .unix_path = path }), -ENAMETOOLONG);
	cr_assert_eq(getquote_new(&g, &(GetquoteOptions){ .unix_path = "x", .in_flight = 65 }),
		     -EINVAL);
	cr_assert_eq(getquote_new(&g, &(GetquoteOptions){ .unix_path = "x", .deadline_ms = 29001 }),
		     -EINVAL);
	cr_assert_null(g);
	cr_assert_null(getquote_free(NULL));
	path[107] = '\0';
	cr_assert_eq(getquote_new(&g, &(GetquoteOptions){ .unix_path = path }), 0);
	cr_assert_null(getquote_free(g));
}

Test(getquote, calls_refused)
{
	TestingQgs *qgs = testing_qgs(QGS_HONEST, 2000);
	Vm *vm = vm_new(qgs, 0);
	static const struct {
		size_t at, size;
		uint64_t call;
	} calls[] = {
		{ 0, 0, GETQUOTE_CALL_INVALID_OPERAND },
		{ 1, 0, GETQUOTE_CALL_INVALID_OPERAND },
		{ 8, 4096, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0, 4095, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0, 4097, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0, 128 * 1024 + 4096, GETQUOTE_CALL_INVALID_OPERAND },
		{ 0, SIZE_MAX, GETQUOTE_CALL_ALIGN_ERROR },
	};
	static const GetquoteHeader headers[] = {
		{ .version = 0, .in_len = REPORT },
		{ .version = 2, .in_len = REPORT },
		{ .version = 1, .in_len = 0 },
		{ .version = 1, .in_len = 65536 - 23 },
		{ .version = 1, .in_len = GETQUOTE_REPORT_MAX + 1 },
		{ .version = 1, .in_len = UINT32_MAX },
	};

	put_request(vm, 0, 8192);
	for (size_t i = 0; i < ELEMENTSOF(calls); i++)
		cr_assert_eq(submit(vm, calls[i].at, calls[i].size), calls[i].call, "%zu", i);
	cr_assert_eq(getquote_submit(vm->getquote, BASE, NULL, PAGE, vm->event),
		     GETQUOTE_CALL_INVALID_OPERAND);
	cr_assert_eq(getquote_submit(vm->getquote, BASE, vm->vmm + 4, PAGE, vm->event),
		     GETQUOTE_CALL_INVALID_OPERAND);
	for (size_t i = 0; i < ELEMENTSOF(headers); i++) {
		uint8_t before[PAGE];

		put(vm, 0, headers[i]);
		memcpy(before, vm->guest, sizeof(before));
		cr_assert_eq(submit(vm, 0, 65536), GETQUOTE_CALL_INVALID_OPERAND, "%zu", i);
		cr_assert_arr_eq(before, vm->guest, sizeof(before));
	}
	cr_assert_eq(qgs->n_requests, 0);
	vm_done(vm);
	testing_qgs_done(qgs);
}

/* --- sizes --- */

Test(getquote, quotes_of_all_sizes)
{
	static const size_t sizes[] = { 1,	   KIB,	      4072,	     4073,  5 * KIB,
					8168,	   16 * KIB,  64 * KIB,	     65512, 65513,
					100 * KIB, 120 * KIB, 128 * KIB - 24 };
	TestingQgs *qgs = testing_qgs(QGS_HONEST, 0);
	Vm *vm = vm_new(qgs, 0);

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		size_t size = (sizes[i] + GETQUOTE_HEADER_SIZE + PAGE - 1) / PAGE * PAGE;

		__atomic_store_n(&qgs->quote_size, sizes[i], __ATOMIC_RELAXED);
		request(vm, PAGE, size);
		cr_assert_eq(wait_for_events(vm), 1);
		is_quote(vm, PAGE, sizes[i]);
		request(vm, PAGE, 128 * KIB);
		cr_assert_eq(wait_for_events(vm), 1);
		is_quote(vm, PAGE, sizes[i]);
		/* What the quote does not reach is as it was. */
		if (sizes[i] > REPORT && sizes[i] + GETQUOTE_HEADER_SIZE < 128 * KIB)
			cr_assert_eq(vm->guest[PAGE + 128 * KIB - 1], 0xee);
	}
	testing_qgs_had_reports(qgs, REPORT, REPORT);
	cr_assert_eq(vm->n_lines, 0);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote, quote_larger_than_the_buffer)
{
	static const struct {
		size_t quote, size;
		const char *line;
	} cases[] = {
		{ 4073, 4096, "4073 bytes and needs a buffer of 8192 bytes; the guest's has 4096" },
		{ 65513, 65536, "needs a buffer of 69632 bytes; the guest's has 65536" },
		{ 120 * KIB, 4096, "needs a buffer of 126976 bytes" },
		{ 128 * KIB - 23, 128 * KIB, "needs a buffer of 135168 bytes" },
		{ 200 * KIB, 8192, "204800 bytes" },
	};
	TestingQgs *qgs = testing_qgs(QGS_HONEST, 0);
	Vm *vm = vm_new(qgs, 0);

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		__atomic_store_n(&qgs->quote_size, cases[i].quote, __ATOMIC_RELAXED);
		request(vm, PAGE, cases[i].size);
		wait_for_events(vm);
		is_failure(vm, PAGE, cases[i].size, GETQUOTE_ERROR);
		told(vm, cases[i].line);
		told(vm, "0x80001000");
	}
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote, reports_of_other_sizes)
{
	TestingQgs *qgs = testing_qgs(QGS_HONEST, KIB);
	Vm *vm = vm_new(qgs, 0);

	put_request(vm, 0, 128 * KIB);
	put(vm, 0, (GetquoteHeader){ .version = 1, .in_len = 1 });
	cr_assert_eq(submit(vm, 0, PAGE), GETQUOTE_CALL_SUCCESS);
	wait_for_events(vm);
	is_quote(vm, 0, KIB);
	put(vm, 0, (GetquoteHeader){ .version = 1, .in_len = GETQUOTE_REPORT_MAX, .status = 9 });
	cr_assert_eq(submit(vm, 0, 128 * KIB), GETQUOTE_CALL_SUCCESS);
	wait_for_events(vm);
	is_quote(vm, 0, KIB);
	testing_qgs_had_reports(qgs, 1, GETQUOTE_REPORT_MAX);
	vm_done(vm);
	testing_qgs_done(qgs);
}

/* --- many --- */

Test(getquote, in_flight_limit)
{
	TestingQgs *qgs = testing_qgs(QGS_SILENT, KIB);
	Vm *vm = vm_new(qgs, 0);

	for (size_t i = 0; i < GETQUOTE_IN_FLIGHT_DEFAULT; i++) {
		request(vm, 2 * i * PAGE, 2 * PAGE);
		cr_assert_eq(status_of(vm, 2 * i * PAGE), GETQUOTE_IN_FLIGHT);
	}
	put_request(vm, 40 * PAGE, PAGE);
	cr_assert_eq(submit(vm, 40 * PAGE, PAGE), GETQUOTE_CALL_RETRY);
	cr_assert_eq(status_of(vm, 40 * PAGE), 0);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote, overlapping_buffers)
{
	TestingQgs *qgs = testing_qgs(QGS_SILENT, KIB);
	Vm *vm = vm_new(qgs, 0);

	put_request(vm, 0, 8 * PAGE);
	for (size_t i = 0; i < 8; i++)
		put(vm, i * PAGE, (GetquoteHeader){ .version = 1, .in_len = REPORT });
	cr_assert_eq(submit(vm, 2 * PAGE, 2 * PAGE), GETQUOTE_CALL_SUCCESS);
	cr_assert_eq(submit(vm, 2 * PAGE, 2 * PAGE), GETQUOTE_CALL_RETRY);
	cr_assert_eq(submit(vm, 3 * PAGE, PAGE), GETQUOTE_CALL_RETRY);
	cr_assert_eq(submit(vm, PAGE, 2 * PAGE), GETQUOTE_CALL_RETRY);
	cr_assert_eq(submit(vm, 0, 8 * PAGE), GETQUOTE_CALL_RETRY);
	cr_assert_eq(submit(vm, PAGE, PAGE), GETQUOTE_CALL_SUCCESS);
	cr_assert_eq(submit(vm, 4 * PAGE, PAGE), GETQUOTE_CALL_SUCCESS);
	vm_done(vm);
	testing_qgs_done(qgs);
}

/* A guest that sees the status may ask again before the event has been delivered. */
Test(getquote, again_at_once)
{
	TestingQgs *qgs = testing_qgs(QGS_HONEST, 6000);
	Vm *vm = vm_new(qgs, 0);

	for (size_t i = 0; i < 500; i++) {
		request(vm, 0, 2 * PAGE);
		while (status_of(vm, 0) == GETQUOTE_IN_FLIGHT)
			sched_yield();
		is_quote(vm, 0, 6000);
	}
	for (uint64_t n = 0; n < 500;)
		n += wait_for_events(vm);
	vm_done(vm);
	testing_qgs_done(qgs);
}

typedef struct Vcpu {
	Vm *vm;
	size_t at;
	pthread_t thread;
} Vcpu;

static void *ask_many_times(void *userdata)
{
	Vcpu *vcpu = userdata;

	for (int i = 0; i < 15; i++) {
		request(vcpu->vm, vcpu->at, 2 * PAGE);
		while (status_of(vcpu->vm, vcpu->at) == GETQUOTE_IN_FLIGHT)
			sched_yield();
		is_quote(vcpu->vm, vcpu->at, 5000);
	}
	return NULL;
}

Test(getquote, several_vcpus)
{
	TestingQgs *qgs = testing_qgs(QGS_SPLITS, 5000);
	Vm *vm = vm_new(qgs, 0);
	Vcpu vcpus[4];

	for (size_t i = 0; i < ELEMENTSOF(vcpus); i++) {
		vcpus[i] = (Vcpu){ .vm = vm, .at = 4 * i * PAGE };
		pthread_create(&vcpus[i].thread, NULL, ask_many_times, &vcpus[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(vcpus); i++)
		pthread_join(vcpus[i].thread, NULL);
	cr_assert_eq(vm->n_lines, 0);
	vm_done(vm);
	testing_qgs_done(qgs);
}

/* One guest's service is wedged; another's is not. */
Test(getquote, guests_apart)
{
	TestingQgs *wedged = testing_qgs(QGS_SILENT, KIB), *good = testing_qgs(QGS_HONEST, KIB);
	Vm *a = vm_new(wedged, 0), *b = vm_new(good, 0);

	for (size_t i = 0; i < GETQUOTE_IN_FLIGHT_DEFAULT; i++)
		request(a, i * PAGE, PAGE);
	request(b, 0, PAGE);
	wait_for_events(b);
	is_quote(b, 0, KIB);
	vm_done(b);
	vm_done(a);
	testing_qgs_done(good);
	testing_qgs_done(wedged);
}

Test(getquote, lines_are_limited)
{
	TestingQgs *place = testing_qgs_place();
	Vm *vm = vm_new(place, 0);

	for (int i = 0; i < 100; i++) {
		request(vm, 0, PAGE);
		wait_for_events(vm);
	}
	cr_assert_eq(vm->n_lines, 20);
	vm->getquote = getquote_free(vm->getquote);
	cr_assert_eq(vm->n_lines, 21);
	told(vm, "80 failures more were not logged");
	vm_done(vm);
	testing_qgs_done(place);
}

/* --- the end of a TVM --- */

static int count(const char *folder)
{
	DIR *dir = opendir(folder);
	int n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

Test(getquote, free_ends_all)
{
	TestingQgs *qgs = testing_qgs(QGS_SLOW, KIB);
	int fds = count("/proc/self/fd"), threads = count("/proc/self/task");
	Vm *vm = vm_new(qgs, 0);

	cr_assert_eq(count("/proc/self/task"), threads + 1);
	for (size_t i = 0; i < 8; i++)
		request(vm, i * PAGE, PAGE);
	vm->getquote = getquote_free(vm->getquote);
	for (size_t i = 0; i < 8; i++)
		is_failure(vm, i * PAGE, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
	cr_assert_eq(wait_for_events(vm), 8);
	/* Nobody touches it any more, also when the service answers. */
	cr_assert_eq(mprotect(vm->vmm, MEMORY_SIZE, PROT_NONE), 0);
	vm_done(vm);
	testing_qgs_done(qgs);
	cr_assert_leq(count("/proc/self/fd"), fds);
	cr_assert_leq(count("/proc/self/task"), threads);
}

/* Whenever in a request's life it comes. */
Test(getquote, free_at_any_time)
{
	TestingQgs *qgs = testing_qgs(QGS_SPLITS, 3000);

	for (unsigned int i = 0; i < 60; i++) {
		Vm *vm = vm_new(qgs, 0);
		int64_t until = milliseconds() + i / 3;

		for (size_t k = 0; k < 4; k++)
			request(vm, k * PAGE, PAGE);
		while (milliseconds() < until)
			sched_yield();
		vm->getquote = getquote_free(vm->getquote);
		for (size_t k = 0; k < 4; k++) {
			if (status_of(vm, k * PAGE) == GETQUOTE_SUCCESS)
				is_quote(vm, k * PAGE, 3000);
			else
				is_failure(vm, k * PAGE, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
		}
		cr_assert_eq(wait_for_events(vm), 4);
		vm_done(vm);
	}
	testing_qgs_done(qgs);
}

Test(getquote, without_an_event)
{
	TestingQgs *qgs = testing_qgs(QGS_HONEST, KIB);
	Vm *vm = vm_new(qgs, 0);

	put_request(vm, 0, PAGE);
	cr_assert_eq(getquote_submit(vm->getquote, BASE, vm->vmm, PAGE, -1), GETQUOTE_CALL_SUCCESS);
	while (status_of(vm, 0) == GETQUOTE_IN_FLIGHT)
		sched_yield();
	is_quote(vm, 0, KIB);
	vm_done(vm);
	testing_qgs_done(qgs);
}
