/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-tsm.h"

#include "core/cleanup.h"
#include "schemas/schemas.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const char *const verbs[FAKE_VERB_N] = {
	[FAKE_CONNECT] = "Connect",
	[FAKE_DISCONNECT] = "Disconnect",
	[FAKE_BIND] = "Bind",
	[FAKE_UNBIND] = "Unbind",
	[FAKE_LOCK] = "Lock",
	[FAKE_START] = "Start",
	[FAKE_PREPARE] = "PrepareTvm",
	[FAKE_RELEASE] = "ReleaseTvm",
	[FAKE_GUEST_REQUEST] = "GuestRequest",
	[FAKE_GET_EVIDENCE] = "GetEvidence",
	[FAKE_QUERY] = "Query",
};

static json_object *evidence(void)
{
	json_object *o;

	cr_assert_eq(json_build(&o, J_STRING("certificates", "Y2VydA=="), J_STRING("vca", "dmNh"),
				J_STRING("measurements", "bWVhcw=="), J_STRING("report", "cmVw")),
		     0);
	return o;
}

static FakeTdi *find(FakeTsm *tsm, const char *device)
{
	for (size_t i = 0; i < FAKE_TSM_TDIS; i++)
		if (strcmp(tsm->tdis[i].device, device) == 0)
			return &tsm->tdis[i];
	cr_assert_fail("no device %s", device);
	return NULL;
}

static json_object *tdi_status(const FakeTdi *tdi, const char *device)
{
	json_object *o, *request = NULL;

	if (tdi->asks)
		cr_assert_eq(json_build(&request, J_STRING("what", tdi->asks),
					J_INT("id", tdi->request)),
			     0);
	cr_assert_eq(json_build(&o, J_STRING("device", device ?: tdi->device),
				J_STRING("dsm", FAKE_TSM_DSM),
				J_STRING("tvm", tdi->tvm[0] ? tdi->tvm : NULL),
				J_INT_IF(tdi->generation > 0, "generation", tdi->generation),
				J_STRING("state", tdi->state), J_BOOL("accepted", tdi->accepted),
				J_TAKE("request", request)),
		     0);
	return o;
}

static json_object *dsm_status(const FakeTsm *tsm)
{
	json_object *o;

	cr_assert_eq(
		json_build(&o, J_STRING("dsm", FAKE_TSM_DSM), J_BOOL("connected", tsm->connected)),
		0);
	return o;
}

static void notify(FakeTsm *tsm, json_object *tdi, json_object *dsm)
{
	for (size_t i = 0; i < ELEMENTSOF(tsm->watches); i++)
		if (tsm->watches[i])
			varlink_call_notifyb(tsm->watches[i],
					     J_STRING("instance", tsm->instance ?: "1"),
					     J_INT("sequence", ++tsm->sequence), J_REF("tdi", tdi),
					     J_REF("dsm", dsm));
	json_object_put(tdi);
	json_object_put(dsm);
}

void fake_tsm_set(FakeTsm *tsm, FakeTdi *tdi, const char *state, bool accepted)
{
	tdi->state = state;
	tdi->accepted = accepted;
	tdi->asks = NULL;
	notify(tsm, tdi_status(tdi, NULL), NULL);
}

void fake_tsm_ask(FakeTsm *tsm, FakeTdi *tdi, const char *what, int64_t request)
{
	tdi->asks = what;
	tdi->request = request;
	notify(tsm, tdi_status(tdi, NULL), NULL);
}

void fake_tsm_lose_dsm(FakeTsm *tsm)
{
	tsm->connected = false;
	notify(tsm, NULL, dsm_status(tsm));
}

void fake_tsm_note(FakeTsm *tsm, const char *reason)
{
	for (size_t i = 0; i < ELEMENTSOF(tsm->watches); i++)
		if (tsm->watches[i])
			varlink_call_notifyb(
				tsm->watches[i], J_STRING("instance", tsm->instance ?: "1"),
				J_INT("sequence", ++tsm->sequence), J_STRING("reason", reason));
}

