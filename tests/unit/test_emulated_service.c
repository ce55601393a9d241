/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole provider through its socket, by way of the varlink client. */
#include "core/evidence.h"
#include "core/hex.h"
#include "rpc/base64.h"
#include "rpc/varlink-client.h"
#include "schemas/schemas.h"
#include "testing-tvm.h"
#include "tsm/emulated/service.h"

#include <errno.h>

#define RID	   0x0008
#define GPA	   0x380000000000ULL
#define USEC_LIMIT 5000000

static Config *config;
static sd_event *event;
static Service *service;
static IdlInterface *interface;
static VarlinkClient *client;
static char last_error[64];
static json_object *last_reply;
static json_object *replies; /* of a call with `more` */
static unsigned int n_final;

static VarlinkClient *connect_client(void)
{
	_cleanup_free_ char *error = NULL;
	VarlinkClient *c = NULL;

	cr_assert_eq(varlink_client_connect(&c, event, config->socket, NULL, &error), 0, "%s",
		     error);
	return c;
}

static void start_service(void)
{
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(service_new(&service, event, config, &error), 0, "%s", error);
	cr_assert_eq(service_listen(service, &error), 0, "%s", error);
	client = connect_client();
}

static void set_up(void)
{
	_cleanup_free_ char *error = NULL;

	testing_host_new();
	config = testing_config(", \"faults\": true, \"latencies\": {\"bind\": 30}", "");
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(idl_parse(&interface, schema_io_tdid_tsm, &error), 0, "%s", error);
	replies = json_object_new_array();
	start_service();
}

static void tear_down(void)
{
	varlink_client_free(client);
	service_free(service);
	idl_free(interface);
	json_object_put(last_reply);
	json_object_put(replies);
	sd_event_unref(event);
	config_free(config);
	testing_host_remove();
}

static void on_reply(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	const char *dot;

	cr_assert_eq(reply->status, 0, "%d", reply->status);
	if (reply->continues || userdata)
		json_object_array_add(replies, json_object_get(reply->parameters));
	if (reply->continues)
		return;
	json_object_put(last_reply);
	last_reply = json_object_get(reply->parameters);
	dot = reply->error ? strrchr(reply->error, '.') : NULL;
	snprintf(last_error, sizeof(last_error), "%s", dot ? dot + 1 : "");
	n_final++;
}

static void send_call(VarlinkClient *c, const char *method, unsigned int flags,
		      json_object *parameters)
{
	_cleanup_free_ char *name = NULL;

	cr_assert_geq(asprintf(&name, "%s%s", strchr(method, '.') ? "" : "io.tdid.Tsm.", method),
		      0);
	cr_assert_eq(varlink_client_call(c, name, parameters, flags, USEC_LIMIT, on_reply,
					 flags & VARLINK_CALL_MORE ? replies : NULL),
		     0);
	json_object_put(parameters);
}

static void wait_final(unsigned int n)
{
	while (n_final < n)
		cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0, "nothing happens any more");
}

/* The last reply, or "" and the error in last_error. */
static json_object *call(const char *method, json_object *parameters)
{
	send_call(client, method, 0, parameters);
	wait_final(n_final + 1);
	return last_reply;
}

#define OBJECT(...)                                                                                \
	({                                                                                         \
		json_object *_o = NULL;                                                            \
		cr_assert_eq(json_build(&_o, __VA_ARGS__), 0);                                     \
		_o;                                                                                \
	})

static json_object *bind_parameters(const char *operation, int64_t generation)
{
	return OBJECT(J_STRING("operation", operation), J_STRING("tvm", TVM_A),
		      J_STRING("device", VF0), J_INT("guest_requester_id", RID),
		      J_INT("generation", generation));
}

static json_object *operation(const char *id, const char *name, const char *device)
{
	return OBJECT(J_STRING("operation", id), J_STRING(name, device));
}

static void prepare_and_connect(TestingTvm *tvm)
{
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_empty(last_error);
	testing_tvm_new(tvm, TVM_A, json_get_string(last_reply, "key_file"));
	call("Connect", operation("connect", "dsm", PF));
	cr_assert_str_empty(last_error);
	cr_assert_eq(strlen(json_get_string(last_reply, "certificate_digest")), 96);
}

