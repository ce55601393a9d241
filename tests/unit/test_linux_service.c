/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole provider through its socket, on a made-up kernel; the companion is a made-up one too.
 */
#include "rpc/base64.h"
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

/* --- a companion --- */

static VarlinkServer *companion;
static const char *companion_state = "config_unlocked";
static bool companion_bound;
static VarlinkCall *companion_watch;

static int on_capabilities(VarlinkCall *call, json_object *p, void *userdata)
{
	json_object *c = NULL;

	cr_assert_eq(json_build(&c, J_STRING("platform", "emulated"), J_BOOL("protection", false),
				J_STRING("bind_when", "guest_ready"), J_STRING("lock_by", "host"),
				J_STRING("start_by", "tvm"), J_STRING("state_source", "tsm"),
				J_STRING("evidence", "shown"), J_INT("concurrency", 16)),
		     0);
	return varlink_call_replyb(call, J_STRING("instance", "behind"), J_TAKE("capabilities", c));
}

static json_object *companion_tdi_json(void)
{
	json_object *o = NULL;

	cr_assert_eq(json_build(&o, J_STRING("device", VF0), J_STRING("dsm", PF),
				J_STRING("tvm", companion_bound ? TVM_A : NULL),
				J_INT_IF(companion_bound, "generation", 7),
				J_STRING("state", companion_state), J_BOOL("accepted", false)),
		     0);
	return o;
}

static int on_companion_query(VarlinkCall *call, json_object *p, void *userdata)
{
	json_object *tdis = json_object_new_array(), *dsms = json_object_new_array(), *d = NULL;

	json_append_take(tdis, companion_tdi_json());
	json_build(&d, J_STRING("dsm", PF), J_BOOL("connected", true),
		   J_STRING("certificate_digest", "abcd"));
	json_append_take(dsms, d);
	return varlink_call_replyb(call, J_STRING("instance", "behind"), J_TAKE("dsms", dsms),
				   J_TAKE("tdis", tdis),
				   J_TAKE("operations", json_object_new_array()));
}

static int on_companion_monitor(VarlinkCall *call, json_object *p, void *userdata)
{
	companion_watch = varlink_call_ref(call);
	return varlink_call_notifyb(call, J_STRING("instance", "behind"), J_INT("sequence", 0));
}

static void companion_says(const char *state, bool bound)
{
	companion_state = state;
	companion_bound = bound;
	varlink_call_notifyb(companion_watch, J_STRING("instance", "behind"), J_INT("sequence", 1),
			     J_TAKE("tdi", companion_tdi_json()), J_STRING("reason", "said so"));
}

static int on_companion_prepare(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_replyb(call, J_STRING("key_file", "/run/key"));
}

static int on_companion_release(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_errorb(call, "UnknownTvm", J_STRING("tvm", json_get_string(p, "tvm")));
}

static int on_companion_other(VarlinkCall *call, json_object *p, void *userdata)
{
	return varlink_call_errorb(call, "Refused", J_STRING("object", "x"),
				   J_STRING("reason", "the companion says no"));
}

static void start_companion(void)
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

static void stop_companion(void)
{
	companion_watch = varlink_call_unref(companion_watch);
	companion = varlink_server_free(companion);
}

/* --- the provider --- */

static void start(const char *extra)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	ServiceOptions options = { .io = &testing_kernel, .kill = kill_hook };
	int ends[2];

	cr_assert_geq(asprintf(&text,
			       "{\"socket\": \"%s/socket\", \"state\": \"%s/state\","
			       " \"root\": \"%s\", \"deadlines\": {\"connect\": 300, \"bind\": 300,"
			       " \"observe\": 200, \"kill\": 100, \"look\": 1000} %s}",
			       testing_root, testing_root, testing_root, extra),
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

static void stop(void)
{
	client = varlink_client_free(client);
	watcher = varlink_client_free(watcher);
	service = service_free(service);
	config = config_free(config);
	if (uevents >= 0)
		close(uevents);
	uevents = -1;
}

static void set_up(void)
{
	testing_linux_new();
	testing_link(DISTANT_PF, "driver", "../../../../bus/pci/drivers/igb");
	testing_write(testing_path("dev/tsm-proxy-vmm"), "", 0);
	cr_assert_geq(sd_event_new(&event), 0);
	seen = json_object_new_array();
}

static void tear_down(void)
{
	stop();
	stop_companion();
	json_object_put(last_reply);
	json_object_put(seen);
	sd_event_unref(event);
	testing_host_remove();
}

TestSuite(linux_service, .init = set_up, .fini = tear_down);

static void on_reply(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
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

static void turn(void)
{
	cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0, "nothing happens any more");
}

static void send_call(const char *method, json_object *parameters)
{
	char name[64];

	snprintf(name, sizeof(name), "io.tdid.Tsm.%s", method);
	cr_assert_eq(
		varlink_client_call(client, name, parameters, 0, USEC_LIMIT, on_reply, NULL, NULL),
		0);
	json_object_put(parameters);
}

static void call(const char *method, json_object *parameters)
{
	unsigned int before = n_final;

	send_call(method, parameters);
	while (n_final == before)
		turn();
}

static const char *reason(void)
{
	return json_get_string(last_reply, "reason") ?: "";
}

static void expect_error(const char *error, const char *words)
{
	cr_assert_str_eq(last_error, error, "%s: %s", last_error, reason());
	cr_assert_not_null(strstr(reason(), words), "%s", reason());
}

static void expect_ok(void)
{
	cr_assert_str_empty(last_error, "%s: %s", last_error, reason());
}

static int last_id;

static void verb(const char *method, const char *member, const char *device)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", ++last_id);
	call(method, OBJECT(J_STRING("operation", id), J_STRING(member, device)));
}

