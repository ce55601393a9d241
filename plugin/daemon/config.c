/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_SIZE_MAX (256 * 1024)
#define TSMS_MAX	16

typedef struct RawConfig {
	const char *records, *sockets, *libvirt, *sysfs, *require_tvm, *on_reject, *on_timeout,
		*on_error;
	int64_t rebinds, rebind_backoff_ms, rebind_steady_ms, idle_grace_ms, guest_timeout_ms,
		boot_timeout_ms, operation_deadline_ms, stop_timeout_ms;
	json_object *tsms, *excluded, *access;
} RawConfig;

static const JsonField config_fields[] = {
	{ "records", JSON_FIELD_STRING, 0, offsetof(RawConfig, records) },
	{ "sockets", JSON_FIELD_STRING, 0, offsetof(RawConfig, sockets) },
	{ "libvirt", JSON_FIELD_STRING, 0, offsetof(RawConfig, libvirt) },
	{ "sysfs", JSON_FIELD_STRING, 0, offsetof(RawConfig, sysfs) },
	{ "require_tvm", JSON_FIELD_STRING, 0, offsetof(RawConfig, require_tvm) },
	{ "on_reject", JSON_FIELD_STRING, 0, offsetof(RawConfig, on_reject) },
	{ "on_timeout", JSON_FIELD_STRING, 0, offsetof(RawConfig, on_timeout) },
	{ "on_error", JSON_FIELD_STRING, 0, offsetof(RawConfig, on_error) },
	{ "rebinds", JSON_FIELD_INT, 0, offsetof(RawConfig, rebinds), 0, 1000000 },
	{ "rebind_backoff_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, rebind_backoff_ms), 1,
	  3600000 },
	{ "rebind_steady_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, rebind_steady_ms), 1,
	  86400000 },
	{ "idle_grace_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, idle_grace_ms), 0, 86400000 },
	{ "guest_timeout_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, guest_timeout_ms), 1,
	  86400000 },
	{ "boot_timeout_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, boot_timeout_ms), 1, 86400000 },
	{ "operation_deadline_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, operation_deadline_ms), 1,
	  3600000 },
	{ "stop_timeout_ms", JSON_FIELD_INT, 0, offsetof(RawConfig, stop_timeout_ms), 1, 60000 },
	{ "tsms", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(RawConfig, tsms) },
	{ "excluded", JSON_FIELD_ARRAY, 0, offsetof(RawConfig, excluded) },
	{ "access", JSON_FIELD_OBJECT, 0, offsetof(RawConfig, access) },
	{},
};

typedef struct RawTsm {
	const char *name, *socket;
	uint32_t uid;
} RawTsm;

static const JsonField tsm_fields[] = {
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(RawTsm, name) },
	{ "socket", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(RawTsm, socket) },
	{ "uid", JSON_FIELD_U32, 0, offsetof(RawTsm, uid) },
	{},
};

Config *config_free(Config *config)
{
	if (!config)
		return NULL;
	for (size_t i = 0; i < config->n_tsms; i++) {
		free(config->tsms[i].name);
		free(config->tsms[i].socket);
	}
	free(config->tsms);
	free(config->records);
	free(config->sockets);
	free(config->libvirt);
	free(config->sysfs);
	exclusions_free(config->excluded);
	access_free(config->access);
	free(config);
	return NULL;
}

static int take_require_tvm(Config *config, const char *word, const char *origin, char **ret_error)
{
	static const char *const words[] = {
		[CONFIG_REQUIRE_TVM_PROTECTED] = "protected",
		[CONFIG_REQUIRE_TVM_ALWAYS] = "always",
		[CONFIG_REQUIRE_TVM_NEVER] = "never",
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (strcmp(words[i], word) == 0) {
			config->require_tvm = (ConfigRequireTvm)i;
			return 0;
		}
	return refuse(ret_error, -EINVAL, "%s: require_tvm: is not protected, always or never",
		      origin);
}

static int take_action(PolicyAction *ret, const char *word, const char *key, const char *origin,
		       char **ret_error)
{
	if (policy_action_parse(ret, word) >= 0)
		return 0;
	return refuse(ret_error, -EINVAL, "%s: %s: is not detach, hold or rebind", origin, key);
}

static int take_policy(Policy *policy, const RawConfig *raw, const char *origin, char **ret_error)
{
	int r;

	policy->rebinds = (uint32_t)raw->rebinds;
	policy->guest_timeout_usec = (uint64_t)raw->guest_timeout_ms * 1000;
	r = take_action(&policy->on_reject, raw->on_reject, "on_reject", origin, ret_error);
	if (r >= 0)
		r = take_action(&policy->on_timeout, raw->on_timeout, "on_timeout", origin,
				ret_error);
	if (r >= 0)
		r = take_action(&policy->on_error, raw->on_error, "on_error", origin, ret_error);
	return r;
}

static int take_tsm(Config *config, size_t i, json_object *o, char **ret_error)
{
	ConfigTsm *tsm = &config->tsms[i];
	RawTsm raw = {};
	int r;

	if (!json_object_is_type(o, json_type_object))
		return refuse(ret_error, -EINVAL, "has to be an object, and is %s",
			      json_shown(json_object_to_json_string(o)));
	r = json_dispatch(o, tsm_fields, &raw, 0, ret_error);
	if (r < 0)
		return r;
	if (!raw.name[0])
		return refuse(ret_error, -EINVAL, "name is empty");
	if (raw.socket[0] != '/')
		return refuse(ret_error, -EINVAL, "socket has to be an absolute path, and is '%s'",
			      json_shown(raw.socket));
	for (size_t k = 0; k < i; k++)
		if (strcmp(config->tsms[k].name, raw.name) == 0)
			return refuse(ret_error, -EINVAL, "tsms[%zu] has the same name", k);
	config->n_tsms = i + 1;
	tsm->name = strdup(raw.name);
	tsm->socket = strdup(raw.socket);
	tsm->uid = raw.uid;
	return tsm->name && tsm->socket ? 0 : -ENOMEM;
}

static int take_tsms(Config *config, json_object *array, const char *origin, char **ret_error)
{
	size_t n = json_object_array_length(array);

	if (n > TSMS_MAX)
		return refuse(ret_error, -EINVAL,
			      "%s: tsms: has to name at most %d providers, and names %zu", origin,
			      TSMS_MAX, n);
	config->tsms = calloc(n + 1, sizeof(*config->tsms));
	if (!config->tsms)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);
		_cleanup_free_ char *why = NULL;
		int r = take_tsm(config, i, o, &why);
		const char *name = r < 0 ? json_get_string(o, "name") : NULL;

		if (r < 0)
			return refuse(ret_error, r, "%s: tsms[%zu]%s%s%s: %s", origin, i,
				      name ? " (" : "", name ? json_shown(name) : "",
				      name ? ")" : "", why ?: strerror(-r));
	}
	return 0;
}

