/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "tsm/linux/bindings.h"

#include <errno.h>

#define BOOT "boot-1"

static Bindings *bindings;
static char *folder, *error;

static void set_up(void)
{
	testing_host_new();
	folder = strdup(testing_path("state"));
	mkdir(folder, 0700);
}

static void tear_down(void)
{
	bindings_free(bindings);
	free(folder);
	free(error);
	testing_host_remove();
}

TestSuite(linux_bindings, .init = set_up, .fini = tear_down);

static int reopen(const char *boot_id)
{
	free(error);
	error = NULL;
	bindings = bindings_free(bindings);
	return bindings_open(&bindings, folder, boot_id, &error);
}

static void expect_bad(const char *text)
{
	testing_write(testing_path("state/bindings"), text, strlen(text));
	cr_assert_lt(reopen(BOOT), 0, "%s", text);
	cr_assert_not_null(error, "%s", text);
}

static void put(const char *device, const char *tvm, uint64_t generation)
{
	cr_assert_eq(bindings_put(bindings, &(Binding){ testing_bdf(device), testing_uuid(tvm),
							generation, 0x200 }),
		     0);
}

#define ENTRY(device, more)                                                                        \
	"{\"device\":\"" device "\",\"tvm\":\"" TVM_A "\",\"generation\":1,"                       \
	"\"guest_requester_id\":512" more "}"
#define FILE_OF(entries, unconfirmed)                                                              \
	"{\"version\":2,\"boot_id\":\"" BOOT "\",\"bindings\":[" entries                           \
	"],\"unconfirmed\":[" unconfirmed "]}"
#define FILE_WITH(entries) FILE_OF(entries, "")

Test(linux_bindings, malformed)
{
	expect_bad("");
	expect_bad("{}");
	expect_bad("{\"version\":3,\"boot_id\":\"" BOOT "\",\"bindings\":[]}");
	expect_bad("{\"version\":2,\"bindings\":[],\"unconfirmed\":[]}");
	expect_bad("{\"version\":2,\"boot_id\":\"" BOOT "\",\"bindings\":[]}");
	expect_bad(FILE_OF("", "1"));
	expect_bad(FILE_OF("", "\"x\""));
	expect_bad(FILE_WITH("1"));
	expect_bad(FILE_WITH("{}"));
	expect_bad(FILE_WITH(ENTRY("x", "")));
	expect_bad(FILE_WITH(ENTRY(VF0, ",\"more\":1")));
	expect_bad(FILE_WITH(ENTRY(VF0, "") "," ENTRY(VF0, "")));
	testing_write(testing_path("state/bindings"), FILE_WITH(ENTRY(VF0, "")),
		      strlen(FILE_WITH(ENTRY(VF0, ""))));
	cr_assert_eq(reopen(BOOT), 0, "%s", error);
	cr_assert_eq(bindings_count(bindings), 1);
}

Test(linux_bindings, none)
{
	cr_assert_eq(reopen(BOOT), 0);
	cr_assert_eq(bindings_count(bindings), 0);
	cr_assert_null(bindings_find(bindings, testing_bdf(VF0)));
	cr_assert_eq(bindings_drop(bindings, testing_bdf(VF0)), 0);
}

Test(linux_bindings, last_as_long_as_the_boot)
{
	cr_assert_eq(reopen(BOOT), 0);
	put(VF0, TVM_A, 7);
	put(VF1, TVM_B, 8);
	put(VF0, TVM_A, 9);
	cr_assert_eq(reopen(BOOT), 0);
	cr_assert_eq(bindings_count(bindings), 2);
	cr_assert_eq(bindings_find(bindings, testing_bdf(VF0))->generation, 9);
	cr_assert_eq(bindings_find(bindings, testing_bdf(VF1))->guest_rid, 0x200);
	cr_assert_eq(bindings_drop(bindings, testing_bdf(VF0)), 0);
	cr_assert_eq(reopen(BOOT), 0);
	cr_assert_null(bindings_find(bindings, testing_bdf(VF0)));
	cr_assert_eq(bindings_count(bindings), 1);
	cr_assert_eq(reopen("boot-2"), 0);
	cr_assert_eq(bindings_count(bindings), 0);
}

/* That nobody confirmed the end of a bind is known until the end of another one is confirmed. */
Test(linux_bindings, unconfirmed_ends)
{
	Bdf device = testing_bdf(VF0);

	cr_assert_eq(reopen(BOOT), 0);
	cr_assert_not(bindings_unconfirmed(bindings, device));
	put(VF0, TVM_A, 7);
	cr_assert_eq(bindings_end(bindings, device, false), 0);
	cr_assert_null(bindings_find(bindings, device));
	put(VF0, TVM_A, 8);
	cr_assert_eq(bindings_drop(bindings, device), 0, "it was refused");
	cr_assert_eq(bindings_end(bindings, device, false), 0);
	cr_assert_eq(reopen(BOOT), 0);
	cr_assert(bindings_unconfirmed(bindings, device));
	cr_assert_not(bindings_unconfirmed(bindings, testing_bdf(VF1)));
	cr_assert_eq(bindings_end(bindings, device, true), 0);
	cr_assert_eq(reopen(BOOT), 0);
	cr_assert_not(bindings_unconfirmed(bindings, device));
}

Test(linux_bindings, what_cannot_be_written_is_not_there)
{
	cr_assert_eq(reopen(BOOT), 0);
	rmdir(folder);
	cr_assert_lt(bindings_put(bindings, &(Binding){ .device = testing_bdf(VF0) }), 0);
	cr_assert_eq(bindings_count(bindings), 0);
}
