/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/report-call.h"

#include "agent/report-port.h"
#include "agent/tdx-guest.h"
#include "core/refusal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int call_connect(int *ret, const Tree *tree, char **ret_error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_free_ char *path = NULL;
	int r;

	r = tree_path(tree, &path, REPORT_PORT_PATH);
	if (r < 0)
		return r;
	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(ret_error, -ENAMETOOLONG, "%s: the path is too long", path);
	strcpy(address.sun_path, path);
	*ret = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (*ret < 0)
		return -errno;
	if (connect(*ret, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	r = -errno;
	return refuse(ret_error, r,
		      "no TDREPORT: there is no " TDX_GUEST_DEVICE ", and no agent at %s: %s (is "
		      "tdi-agent running, and are you root?)",
		      path, strerror(-r));
}

int report_call(uint8_t ret[static TDREPORT_SIZE], const Tree *tree,
		const uint8_t report_data[static TDREPORT_DATA_SIZE], uint64_t time_usec,
		char **ret_error)
{
	char packet[REPORT_PORT_ANSWER_MAX + 1];
	_cleanup_close_ int fd = -1;
	struct pollfd p;
	ssize_t n;
	int r;

	r = call_connect(&fd, tree, ret_error);
	if (r < 0)
		return r;
	if (send(fd, report_data, TDREPORT_DATA_SIZE, MSG_NOSIGNAL) < 0)
		return refuse(ret_error, -errno, "TDREPORT: the agent: %s", strerror(errno));
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	do
		r = poll(&p, 1, (int)(time_usec / USEC_PER_MS));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return refuse(ret_error, -ETIMEDOUT, "TDREPORT: the agent does not answer");
	n = recv(fd, packet, sizeof(packet) - 1, MSG_DONTWAIT);
	if (n <= 0)
		return refuse(ret_error, -ECONNABORTED, "TDREPORT: the agent ended the connection");
	packet[n] = '\0';
	if (packet[0] == REPORT_PORT_OK && n == (ssize_t)REPORT_PORT_ANSWER_MAX) {
		memcpy(ret, packet + 1, TDREPORT_SIZE);
		return 0;
	}
	return refuse(ret_error, -EREMOTEIO, "TDREPORT: %s",
		      packet[0] == REPORT_PORT_REFUSED ? packet + 1
						       : "the agent's answer is malformed");
}
