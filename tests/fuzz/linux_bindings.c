/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-tsm-linux's record of binds: what is read is written as it was. */
#include "tsm/linux/bindings.h"
#include "folder.h"
#include "fuzz.h"

#include <errno.h>

#define BOOT "b"

static void check_same(const Bindings *a, const Bindings *b)
{
	CHECK(bindings_count(a) == bindings_count(b));
	for (size_t i = 0; i < bindings_count(a); i++) {
		const Binding *x = bindings_at(a, i), *y = bindings_find(b, x->device);

		CHECK(y && uuid_equal(x->tvm, y->tvm) && x->generation == y->generation &&
		      x->guest_rid == y->guest_rid);
		CHECK(bindings_unconfirmed(a, x->device) == bindings_unconfirmed(b, x->device));
	}
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static const Binding more = { .device = { .segment = 0xffff, .bus = 3 }, .generation = 5 };
	_cleanup_(bindings_freep) Bindings *bindings = NULL, *again = NULL;
	char *error = NULL;
	int r;

	fuzz_folder_put("bindings", data, size);
	r = bindings_open(&bindings, fuzz_folder(), BOOT, &error);
	if (!fuzz_good(r, error))
		return false;
	if (bindings_put(bindings, &more) < 0)
		return true; /* full */
	CHECK(bindings_open(&again, fuzz_folder(), BOOT, NULL) == 0);
	check_same(bindings, again);
	return true;
}
