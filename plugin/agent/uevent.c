/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/uevent.h"

#include "core/cleanup.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define UEVENT_GROUP_KERNEL 1
#define UEVENT_RECEIVE_SIZE (1024 * 1024)

int uevent_parse(Uevent *ret, const char *message, size_t size)
{
	Uevent event = { "", "", "", "", "" };
	const struct {
		const char *key;
		const char **value;
	} keys[] = {
		{ "ACTION=", &event.action },	    { "DEVPATH=", &event.devpath },
		{ "SUBSYSTEM=", &event.subsystem }, { "PCI_SLOT_NAME=", &event.slot },
		{ "DRIVER=", &event.driver },
	};
	const char *end = message + size, *at;
	size_t n;

	if (size == 0 || message[size - 1] != '\0')
		return -EBADMSG;
	for (const char *p = message + strlen(message) + 1; p < end; p += strlen(p) + 1) {
		for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
			n = strlen(keys[i].key);
			if (strncmp(p, keys[i].key, n) != 0)
				continue;
			if (**keys[i].value)
				return -EBADMSG;
			*keys[i].value = p + n;
		}
	}
	at = strchr(message, '@');
	if (!at || !*event.action || !*event.devpath || !*event.subsystem)
		return -EBADMSG;
	n = (size_t)(at - message);
	if (strlen(event.action) != n || strncmp(event.action, message, n) != 0 ||
	    strcmp(at + 1, event.devpath) != 0)
		return -EBADMSG;
	*ret = event;
	return 0;
}

int uevent_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_KERNEL };
	_cleanup_close_ int fd = -1;
	int size = UEVENT_RECEIVE_SIZE;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	/* Without privilege the default stays, and a loss shows as ENOBUFS. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

int uevent_receive(int fd, char *buffer, Uevent *ret)
{
	struct sockaddr_storage from = { 0 };
	struct iovec iov = { .iov_base = buffer, .iov_len = UEVENT_MAX_SIZE };
	struct msghdr message = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ENOTCONN;
	if (message.msg_flags & MSG_TRUNC)
		return -EBADMSG;
	/* Any process with privilege may send to the group: the kernel is port 0. */
	if (from.ss_family == AF_NETLINK) {
		struct sockaddr_nl sender;

		memcpy(&sender, &from, sizeof(sender));
		if (sender.nl_pid != 0)
			return -EBADMSG;
	}
	r = uevent_parse(ret, buffer, (size_t)n);
	return r < 0 ? r : 1;
}
