/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connect, Disconnect, Bind, Unbind, Lock, Start: each becomes an operation in the queue of its
 * DSM. Even what is refused takes its turn, so that the refusal is about the state that the verbs
 * before it left.
 */
#include "service-private.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define USEC_PER_MSEC 1000

static const char *verb_name(Verb verb)
{
	static const char *const names[_VERB_MAX] = { "connect", "disconnect", "bind",
						      "unbind",	 "lock",       "start" };

	return names[verb];
}

static uint32_t verb_latency(const ConfigLatencies *latencies, Verb verb)
{
	switch (verb) {
	case VERB_CONNECT: return latencies->connect;
	case VERB_DISCONNECT: return latencies->reclaim;
	case VERB_LOCK:
	case VERB_BIND: return latencies->bind;
	case VERB_START: return 0;
	default: return latencies->unbind;
	}
}

/* How long the verb takes on this device; no time for one that will be refused. */
static uint64_t on_start(void *userdata)
{
	VerbWork *work = userdata;
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;
	uint64_t msec = 0;

	work->fault = verb_faults_take(work->service->faults, work->device, work->verb);
	if (work->fault.kind == VERB_FAULT_HANG)
		return OPERATION_HANGS;
	if (tsm_find_dsm(work->service->tsm, work->device, &config, &refusal) == 0)
		msec = verb_latency(&config->latencies, work->verb);
	if (work->fault.kind == VERB_FAULT_LATE)
		msec += work->fault.milliseconds;
	return msec * USEC_PER_MSEC;
}

static int run_connect(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	char text[DIGEST_STRING_SIZE], name[BDF_STRING_SIZE];
	Digest digest;
	int r;

	if (work->connect.needs_ide) {
		refusal->object = strdup(bdf_format(work->device, name));
		refusal->reason = strdup("the emulated TSM has no link that IDE could protect; ask "
					 "for auto or spdm_only");
		return TSM_REFUSED;
	}
	r = tsm_connect(work->service->tsm, work->device, work->connect.slot, &digest, refusal);
	if (r != 0)
		return r;
	return json_build(ret, J_STRING("progress", "done"),
			  J_STRING("certificate_digest", digest_format(&digest, text)));
}

/* Also what the caller does not know of, because its bind was reported to have failed. */
static int unbind_all(Tsm *tsm, Bdf dsm, TsmRefusal *refusal)
{
	_cleanup_free_ TsmTdiStatus *list = NULL;
	size_t n = 0;
	int r = tsm_query_tdis(tsm, &list, &n);

	for (size_t i = 0; r == 0 && i < n; i++) {
		TsmUnbound unbound;

		if (list[i].bound && bdf_equal(list[i].dsm, dsm))
			r = tsm_unbind(tsm, list[i].device, &unbound, refusal);
	}
	return r;
}

static int run_disconnect(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	int r = 0;

	if (work->disconnect.unbinds)
		r = unbind_all(work->service->tsm, work->device, refusal);
	if (r == 0)
		r = tsm_disconnect(work->service->tsm, work->device, refusal);
	return r != 0 ? r : json_build(ret, J_STRING("progress", "done"));
}

static int run_bind(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	TdispState state;
	int r;

	r = tsm_bind(work->service->tsm, &work->bind, &state, refusal);
	if (r != 0)
		return r;
	return json_build(ret, J_STRING("progress", "done"),
			  J_STRING("state", tdisp_state_name(state)));
}

static int run_carry(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	TdispState state;
	int r;

	r = work->verb == VERB_LOCK ? tsm_lock(work->service->tsm, &work->carry, &state, refusal)
				    : tsm_start(work->service->tsm, &work->carry, &state, refusal);
	if (r != 0)
		return r;
	return json_build(ret, J_STRING("progress", "done"),
			  J_STRING("state", tdisp_state_name(state)));
}

static int run_unbind(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	_cleanup_free_ char *reason = NULL;
	char name[BDF_STRING_SIZE];
	TsmUnbound unbound;
	int r;

	r = tsm_unbind(work->service->tsm, work->device, &unbound, refusal);
	/* Behind the kernel a reset is the host's: this process is no more than the TSM there. */
	if (r == 0 && !unbound.device_confirmed && !work->service->door)
		r = tsm_reset_unbound(work->service->tsm, work->device, &unbound, &reason);
	if (r != 0)
		return r;
	if (reason)
		log_warning("%s: unbind: %s", bdf_format(work->device, name), reason);
	return json_build(ret, J_STRING("progress", "done"), J_BOOL("freed", unbound.freed),
			  J_BOOL("device_confirmed", unbound.device_confirmed),
			  J_STRING("reason", reason),
			  J_STRING("state", tdisp_state_name(unbound.state)));
}