void fake_tsm_end_watches(FakeTsm *tsm, const char *reason)
{
	for (size_t i = 0; i < ELEMENTSOF(tsm->watches); i++) {
		if (!tsm->watches[i])
			continue;
		varlink_call_on_gone(tsm->watches[i], NULL, NULL);
		varlink_call_replyb(tsm->watches[i], J_STRING("instance", tsm->instance ?: "1"),
				    J_INT("sequence", ++tsm->sequence), J_STRING("reason", reason));
		tsm->watches[i] = varlink_call_unref(tsm->watches[i]);
	}
}

/* What the verb does to what the TSM holds. A repeated operation does nothing. */
static void carry_out(FakeTsm *tsm, FakeVerb verb, json_object *p)
{
	const char *operation = json_get_string(p, "operation");
	const char *device = json_get_string(p, "device");
	FakeTdi *tdi = device && verb >= FAKE_BIND && verb <= FAKE_START ? find(tsm, device) : NULL;

	if (operation && strcmp(operation, tsm->operation[verb]) == 0)
		return;
	if (operation)
		snprintf(tsm->operation[verb], sizeof(tsm->operation[verb]), "%s", operation);
	switch (verb) {
	case FAKE_CONNECT: tsm->connected = true; break;
	case FAKE_DISCONNECT: tsm->connected = false; break;
	case FAKE_BIND:
		tsm->requester_id = json_get_int(p, "guest_requester_id", -1);
		tdi->generation = json_get_int(p, "generation", 0);
		snprintf(tdi->tvm, sizeof(tdi->tvm), "%s", json_get_string(p, "tvm"));
		fake_tsm_set(tsm, tdi, tsm->tvm_asks_lock ? "config_unlocked" : "config_locked",
			     false);
		break;
	case FAKE_LOCK:
	case FAKE_START:
		cr_assert_str_eq(json_get_string(p, "tvm"), tdi->tvm);
		cr_assert_eq(json_get_int(p, "generation", -1), tdi->generation);
		cr_assert(tdi->asks && json_get_int(p, "request", -1) == tdi->request);
		cr_assert_str_eq(tdi->asks, verb == FAKE_LOCK ? "lock" : "start");
		fake_tsm_set(tsm, tdi, verb == FAKE_LOCK ? "config_locked" : "run",
			     verb == FAKE_START);
		break;
	case FAKE_UNBIND:
		fake_tsm_set(tsm, tdi, "config_unlocked", false);
		tdi->generation = 0;
		tdi->tvm[0] = '\0';
		break;
	case FAKE_GUEST_REQUEST:
		/* The TVM's acceptance is sealed for the TSM; here this scope stands for it. */
		if (strcmp(json_get_string(p, "scope"), "state_change") != 0)
			break;
		for (size_t i = 0; i < FAKE_TSM_TDIS; i++)
			if (strcmp(tsm->tdis[i].tvm, json_get_string(p, "tvm")) == 0)
				fake_tsm_set(tsm, &tsm->tdis[i], "run", true);
		break;
	default: break;
	}
}

static json_object *query(FakeTsm *tsm)
{
	json_object *o, *tdis = json_object_new_array(), *dsms = json_object_new_array();

	json_append_take(dsms, dsm_status(tsm));
	for (size_t i = 0; i < FAKE_TSM_TDIS; i++)
		json_append_take(tdis, tdi_status(&tsm->tdis[i], i == 0 ? tsm->query_text : NULL));
	cr_assert_eq(json_build(&o, J_STRING("instance", tsm->instance ?: "1"),
				J_TAKE("dsms", dsms), J_TAKE("tdis", tdis),
				J_TAKE("operations", json_object_new_array()),
				J_STRING("stalled", tsm->stalled)),
		     0);
	return o;
}

