/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VMM with the GetQuote library: memory that it shares with a guest, which is the test and sees
 * it through a mapping of its own, and testing-qgs.h's service beside.
 */
#pragma once

#include "quote/getquote.h"
#include "testing-qgs.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE	    ((size_t)4096)
#define MEMORY_SIZE ((size_t)1024 * 1024)
#define BASE	    UINT64_C(0x80000000) /* where the memory is for the guest */
#define REPORT	    1024u
#define KIB	    ((size_t)1024)

typedef struct Vm {
	Getquote *getquote;
	int memory, event;
	uint8_t *vmm, *guest; /* the same memory, twice; pages that nobody may touch around ours */
	char lines[8192];
	size_t lines_size;
	unsigned int n_lines;
} Vm;

static inline void keep_line(void *userdata, const char *line)
{
	Vm *vm = userdata;

	cr_assert_null(strchr(line, '\n'));
	vm->n_lines++;
	if (vm->lines_size + strlen(line) + 2 < sizeof(vm->lines))
		vm->lines_size += (size_t)sprintf(vm->lines + vm->lines_size, "%s\n", line);
}

static inline uint8_t *map_memory(int fd)
{
	uint8_t *all =
		mmap(NULL, MEMORY_SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(all, MAP_FAILED);
	all = mmap(all + PAGE, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	cr_assert_neq(all, MAP_FAILED);
	return all;
}

static inline Vm *vm_new(const TestingQgs *qgs, unsigned int deadline_ms)
{
	Vm *vm = calloc(1, sizeof(*vm));
	GetquoteOptions options = {
		.unix_path = qgs->path,
		.deadline_ms = deadline_ms,
		.log = keep_line,
		.userdata = vm,
	};

	vm->memory = memfd_create("guest", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(vm->memory, MEMORY_SIZE), 0);
	vm->vmm = map_memory(vm->memory);
	vm->guest = map_memory(vm->memory);
	vm->event = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(getquote_new(&vm->getquote, &options), 0);
	return vm;
}

static inline void vm_done(Vm *vm)
{
	vm->getquote = getquote_free(vm->getquote);
	munmap(vm->vmm - PAGE, MEMORY_SIZE + 2 * PAGE);
	munmap(vm->guest - PAGE, MEMORY_SIZE + 2 * PAGE);
	close(vm->memory);
	close(vm->event);
	free(vm);
}

/* --- the guest's side --- */

static inline void put(Vm *vm, size_t at, GetquoteHeader header)
{
	uint8_t bytes[GETQUOTE_HEADER_SIZE];

	getquote_header_write(bytes, &header);
	memcpy(vm->guest + at, bytes, sizeof(bytes));
}

/* A buffer that asks, full of 0xee where there is no report. */
static inline void put_request(Vm *vm, size_t at, size_t size)
{
	memset(vm->guest + at, 0xee, size);
	put(vm, at, (GetquoteHeader){ .version = 1, .in_len = REPORT });
	memset(vm->guest + at + GETQUOTE_HEADER_SIZE, 0x81, REPORT);
}

static inline uint64_t submit(Vm *vm, size_t at, size_t size)
{
	return getquote_submit(vm->getquote, BASE + at, vm->vmm + at, size, vm->event);
}

static inline uint64_t status_of(Vm *vm, size_t at)
{
	return __atomic_load_n((uint64_t *)(void *)(vm->guest + at + 8), __ATOMIC_ACQUIRE);
}

static inline uint32_t out_len_of(Vm *vm, size_t at)
{
	return __atomic_load_n((uint32_t *)(void *)(vm->guest + at + 20), __ATOMIC_RELAXED);
}

/* Takes one event, however long it takes; the test has a deadline of its own. */
static inline uint64_t wait_for_events(Vm *vm)
{
	uint64_t n;

	cr_assert_eq(read(vm->event, &n, sizeof(n)), (ssize_t)sizeof(n));
	return n;
}

static inline void request(Vm *vm, size_t at, size_t size)
{
	put_request(vm, at, size);
	cr_assert_eq(submit(vm, at, size), GETQUOTE_CALL_SUCCESS);
}

static inline void is_quote(Vm *vm, size_t at, size_t size)
{
	const uint8_t *data = vm->guest + at + GETQUOTE_HEADER_SIZE;

	cr_assert_eq(status_of(vm, at), GETQUOTE_SUCCESS);
	cr_assert_eq(out_len_of(vm, at), size);
	for (size_t i = 0; i < size; i++)
		if (data[i] != testing_quote_byte(i))
			cr_assert_fail("byte %zu of %zu is another", i, size);
}

/* Nothing of the data was written. */
static inline void is_failure(Vm *vm, size_t at, size_t size, uint64_t status)
{
	const uint8_t *data = vm->guest + at + GETQUOTE_HEADER_SIZE;

	cr_assert_eq(status_of(vm, at), status);
	cr_assert_eq(out_len_of(vm, at), 0);
	for (size_t i = 0; i < size - GETQUOTE_HEADER_SIZE; i++)
		if (data[i] != (i < REPORT ? 0x81 : 0xee))
			cr_assert_fail("byte %zu was written", i);
}

static inline void told(Vm *vm, const char *text)
{
	cr_assert(strstr(vm->lines, text), "\"%s\" does not say \"%s\"", vm->lines, text);
}

static inline int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* One timeout for all: Criterion loses that of a test that ends before one with an earlier. */
#define GETQUOTE_TEST_TIMEOUT 100