/* Fills tvm->reply from GuestRequest. */
static void relay(TestingTvm *tvm, bool info, const void *message, size_t size)
{
	static const char *const names[] = { "certificates", "vca", "measurements", "report" };
	_cleanup_free_ char *text = NULL;
	json_object *evidence;
	Blob *blobs[] = { &tvm->reply.evidence.certificates, &tvm->reply.evidence.vca,
			  &tvm->reply.evidence.measurements, &tvm->reply.evidence.report };

	cr_assert_eq(base64_encode(&text, message, size), 0);
	call("GuestRequest",
	     OBJECT(J_STRING("tvm", TVM_A), J_STRING("scope", info ? "info" : "state_change"),
		    J_STRING("message", text)));
	cr_assert_str_empty(last_error);
	tsm_guest_reply_done(&tvm->reply);
	cr_assert_eq(base64_decode(&tvm->reply.message.data, &tvm->reply.message.size,
				   json_get_string(last_reply, "message"), GUEST_MESSAGE_MAX_SIZE),
		     0);
	evidence = json_get_object(last_reply, "evidence");
	tvm->reply.has_evidence = evidence;
	for (size_t i = 0; evidence && i < 4; i++)
		cr_assert_eq(base64_decode(&blobs[i]->data, &blobs[i]->size,
					   json_get_string(evidence, names[i]), 65536),
			     0);
}

static void open_session(TestingTvm *tvm)
{
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE], open[GUEST_MESSAGE_OPEN_SIZE];

	cr_assert_eq(random_public(nonce, sizeof(nonce)), 0);
	guest_message_tvm_open(tvm->messages, nonce, 1, open);
	relay(tvm, true, open, sizeof(open));
	cr_assert_eq(guest_message_tvm_opened(tvm->messages, tvm->reply.message.data,
					      tvm->reply.message.size),
		     GUEST_MESSAGE_OK);
}

static GuestStatus ask(TestingTvm *tvm, bool info, GuestMessageType type, const void *payload,
		       size_t size)
{
	const uint8_t *message;
	size_t message_size;

	cr_assert_eq(guest_message_tvm_seal(tvm->messages, type, 2, payload, size, &message,
					    &message_size),
		     0);
	relay(tvm, info, message, message_size);
	return testing_tvm_answer(tvm);
}

static const char *tdi_state(const char *device)
{
	json_object *list;

	call("Query", NULL);
	list = json_get_array(last_reply, "tdis");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *tdi = json_object_array_get_idx(list, i);

		if (strcmp(json_get_string(tdi, "device"), device) == 0)
			return json_get_string(tdi, "state");
	}
	return "not listed";
}

TestSuite(emulated_service, .init = set_up, .fini = tear_down);

Test(emulated_service, refuses)
{
	call("PrepareTvm", OBJECT(J_STRING("tvm", "vm1")));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_B)));
	cr_assert_str_eq(last_error, "UnknownTvm");
	call("Connect", operation("a", "dsm", "01:00.0"));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("Connect", operation("", "dsm", PF));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("Connect", operation("b", "dsm", ABSENT));
	cr_assert_str_eq(last_error, "UnknownDevice");
	call("Connect", operation("c", "dsm", PLAIN_PF));
	cr_assert_str_eq(last_error, "NotTeeIo");
	call("Connect", OBJECT(J_STRING("operation", "d"), J_STRING("dsm", PF),
			       J_STRING("link", "selective_ide")));
	cr_assert_str_eq(last_error, "Refused");
	call("Connect",
	     OBJECT(J_STRING("operation", "e"), J_STRING("dsm", PF), J_INT("certificate_slot", 8)));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("Bind", bind_parameters("f", 1));
	cr_assert_str_eq(last_error, "UnknownTvm");
	call("Bind", bind_parameters("f", 1));
	cr_assert_str_eq(last_error, "UnknownTvm", "the same again");
	call("Bind", bind_parameters("f", 2));
	cr_assert_str_eq(last_error, "Refused", "the id is taken");
	call("Bind", bind_parameters("g", -1));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("Measure", OBJECT(J_STRING("device", PF), J_STRING("nonce", "00")));
	cr_assert_str_eq(last_error, "InvalidParameter");
	call("GetEvidence", OBJECT(J_STRING("device", PF)));
	cr_assert_str_eq(last_error, "InvalidState");
	call("GuestRequest", OBJECT(J_STRING("tvm", TVM_A), J_STRING("scope", "info"),
				    J_STRING("message", "AAAA")));
	cr_assert_str_eq(last_error, "UnknownTvm");
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	call("GuestRequest", OBJECT(J_STRING("tvm", TVM_A), J_STRING("scope", "info"),
				    J_STRING("message", "AAAA")));
	cr_assert_str_eq(last_error, "GuestMessageRejected");
	call("Monitor", NULL);
	cr_assert_str_eq(last_error, "ExpectedMore");
}