static int run_verb(VerbWork *work, json_object **ret, TsmRefusal *refusal)
{
	static int (*const run[_VERB_MAX])(VerbWork *, json_object **, TsmRefusal *) = {
		[VERB_CONNECT] = run_connect, [VERB_DISCONNECT] = run_disconnect,
		[VERB_BIND] = run_bind,	      [VERB_UNBIND] = run_unbind,
		[VERB_LOCK] = run_carry,      [VERB_START] = run_carry,
	};
	char name[BDF_STRING_SIZE];
	int r;

	bdf_format(work->device, name);
	if (work->fault.kind == VERB_FAULT_REFUSE) {
		refusal->object = strdup(name);
		refusal->reason = strdup("fault injected: refuse");
		return TSM_REFUSED;
	}
	r = run[work->verb](work, ret, refusal);
	if (r != 0 || work->fault.kind != VERB_FAULT_DONE_BUT_FAILED)
		return r;
	*ret = json_unref(*ret);
	refusal->object = strdup(name);
	refusal->reason = strdup("fault injected: done_but_failed");
	return TSM_OUTCOME_UNKNOWN;
}

static void on_run(void *userdata, OperationOutcome *ret)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	VerbWork *work = userdata;
	char name[BDF_STRING_SIZE];
	json_object *reply = NULL;
	int r;

	r = run_verb(work, &reply, &refusal);
	bdf_format(work->device, name);
	if (r == 0) {
		log_info("%s: %s done", name, verb_name(work->verb));
		outcome_reply(ret, reply);
	} else {
		outcome_refused(ret, r, &refusal);
		log_warning("%s: %s: %s: %s", name, verb_name(work->verb),
			    ret->error ?: "no memory",
			    refusal.reason ?: (r < 0 ? strerror(-r) : "no reason is known"));
	}
}

static uint32_t queue_of(Service *service, Bdf device)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;

	/* A device of no DSM has a queue of its own, to be refused in. */
	if (tsm_find_dsm(service->tsm, device, &config, &refusal) == 0)
		device = config->device;
	return bdf_requester_id(device);
}

int service_verb_request(const VerbWork *from, OperationRequest *ret)
{
	VerbWork *work = malloc(sizeof(*work));

	if (!work)
		return -ENOMEM;
	*work = *from;
	*ret = (OperationRequest){
		.verb = verb_name(from->verb),
		.queue = queue_of(from->service, from->device),
		.start = on_start,
		.run = on_run,
		.userdata = work,
		.free = free,
	};
	return 0;
}

static int submit(VarlinkCall *call, json_object *parameters, const VerbWork *from)
{
	char name[BDF_STRING_SIZE];
	OperationRequest request;
	int r;

	bdf_format(from->device, name);
	if (from->service->door)
		return varlink_call_errorb(
			call, "Refused", J_STRING("object", name),
			J_STRING("reason",
				 "this TSM sits behind the kernel (configuration: proxy); "
				 "verbs reach it by way of tdi-tsm-linux"));
	r = service_verb_request(from, &request);
	if (r < 0)
		return r;
	request.id = json_get_string(parameters, "operation");
	request.device = name;
	request.parameters = parameters;
	return answer_submit(from->service->operations, call, &request);
}

/* What hangs before this operation gives way; what became of it nobody knows. */
static void make_way(Service *service, Bdf device, const char *operation)
{
	OperationOutcome outcome = {};
	char name[BDF_STRING_SIZE];

	if (!operations_is_queued(service->operations, operation))
		return;
	outcome_text(&outcome, TSM_OUTCOME_UNKNOWN, bdf_format(device, name),
		     "it hung, and gave way to a verb with force");
	operations_settle(service->operations, queue_of(service, device), &outcome);
}

static int on_connect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .service = userdata, .verb = VERB_CONNECT };
	const char *link = json_get_string(parameters, "link");
	int64_t slot = json_get_int(parameters, "certificate_slot", 0);
	int r;

	r = answer_get_bdf(call, parameters, "dsm", &work.device);
	if (r != 0)
		return r < 0 ? r : 0;
	if (slot < 0 || slot > 7)
		return varlink_call_invalid_parameter(call, "certificate_slot");
	work.connect.slot = (uint8_t)slot;
	work.connect.needs_ide =
		link && (strcmp(link, "selective_ide") == 0 || strcmp(link, "integrated") == 0);
	return submit(call, parameters, &work);
}

