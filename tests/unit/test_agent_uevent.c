/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/uevent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GOOD                                                                                       \
	"add@/devices/pci0000:00/0000:00:04.0/0000:01:00.0\0ACTION=add\0"                          \
	"DEVPATH=/devices/pci0000:00/0000:00:04.0/0000:01:00.0\0SUBSYSTEM=pci\0"                   \
	"PCI_CLASS=20000\0PCI_ID=8086:10CA\0PCI_SLOT_NAME=0000:01:00.0\0SEQNUM=77\0"

#define parse(text) uevent_parse(&event, text, sizeof(text) - 1)

static Uevent event;

Test(agent_uevent, refused)
{
	cr_assert_eq(uevent_parse(&event, "", 0), -EBADMSG, "empty");
	cr_assert_eq(parse("\0"), -EBADMSG, "nothing but a NUL");
	cr_assert_eq(uevent_parse(&event, GOOD, sizeof(GOOD) - 2), -EBADMSG, "no NUL at the end");
	cr_assert_eq(parse("add@/d\0ACTION=add\0DEVPATH=/d\0"), -EBADMSG, "no subsystem");
	cr_assert_eq(parse("add@/d\0ACTION=remove\0DEVPATH=/d\0SUBSYSTEM=pci\0"), -EBADMSG);
	cr_assert_eq(parse("add@/d\0ACTION=add\0DEVPATH=/e\0SUBSYSTEM=pci\0"), -EBADMSG);
	cr_assert_eq(parse("add/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0"), -EBADMSG, "no @");
	cr_assert_eq(parse("add@/d\0ACTION=add\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0"), -EBADMSG,
		     "twice");
	/* udev's own messages on the same netlink family. */
	cr_assert_eq(parse("libudev\0\xfe\xed\xca\xfe\0"), -EBADMSG);
}

Test(agent_uevent, good)
{
	cr_assert_eq(parse(GOOD), 0);
	cr_assert_str_eq(event.action, "add");
	cr_assert_str_eq(event.subsystem, "pci");
	cr_assert_str_eq(event.slot, "0000:01:00.0");
	cr_assert_str_eq(event.driver, "");
	cr_assert_str_eq(event.devpath, "/devices/pci0000:00/0000:00:04.0/0000:01:00.0");
	cr_assert_eq(parse("bind@/d\0ACTION=bind\0DEVPATH=/d\0SUBSYSTEM=pci\0DRIVER=igbvf\0"), 0);
	cr_assert_str_eq(event.driver, "igbvf");
}

Test(agent_uevent, received)
{
	char buffer[UEVENT_MAX_SIZE], large[UEVENT_MAX_SIZE + 1] = "add@/d";
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	cr_assert_eq(uevent_receive(fds[0], buffer, &event), 0);
	cr_assert_eq(write(fds[1], large, sizeof(large)), (ssize_t)sizeof(large));
	cr_assert_eq(uevent_receive(fds[0], buffer, &event), -EBADMSG, "truncated");
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(uevent_receive(fds[0], buffer, &event), -EBADMSG);
	cr_assert_eq(write(fds[1], GOOD, sizeof(GOOD) - 1), (ssize_t)sizeof(GOOD) - 1);
	cr_assert_eq(uevent_receive(fds[0], buffer, &event), 1);
	cr_assert_str_eq(event.slot, "0000:01:00.0");
	cr_assert_eq(uevent_receive(fds[0], buffer, &event), 0);
	close(fds[0]);
	close(fds[1]);
}
