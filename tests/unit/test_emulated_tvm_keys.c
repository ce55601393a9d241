/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include "common/state-file.h"
#include "tsm/emulated/tvm-keys.h"

#include <errno.h>

static TvmKeys *keys;
static unsigned int n_found;
static uint8_t found_key[GUEST_MESSAGE_KEY_SIZE];

static void open_keys(gid_t group)
{
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(tvm_keys_open(&keys, testing_path("keys"), group, &error), 0, "%s", error);
}

static void tear_down(void)
{
	tvm_keys_free(keys);
	testing_host_remove();
}

static int on_found(void *userdata, Uuid tvm, const uint8_t *key)
{
	cr_assert(uuid_equal(tvm, testing_uuid(TVM_A)));
	memcpy(found_key, key, sizeof(found_key));
	n_found++;
	return 0;
}

TestSuite(emulated_tvm_keys, .init = testing_host_new, .fini = tear_down);

Test(emulated_tvm_keys, passes_over_what_is_no_key)
{
	static const char *const junk[] = {
		"x.tsm",
		TVM_A ".key",
		TVM_A ".tsm.tsm",
		"11111111-2222-3333-4444-55555555555g.tsm",
		"." TVM_A ".tsm.new",
	};

	open_keys(STATE_FILE_NO_GROUP);
	for (size_t i = 0; i < ELEMENTSOF(junk); i++)
		testing_write(testing_path("keys/%s", junk[i]), found_key, sizeof(found_key));
	testing_write(testing_path("keys/%s.tsm", TVM_B), "short", 5);
	testing_write(testing_path("elsewhere"), found_key, sizeof(found_key));
	cr_assert_eq(symlink("../elsewhere", testing_path("keys/%s.tsm", TVM_A)), 0);
	cr_assert_eq(tvm_keys_each(keys, on_found, NULL), 0);
	cr_assert_eq(n_found, 0);
}

Test(emulated_tvm_keys, makes_replaces_removes)
{
	uint8_t first[GUEST_MESSAGE_KEY_SIZE], second[GUEST_MESSAGE_KEY_SIZE];
	_cleanup_free_ char *path = NULL, *same = NULL;
	_cleanup_blob_ Blob blob = {};
	struct stat st;

	open_keys(STATE_FILE_NO_GROUP);
	cr_assert_eq(tvm_keys_make(keys, testing_uuid(TVM_A), first, &path, NULL), 0);
	cr_assert_str_eq(path, testing_path("keys/%s.key", TVM_A));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0400);
	cr_assert_eq(tvm_keys_make(keys, testing_uuid(TVM_A), second, &same, NULL), 0);
	cr_assert_str_eq(path, same);
	cr_assert_arr_neq(first, second, sizeof(first));
	cr_assert_eq(state_file_read(&blob, AT_FDCWD, path, 64), 0);
	cr_assert_eq(blob.size, sizeof(second));
	cr_assert_arr_eq(blob.data, second, sizeof(second));
	cr_assert_eq(tvm_keys_each(keys, on_found, NULL), 0);
	cr_assert_eq(n_found, 1);
	cr_assert_arr_eq(found_key, second, sizeof(second));
	cr_assert_eq(tvm_keys_remove(keys, testing_uuid(TVM_A), NULL), 0);
	cr_assert_eq(tvm_keys_remove(keys, testing_uuid(TVM_A), NULL), 0);
	cr_assert_lt(stat(path, &st), 0);
	cr_assert_eq(tvm_keys_each(keys, on_found, NULL), 0);
	cr_assert_eq(n_found, 1);
}

Test(emulated_tvm_keys, group_may_read)
{
	uint8_t key[GUEST_MESSAGE_KEY_SIZE];
	_cleanup_free_ char *path = NULL;
	struct stat st;

	open_keys(getegid());
	cr_assert_eq(tvm_keys_make(keys, testing_uuid(TVM_B), key, &path, NULL), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0440);
	cr_assert_eq(stat(testing_path("keys/%s.tsm", TVM_B), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0400);
}
