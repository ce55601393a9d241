/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

typedef struct ConfigText {
	const char *socket, *tcp_address, *state, *platform_key, *control;
	uint32_t vsock_port, tcp_port;
	json_object *allow_uids;
} ConfigText;

static int parse_tcp(Config *config, const ConfigText *text, char **ret_error)
{
	config->tcp_port = (uint16_t)text->tcp_port;
	if (inet_pton(AF_INET, text->tcp_address, &config->tcp.v4.sin_addr) == 1) {
		config->tcp.v4.sin_family = AF_INET;
		config->tcp.v4.sin_port = htons(config->tcp_port);
		return 0;
	}
	if (inet_pton(AF_INET6, text->tcp_address, &config->tcp.v6.sin6_addr) == 1) {
		config->tcp.v6.sin6_family = AF_INET6;
		config->tcp.v6.sin6_port = htons(config->tcp_port);
		return 0;
	}
	return refuse(ret_error, -EINVAL, "tcp_address: \"%s\" is not a numeric IP address",
		      json_shown(text->tcp_address));
}

static int config_fill(Config *config, const ConfigText *text, char **ret_error)
{
	int r;

	config->vsock_port = text->vsock_port;
	r = settings_path(&config->socket, text->socket, "socket", ret_error);
	if (r == 0)
		r = settings_path(&config->state, text->state, "state", ret_error);
	if (r == 0)
		r = settings_path(&config->platform_key, text->platform_key, "platform_key",
				  ret_error);
	if (r == 0 && text->control)
		r = settings_path(&config->control, text->control, "control", ret_error);
	if (r == 0)
		r = parse_tcp(config, text, ret_error);
	if (r == 0)
		r = settings_uids(&config->allow_uids, text->allow_uids, "allow_uids", ret_error);
	return r;
}

int config_parse(Config **ret, const char *text, size_t size, char **ret_error)
{
	static const JsonField fields[] = {
		{ "socket", JSON_FIELD_STRING, 0, offsetof(ConfigText, socket) },
		{ "vsock_port", JSON_FIELD_U32, 0, offsetof(ConfigText, vsock_port), 0,
		  UINT32_MAX - 1 }, /* the last is VMADDR_PORT_ANY */
		{ "tcp_port", JSON_FIELD_U32, 0, offsetof(ConfigText, tcp_port), 0, UINT16_MAX },
		{ "tcp_address", JSON_FIELD_STRING, 0, offsetof(ConfigText, tcp_address) },
		{ "state", JSON_FIELD_STRING, 0, offsetof(ConfigText, state) },
		{ "platform_key", JSON_FIELD_STRING, 0, offsetof(ConfigText, platform_key) },
		{ "control", JSON_FIELD_STRING, 0, offsetof(ConfigText, control) },
		{ "allow_uids", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, allow_uids) },
		{},
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_(config_freep) Config *config = NULL;
	ConfigText parsed = {
		.socket = CONFIG_DEFAULT_SOCKET,
		.tcp_address = CONFIG_DEFAULT_TCP_ADDRESS,
		.state = CONFIG_DEFAULT_STATE,
		.platform_key = CONFIG_DEFAULT_PLATFORM_KEY,
	};
	int r;

	r = settings_parse(&object, text, size, fields, &parsed, ret_error);
	if (r < 0)
		return r;
	config = calloc(1, sizeof(*config));
	if (!config)
		return -ENOMEM;
	r = config_fill(config, &parsed, ret_error);
	if (r == 0)
		*ret = steal_ptr(config);
	return r;
}

static int parse_file(void *ret, const char *text, size_t size, char **ret_error)
{
	return config_parse(ret, text, size, ret_error);
}

int config_load(Config **ret, const char *path, char **ret_error)
{
	return settings_load(ret, path, parse_file, ret_error);
}

Config *config_free(Config *config)
{
	if (!config)
		return NULL;
	free(config->socket);
	free(config->state);
	free(config->platform_key);
	free(config->control);
	free(config->allow_uids.list);
	free(config);
	return NULL;
}
