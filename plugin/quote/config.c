/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/config.h"

#include "core/domain-xml.h"
#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/un.h>

/*
 * The guest gives a quote up after 30 s, and then no other will ever come. Before a connection is
 * taken it may have waited: 3 s for its QEMU to become known (door.c), or as long for its turn,
 * with 16 at a time and at least 5 a second.
 */
#define DEADLINE_MAX_MS 20000
#define ALL_MAX_USEC	UINT64_C(22000000)
#define RATE_MIN	5
#define IN_FLIGHT_MIN	16
#define PARALLEL_MAX	1024
/* A domain's socket in the directory: "/", a UUID, ".sock" and a NUL. */
#define SOCKETS_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 43)

static int parse_address(Address *ret, const char *text, const char *where, char **ret_error)
{
	const char *why = NULL;

	if (address_parse(ret, text, &why) < 0)
		return refuse(ret_error, -EINVAL, "%s: \"%s\": %s", where, json_shown(text), why);
	return 0;
}

static int parse_listen(Config *config, json_object *array, char **ret_error)
{
	size_t n = array ? json_object_array_length(array) : 0;

	if (n > CONFIG_LISTENERS_MAX)
		return refuse(ret_error, -EINVAL, "listen: more than %u", CONFIG_LISTENERS_MAX);
	for (size_t i = 0; i < n; i++) {
		json_object *item = json_object_array_get_idx(array, i);
		char where[32];
		int r;

		snprintf(where, sizeof(where), "listen[%zu]", i);
		if (!json_object_is_type(item, json_type_string))
			return refuse(ret_error, -EINVAL, "%s: not an address", where);
		r = parse_address(&config->listen[i], json_object_get_string(item), where,
				  ret_error);
		if (r < 0)
			return r;
		if (config->listen[i].storage.ss_family == AF_UNIX)
			return refuse(ret_error, -EINVAL,
				      "%s: a unix socket is a domain's own, and comes by itself",
				      where);
		config->n_listen++;
	}
	return 0;
}

typedef struct UpstreamText {
	const char *address;
	uint32_t parallel;
} UpstreamText;

static int parse_upstream(ConfigUpstream *ret, json_object *item, const char *where,
			  char **ret_error)
{
	static const JsonField fields[] = {
		{ "address", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(UpstreamText, address) },
		{ "parallel", JSON_FIELD_U32, 0, offsetof(UpstreamText, parallel), 1,
		  PARALLEL_MAX },
		{},
	};
	UpstreamText text = { .parallel = 4 };
	_cleanup_free_ char *error = NULL;
	int r;

	if (json_object_is_type(item, json_type_string)) {
		text.address = json_object_get_string(item);
	} else if (json_object_is_type(item, json_type_object)) {
		r = json_dispatch(item, fields, &text, 0, &error);
		if (r < 0)
			return refuse(ret_error, r, "%s: %s", where, error ?: strerror(-r));
	} else {
		return refuse(ret_error, -EINVAL, "%s: neither an address nor an object", where);
	}
	r = parse_address(&ret->address, text.address, where, ret_error);
	if (r < 0)
		return r;
	if (address_is_any(&ret->address))
		return refuse(ret_error, -EINVAL,
			      "%s: \"%s\": which machine's? vsock:2:PORT is the host's", where,
			      json_shown(text.address));
	address_format(&ret->address, ret->name);
	ret->parallel = text.parallel;
	return 0;
}

static int parse_upstreams(Config *config, json_object *array, char **ret_error)
{
	size_t n = json_object_array_length(array);

	if (n == 0 || n > CONFIG_UPSTREAMS_MAX)
		return refuse(ret_error, -EINVAL, "upstreams: at least one, at most %u",
			      CONFIG_UPSTREAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		ConfigUpstream *upstream = &config->upstreams[i];
		char where[32];
		int r;

		snprintf(where, sizeof(where), "upstreams[%zu]", i);
		r = parse_upstream(upstream, json_object_array_get_idx(array, i), where, ret_error);
		if (r < 0)
			return r;
		for (size_t j = 0; j < i; j++)
			if (strcmp(config->upstreams[j].name, upstream->name) == 0)
				return refuse(ret_error, -EINVAL, "%s: %s is listed twice", where,
					      upstream->name);
		config->n_upstreams++;
	}
	return 0;
}

