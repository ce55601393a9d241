/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <string.h>

#define DEADLINE(name)                                                                             \
	{                                                                                          \
#name, JSON_FIELD_U32, 0, offsetof(ConfigDeadlines, name), CONFIG_MIN_DEADLINE_MS, \
			CONFIG_MAX_DEADLINE_MS                                                     \
	}

typedef struct ConfigText {
	const char *socket, *state, *root, *tsm, *binder, *platform;
	bool unbind_confirms, reset_unconfirmed;
	json_object *allow_uids, *companion, *deadlines;
} ConfigText;

static int parse_deadlines(ConfigDeadlines *ret, json_object *object, char **ret_error)
{
	static const JsonField fields[] = {
		DEADLINE(connect),
		DEADLINE(disconnect),
		DEADLINE(bind),
		DEADLINE(unbind),
		DEADLINE(observe),
		DEADLINE(guest_request),
		DEADLINE(kill),
		DEADLINE(lock),
		DEADLINE(look),
		DEADLINE(reset),
		{},
	};
	_cleanup_free_ char *error = NULL;
	int r;

	*ret = (ConfigDeadlines){
		.connect = 60000,
		.disconnect = 60000,
		.bind = 20000,
		.unbind = 20000,
		.observe = 10000,
		.guest_request = 20000,
		.kill = 2000,
		.lock = 10000,
		.look = 2000,
		.reset = 10000,
	};
	if (!object)
		return 0;
	r = json_dispatch(object, fields, ret, 0, &error);
	return r < 0 ? refuse(ret_error, r, "deadlines: %s", error ?: strerror(-r)) : 0;
}

typedef struct CompanionText {
	const char *socket;
	uint32_t uid;
} CompanionText;

static int parse_companion(Config *config, json_object *object, char **ret_error)
{
	static const JsonField fields[] = {
		{ "socket", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(CompanionText, socket) },
		{ "uid", JSON_FIELD_U32, 0, offsetof(CompanionText, uid), 0, UINT32_MAX - 1 },
		{},
	};
	CompanionText p = {};
	_cleanup_free_ char *error = NULL;
	int r;

	if (!object)
		return 0;
	r = json_dispatch(object, fields, &p, 0, &error);
	if (r < 0)
		return refuse(ret_error, r, "companion: %s", error ?: strerror(-r));
	config->companion_uid = p.uid;
	return settings_path(&config->companion_socket, p.socket, "companion: socket", ret_error);
}

static int parse_word(Config *config, const ConfigText *text, char **ret_error)
{
	static const char *const binders[] = {
		[CONFIG_BINDER_AUTO] = "auto",
		[CONFIG_BINDER_PROXY] = "proxy",
		[CONFIG_BINDER_OBSERVE] = "observe",
	};
	static const char *const platforms[] = { "sev-tio", "tdx-connect", "cca", "cove-io" };
	bool known = !text->binder;

	for (size_t i = 0; !known && i < ELEMENTSOF(binders); i++)
		if (strcmp(text->binder, binders[i]) == 0) {
			config->binder = (ConfigBinder)i;
			known = true;
		}
	if (!known)
		return refuse(ret_error, -EINVAL, "binder: \"%s\" is not auto, proxy or observe",
			      text->binder);
	known = !text->platform;
	for (size_t i = 0; !known && i < ELEMENTSOF(platforms); i++)
		known = strcmp(text->platform, platforms[i]) == 0;
	if (!known)
		return refuse(ret_error, -EINVAL,
			      "platform: \"%s\" is not sev-tio, tdx-connect, cca or cove-io",
			      text->platform);
	if (text->tsm && !tee_io_tsm_name_valid(text->tsm))
		return refuse(ret_error, -EINVAL, "tsm: \"%s\" is not a name such as tsm0",
			      text->tsm);
	return 0;
}

static int config_fill(Config *config, const ConfigText *text, char **ret_error)
{
	int r;

	config->unbind_confirms = text->unbind_confirms;
	config->reset_unconfirmed = text->reset_unconfirmed;
	r = parse_word(config, text, ret_error);
	if (r == 0)
		r = settings_path(&config->socket, text->socket, "socket", ret_error);
	if (r == 0)
		r = settings_path(&config->state, text->state, "state", ret_error);
	/* The empty root is the system's. */
	if (r == 0 && *text->root)
		r = settings_path(&config->root, text->root, "root", ret_error);
	if (r == 0 && !config->root && !(config->root = strdup("")))
		r = -ENOMEM;
	if (r == 0 && text->tsm && !(config->tsm = strdup(text->tsm)))
		r = -ENOMEM;
	if (r == 0 && text->platform && !(config->platform = strdup(text->platform)))
		r = -ENOMEM;
	if (r == 0)
		r = settings_uids(&config->allow_uids, text->allow_uids, "allow_uids", ret_error);
	if (r == 0)
		r = parse_companion(config, text->companion, ret_error);
	if (r == 0)
		r = parse_deadlines(&config->deadlines, text->deadlines, ret_error);
	return r;
}

int config_parse(Config **ret, const char *text, size_t size, char **ret_error)
{
	static const JsonField fields[] = {
		{ "socket", JSON_FIELD_STRING, 0, offsetof(ConfigText, socket) },
		{ "state", JSON_FIELD_STRING, 0, offsetof(ConfigText, state) },
		{ "root", JSON_FIELD_STRING, 0, offsetof(ConfigText, root) },
		{ "tsm", JSON_FIELD_STRING, 0, offsetof(ConfigText, tsm) },
		{ "binder", JSON_FIELD_STRING, 0, offsetof(ConfigText, binder) },
		{ "platform", JSON_FIELD_STRING, 0, offsetof(ConfigText, platform) },
		{ "unbind_confirms", JSON_FIELD_BOOL, 0, offsetof(ConfigText, unbind_confirms) },
		{ "reset_unconfirmed", JSON_FIELD_BOOL, 0,
		  offsetof(ConfigText, reset_unconfirmed) },
		{ "allow_uids", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, allow_uids) },
		{ "companion", JSON_FIELD_OBJECT, 0, offsetof(ConfigText, companion) },
		{ "deadlines", JSON_FIELD_OBJECT, 0, offsetof(ConfigText, deadlines) },
		{},
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_(config_freep) Config *config = NULL;
	ConfigText parsed = {
		.socket = CONFIG_DEFAULT_SOCKET,
		.state = CONFIG_DEFAULT_STATE,
		.root = "",
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
	free(config->root);
	free(config->tsm);
	free(config->platform);
	free(config->companion_socket);
	free(config->allow_uids.list);
	free(config);
	return NULL;
}
