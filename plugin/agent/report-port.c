/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client: connected --64 bytes--> asked --the TSM's answer, or its time is over--> answered, gone
 *
 * One that goes, or whose time is over, while the TSM has its request stays as a "ghost" without a
 * descriptor until the TSM's answer: taking the request back would end the agent's session with the
 * TSM (tsm_client_cancel()). Ghosts keep their place.
 */
#include "agent/report-port.h"

#include "rpc/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

typedef struct ReportClient {
	ReportPort *port;
	bool used;
	bool asked;
	int fd; /* -1: a ghost */
	LoopFd source;
	LoopTimer timer;
} ReportClient;

struct ReportPort {
	Loop *loop;
	const Tree *tree;
	TsmClient *client;
	bool allow_emulated;
	uint64_t answer_usec;
	int fd;
	LoopFd source;
	ReportClient clients[REPORT_PORT_CLIENTS];
};

static void client_leave(ReportClient *client)
{
	loop_fd_off(&client->source);
	loop_timer_off(&client->timer);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	if (!client->asked || !tsm_client_withdraw(client->port->client, client))
		client->used = false;
}

/* One packet; the connection has taken none before, so that there is room. */
static void answer(int fd, uint8_t kind, const void *body, size_t size)
{
	uint8_t packet[REPORT_PORT_ANSWER_MAX];

	if (size > sizeof(packet) - 1)
		size = sizeof(packet) - 1;
	packet[0] = kind;
	memcpy(packet + 1, body, size);
	if (send(fd, packet, 1 + size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a TDREPORT's asker did not wait for it: %s", strerror(errno));
}

static void refuse_client(ReportClient *client, const char *sentence)
{
	answer(client->fd, REPORT_PORT_REFUSED, sentence, strlen(sentence));
	client_leave(client);
}

static void on_report(void *userdata, const TsmAnswer *reply, const char *error)
{
	ReportClient *client = userdata;
	char sentence[512];

	client->asked = false;
	if (client->fd < 0) {
		client->used = false;
		return;
	}
	if (reply && reply->status == GUEST_STATUS_OK && reply->body_size == TDREPORT_SIZE) {
		answer(client->fd, REPORT_PORT_OK, reply->body, reply->body_size);
		client_leave(client);
		return;
	}
	if (!reply)
		snprintf(sentence, sizeof(sentence), "the TSM could not be reached: %s", error);
	else if (reply->status == GUEST_STATUS_UNSUPPORTED)
		snprintf(sentence, sizeof(sentence),
			 "the TSM makes no TDREPORTs (an emulated one does so when its "
			 "configuration has \"platform_key\")");
	else if (reply->status == GUEST_STATUS_OK)
		snprintf(sentence, sizeof(sentence), "the TSM's TDREPORT has %zu bytes, not %u",
			 reply->body_size, TDREPORT_SIZE);
	else
		snprintf(sentence, sizeof(sentence), "the TSM refuses: %s",
			 guest_status_sentence(reply->status));
	refuse_client(client, sentence);
}

static void on_late(void *userdata)
{
	refuse_client(userdata, "no answer from the TSM in time (are tdid and its provider running "
				"on the host?)");
}

static void client_ask(ReportClient *client, const uint8_t *report_data)
{
	GuestTdreport request;
	uint8_t payload[GUEST_TDREPORT_SIZE];
	int r;

	if (!client->port->allow_emulated) {
		refuse_client(client, "only an emulated TSM makes TDREPORTs, and the policy does "
				      "not have \"allow_emulated\"");
		return;
	}
	memcpy(request.report_data, report_data, sizeof(request.report_data));
	guest_tdreport_write(&request, payload);
	client->asked = true;
	r = tsm_client_request(client->port->client, GUEST_MESSAGE_TDREPORT, payload,
			       sizeof(payload), on_report, client);
	if (r < 0) {
		client->asked = false;
		refuse_client(client, strerror(-r));
	}
}

static void on_client(void *userdata, short revents)
{
	uint8_t packet[TDREPORT_DATA_SIZE + 1];
	ReportClient *client = userdata;
	ssize_t n = recv(client->fd, packet, sizeof(packet), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || client->asked)
		client_leave(client);
	else if (n != (ssize_t)TDREPORT_DATA_SIZE)
		refuse_client(client, "what was asked is not 64 bytes of report data");
	else
		client_ask(client, packet);
}

static ReportClient *client_place(ReportPort *port)
{
	for (size_t i = 0; i < ELEMENTSOF(port->clients); i++)
		if (!port->clients[i].used)
			return &port->clients[i];
	return NULL;
}

static void on_connection(void *userdata, short revents)
{
	ReportPort *port = userdata;
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);
	ReportClient *client;
	int fd = accept4(port->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	client = client_place(port);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
		close(fd);
		return;
	}
	if (!client) {
		static const char busy[] = "too many ask for TDREPORTs at once";

		answer(fd, REPORT_PORT_REFUSED, busy, sizeof(busy) - 1);
		close(fd);
		return;
	}
	*client = (ReportClient){ .port = port, .used = true, .fd = fd };
	loop_timer_init(port->loop, &client->timer, on_late, client);
	loop_timer_set(&client->timer, port->answer_usec);
	if (loop_fd_on(port->loop, &client->source, fd, POLLIN, on_client, client) < 0)
		client_leave(client);
}

static int port_listen(ReportPort *port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_free_ char *path = NULL, *folder = NULL;
	int r;

	r = tree_path(port->tree, &path, REPORT_PORT_PATH);
	if (r == 0)
		r = tree_path(port->tree, &folder, REPORT_PORT_FOLDER);
	if (r < 0)
		return r;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	port->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of the socket's file comes from its descriptor's. */
	if (port->fd < 0 || fchmod(port->fd, 0600) < 0 ||
	    bind(port->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(port->fd, REPORT_PORT_CLIENTS) < 0)
		return -errno;
	return loop_fd_on(port->loop, &port->source, port->fd, POLLIN, on_connection, port);
}

int report_port_new(ReportPort **ret, const ReportPortOptions *options)
{
	_cleanup_(report_port_freep) ReportPort *port = calloc(1, sizeof(*port));
	int r;

	if (!port)
		return -ENOMEM;
	port->loop = options->loop;
	port->tree = options->tree;
	port->client = options->client;
	port->allow_emulated = options->allow_emulated;
	port->answer_usec = options->answer_usec ? options->answer_usec : REPORT_PORT_ANSWER_USEC;
	port->fd = -1;
	r = port_listen(port);
	if (r < 0)
		return r;
	*ret = steal_ptr(port);
	return 0;
}

ReportPort *report_port_free(ReportPort *port)
{
	loop_fd_off(&port->source);
	for (size_t i = 0; i < ELEMENTSOF(port->clients); i++) {
		ReportClient *client = &port->clients[i];

		if (!client->used)
			continue;
		tsm_client_cancel(port->client, client);
		client->asked = false;
		client_leave(client);
	}
	if (port->fd >= 0)
		close(port->fd);
	free(port);
	return NULL;
}
