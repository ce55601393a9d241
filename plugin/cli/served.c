/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/served.h"

#include "cli/text.h"

#include <errno.h>
#include <string.h>

static char *error_words(const Cli *cli, const char *error, json_object *parameters)
{
	const char *message = json_get_string(parameters, "message");

	if (strcmp(error, VARLINK_ERROR_METHOD_NOT_FOUND) == 0 ||
	    strcmp(error, VARLINK_ERROR_INTERFACE_NOT_FOUND) == 0)
		return text_format("what answers at %s does not serve this part of " CLI_INTERFACE
				   "; are tdid and tdictl of the same version?",
				   cli->socket);
	return text_format("tdid answers with %s%s%s", error, message ? ": " : "",
			   message ? message : "");
}

static char *failure_words(const Cli *cli, int error)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED: return text_format("tdid does not answer at %s", cli->socket);
	case -ETIME:
	case -ETIMEDOUT: return text_format("tdid has not answered in time at %s", cli->socket);
	case -EACCES:
		return text_format("%s: only root and the group that owns it may ask tdid",
				   cli->socket);
	case -EBADMSG:
		return text_format("what answers at %s does not keep to " CLI_INTERFACE,
				   cli->socket);
	default: return text_format("%s: %s", cli->socket, strerror(-error));
	}
}

int served_load(Served *ret, const Cli *cli, char **ret_sentence)
{
	VarlinkClientOptions options = { .interface = cli->interface };
	_cleanup_(json_unrefp) json_object *reply = NULL;
	_cleanup_free_ char *error = NULL, *sentence = NULL;
	int r;

	*ret = (Served){ 0 };
	*ret_sentence = NULL;
	r = varlink_call_blocking(cli->socket, &options, CLI_INTERFACE ".Devices", NULL,
				  SERVED_TIMEOUT_USEC, &reply, &error, &sentence);
	if (r != 0) {
		*ret_sentence = r < 0 ? failure_words(cli, r) : error_words(cli, error, reply);
		return r;
	}
	*ret = (Served){
		.tsms = json_get_array(reply, "tsms"),
		.dsms = json_get_array(reply, "dsms"),
		.devices = json_get_array(reply, "devices"),
	};
	ret->reply = steal_ptr(reply);
	return 0;
}

void served_done(Served *served)
{
	json_object_put(served->reply);
	*served = (Served){ 0 };
}

static json_object *find(json_object *list, const char *member, const char *value)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);
		const char *text = json_get_string(item, member);

		if (text && strcmp(text, value) == 0)
			return item;
	}
	return NULL;
}

json_object *served_tsm(const Served *served, const char *title)
{
	return title ? find(served->tsms, "title", title) : NULL;
}

json_object *served_dsm(const Served *served, Bdf dsm)
{
	char name[BDF_STRING_SIZE];

	return find(served->dsms, "dsm", bdf_format(dsm, name));
}

json_object *served_device(const Served *served, Bdf device)
{
	char name[BDF_STRING_SIZE];

	return find(served->devices, "device", bdf_format(device, name));
}