static int take_who_may(Config *config, const RawConfig *raw, const char *origin, char **ret_error)
{
	_cleanup_free_ char *why = NULL;
	int r = exclusions_parse(&config->excluded, raw->excluded, &why);

	if (r >= 0)
		r = access_parse(&config->access, raw->access, &why);
	return r == -EINVAL ? refuse(ret_error, r, "%s: %s", origin, why ?: "malformed") : r;
}

int config_parse(Config **ret, const char *text, size_t len, const char *origin, char **ret_error)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *why = NULL;
	RawConfig raw = {
		.records = "/run/tdid/records",
		.sockets = "/run/tdid",
		.libvirt = "qemu:///system",
		.sysfs = "/sys",
		.require_tvm = "protected",
		.on_reject = "detach",
		.on_timeout = "detach",
		.on_error = "detach",
		.rebinds = 3,
		.rebind_backoff_ms = 2000,
		.rebind_steady_ms = 600000,
		.idle_grace_ms = 30000,
		.guest_timeout_ms = 60000,
		.boot_timeout_ms = 300000,
		.operation_deadline_ms = 90000,
		.stop_timeout_ms = 10000,
	};
	int r;

	r = json_parse_limited(&o, text, len, CONFIG_SIZE_MAX, &why);
	if (r >= 0)
		r = json_dispatch(o, config_fields, &raw, 0, &why);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", origin, why ?: "malformed");
	if (raw.records[0] != '/' || raw.sockets[0] != '/' || raw.sysfs[0] != '/')
		return refuse(ret_error, -EINVAL,
			      "%s: records, sockets and sysfs have to be absolute paths", origin);
	config = calloc(1, sizeof(*config));
	if (!config)
		return -ENOMEM;
	config->records = strdup(raw.records);
	config->sockets = strdup(raw.sockets);
	config->libvirt = strdup(raw.libvirt);
	config->sysfs = strdup(raw.sysfs);
	if (!config->records || !config->sockets || !config->libvirt || !config->sysfs)
		return -ENOMEM;
	r = take_require_tvm(config, raw.require_tvm, origin, ret_error);
	if (r < 0)
		return r;
	config->idle_grace_usec = (uint64_t)raw.idle_grace_ms * 1000;
	r = take_policy(&config->policy, &raw, origin, ret_error);
	if (r < 0)
		return r;
	config->rebind_backoff_usec = (uint64_t)raw.rebind_backoff_ms * 1000;
	config->rebind_steady_usec = (uint64_t)raw.rebind_steady_ms * 1000;
	config->boot_timeout_usec = (uint64_t)raw.boot_timeout_ms * 1000;
	config->operation_deadline_usec = (uint64_t)raw.operation_deadline_ms * 1000;
	config->stop_timeout_usec = (uint64_t)raw.stop_timeout_ms * 1000;
	r = take_tsms(config, raw.tsms, origin, ret_error);
	if (r < 0)
		return r;
	r = take_who_may(config, &raw, origin, ret_error);
	if (r < 0)
		return r;
	*ret = steal_ptr(config);
	return 0;
}

int config_load(Config **ret, const char *path, char **ret_error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *text = NULL;
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return refuse(ret_error, -errno, "%s: %s", path, strerror(errno));
	text = malloc(CONFIG_SIZE_MAX + 1);
	if (!text)
		return -ENOMEM;
	while (used <= CONFIG_SIZE_MAX) {
		n = read(fd, text + used, CONFIG_SIZE_MAX + 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	if (n < 0)
		return refuse(ret_error, -errno, "%s: %s", path, strerror(errno));
	return config_parse(ret, text, used, path, ret_error);
}