static int on_disconnect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .service = userdata, .verb = VERB_DISCONNECT };
	const char *operation = json_get_string(parameters, "operation");
	int r;

	r = answer_get_bdf(call, parameters, "dsm", &work.device);
	if (r != 0)
		return r < 0 ? r : 0;
	r = submit(call, parameters, &work);
	if (r == 0 && json_get_bool(parameters, "force", false))
		make_way(work.service, work.device, operation);
	return r;
}

static uint16_t lock_flags(json_object *flags)
{
	static const struct {
		const char *name;
		uint16_t flag;
	} names[] = {
		{ "no_fw_update", TDISP_LOCK_NO_FW_UPDATE },
		{ "system_cache_line_size", TDISP_LOCK_SYSTEM_CACHE_LINE_SIZE },
		{ "lock_msix", TDISP_LOCK_MSIX },
		{ "bind_p2p", TDISP_LOCK_BIND_P2P },
		{ "all_request_redirect", TDISP_LOCK_ALL_REQUEST_REDIRECT },
	};
	uint16_t all = 0;

	if (!flags)
		return TDISP_LOCK_NO_FW_UPDATE;
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (json_get_bool(flags, names[i].name, false))
			all |= names[i].flag;
	return all;
}

/* Of whom, and in which bind. 0; else it has been answered, or could not be (negative). */
static int read_bind(VarlinkCall *call, json_object *parameters, VerbWork *work, Uuid *ret_tvm,
		     uint64_t *ret_generation)
{
	int64_t generation = json_get_int(parameters, "generation", -1);
	int r = answer_get_bdf(call, parameters, "device", &work->device);

	if (r == 0)
		r = answer_get_uuid(call, parameters, "tvm", ret_tvm);
	if (r == 0 && generation < 0)
		r = varlink_call_invalid_parameter(call, "generation") ?: 1;
	*ret_generation = (uint64_t)generation;
	return r;
}

static int on_bind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .service = userdata, .verb = VERB_BIND };
	int64_t rid = json_get_int(parameters, "guest_requester_id", -1);
	int r = read_bind(call, parameters, &work, &work.bind.tvm, &work.bind.generation);

	if (r != 0)
		return r < 0 ? r : 0;
	if (rid < 0 || rid > UINT32_MAX)
		return varlink_call_invalid_parameter(call, "guest_requester_id");
	work.bind.device = work.device;
	work.bind.guest_rid = (uint32_t)rid;
	work.bind.lock_flags = lock_flags(json_get_object(parameters, "flags"));
	return submit(call, parameters, &work);
}

static int on_carry(VarlinkCall *call, json_object *parameters, Service *service, Verb verb)
{
	VerbWork work = { .service = service, .verb = verb };
	int64_t request = json_get_int(parameters, "request", -1);
	int r = read_bind(call, parameters, &work, &work.carry.tvm, &work.carry.generation);

	if (r != 0)
		return r < 0 ? r : 0;
	if (request < 1)
		return varlink_call_invalid_parameter(call, "request");
	work.carry.device = work.device;
	work.carry.request = (uint64_t)request;
	return submit(call, parameters, &work);
}

static int on_lock(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return on_carry(call, parameters, userdata, VERB_LOCK);
}

static int on_start_call(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return on_carry(call, parameters, userdata, VERB_START);
}

static int on_unbind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .service = userdata, .verb = VERB_UNBIND };
	const char *operation = json_get_string(parameters, "operation");
	int r;

	r = answer_get_bdf(call, parameters, "device", &work.device);
	if (r != 0)
		return r < 0 ? r : 0;
	r = submit(call, parameters, &work);
	if (r == 0 && json_get_bool(parameters, "force", false))
		make_way(work.service, work.device, operation);
	return r;
}

static int on_cancel(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return answer_cancel(service->operations, call, parameters);
}

int service_bind_verbs(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.Connect", 0, on_connect },
		{ "io.tdid.Tsm.Disconnect", 0, on_disconnect },
		{ "io.tdid.Tsm.Bind", 0, on_bind },
		{ "io.tdid.Tsm.Unbind", 0, on_unbind },
		{ "io.tdid.Tsm.Lock", 0, on_lock },
		{ "io.tdid.Tsm.Start", 0, on_start_call },
		{ "io.tdid.Tsm.Cancel", 0, on_cancel },
	};

	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