static json_object *carry(const char *id, int64_t generation, int64_t request)
{
	return OBJECT(J_STRING("operation", id), J_STRING("tvm", TVM_A), J_STRING("device", VF0),
		      J_INT("generation", generation), J_INT("request", request));
}

/* Its TVM has asked for nothing. */
Test(emulated_service, carries_nothing_of_its_own)
{
	static const char *const verbs[] = { "Lock", "Start" };
	TestingTvm tvm;

	prepare_and_connect(&tvm);
	call("Bind", bind_parameters("bind", 7));
	cr_assert_str_empty(last_error);
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
		call(verbs[i], carry("a", 7, 0));
		cr_assert_str_eq(last_error, "InvalidParameter");
		call(verbs[i], carry("a", -1, 1));
		cr_assert_str_eq(last_error, "InvalidParameter");
		call(verbs[i], carry(verbs[i], 7, 1));
		cr_assert_str_eq(last_error, "InvalidState");
		cr_assert(strstr(json_get_string(last_reply, "reason"), "no request 1"));
		call(verbs[i], carry(verbs[i], 7, 1));
		cr_assert_str_eq(last_error, "InvalidState", "the same again");
		call(verbs[i], carry(verbs[i], 7, 2));
		cr_assert_str_eq(last_error, "Refused", "the id is taken");
	}
	cr_assert_str_eq(tdi_state(VF0), "config_locked");
	testing_tvm_done(&tvm);
}

Test(emulated_service, tells_what_there_is)
{
	json_object *capabilities, *devices, *vf;

	capabilities = json_get_object(call("GetCapabilities", NULL), "capabilities");
	cr_assert_str_eq(json_get_string(capabilities, "platform"), "emulated");
	cr_assert_not(json_get_bool(capabilities, "protection", true));
	cr_assert_str_eq(json_get_string(capabilities, "start_by"), "tvm");
	cr_assert_eq(strlen(json_get_string(last_reply, "instance")), 32);
	devices = json_get_array(call("ListDevices", NULL), "devices");
	cr_assert_eq(json_object_array_length(devices), 4);
	vf = json_object_array_get_idx(devices, 1);
	cr_assert_str_eq(json_get_string(vf, "device"), VF0);
	cr_assert_str_eq(json_get_string(vf, "dsm"), PF);
	cr_assert_str_eq(json_get_string(vf, "driver"), "vfio-pci");
	cr_assert_eq(json_get_int(vf, "iommu_group", -1), 17);
	cr_assert(json_get_bool(vf, "tee_io", false));
}