static int succeed(FakeTsm *tsm, VarlinkCall *call, FakeVerb verb)
{
	json_object *p = varlink_call_parameters(call);

	carry_out(tsm, verb, p);
	switch (verb) {
	case FAKE_CONNECT:
	case FAKE_DISCONNECT: return varlink_call_replyb(call, J_STRING("progress", "done"));
	case FAKE_BIND:
		return varlink_call_replyb(call, J_STRING("progress", "done"),
					   J_STRING("state", tsm->tvm_asks_lock ? "config_unlocked"
										: "config_locked"));
	case FAKE_LOCK:
	case FAKE_START: return varlink_call_replyb(call, J_STRING("progress", "done"));
	case FAKE_UNBIND:
		return varlink_call_replyb(call, J_STRING("progress", "done"),
					   J_BOOL("freed", true),
					   J_STRING("reason", tsm->unbind_reason),
					   J_BOOL("device_confirmed", !tsm->unconfirmed));
	case FAKE_PREPARE: return varlink_call_replyb(call, J_STRING("key_file", tsm->key_file));
	case FAKE_GUEST_REQUEST: return varlink_call_replyb(call, J_STRING("message", "b2s="));
	case FAKE_GET_EVIDENCE: return varlink_call_replyb(call, J_TAKE("evidence", evidence()));
	case FAKE_QUERY: {
		_cleanup_(json_unrefp) json_object *o = query(tsm);

		return varlink_call_reply(call, o);
	}
	default: return varlink_call_reply(call, NULL);
	}
}

static void forget_held(FakeTsm *tsm, size_t i)
{
	VarlinkCall *call = tsm->held[i];

	memmove(&tsm->held[i], &tsm->held[i + 1], (--tsm->n_held - i) * sizeof(tsm->held[0]));
	memmove(&tsm->held_verb[i], &tsm->held_verb[i + 1],
		(tsm->n_held - i) * sizeof(tsm->held_verb[0]));
	memmove(&tsm->held_started[i], &tsm->held_started[i + 1],
		(tsm->n_held - i) * sizeof(tsm->held_started[0]));
	varlink_call_unref(call);
}

static void on_held_gone(VarlinkCall *call, void *userdata)
{
	FakeTsm *tsm = userdata;

	for (size_t i = 0; i < tsm->n_held; i++)
		if (tsm->held[i] == call) {
			forget_held(tsm, i);
			return;
		}
}

static int hold(FakeTsm *tsm, VarlinkCall *call, FakeVerb verb)
{
	cr_assert_lt(tsm->n_held, ELEMENTSOF(tsm->held));
	tsm->held_verb[tsm->n_held] = verb;
	tsm->held_started[tsm->n_held] = tsm->answers[verb] == FAKE_START_HOLD;
	tsm->held[tsm->n_held++] = varlink_call_ref(call);
	varlink_call_on_gone(call, on_held_gone, tsm);
	return 0;
}

void fake_tsm_let_one_go(FakeTsm *tsm)
{
	succeed(tsm, tsm->held[0], tsm->held_verb[0]);
	forget_held(tsm, 0);
}

void fake_tsm_let_go(FakeTsm *tsm)
{
	while (tsm->n_held > 0)
		fake_tsm_let_one_go(tsm);
}

static void refuse_held(FakeTsm *tsm, size_t i, const char *reason)
{
	varlink_call_errorb(tsm->held[i], "Refused", J_STRING("object", "x"),
			    J_STRING("reason", reason));
	forget_held(tsm, i);
}

void fake_tsm_refuse_one(FakeTsm *tsm)
{
	refuse_held(tsm, 0, "not so");
}

