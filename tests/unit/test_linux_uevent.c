/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/linux/uevent.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBSYSTEM(text) uevent_subsystem(text, sizeof(text) - 1)

Test(linux_uevent, malformed)
{
	cr_assert_null(uevent_subsystem("", 0));
	cr_assert_null(SUBSYSTEM("add@/devices/x"), "no NUL at its end");
	cr_assert_null(SUBSYSTEM("libudev\0SUBSYSTEM=pci\0"));
	cr_assert_null(SUBSYSTEM("add@/x\0ACTION=add\0"), "none");
	cr_assert_null(SUBSYSTEM("add@/x\0SUBSYSTEM=pci\0SUBSYSTEM=tsm\0"), "twice");
}

Test(linux_uevent, subsystem)
{
	cr_assert_str_eq(SUBSYSTEM("add@/x\0ACTION=add\0SUBSYSTEM=pci\0SEQNUM=7\0"), "pci");
	cr_assert_str_eq(SUBSYSTEM("add@/x\0SUBSYSTEM=\0"), "");
}

static int ends[2];

static void send_message(const char *text, size_t size)
{
	cr_assert_eq(send(ends[1], text, size, 0), (ssize_t)size);
}

#define SEND(text) send_message(text, sizeof(text) - 1)

Test(linux_uevent, drain)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	cr_assert_eq(uevent_drain(ends[0]), 0, "nothing");
	SEND("add@/x\0SUBSYSTEM=net\0");
	SEND("junk");
	cr_assert_eq(uevent_drain(ends[0]), 0, "nothing that matters");
	SEND("add@/x\0SUBSYSTEM=tsm\0");
	SEND("add@/x\0SUBSYSTEM=net\0");
	cr_assert_eq(uevent_drain(ends[0]), 1);
	SEND("unbind@/x\0SUBSYSTEM=pci\0");
	cr_assert_eq(uevent_drain(ends[0]), 1);
	cr_assert_eq(uevent_drain(ends[0]), 0);
	close(ends[1]);
	cr_assert_lt(uevent_drain(ends[0]), 0);
	close(ends[0]);
}