Test(emulated_service, whole_flow)
{
	static const struct {
		uint16_t range;
		uint64_t pages;
	} ranges[] = { { 0, 4 }, { 2, 1 }, { 4, 1 } };
	VarlinkClient *monitor = connect_client();
	GuestTdiInfo info = { .rid = RID };
	GuestTdiValidate accept = { .rid = RID, .action = GUEST_VALIDATE_ACCEPT, .generation = 7 };
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];
	json_object *change, *tdi;
	TestingTvm tvm;
	Statement s;

	send_call(monitor, "Monitor", VARLINK_CALL_MORE, NULL);
	prepare_and_connect(&tvm);
	/* The bind takes its 30 ms, tells of each step, and a second caller joins it. */
	send_call(client, "Bind", VARLINK_CALL_MORE, bind_parameters("bind", 7));
	{
		VarlinkClient *second = connect_client();

		send_call(second, "Bind", 0, bind_parameters("bind", 7));
		wait_final(n_final + 2);
		varlink_client_free(second);
	}
	cr_assert_str_empty(last_error);
	cr_assert_str_eq(json_get_string(last_reply, "state"), "config_locked");
	cr_assert_str_eq(tdi_state(VF0), "config_locked");

	open_session(&tvm);
	guest_tdi_info_write(&info, payload);
	cr_assert_eq(ask(&tvm, true, GUEST_MESSAGE_TDI_INFO, payload, GUEST_TDI_INFO_SIZE),
		     GUEST_STATUS_OK);
	cr_assert_eq(statement_parse(&s, tvm.body, tvm.body_size), 0);
	cr_assert(tvm.reply.has_evidence && tvm.reply.evidence.report.size);
	for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
		const GuestMmioValidate mmio = { RID, ranges[i].range, 7, GPA + i * 0x100000,
						 ranges[i].pages };

		guest_mmio_validate_write(&mmio, payload);
		cr_assert_eq(ask(&tvm, false, GUEST_MESSAGE_MMIO_VALIDATE, payload,
				 GUEST_MMIO_VALIDATE_SIZE),
			     GUEST_STATUS_OK);
	}
	accept.evidence = s.evidence;
	guest_tdi_validate_write(&accept, payload);
	cr_assert_eq(ask(&tvm, false, GUEST_MESSAGE_TDI_VALIDATE, payload, GUEST_TDI_VALIDATE_SIZE),
		     GUEST_STATUS_OK);
	cr_assert_str_eq(tdi_state(VF0), "run");

	call("Disconnect", operation("too early", "dsm", PF));
	cr_assert_str_eq(last_error, "DeviceBusy");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "TvmBusy");
	call("Unbind", operation("unbind", "device", VF0));
	cr_assert_str_empty(last_error);
	cr_assert(json_get_bool(last_reply, "freed", false));
	cr_assert(json_get_bool(last_reply, "device_confirmed", false));
	call("Disconnect", operation("disconnect", "dsm", PF));
	cr_assert_str_empty(last_error);
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_empty(last_error);

	/* Watch stands; connected; queued, started (of Bind); bound; run; unbound; disconnected. */
	cr_assert_eq(json_object_array_length(replies), 9);
	change = json_object_array_get_idx(replies, 0);
	cr_assert_eq(json_get_int(change, "sequence", -1), 0);
	cr_assert_null(json_get_object(change, "tdi"));
	cr_assert_str_eq(json_get_string(json_object_array_get_idx(replies, 2), "progress"),
			 "queued");
	cr_assert_str_eq(json_get_string(json_object_array_get_idx(replies, 3), "progress"),
			 "started");
	change = json_object_array_get_idx(replies, 6);
	tdi = json_get_object(change, "tdi");
	cr_assert_str_eq(json_get_string(tdi, "state"), "run");
	cr_assert(json_get_bool(tdi, "accepted", false));
	cr_assert_eq(json_get_int(tdi, "generation", -1), 7);
	cr_assert_eq(json_get_int(change, "sequence", -1), 3);
	varlink_client_free(monitor);
	testing_tvm_done(&tvm);
}

Test(emulated_service, operation_outlives_its_caller)
{
	VarlinkClient *leaves = connect_client();
	TestingTvm tvm;

	/* In this time a Query has to come there, after the bind has said that it began. */
	config->devices[0].latencies.bind = 1000;
	prepare_and_connect(&tvm);
	send_call(leaves, "Bind", VARLINK_CALL_MORE, bind_parameters("bind", 1));
	while (json_object_array_length(replies) < 2)
		cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0);
	varlink_client_free(leaves);
	call("Query", NULL);
	cr_assert_eq(json_object_array_length(json_get_array(last_reply, "operations")), 1);
	call("Bind", bind_parameters("bind", 1));
	cr_assert_str_eq(json_get_string(last_reply, "state"), "config_locked");
	testing_tvm_done(&tvm);
}

static void fail_device(const char *device, const char *fault, const char *other)
{
	json_object *faults = json_object_new_array();

	json_append_string(faults, fault);
	if (other)
		json_append_string(faults, other);
	call("io.tdid.TsmEmulated.FailDevice",
	     OBJECT(J_STRING("device", device), J_TAKE("faults", faults)));
	cr_assert_str_empty(last_error);
}

static bool is_confirmed(const char *id, const char *words)
{
	call("Unbind", operation(id, "device", VF0));
	cr_assert_str_empty(last_error);
	cr_assert(json_get_bool(last_reply, "freed", false));
	cr_assert(strstr(json_get_string(last_reply, "reason") ?: "", words), "%s",
		  json_object_to_json_string(last_reply));
	return json_get_bool(last_reply, "device_confirmed", false);
}

Test(emulated_service, unbind_that_is_confirmed_by_a_reset)
{
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	call("Connect", operation("connect", "dsm", PF));
	call("Bind", bind_parameters("bind", 1));
	cr_assert_str_empty(last_error);
	fail_device(VF0, "no_stop", "stuck");
	cr_assert_not(is_confirmed("u1", "reset (FLR), and still"));
	cr_assert_str_eq(tdi_state(VF0), "error");
	fail_device(VF0, "no_stop", "no_reset");
	cr_assert_not(is_confirmed("u2", "reset (FLR) failed"));
	cr_assert_not(is_confirmed("u1", "reset (FLR), and still"), "the first one's outcome");
	fail_device(VF0, "no_stop", NULL);
	cr_assert(is_confirmed("u3", "only after a reset"));
	cr_assert_str_eq(tdi_state(VF0), "config_unlocked");
	cr_assert(is_confirmed("u4", ""), "it is not bound");
	cr_assert_null(json_get_string(last_reply, "reason"));
}

