/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client's bytes to a varlink service: every reply is JSON, and the service lives on. */
#include "folder.h"
#include "fuzz.h"
#include "rpc/varlink-server.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "socket"

static const char description[] = "interface a.b\n"
				  "type T (name: string, list: []int, map: [string]?bool)\n"
				  "method Echo(text: string, t: ?T) -> (text: string)\n"
				  "method Many(count: int) -> (i: int)\n"
				  "error Failed(reason: string)\n";

static int on_echo(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return varlink_call_replyb(call, J_STRING("text", json_get_string(parameters, "text")));
}

static int on_many(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t n = json_get_int(parameters, "count", 0);

	if (n < 0 || n > 4)
		return varlink_call_errorb(call, "Failed", J_STRING("reason", "too many"));
	for (int64_t i = 0; i < n; i++)
		varlink_call_notifyb(call, J_INT("i", i));
	return varlink_call_replyb(call, J_INT("i", n));
}

static VarlinkServer *serve(sd_event *event, const char *path)
{
	VarlinkServer *server;

	CHECK(varlink_server_new(&server, event, NULL) == 0);
	CHECK(varlink_server_add_interface(server, description, NULL) == 0);
	CHECK(varlink_server_bind(server, "a.b.Echo", 0, on_echo, NULL) == 0);
	CHECK(varlink_server_bind(server, "a.b.Many", VARLINK_MORE_ONLY, on_many, NULL) == 0);
	CHECK(varlink_server_listen(server, path, 0600, NULL) == 0);
	return server;
}

static void turn(sd_event *event)
{
	while (sd_event_run(event, 0) > 0)
		;
}

/* All that came back, up to the end; true: frames, and none of them an error. */
static bool check_replies(int fd)
{
	static char buffer[1 << 20];
	size_t used = 0;
	bool good = true;
	ssize_t n;

	while (used < sizeof(buffer) &&
	       (n = recv(fd, buffer + used, sizeof(buffer) - used, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	CHECK(used == 0 || buffer[used - 1] == '\0');
	for (char *text = buffer; text < buffer + used; text += strlen(text) + 1) {
		_cleanup_(json_unrefp) json_object *reply = NULL;

		CHECK(json_parse(&reply, text, strlen(text), NULL) == 0);
		good = good && !json_get_string(reply, "error");
	}
	return good && used > 0;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static sd_event *event;
	static VarlinkServer *server;
	static struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good;

	if (!server) {
		snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/%s", fuzz_folder(),
			 SOCKET_NAME);
		CHECK(sd_event_new(&event) >= 0);
		server = serve(event, address.sun_path);
	}
	if (size > 65536)
		return false;
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(fd, SHUT_WR);
	turn(event);
	good = check_replies(fd);
	turn(event);
	CHECK(varlink_server_connections(server) == 0);
	return good;
}
