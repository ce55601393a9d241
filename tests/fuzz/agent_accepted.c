/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's record of what it has accepted: the file, damaged or not, takes one more line. */
#include "agent/accepted.h"
#include "folder.h"
#include "fuzz.h"

#include <errno.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	static const AcceptedBind bind = { .tvm = { { 1, 2 } },
					   .address = { .bus = 1 },
					   .generation = 7 };
	const Tree tree = { fuzz_folder() };
	bool knew;
	int r;

	fuzz_folder_put("proc/sys/kernel/random/boot_id", "b\n", 2);
	fuzz_folder_put("run/tdi-agent/accepted", data, size);
	knew = accepted_knows(&tree, &bind);
	CHECK(!knew || accepted_knows_address(&tree, bind.address));
	r = accepted_add(&tree, &bind);
	CHECK(r == 0 || (r == -EFBIG && size > ACCEPTED_MAX_SIZE));
	if (r < 0)
		return false;
	CHECK(accepted_knows(&tree, &bind));
	CHECK(accepted_remove(&tree, bind.address) == 0);
	CHECK(!accepted_knows_address(&tree, bind.address));
	return knew;
}