Test(emulated_service, faults_of_verbs)
{
	VarlinkClient *second = connect_client();
	TestingTvm tvm;

	prepare_and_connect(&tvm);
	call("io.tdid.TsmEmulated.FailVerb",
	     OBJECT(J_STRING("device", VF0), J_STRING("verb", "bind"),
		    J_STRING("fault", "refuse")));
	call("Bind", bind_parameters("1", 1));
	cr_assert_str_eq(last_error, "Refused");
	call("io.tdid.TsmEmulated.FailVerb",
	     OBJECT(J_STRING("device", VF0), J_STRING("verb", "bind"),
		    J_STRING("fault", "done_but_failed")));
	call("Bind", bind_parameters("2", 2));
	cr_assert_str_eq(last_error, "OutcomeUnknown");
	cr_assert_str_eq(tdi_state(VF0), "config_locked");
	call("Unbind", operation("3", "device", VF0));
	call("io.tdid.TsmEmulated.FailVerb",
	     OBJECT(J_STRING("device", VF0), J_STRING("verb", "bind"), J_STRING("fault", "hang")));
	send_call(second, "Bind", VARLINK_CALL_MORE, bind_parameters("4", 4));
	while (json_object_array_length(replies) < 2)
		cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0);
	/* What hangs holds up all behind it, until one comes with force. */
	send_call(
		client, "Unbind", 0,
		OBJECT(J_STRING("operation", "5"), J_STRING("device", VF0), J_BOOL("force", true)));
	wait_final(n_final + 2);
	cr_assert_str_empty(last_error);
	cr_assert_str_eq(tdi_state(VF0), "config_unlocked");
	call("Bind", bind_parameters("4", 4));
	cr_assert_str_eq(last_error, "OutcomeUnknown");
	varlink_client_free(second);
	testing_tvm_done(&tvm);
}

Test(emulated_service, cancel)
{
	VarlinkClient *second = connect_client(), *third = connect_client();
	TestingTvm tvm;

	prepare_and_connect(&tvm);
	send_call(second, "Bind", VARLINK_CALL_MORE, bind_parameters("bind", 1));
	while (json_object_array_length(replies) < 2)
		cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0);
	send_call(third, "Unbind", VARLINK_CALL_MORE, operation("unbind", "device", VF0));
	while (json_object_array_length(replies) < 3)
		cr_assert_gt(sd_event_run(event, USEC_LIMIT), 0);
	send_call(client, "Cancel", 0, OBJECT(J_STRING("operation", "bind")));
	wait_final(n_final + 1);
	cr_assert_not(json_get_bool(last_reply, "cancelled", true));
	send_call(client, "Cancel", 0, OBJECT(J_STRING("operation", "unbind")));
	wait_final(n_final + 3);
	cr_assert_str_eq(tdi_state(VF0), "config_locked");
	varlink_client_free(second);
	varlink_client_free(third);
	testing_tvm_done(&tvm);
}

/* As after SIGKILL: nothing is written at the end. */
Test(emulated_service, restart)
{
	_cleanup_free_ char *instance = NULL;
	TestingTvm tvm;

	prepare_and_connect(&tvm);
	call("Bind", bind_parameters("bind", 1));
	instance = strdup(json_get_string(call("Query", NULL), "instance"));
	client = varlink_client_free(client);
	service = service_free(service);
	start_service();
	cr_assert_str_eq(tdi_state(VF0), "config_unlocked");
	cr_assert_str_neq(json_get_string(last_reply, "instance"), instance);
	call("Connect", operation("connect", "dsm", PF));
	call("Bind", bind_parameters("bind", 2));
	cr_assert_str_empty(last_error, "ids of another instance are not remembered");
	open_session(&tvm);
	testing_tvm_done(&tvm);
}

static void on_turned_away(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	cr_assert_eq(reply->status, -ECONNRESET);
	n_final++;
}

Test(emulated_service, strangers_are_turned_away)
{
	client = varlink_client_free(client);
	service = service_free(service);
	config->allow_uids.n = 0;
	start_service();
	cr_assert_eq(varlink_client_call(client, "io.tdid.Tsm.Query", NULL, 0, USEC_LIMIT,
					 on_turned_away, NULL),
		     0);
	wait_final(1);
}