static int on_verb(VarlinkCall *call, json_object *parameters, void *userdata)
{
	FakeTsm *tsm = userdata;
	const char *name = strrchr(varlink_call_method(call), '.') + 1;
	const char *operation = json_get_string(parameters, "operation");
	FakeAnswer answer;
	FakeVerb verb = 0;
	bool repeated;

	while (strcmp(verbs[verb], name) != 0)
		verb++;
	tsm->calls[verb]++;
	if (verb == FAKE_UNBIND || verb == FAKE_DISCONNECT)
		tsm->forced = json_get_bool(parameters, "force", false);
	repeated = operation && strcmp(operation, tsm->refused[verb]) == 0;
	if (varlink_call_is_more(call) && tsm->answers[verb] != FAKE_HOLD && !repeated)
		varlink_call_notifyb(call,
				     J_STRING("progress", tsm->answers[verb] == FAKE_QUEUE_HOLD
								  ? "queued"
								  : "started"));
	answer = tsm->answers[verb];
	if (verb == FAKE_PREPARE && tsm->busy) {
		json_object *devices = json_object_new_array();

		json_append_take(devices, json_object_new_string(tsm->busy));
		return varlink_call_errorb(call, "TvmBusy",
					   J_STRING("tvm", json_get_string(parameters, "tvm")),
					   J_TAKE("devices", devices));
	}
	if (repeated)
		answer = FAKE_REFUSE;
	switch (answer) {
	case FAKE_HOLD:
	case FAKE_QUEUE_HOLD:
	case FAKE_START_HOLD: return hold(tsm, call, verb);
	case FAKE_REFUSE:
		snprintf(tsm->refused[verb], sizeof(tsm->refused[verb]), "%s", operation ?: "");
		return verb == FAKE_GUEST_REQUEST
			       ? varlink_call_errorb(call, "GuestMessageRejected",
						     J_STRING("tvm", "x"),
						     J_STRING("reason", "not so"))
			       : varlink_call_errorb(call, "Refused", J_STRING("object", "x"),
						     J_STRING("reason", "not so"));
	case FAKE_BREAK_OFF:
		return varlink_call_errorb(call, "OutcomeUnknown", J_STRING("object", "x"),
					   J_STRING("reason", "it broke off"));
	case FAKE_INVALID: return varlink_call_invalid_parameter(call, "device");
	case FAKE_NOT_DONE: return varlink_call_replyb(call, J_STRING("progress", "queued"));
	default: return succeed(tsm, call, verb);
	}
}

static int on_capabilities(VarlinkCall *call, json_object *parameters, void *userdata)
{
	FakeTsm *tsm = userdata;
	json_object *c;

	cr_assert_eq(json_build(&c, J_STRING("platform", "emulated"),
				J_BOOL("protection", tsm->protection),
				J_STRING("bind_when", tsm->bind_when ?: "guest_ready"),
				J_STRING("lock_by", "host"), J_STRING("start_by", "tvm"),
				J_STRING("state_source", tsm->state_source ?: "tsm"),
				J_STRING("evidence", "shown"), J_INT("concurrency", 1)),
		     0);
	return varlink_call_replyb(call, J_STRING("instance", tsm->instance ?: "1"),
				   J_TAKE("capabilities", c));
}

static json_object *device(const FakeTsm *tsm, const char *address, bool tdi)
{
	json_object *o;

	cr_assert_eq(json_build(&o, J_STRING("device", address),
				J_STRING("dsm", tsm->dsm_text ?: FAKE_TSM_DSM),
				J_BOOL("tee_io", tdi), J_BOOL("is_virtual_function", tdi),
				J_INT("vendor_id", 1), J_INT("device_id", 2),
				J_INT("class_code", 3), J_STRING("driver", tdi ? "vfio-pci" : NULL),
				J_INT_IF(tdi, "iommu_group", 7)),
		     0);
	return o;
}

static int on_devices(VarlinkCall *call, json_object *parameters, void *userdata)
{
	FakeTsm *tsm = userdata;
	json_object *devices = json_object_new_array();

	if (tsm->only_device)
		json_append_take(devices, device(tsm, tsm->only_device, true));
	for (size_t i = FAKE_TSM_TDIS; !tsm->only_device && i-- > 0;)
		json_append_take(devices, device(tsm,
						 i == 0 && tsm->device_text ? tsm->device_text
									    : tsm->tdis[i].device,
						 true));
	if (tsm->plain)
		json_append_take(devices, device(tsm, tsm->plain, false));
	return varlink_call_replyb(call, J_TAKE("devices", devices));
}

