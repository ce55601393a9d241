/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <grp.h>
#include <string.h>

static int parse_latencies(ConfigLatencies *ret, json_object *object, const char *where,
			   char **ret_error)
{
	static const JsonField fields[] = {
		{ "connect", JSON_FIELD_U32, 0, offsetof(ConfigLatencies, connect), 0,
		  CONFIG_MAX_LATENCY_MS },
		{ "bind", JSON_FIELD_U32, 0, offsetof(ConfigLatencies, bind), 0,
		  CONFIG_MAX_LATENCY_MS },
		{ "unbind", JSON_FIELD_U32, 0, offsetof(ConfigLatencies, unbind), 0,
		  CONFIG_MAX_LATENCY_MS },
		{ "measure", JSON_FIELD_U32, 0, offsetof(ConfigLatencies, measure), 0,
		  CONFIG_MAX_LATENCY_MS },
		{ "reclaim", JSON_FIELD_U32, 0, offsetof(ConfigLatencies, reclaim), 0,
		  CONFIG_MAX_LATENCY_MS },
		{},
	};
	_cleanup_free_ char *error = NULL;
	int r;

	if (!object)
		return 0;
	r = json_dispatch(object, fields, ret, 0, &error);
	if (r < 0)
		return refuse(ret_error, r, "%s: latencies: %s", where, error ?: strerror(-r));
	return 0;
}

typedef struct ConfigDeviceText {
	const char *device, *firmware;
	bool tee_io, debug;
	uint32_t svn;
	json_object *latencies;
} ConfigDeviceText;

static int parse_device(ConfigDevice *ret, json_object *object, const Config *config, size_t index,
			char **ret_error)
{
	static const JsonField fields[] = {
		{ "device", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(ConfigDeviceText, device) },
		{ "tee_io", JSON_FIELD_BOOL, 0, offsetof(ConfigDeviceText, tee_io) },
		{ "firmware", JSON_FIELD_STRING, 0, offsetof(ConfigDeviceText, firmware) },
		{ "svn", JSON_FIELD_U32, 0, offsetof(ConfigDeviceText, svn) },
		{ "debug", JSON_FIELD_BOOL, 0, offsetof(ConfigDeviceText, debug) },
		{ "latencies", JSON_FIELD_OBJECT, 0, offsetof(ConfigDeviceText, latencies) },
		{},
	};
	ConfigDeviceText p = { .firmware = "1.0", .svn = 1 };
	_cleanup_free_ char *error = NULL;
	char where[32];
	int r;

	snprintf(where, sizeof(where), "devices[%zu]", index);
	if (!json_object_is_type(object, json_type_object))
		return refuse(ret_error, -EINVAL, "%s: not an object", where);
	r = json_dispatch(object, fields, &p, 0, &error);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", where, error ?: strerror(-r));
	*ret = (ConfigDevice){
		.tee_io = p.tee_io, .svn = p.svn, .debug = p.debug, .latencies = config->latencies
	};
	if (bdf_parse(&ret->device, p.device) < 0)
		return refuse(ret_error, -EINVAL,
			      "%s: device \"%s\" is not an address such as 0000:01:00.0", where,
			      p.device);
	if (ret->device.function != 0)
		return refuse(ret_error, -EINVAL,
			      "%s: device %s is not function 0, where a DSM sits", where, p.device);
	if (config_find(config, ret->device))
		return refuse(ret_error, -EINVAL, "%s: device %s is listed twice", where, p.device);
	r = parse_latencies(&ret->latencies, p.latencies, where, ret_error);
	if (r < 0)
		return r;
	ret->firmware = strdup(p.firmware);
	return ret->firmware ? 0 : -ENOMEM;
}

static int parse_devices(Config *config, json_object *array, char **ret_error)
{
	size_t n = array ? json_object_array_length(array) : 0;

	if (n > CONFIG_MAX_DEVICES)
		return refuse(ret_error, -EINVAL, "devices: more than %d", CONFIG_MAX_DEVICES);
	config->devices = calloc(n ?: 1, sizeof(*config->devices));
	if (!config->devices)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = parse_device(&config->devices[i], json_object_array_get_idx(array, i),
				     config, i, ret_error);

		if (r < 0)
			return r;
		config->n_devices++;
	}
	return 0;
}

static int parse_group(Config *config, const char *text, char **ret_error)
{
	struct group *group;
	char *end;
	unsigned long v;

	if (!text)
		return 0;
	config->has_group = true;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !errno && !*end && v < UINT32_MAX) {
		config->group = (gid_t)v;
		return 0;
	}
	group = getgrnam(text);
	if (!group)
		return refuse(ret_error, -EINVAL, "group: \"%s\" is no group of this host", text);
	config->group = group->gr_gid;
	return 0;
}

