/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's pid file and /proc/PID/stat as the hook reads them; either will do. */
#include "fuzz.h"
#include "hooks/qemu.h"

#include <limits.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	int64_t pid = 0;
	uint64_t start_time;
	bool is_pid = qemu_parse_pid(&pid, (const char *)data, size) == 0;
	bool is_stat = qemu_parse_start_time(&start_time, (const char *)data, size) == 0;

	CHECK(!is_pid || (pid > 0 && pid <= INT_MAX));
	CHECK(!is_pid || !is_stat);
	return is_pid || is_stat;
}
