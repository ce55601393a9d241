/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/accepted.h"
#include "testing-tree.h"

static TestingTree files;
static const AcceptedBind one = { .tvm = { { 1 } }, .address = { .bus = 1 }, .generation = 7 };
static const AcceptedBind two = { .tvm = { { 1 } }, .address = { .bus = 2 }, .generation = 8 };

#define GOOD_LINE TESTING_BOOT_ID " 01000000-0000-0000-0000-000000000000 0000:01:00.0 7"

static void setup(void)
{
	testing_tree_init(&files);
}

static void teardown(void)
{
	testing_tree_done(&files);
}

TestSuite(agent_accepted, .init = setup, .fini = teardown);

static bool knows(const char *record)
{
	testing_put(&files, ACCEPTED_PATH, "%s", record);
	return accepted_knows(&files.tree, &one);
}

Test(agent_accepted, damaged)
{
	cr_assert_not(accepted_knows(&files.tree, &one), "missing");
	cr_assert_not(knows(""));
	cr_assert_not(knows("x\n"));
	cr_assert_not(knows(GOOD_LINE "x\n"));
	cr_assert_not(knows(GOOD_LINE " x\n"));
	cr_assert_not(knows("2" GOOD_LINE "\n"), "another boot");
	cr_assert_not(
		knows(TESTING_BOOT_ID " 01000000-0000-0000-0000-000000000000 0000:01:00.0 -7\n"));
	cr_assert(knows("x\n" GOOD_LINE "\n"));
}

Test(agent_accepted, kept)
{
	AcceptedBind other = one;

	cr_assert_eq(accepted_add(&files.tree, &one), 0);
	cr_assert_eq(accepted_add(&files.tree, &two), 0);
	cr_assert(accepted_knows(&files.tree, &one));
	cr_assert(accepted_knows(&files.tree, &two));
	cr_assert(accepted_knows_address(&files.tree, one.address));
	other.generation = 9;
	cr_assert_not(accepted_knows(&files.tree, &other));
	cr_assert_eq(accepted_add(&files.tree, &other), 0);
	cr_assert(accepted_knows(&files.tree, &other));
	cr_assert_not(accepted_knows(&files.tree, &one), "replaced");
	other.tvm.bytes[0] = 2;
	cr_assert_not(accepted_knows(&files.tree, &other));
	cr_assert_eq(accepted_remove(&files.tree, one.address), 0);
	cr_assert_not(accepted_knows_address(&files.tree, one.address));
	cr_assert(accepted_knows(&files.tree, &two));
	testing_put(&files, "/proc/sys/kernel/random/boot_id", "next\n");
	cr_assert_not(accepted_knows(&files.tree, &two));
}
