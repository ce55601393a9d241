/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole provider through its socket, on a made-up kernel; the companion is a made-up one too.
 */
#pragma once

#include "rpc/varlink-client.h"
#include "rpc/varlink-server.h"
#include "schemas/schemas.h"
#include "testing-linux.h"
#include "tsm/linux/service.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define USEC_LIMIT 5000000

static Config *config;
static sd_event *event;
static Service *service;
static VarlinkClient *client, *watcher;
static int uevents = -1;
static json_object *last_reply, *seen; /* seen: what Monitor said */
static char last_error[64];
static unsigned int n_final;
static bool watch_ended;
static void (*kill_hook)(int pidfd);
/* In milliseconds. Short only where a test is about their end: else they cut off what is slow. */
static unsigned int connect_deadline = 60000, kill_deadline = 60000, reset_deadline = 60000;

/* --- a companion --- */

static VarlinkServer *companion;
static const char *companion_state = "config_unlocked";
static bool companion_bound;
static VarlinkCall *companion_watch;
static bool companion_holds;  /* the next Query */
static bool companion_scrubs; /* a reset brings its TDI to config_unlocked */
static VarlinkCall *companion_query;

static inline int on_capabilities(VarlinkCall *call, json_object *p, void *userdata)
{
	json_object *c = NULL;

	cr_assert_eq(json_build(&c, J_STRING("platform", "emulated"), J_BOOL("protection", false),
				J_STRING("bind_when", "guest_ready"), J_STRING("lock_by", "host"),
				J_STRING("start_by", "tvm"), J_STRING("state_source", "tsm"),
				J_STRING("evidence", "shown"), J_INT("concurrency", 16)),
		     0);
	return varlink_call_replyb(call, J_STRING("instance", "behind"), J_TAKE("capabilities", c));
}

static inline json_object *companion_tdi_json(void)
{
	json_object *o = NULL;

	cr_assert_eq(json_build(&o, J_STRING("device", VF0), J_STRING("dsm", PF),
				J_STRING("tvm", companion_bound ? TVM_A : NULL),
				J_INT_IF(companion_bound, "generation", 7),
				J_STRING("state", companion_state), J_BOOL("accepted", false)),
		     0);
	return o;
}

static inline int companion_answer(VarlinkCall *call)
{
	json_object *tdis = json_object_new_array(), *dsms = json_object_new_array(), *d = NULL;

	if (companion_scrubs && *testing_resets())
		companion_state = "config_unlocked";
	json_append_take(tdis, companion_tdi_json());
	json_build(&d, J_STRING("dsm", PF), J_BOOL("connected", true),
		   J_STRING("certificate_digest", "abcd"));
	json_append_take(dsms, d);
	return varlink_call_replyb(call, J_STRING("instance", "behind"), J_TAKE("dsms", dsms),
				   J_TAKE("tdis", tdis),
				   J_TAKE("operations", json_object_new_array()));
}

static inline int on_companion_query(VarlinkCall *call, json_object *p, void *userdata)
{
	if (!companion_holds)
		return companion_answer(call);
	companion_holds = false;
	companion_query = varlink_call_ref(call);
	return 0;
}

/* Answers the Query that was held, with what was the case when it came. */
static inline void companion_answers_late(const char *then, bool bound)
{
	const char *now = companion_state;
	bool now_bound = companion_bound;

	companion_state = then;
	companion_bound = bound;
	companion_answer(companion_query);
	companion_state = now;
	companion_bound = now_bound;
	companion_query = varlink_call_unref(companion_query);
}

static inline int on_companion_monitor(VarlinkCall *call, json_object *p, void *userdata)
{
	companion_watch = varlink_call_ref(call);
	return varlink_call_notifyb(call, J_STRING("instance", "behind"), J_INT("sequence", 0));
}

static inline void companion_says(const char *state, bool bound)
{
	companion_state = state;
	companion_bound = bound;
	varlink_call_notifyb(companion_watch, J_STRING("instance", "behind"), J_INT("sequence", 1),
			     J_TAKE("tdi", companion_tdi_json()), J_STRING("reason", "said so"));
}

static inline int on_companion_prepare(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_replyb(call, J_STRING("key_file", "/run/key"));
}

static inline int on_companion_release(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_errorb(call, "UnknownTvm", J_STRING("tvm", json_get_string(p, "tvm")));
}

static inline int on_companion_other(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_errorb(call, "Refused", J_STRING("object", "x"),
				   J_STRING("reason", "the companion says no"));
}

