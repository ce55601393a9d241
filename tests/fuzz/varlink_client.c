/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A service's bytes to a varlink client with two calls under way: each gets its one last word. */
#include "folder.h"
#include "fuzz.h"
#include "rpc/varlink-client.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Outcome {
	unsigned int words, last_words, good;
	bool disconnected;
} Outcome;

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Outcome *outcome = userdata;

	CHECK(reply->status == 0 || reply->status == -ECONNRESET || reply->status == -EBADMSG);
	CHECK(reply->status < 0 || reply->parameters);
	CHECK(outcome->last_words < 2);
	outcome->words++;
	outcome->last_words += !reply->continues;
	outcome->good += reply->status == 0 && !reply->error;
}

static void on_disconnected(VarlinkClient *client, int reason, void *userdata)
{
	Outcome *outcome = userdata;

	CHECK(reason < 0 && !outcome->disconnected);
	outcome->disconnected = true;
}

static int listen_at(struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address->sun_path, sizeof(address->sun_path), "%.90s/socket", fuzz_folder());
	CHECK(bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0 && listen(fd, 4) == 0);
	return fd;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static struct sockaddr_un address = { .sun_family = AF_UNIX };
	static int listening = -1;
	static sd_event *event;
	static IdlInterface *tsm;
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	_cleanup_close_ int fd = -1;
	Outcome outcome = {};
	VarlinkClientOptions options = { .disconnected = on_disconnected, .userdata = &outcome };

	if (listening < 0) {
		listening = listen_at(&address);
		CHECK(sd_event_new(&event) >= 0);
		CHECK(idl_parse(&tsm, schema_io_tdid_tsm, NULL) == 0);
	}
	if (size > 65536)
		return false;
	options.interface = tsm;
	CHECK(varlink_client_connect(&client, event, address.sun_path, &options, NULL) == 0);
	fd = accept(listening, NULL, NULL);
	CHECK(fd >= 0);
	CHECK(varlink_client_call(client, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, &outcome) ==
	      0);
	CHECK(varlink_client_call(client, "io.tdid.Tsm.Monitor", NULL, VARLINK_CALL_MORE, 0,
				  on_reply, &outcome) == 0);
	CHECK(send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(fd, SHUT_WR);
	while (sd_event_run(event, 0) > 0)
		;
	CHECK(outcome.disconnected && outcome.last_words == 2);
	return outcome.good > 0;
}
