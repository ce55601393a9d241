/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest is a thread that rewrites header and data of its buffers all the time. */
#include "testing-getquote.h"

#include <stdatomic.h>

TestSuite(getquote_hostile, .timeout = GETQUOTE_TEST_TIMEOUT);

#define BUFFERS 4

typedef struct Hostile {
	Vm *vm;
	size_t size; /* of each of its buffers; they lie at the end of the memory */
	atomic_bool stop;
	pthread_t thread;
} Hostile;

static size_t hostile_at(const Hostile *h, size_t i)
{
	return MEMORY_SIZE - (BUFFERS - i) * h->size;
}

static void put_word(Hostile *h, size_t i, size_t k, uint64_t value)
{
	uint64_t *words = (uint64_t *)(void *)(h->vm->guest + hostile_at(h, i));

	__atomic_store_n(&words[k], value, __ATOMIC_RELAXED);
}

/* Header, a report's bytes and the buffer's last. Version and in_len are good ones again after. */
static void rewrite(Hostile *h, size_t i, uint64_t seed)
{
	put_word(h, i, 0, seed % 3);
	put_word(h, i, 1, seed);
	for (size_t k = 3; k < 160; k++)
		put_word(h, i, k, seed + k);
	put_word(h, i, h->size / 8 - 1, seed);
	put_word(h, i, 0, GETQUOTE_VERSION);
	put_word(h, i, 2, REPORT);
}

static void *rewrite_all_the_time(void *userdata)
{
	Hostile *h = userdata;

	for (uint64_t round = 0; !atomic_load(&h->stop); round++) {
		rewrite(h, round % BUFFERS, round * UINT64_C(0x9e3779b97f4a7c15));
		/* To be caught between two looks at in_len, which would be a few ns apart. */
		for (size_t k = 0; k < 64; k++)
			for (size_t i = 0; i < BUFFERS; i++)
				put_word(h, i, 2, k % 2 ? REPORT : UINT32_MAX - k);
	}
	return NULL;
}

typedef struct Outcomes {
	unsigned int success, retry, invalid;
} Outcomes;

/* Calls until so many were taken; all of those have to have an end, and an event. */
static Outcomes call_under_fire(Hostile *h, unsigned int n_taken)
{
	Outcomes outcomes = {};
	uint64_t ended = 0;

	pthread_create(&h->thread, NULL, rewrite_all_the_time, h);
	for (size_t i = 0; outcomes.success < n_taken; i++) {
		uint64_t call = submit(h->vm, hostile_at(h, i % BUFFERS), h->size);

		outcomes.success += call == GETQUOTE_CALL_SUCCESS;
		outcomes.retry += call == GETQUOTE_CALL_RETRY;
		outcomes.invalid += call == GETQUOTE_CALL_INVALID_OPERAND;
		cr_assert_eq(outcomes.success + outcomes.retry + outcomes.invalid, i + 1);
		if (call == GETQUOTE_CALL_RETRY)
			sched_yield();
	}
	while (ended < n_taken)
		ended += wait_for_events(h->vm);
	cr_assert_eq(ended, n_taken);
	atomic_store(&h->stop, true);
	pthread_join(h->thread, NULL);
	return outcomes;
}

static void under_fire(TestingQgsManner manner, size_t quote_size, size_t size, unsigned int n)
{
	TestingQgs *qgs = testing_qgs(manner, quote_size);
	Vm *vm = vm_new(qgs, 300);
	Hostile h = { .vm = vm, .size = size };
	Outcomes outcomes;

	/* What is not the guest's buffers is not for it to reach. */
	memset(vm->guest, 0x77, MEMORY_SIZE);
	outcomes = call_under_fire(&h, n);
	cr_assert_gt(outcomes.invalid + outcomes.retry, 0);
	for (size_t i = 0; i < hostile_at(&h, 0); i++)
		if (vm->guest[i] != 0x77)
			cr_assert_fail("byte %zu was written", i);
	/* And afterwards all is as before. */
	request(vm, 0, 128 * KIB);
	wait_for_events(vm);
	if (status_of(vm, 0) == GETQUOTE_SUCCESS)
		is_quote(vm, 0, quote_size);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote_hostile, guest)
{
	under_fire(QGS_HONEST, 4072, PAGE, 600);
	under_fire(QGS_HONEST, 4073, PAGE, 300);
	under_fire(QGS_HONEST, 120 * KIB, 128 * KIB, 100);
	under_fire(QGS_SPLITS, 3000, PAGE, 60);
}

Test(getquote_hostile, guest_and_service)
{
	under_fire(QGS_CLOSES_EARLY, KIB, PAGE, 200);
	under_fire(QGS_FRAME_LARGE, KIB, PAGE, 200);
	under_fire(QGS_FRAME_HUGE, KIB, PAGE, 200);
	under_fire(QGS_QUOTE_LIES, KIB, PAGE, 200);
	under_fire(QGS_SILENT, KIB, PAGE, 12);
}