static void bind_to(const char *device, const char *tvm, int64_t generation)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", ++last_id);
	call("Bind",
	     OBJECT(J_STRING("operation", id), J_STRING("tvm", tvm), J_STRING("device", device),
		    J_INT("guest_requester_id", 0x200), J_INT("generation", generation)));
}

static void on_seen(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	if (reply->status == 0 && !reply->error)
		json_object_array_add(seen, json_object_get(reply->parameters));
	watch_ended = !reply->continues;
}

static void watch(void)
{
	cr_assert_eq(varlink_client_connect(&watcher, event, config->socket, NULL, NULL), 0);
	cr_assert_eq(varlink_client_call(watcher, "io.tdid.Tsm.Monitor", NULL, VARLINK_CALL_MORE, 0,
					 on_seen, NULL, NULL),
		     0);
	while (json_object_array_length(seen) == 0)
		turn();
}

/* Waits until Monitor has said something of which the text has these words. */
static void wait_seen(const char *words)
{
	for (size_t i = 0;; i++) {
		while (i == json_object_array_length(seen))
			turn();
		if (strstr(json_object_to_json_string(json_object_array_get_idx(seen, i)), words))
			return;
	}
}

static json_object *queried(const char *list, const char *member, const char *bdf)
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

static bool connected(const char *dsm)
{
	return json_get_bool(queried("dsms", "dsm", dsm), "connected", false);
}

static const char *state(const char *device)
{
	return json_get_string(queried("tdis", "device", device), "state");
}

static void expect_attribute(const char *bdf, const char *name, const char *value)
{
	char text[64];

	testing_tsm_read(bdf, name, text);
	cr_assert_str_eq(text, value);
}

/* --- without a companion, as on a platform whose VMM binds --- */

Test(linux_service, refuses_what_is_no_tee_io)
{
	start("");
	verb("Connect", "dsm", ABSENT);
	cr_assert_str_eq(last_error, "UnknownDevice");
	verb("Connect", "dsm", OTHER_PF);
	expect_error("NotTeeIo", "no tsm/connect");
	verb("Connect", "dsm", VF0);
	expect_error("Refused", "its DSM is at " PF);
	call("Connect",
	     OBJECT(J_STRING("operation", "s"), J_STRING("dsm", PF), J_INT("certificate_slot", 1)));
	expect_error("Refused", "certificate_slot");
	call("Connect", OBJECT(J_STRING("operation", "l"), J_STRING("dsm", PF),
			       J_STRING("link", "selective_ide")));
	expect_error("Refused", "link");
	call("GetEvidence", OBJECT(J_STRING("device", PF)));
	expect_error("Refused", "evidence");
	call("GuestRequest", OBJECT(J_STRING("tvm", TVM_A), J_STRING("scope", "info"),
				    J_STRING("message", "AAAA")));
	expect_error("Refused", "no function is bound");
}

Test(linux_service, no_tsm)
{
	rmdir(testing_path("sys/class/tsm/tsm0"));
	remove(testing_path("sys/bus/pci/devices/" PF "/tsm/connect"));
	start("");
	verb("Connect", "dsm", PF);
	expect_error("NotTeeIo", "no TSM is registered");
	call("ListDevices", NULL);
	cr_assert_eq(json_object_array_length(json_get_array(last_reply, "devices")), 1);
}

Test(linux_service, no_bind_of_what_vfio_does_not_hold)
{
	start("");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
	bind_to(DISTANT_PF, TVM_A, 1);
	expect_error("Refused", "the driver igb holds it");
	bind_to(PF, TVM_A, 1);
	expect_error("Refused", "no driver holds it");
}