typedef struct ConfigText {
	const char *socket, *state, *keys, *group, *sysfs, *proxy, *platform_key, *lock_by,
		*start_by;
	bool faults;
	json_object *allow_uids, *devices, *latencies;
} ConfigText;

/* *ret: it is the second of the words. */
static int parse_word(bool *ret, const char *text, const char *name, const char *first,
		      const char *second, char **ret_error)
{
	*ret = strcmp(text, second) == 0;
	if (*ret || strcmp(text, first) == 0)
		return 0;
	return refuse(ret_error, -EINVAL, "%s: \"%s\" is neither \"%s\" nor \"%s\"", name,
		      json_shown(text), first, second);
}

static int parse_requests(Config *config, const ConfigText *text, char **ret_error)
{
	int r;

	r = parse_word(&config->tvm_asks_lock, text->lock_by, "lock_by", "host", "tvm", ret_error);
	if (r == 0)
		r = parse_word(&config->tvm_asks_start, text->start_by, "start_by", "tvm",
			       "host_on_request", ret_error);
	if (r == 0 && config->proxy && (config->tvm_asks_lock || config->tvm_asks_start))
		return refuse(ret_error, -EINVAL,
			      "%s: with \"proxy\" verbs come from the kernel, which carries no "
			      "request of a TVM: leave it out",
			      config->tvm_asks_lock ? "lock_by" : "start_by");
	return r;
}

static int config_fill(Config *config, const ConfigText *text, char **ret_error)
{
	int r;

	config->faults = text->faults;
	r = settings_path(&config->socket, text->socket, "socket", ret_error);
	if (r == 0)
		r = settings_path(&config->state, text->state, "state", ret_error);
	if (r == 0)
		r = settings_path(&config->keys, text->keys, "keys", ret_error);
	if (r == 0)
		r = settings_path(&config->sysfs, text->sysfs, "sysfs", ret_error);
	if (r == 0 && text->proxy)
		r = settings_path(&config->proxy, text->proxy, "proxy", ret_error);
	if (r == 0 && text->platform_key)
		r = settings_path(&config->platform_key, text->platform_key, "platform_key",
				  ret_error);
	if (r == 0)
		r = parse_requests(config, text, ret_error);
	if (r == 0)
		r = parse_group(config, text->group, ret_error);
	if (r == 0)
		r = settings_uids(&config->allow_uids, text->allow_uids, "allow_uids", ret_error);
	if (r == 0)
		r = parse_latencies(&config->latencies, text->latencies, "top level", ret_error);
	if (r == 0)
		r = parse_devices(config, text->devices, ret_error);
	return r;
}

int config_parse(Config **ret, const char *text, size_t size, char **ret_error)
{
	static const JsonField fields[] = {
		{ "socket", JSON_FIELD_STRING, 0, offsetof(ConfigText, socket) },
		{ "state", JSON_FIELD_STRING, 0, offsetof(ConfigText, state) },
		{ "keys", JSON_FIELD_STRING, 0, offsetof(ConfigText, keys) },
		{ "group", JSON_FIELD_STRING, 0, offsetof(ConfigText, group) },
		{ "allow_uids", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, allow_uids) },
		{ "sysfs", JSON_FIELD_STRING, 0, offsetof(ConfigText, sysfs) },
		{ "proxy", JSON_FIELD_STRING, 0, offsetof(ConfigText, proxy) },
		{ "platform_key", JSON_FIELD_STRING, 0, offsetof(ConfigText, platform_key) },
		{ "lock_by", JSON_FIELD_STRING, 0, offsetof(ConfigText, lock_by) },
		{ "start_by", JSON_FIELD_STRING, 0, offsetof(ConfigText, start_by) },
		{ "faults", JSON_FIELD_BOOL, 0, offsetof(ConfigText, faults) },
		{ "latencies", JSON_FIELD_OBJECT, 0, offsetof(ConfigText, latencies) },
		{ "devices", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, devices) },
		{},
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_(config_freep) Config *config = NULL;
	ConfigText parsed = {
		.socket = CONFIG_DEFAULT_SOCKET,
		.state = CONFIG_DEFAULT_STATE,
		.keys = CONFIG_DEFAULT_KEYS,
		.sysfs = CONFIG_DEFAULT_SYSFS,
		.lock_by = "host",
		.start_by = "tvm",
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
	for (size_t i = 0; config->devices && i < config->n_devices; i++)
		free(config->devices[i].firmware);
	free(config->devices);
	free(config->allow_uids.list);
	free(config->socket);
	free(config->state);
	free(config->keys);
	free(config->sysfs);
	free(config->proxy);
	free(config->platform_key);
	free(config);
	return NULL;
}

const ConfigDevice *config_find(const Config *config, Bdf device)
{
	for (size_t i = 0; i < config->n_devices; i++)
		if (bdf_equal(config->devices[i].device, device))
			return &config->devices[i];
	return NULL;
}