static inline void start_companion(void)
{
	static const struct {
		const char *name;
		VarlinkHandler handler;
	} methods[] = {
		{ "GetCapabilities", on_capabilities }, { "Query", on_companion_query },
		{ "Monitor", on_companion_monitor },	{ "PrepareTvm", on_companion_prepare },
		{ "ReleaseTvm", on_companion_release }, { "GetEvidence", on_companion_other },
		{ "Measure", on_companion_other },	{ "GuestRequest", on_companion_other },
		{ "ListDevices", on_companion_other },	{ "Connect", on_companion_other },
		{ "Disconnect", on_companion_other },	{ "Bind", on_companion_other },
		{ "Unbind", on_companion_other },	{ "Cancel", on_companion_other },
		{ "Lock", on_companion_other },		{ "Start", on_companion_other },
	};
	_cleanup_free_ char *error = NULL;
	char name[64];

	cr_assert_eq(varlink_server_new(&companion, event, NULL), 0);
	cr_assert_eq(varlink_server_add_interface(companion, schema_io_tdid_tsm, &error), 0);
	for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
		snprintf(name, sizeof(name), "io.tdid.Tsm.%s", methods[i].name);
		cr_assert_eq(varlink_server_bind(companion, name, 0, methods[i].handler, NULL), 0);
	}
	cr_assert_eq(varlink_server_listen(companion, testing_path("companion"), 0600, &error), 0,
		     "%s", error);
}

static inline void stop_companion(void)
{
	companion_watch = varlink_call_unref(companion_watch);
	companion = varlink_server_free(companion);
}

/* --- the provider --- */

static inline void start(const char *extra)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	ServiceOptions options = { .io = &testing_kernel, .kill = kill_hook };
	int ends[2];

	cr_assert_geq(asprintf(&text,
			       "{\"socket\": \"%s/socket\", \"state\": \"%s/state\","
			       " \"root\": \"%s\", \"deadlines\": {\"connect\": %u,"
			       " \"observe\": 200, \"kill\": %u, \"look\": 1000,"
			       " \"lock\": 1000, \"reset\": %u} %s}",
			       testing_root, testing_root, testing_root, connect_deadline,
			       kill_deadline, reset_deadline, extra),
		      0);
	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
		     0);
	options.config = config;
	options.uevents = ends[0];
	uevents = ends[1];
	cr_assert_eq(service_new(&service, event, &options, &error), 0, "%s", error);
	cr_assert_eq(service_listen(service, &error), 0, "%s", error);
	cr_assert_eq(varlink_client_connect(&client, event, config->socket, NULL, &error), 0, "%s",
		     error);
}

static inline void stop(void)
{
	client = varlink_client_free(client);
	watcher = varlink_client_free(watcher);
	service = service_free(service);
	config = config_free(config);
	if (uevents >= 0)
		close(uevents);
	uevents = -1;
}

static inline void set_up(void)
{
	testing_linux_new();
	testing_link(DISTANT_PF, "driver", "../../../../bus/pci/drivers/igb");
	testing_write(testing_path("dev/tsm-proxy-vmm"), "", 0);
	cr_assert_geq(sd_event_new(&event), 0);
	seen = json_object_new_array();
}

static inline void tear_down(void)
{
	stop();
	stop_companion();
	json_object_put(last_reply);
	json_object_put(seen);
	sd_event_unref(event);
	testing_host_remove();
}

static inline void on_reply(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	const char *dot;

	cr_assert_eq(reply->status, 0, "%d", reply->status);
	json_object_put(last_reply);
	last_reply = json_object_get(reply->parameters);
	if (reply->continues)
		return;
	dot = reply->error ? strrchr(reply->error, '.') : NULL;
	snprintf(last_error, sizeof(last_error), "%s", dot ? dot + 1 : "");
	n_final++;
}

#define OBJECT(...)                                                                                \
	({                                                                                         \
		json_object *_o = NULL;                                                            \
		cr_assert_eq(json_build(&_o, __VA_ARGS__), 0);                                     \
		_o;                                                                                \
	})

static inline void turn(void)
{
	cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0, "nothing happens any more");
}

static inline void send_call(const char *method, json_object *parameters)
{
	char name[64];

	snprintf(name, sizeof(name), "io.tdid.Tsm.%s", method);
	cr_assert_eq(varlink_client_call(client, name, parameters, 0, USEC_LIMIT, on_reply, NULL),
		     0);
	json_object_put(parameters);
}

static inline void call(const char *method, json_object *parameters)
{
	unsigned int before = n_final;

	send_call(method, parameters);
	while (n_final == before)
		turn();
}

static inline const char *reason(void)
{
	return json_get_string(last_reply, "reason") ?: "";
}