Test(linux_service, no_bind_without_qemu)
{
	start("");
	verb("Connect", "dsm", PF);
	bind_to(VF0, TVM_A, 1);
	expect_error("Refused", "libvirt runs no domain");
	expect_attribute(VF0, "bound", "");
	bind_to(VF0, TVM_A, INT64_C(1) << 32);
	expect_error("Refused", "generation");
}

Test(linux_service, no_disconnect_under_a_bound_tdi)
{
	start("");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF1, "bound", "tsm0\n");
	verb("Disconnect", "dsm", PF);
	expect_error("DeviceBusy", VF1 " is bound, by somebody else");
	expect_attribute(PF, "connect", "tsm0");
}

Test(linux_service, errors_become_sentences)
{
	start("");
	testing_behave("errno 129");
	verb("Connect", "dsm", PF);
	expect_error("Refused", "certificates were rejected");
	testing_behave("errno 110");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "did not answer before the deadline");
	testing_behave("silent");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "tsm/connect says otherwise");
	testing_behave("");
	verb("Connect", "dsm", PF);
	expect_ok();
}

Test(linux_service, repeated_and_foreign_ids)
{
	json_object *p;

	start("");
	for (unsigned int i = 0; i < 2; i++) {
		p = OBJECT(J_STRING("operation", "same"), J_STRING("dsm", PF));
		call("Connect", p);
		expect_ok();
		testing_behave("errno 5");
	}
	call("Disconnect", OBJECT(J_STRING("operation", "same"), J_STRING("dsm", PF)));
	expect_error("Refused", "used for another call");
	call("Cancel", OBJECT(J_STRING("operation", "same")));
	cr_assert_not(json_get_bool(last_reply, "cancelled", true));
}

Test(linux_service, hanging_connect_is_killed)
{
	start("");
	testing_behave("hang");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "was killed");
	cr_assert_null(strstr(reason(), "reboot"));
	testing_behave("");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
}

static void refuse_to_kill(int pidfd)
{
}

Test(linux_service, child_that_cannot_be_killed)
{
	kill_hook = refuse_to_kill;
	start("");
	watch();
	testing_behave("hang");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "cannot be killed");
	cr_assert_not_null(strstr(reason(), "rebooted"));
	wait_seen("cannot be killed");
	call("Query", NULL);
	cr_assert_not_null(json_get_string(last_reply, "stalled"));
	verb("Connect", "dsm", DISTANT_PF);
	expect_error("Refused", "nothing was done");
	testing_behave("");
	testing_release();
	wait_seen("verbs are taken again");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
	call("Query", NULL);
	cr_assert_null(json_get_string(last_reply, "stalled"));
}

Test(linux_service, observed_bind_that_does_not_come)
{
	start(", \"binder\": \"observe\"");
	verb("Connect", "dsm", PF);
	bind_to(VF0, TVM_A, 1);
	expect_error("Refused", "has not bound it within 200 ms");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
}

Test(linux_service, observed_bind)
{
	pid_t vmm;

	start(", \"binder\": \"observe\", \"unbind_confirms\": true");
	verb("Connect", "dsm", PF);
	vmm = fork();
	if (vmm == 0) {
		struct timespec a_while = { .tv_nsec = 60000000 };

		nanosleep(&a_while, NULL);
		testing_tsm_attribute(VF0, "bound", "tsm0\n");
		_exit(0);
	}
	bind_to(VF0, TVM_A, 3);
	expect_ok();
	waitpid(vmm, NULL, 0);
	cr_assert_str_eq(json_get_string(last_reply, "state"), "config_locked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "TvmBusy");
	bind_to(VF0, TVM_B, 4);
	expect_error("DeviceBusy", "unbind it first");
	cr_assert_str_eq(json_get_string(last_reply, "tvm"), TVM_A);
	verb("Unbind", "device", VF0);
	expect_error("OutcomeUnknown", "has not unbound it");
	testing_tsm_attribute(VF0, "bound", "\n");
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "freed", false));
}