static void on_watch_gone(VarlinkCall *call, void *userdata)
{
	FakeTsm *tsm = userdata;

	for (size_t i = 0; i < ELEMENTSOF(tsm->watches); i++)
		if (tsm->watches[i] == call)
			tsm->watches[i] = varlink_call_unref(call);
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	FakeTsm *tsm = userdata;

	for (size_t i = 0; i < ELEMENTSOF(tsm->watches); i++)
		if (!tsm->watches[i]) {
			tsm->watches[i] = varlink_call_ref(call);
			varlink_call_on_gone(call, on_watch_gone, tsm);
			return varlink_call_notifyb(call,
						    J_STRING("instance", tsm->instance ?: "1"),
						    J_INT("sequence", ++tsm->sequence));
		}
	return -ENOBUFS;
}

/* What has not started is refused, and so it is when it is repeated. */
static int on_cancel(VarlinkCall *call, json_object *parameters, void *userdata)
{
	FakeTsm *tsm = userdata;
	const char *operation = json_get_string(parameters, "operation");

	tsm->cancels++;
	snprintf(tsm->cancel, sizeof(tsm->cancel), "%s", operation);
	if (tsm->cancel_fails)
		return -ENOSYS;
	for (size_t i = 0; i < tsm->n_held; i++) {
		VarlinkCall *held = tsm->held[i];
		const char *id = json_get_string(varlink_call_parameters(held), "operation");
		FakeVerb verb = tsm->held_verb[i];

		if (!id || strcmp(id, operation) != 0)
			continue;
		if (tsm->held_started[i])
			return varlink_call_replyb(call, J_BOOL("cancelled", false));
		snprintf(tsm->refused[verb], sizeof(tsm->refused[verb]), "%s", operation);
		refuse_held(tsm, i, "cancelled before it started");
		return varlink_call_replyb(call, J_BOOL("cancelled", true));
	}
	return varlink_call_replyb(call, J_BOOL("cancelled", false));
}

static int on_other(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return -ENOSYS;
}

void fake_tsm_start(FakeTsm *tsm)
{
	VarlinkServerOptions options = { .connections_max = tsm->connections_max };
	char name[64];

	cr_assert_eq(varlink_server_new(&tsm->server, tsm->event, &options), 0);
	cr_assert_eq(varlink_server_add_interface(tsm->server, schema_io_tdid_tsm, NULL), 0);
	for (size_t i = 0; i < FAKE_VERB_N; i++) {
		snprintf(name, sizeof(name), "io.tdid.Tsm.%s", verbs[i]);
		cr_assert_eq(varlink_server_bind(tsm->server, name, 0, on_verb, tsm), 0);
	}
	varlink_server_bind(tsm->server, "io.tdid.Tsm.GetCapabilities", 0, on_capabilities, tsm);
	varlink_server_bind(tsm->server, "io.tdid.Tsm.ListDevices", 0, on_devices, tsm);
	varlink_server_bind(tsm->server, "io.tdid.Tsm.Monitor", VARLINK_MORE_ONLY, on_monitor, tsm);
	varlink_server_bind(tsm->server, "io.tdid.Tsm.Measure", 0, on_other, tsm);
	varlink_server_bind(tsm->server, "io.tdid.Tsm.Cancel", 0, on_cancel, tsm);
	cr_assert_eq(varlink_server_listen(tsm->server, tsm->path, 0600, NULL), 0);
}

void fake_tsm_stop(FakeTsm *tsm)
{
	tsm->server = varlink_server_free(tsm->server);
}

FakeTsm *fake_tsm_new(sd_event *event, const char *path)
{
	FakeTsm *tsm = calloc(1, sizeof(*tsm));

	tsm->event = event;
	tsm->path = path;
	for (size_t i = 0; i < FAKE_TSM_TDIS; i++) {
		snprintf(tsm->tdis[i].device, sizeof(tsm->tdis[i].device), "0000:41:00.%zu", i + 1);
		tsm->tdis[i].state = "config_unlocked";
	}
	fake_tsm_start(tsm);
	return tsm;
}

FakeTsm *fake_tsm_free(FakeTsm *tsm)
{
	fake_tsm_stop(tsm);
	free(tsm);
	return NULL;
}