static inline void expect_error(const char *error, const char *words)
{
	cr_assert_str_eq(last_error, error, "%s: %s", last_error, reason());
	cr_assert_not_null(strstr(reason(), words), "%s", reason());
}

static inline void expect_ok(void)
{
	cr_assert_str_empty(last_error, "%s: %s", last_error, reason());
}

static int last_id;

static inline void verb(const char *method, const char *member, const char *device)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", ++last_id);
	call(method, OBJECT(J_STRING("operation", id), J_STRING(member, device)));
}

static inline void bind_to(const char *device, const char *tvm, int64_t generation)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", ++last_id);
	call("Bind",
	     OBJECT(J_STRING("operation", id), J_STRING("tvm", tvm), J_STRING("device", device),
		    J_INT("guest_requester_id", 0x200), J_INT("generation", generation)));
}

static inline void on_seen(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	if (reply->status == 0 && !reply->error)
		json_object_array_add(seen, json_object_get(reply->parameters));
	watch_ended = !reply->continues;
}

static inline void watch(void)
{
	cr_assert_eq(varlink_client_connect(&watcher, event, config->socket, NULL, NULL), 0);
	cr_assert_eq(varlink_client_call(watcher, "io.tdid.Tsm.Monitor", NULL, VARLINK_CALL_MORE, 0,
					 on_seen, NULL),
		     0);
	while (json_object_array_length(seen) == 0)
		turn();
}

/* Waits until Monitor has said something of which the text has these words. */
static inline void wait_seen(const char *words)
{
	for (size_t i = 0;; i++) {
		while (i == json_object_array_length(seen))
			turn();
		if (strstr(json_object_to_json_string(json_object_array_get_idx(seen, i)), words))
			return;
	}
}

static inline json_object *queried(const char *list, const char *member, const char *bdf)
{
	json_object *array;

	call("Query", NULL);
	expect_ok();
	array = json_get_array(last_reply, list);
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json_object *o = json_object_array_get_idx(array, i);

		if (strcmp(json_get_string(o, member), bdf) == 0)
			return o;
	}
	cr_assert_fail("%s is not in %s", bdf, list);
	return NULL;
}

static inline bool connected(const char *dsm)
{
	return json_get_bool(queried("dsms", "dsm", dsm), "connected", false);
}

static inline const char *state(const char *device)
{
	return json_get_string(queried("tdis", "device", device), "state");
}

static inline void expect_attribute(const char *bdf, const char *name, const char *value)
{
	char text[64];

	testing_tsm_read(bdf, name, text);
	cr_assert_str_eq(text, value);
}

static inline void begin_with_companion(const char *more)
{
	char extra[320];

	start_companion();
	snprintf(extra, sizeof(extra),
		 ", \"companion\": {\"socket\": \"%s/companion\", \"uid\": %u}%s", testing_root,
		 geteuid(), more);
	start(extra);
}

static inline void start_with_companion(const char *more)
{
	begin_with_companion(more);
	for (;;) {
		call("GetCapabilities", NULL);
		if (!last_error[0])
			return;
		expect_error("Refused", "companion");
	}
}

static inline void bind_observed(const char *device, const char *tvm, int64_t generation)
{
	testing_vmm_binds(device);
	bind_to(device, tvm, generation);
	cr_assert(testing_vmm_has_bound(), "nobody has waited for it: %s: %s", last_error,
		  reason());
}

static inline void send_uevent(void)
{
	static const char message[] = "change@/x\0SUBSYSTEM=pci\0";

	cr_assert_eq(send(uevents, message, sizeof(message) - 1, 0), sizeof(message) - 1);
}

#define OBSERVE ", \"binder\": \"observe\""

/* Whoever reads this attribute waits, as for the kernel's lock. */
static inline void hold(const char *bdf, const char *name)
{
	char next[PATH_MAX];

	/* At no moment it is not there: that would be "not bound". */
	snprintf(next, sizeof(next), "%s", testing_path("held"));
	cr_assert_eq(mkfifo(next, 0600), 0);
	cr_assert_eq(rename(next, testing_path("sys/bus/pci/devices/%s/tsm/%s", bdf, name)), 0);
}

static inline void let_go(const char *bdf, const char *name, const char *value)
{
	testing_tsm_attribute(bdf, name, value);
}

static inline bool is_confirmed(const char *device)
{
	verb("Unbind", "device", device);
	expect_ok();
	return json_get_bool(last_reply, "device_confirmed", false);
}

static inline int64_t generation(const char *device)
{
	return json_get_int(queried("tdis", "device", device), "generation", -1);
}