/* The record of a bind outlives the process, and a bind that ended without us. */
Test(linux_service, restart_under_a_bind)
{
	start(", \"binder\": \"observe\"");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	stop();
	testing_tsm_attribute(VF0, "bound", "\n");
	start(", \"binder\": \"observe\"");
	{
		pid_t vmm = fork();

		if (vmm == 0) {
			struct timespec a_while = { .tv_nsec = 60000000 };

			nanosleep(&a_while, NULL);
			testing_tsm_attribute(VF0, "bound", "tsm0\n");
			_exit(0);
		}
		bind_to(VF0, TVM_A, 9);
		waitpid(vmm, NULL, 0);
	}
	expect_ok();
	stop();
	start(", \"binder\": \"observe\"");
	cr_assert_eq(json_get_int(queried("tdis", "device", VF0), "generation", 0), 9);
	bind_to(VF0, TVM_A, 9);
	expect_ok();
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_str_eq(state(VF0), "config_unlocked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
}

Test(linux_service, written_behind_our_back)
{
	FILE *f;

	start("");
	watch();
	cr_assert_not(connected(PF));
	f = fopen(testing_path("sys/bus/pci/devices/" PF "/tsm/connect"), "w");
	fputs("tsm0\n", f);
	fclose(f);
	wait_seen("\"connected\": true");
	cr_assert(connected(PF));
}

Test(linux_service, functions_come_and_go)
{
	static const char message[] = "add@/x\0SUBSYSTEM=pci\0";

	start("");
	call("Query", NULL);
	watch();
	testing_tsm_pf(OTHER_PF);
	cr_assert_eq(send(uevents, message, sizeof(message) - 1, 0), sizeof(message) - 1);
	while (!watch_ended)
		turn();
	call("ListDevices", NULL);
	cr_assert_eq(json_object_array_length(json_get_array(last_reply, "devices")), 5);
}

Test(linux_service, capabilities_of_the_kernel_alone)
{
	json_object *c;

	start("");
	call("GetCapabilities", NULL);
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "unknown");
	cr_assert_not(json_get_bool(c, "protection", true), "an unknown TSM is not trusted");
	cr_assert_eq(json_get_int(c, "concurrency", 0), 1);
	mkdir(testing_path("sys/class/tsm/tsm0/device"), 0755);
	cr_assert_eq(symlink("../../../bus/pci/drivers/ccp",
			     testing_path("sys/class/tsm/tsm0/device/driver")),
		     0);
	stop();
	start("");
	call("Query", NULL);
	call("GetCapabilities", NULL);
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "sev-tio");
	cr_assert(json_get_bool(c, "protection", false));
}

Test(linux_service, connects_and_disconnects)
{
	start("");
	watch();
	verb("Connect", "dsm", PF);
	expect_ok();
	wait_seen("\"connected\": true");
	expect_attribute(PF, "connect", "tsm0");
	cr_assert(connected(PF));
	cr_assert_not(connected(DISTANT_PF));
	verb("Connect", "dsm", PF);
	expect_ok();
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "freed", false));
	cr_assert(json_get_bool(last_reply, "device_confirmed", false), "it never was bound");
	verb("Disconnect", "dsm", PF);
	expect_ok();
	cr_assert_not(connected(PF));
	verb("Disconnect", "dsm", PF);
	expect_ok();
}

/* --- with a companion --- */

static void start_with_companion(void)
{
	char extra[256];

	start_companion();
	snprintf(extra, sizeof(extra),
		 ", \"companion\": {\"socket\": \"%s/companion\", \"uid\": %u}", testing_root,
		 geteuid());
	start(extra);
	for (;;) {
		call("GetCapabilities", NULL);
		if (!last_error[0])
			return;
		expect_error("Refused", "companion");
	}
}

Test(linux_service, companion_is_missing)
{
	char extra[256];

	snprintf(extra, sizeof(extra), ", \"companion\": {\"socket\": \"%s/companion\"}",
		 testing_root);
	start(extra);
	call("GetCapabilities", NULL);
	expect_error("Refused", "companion");
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_error("Refused", "cannot be asked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", "x")));
	cr_assert_str_eq(last_error, "InvalidParameter");
	verb("Connect", "dsm", PF);
	expect_ok();
}

Test(linux_service, companion_speaks_for_the_tsm)
{
	json_object *c;

	start_with_companion();
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "emulated");
	cr_assert_eq(json_get_int(c, "concurrency", 0), 1);
	cr_assert_not_null(strstr(json_get_string(last_reply, "instance"), "behind"));
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "key_file"), "/run/key");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "UnknownTvm");
	call("GetEvidence", OBJECT(J_STRING("device", VF0)));
	expect_error("Refused", "the companion says no");
	verb("Connect", "dsm", PF);
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "certificate_digest"), "abcd");
}

Test(linux_service, companion_knows_the_states)
{
	start_with_companion();
	watch();
	verb("Connect", "dsm", PF);
	companion_says("run", true);
	wait_seen("\"run\"");
	cr_assert_str_eq(state(VF0), "run");
	cr_assert_eq(json_get_int(queried("tdis", "device", VF0), "generation", 0), 7);
	/* The kernel has nothing to unbind, the TSM says that the device is not clean. */
	companion_says("error", false);
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert_not(json_get_bool(last_reply, "device_confirmed", true));
	companion_says("config_unlocked", false);
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "device_confirmed", false));
	/* Without the companion nobody says so. */
	companion_says("run", true);
	wait_seen("\"run\"");
	stop_companion();
	wait_seen("companion ");
	verb("Unbind", "device", VF0);
	cr_assert_not(json_get_bool(last_reply, "device_confirmed", true));
}
