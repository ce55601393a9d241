/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's status file of a domain, from which tdi-tsm-linux takes QEMU's pid. */
#include "fuzz.h"
#include "tsm/linux/qemu-vm.h"

#include <errno.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	char *error = NULL;
	pid_t pid = 0;
	Uuid uuid;
	int r = qemu_vm_status_parse(&pid, &uuid, (const char *)data, size, &error);

	if (!fuzz_good(r, error)) {
		CHECK(r == -EBADMSG || r == -EINVAL || r == -E2BIG);
		return false;
	}
	CHECK(pid > 0);
	return true;
}
