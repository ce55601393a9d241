/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent.h"

#include "core/cleanup.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#define UEVENT_GROUP_KERNEL 1

int uevent_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_KERNEL };
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

const char *uevent_subsystem(const char *message, size_t size)
{
	static const char key[] = "SUBSYSTEM=";
	const char *end = message + size, *found = NULL;

	if (size == 0 || end[-1] != '\0' || !strchr(message, '@'))
		return NULL;
	for (const char *p = message + strlen(message) + 1; p < end; p += strlen(p) + 1) {
		if (strncmp(p, key, sizeof(key) - 1) != 0)
			continue;
		if (found)
			return NULL;
		found = p + sizeof(key) - 1;
	}
	return found;
}

int uevent_drain(int fd)
{
	char buffer[UEVENT_MAX_SIZE];
	int relevant = 0;

	for (;;) {
		struct sockaddr_nl from = {};
		socklen_t from_size = sizeof(from);
		const char *subsystem;
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return relevant;
		if (n < 0 && errno == ENOBUFS) {
			relevant = 1;
			continue;
		}
		if (n < 0)
			return -errno;
		/* Any process with privilege may send to the group: the kernel is port 0. */
		if (from_size == sizeof(from) && from.nl_family == AF_NETLINK && from.nl_pid != 0)
			continue;
		if (n == 0)
			return -ENOTCONN;
		subsystem = uevent_subsystem(buffer, (size_t)n);
		if (subsystem && (strcmp(subsystem, "pci") == 0 || strcmp(subsystem, "tsm") == 0))
			relevant = 1;
	}
}