/* tdid says which domains there are: where it has a user of its own, that one too. */
static int allow(Config *config, json_object *array, char **ret_error)
{
	const struct passwd *user = array ? NULL : getpwnam("tdid");
	uid_t *more;
	int r = settings_uids(&config->allow_uids, array, "allow_uids", ret_error);

	if (r < 0 || !user)
		return r;
	more = reallocarray(config->allow_uids.list, config->allow_uids.n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[config->allow_uids.n++] = user->pw_uid;
	config->allow_uids.list = more;
	return 0;
}

typedef struct ConfigText {
	const char *sockets, *control, *records;
	json_object *allow_uids, *listen, *upstreams;
	uint32_t rate_per_second, burst, in_flight;
	uint32_t deadline_ms, attempt_ms, silence_ms, check_ms;
	bool collateral;
} ConfigText;

/* A request that comes back to us would go on until nothing is left for others. */
static int refuse_loops(const Config *config, char **ret_error)
{
	for (size_t i = 0; i < config->n_upstreams; i++)
		for (size_t j = 0; j < config->n_listen; j++)
			if (address_reaches(&config->upstreams[i].address, &config->listen[j]))
				return refuse(
					ret_error, -EINVAL,
					"upstreams[%zu]: %s is where tdi-quoted itself listens "
					"(listen[%zu])",
					i, config->upstreams[i].name, j);
	return 0;
}

/* What others go by: domain-xml.c and the hook for the sockets, tdid for the control socket. */
static int refuse_what_nobody_finds(const Config *config, char **ret_error)
{
	_cleanup_free_ char *folder = NULL;

	if (asprintf(&folder, "%s/", config->sockets) < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	if (!strstr(folder, DOMAIN_XML_QUOTE_FOLDER))
		return refuse(ret_error, -EINVAL,
			      "sockets: \"%s\" is not below " DOMAIN_XML_QUOTE_FOLDER
			      ", and a domain whose XML names a socket elsewhere would start "
			      "without it: libvirt's hook and tdid do not take that for ours",
			      json_shown(config->sockets));
	if (strcmp(strrchr(config->control, '/'), "/io.tdid.Quote") != 0)
		return refuse(
			ret_error, -EINVAL,
			"control: \"%s\": tdid looks for a socket of the name io.tdid.Quote, in "
			"the directory that tdid.conf calls \"sockets\"",
			json_shown(config->control));
	return 0;
}

static int config_fill(Config *config, const ConfigText *text, char **ret_error)
{
	int r;

	config->limits = (ConfigLimits){ text->rate_per_second, text->burst, text->in_flight };
	config->collateral = text->collateral;
	config->deadline_usec = UINT64_C(1000) * text->deadline_ms;
	config->attempt_usec = UINT64_C(1000) * text->attempt_ms;
	config->silence_usec = UINT64_C(1000) * text->silence_ms;
	config->check_usec = UINT64_C(1000) * text->check_ms;
	r = settings_path(&config->sockets, text->sockets, "sockets", ret_error);
	if (r == 0 && strlen(config->sockets) > SOCKETS_MAX)
		r = refuse(
			ret_error, -EINVAL,
			"sockets: the directory's path is longer than %zu bytes, which leaves no "
			"room for a socket's",
			SOCKETS_MAX);
	if (r == 0)
		r = settings_path(&config->control, text->control, "control", ret_error);
	if (r == 0)
		r = settings_path(&config->records, text->records, "records", ret_error);
	if (r == 0)
		r = refuse_what_nobody_finds(config, ret_error);
	if (r == 0)
		r = allow(config, text->allow_uids, ret_error);
	if (r == 0)
		r = parse_listen(config, text->listen, ret_error);
	if (r == 0)
		r = parse_upstreams(config, text->upstreams, ret_error);
	if (r == 0)
		r = refuse_loops(config, ret_error);
	if (r == 0 && config->attempt_usec > config->deadline_usec)
		r = refuse(ret_error, -EINVAL, "attempt_ms: longer than deadline_ms");
	if (r == 0 && config->silence_usec + config->deadline_usec > ALL_MAX_USEC)
		r = refuse(ret_error, -EINVAL,
			   "silence_ms and deadline_ms: more than 22 s together, while the guest "
			   "gives up after 30");
	return r;
}

int config_parse(Config **ret, const char *text, size_t size, char **ret_error)
{
#define MILLISECONDS(name, max)                                                                    \
	{                                                                                          \
#name, JSON_FIELD_U32, 0, offsetof(ConfigText, name), 10, max                      \
	}
	static const JsonField fields[] = {
		{ "sockets", JSON_FIELD_STRING, 0, offsetof(ConfigText, sockets) },
		{ "control", JSON_FIELD_STRING, 0, offsetof(ConfigText, control) },
		{ "records", JSON_FIELD_STRING, 0, offsetof(ConfigText, records) },
		{ "allow_uids", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, allow_uids) },
		{ "listen", JSON_FIELD_ARRAY, 0, offsetof(ConfigText, listen) },
		{ "upstreams", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(ConfigText, upstreams) },
		{ "rate_per_second", JSON_FIELD_U32, 0, offsetof(ConfigText, rate_per_second),
		  RATE_MIN, 100000 },
		{ "burst", JSON_FIELD_U32, 0, offsetof(ConfigText, burst), IN_FLIGHT_MIN, 100000 },
		{ "in_flight", JSON_FIELD_U32, 0, offsetof(ConfigText, in_flight), IN_FLIGHT_MIN,
		  1024 },
		{ "collateral", JSON_FIELD_BOOL, 0, offsetof(ConfigText, collateral) },
		MILLISECONDS(deadline_ms, DEADLINE_MAX_MS),
		MILLISECONDS(attempt_ms, DEADLINE_MAX_MS),
		MILLISECONDS(silence_ms, DEADLINE_MAX_MS),
		MILLISECONDS(check_ms, 3600000),
		{},
	};
#undef MILLISECONDS
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_(config_freep) Config *config = NULL;
	ConfigText parsed = {
		.sockets = CONFIG_SOCKETS_DEFAULT,
		.control = CONFIG_CONTROL_DEFAULT,
		.records = CONFIG_RECORDS_DEFAULT,
		.rate_per_second = 20,
		.burst = 40,
		.in_flight = 16,
		.deadline_ms = 15000,
		.attempt_ms = 6000,
		.silence_ms = 3000,
		.check_ms = 30000,
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
	free(config->sockets);
	free(config->control);
	free(config->records);
	free(config->allow_uids.list);
	free(config);
	return NULL;
}
