/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GuestRequest and Measure. They have no operation id: a TVM's request is repeated by its sealed
 * bytes, and measuring twice is measuring twice. They wait for their DSM all the same.
 */
#include "service-private.h"

#include "core/guest-message.h"
#include "rpc/base64.h"

#include <errno.h>
#include <string.h>

#define USEC_PER_MSEC 1000

typedef struct GuestWork {
	Service *service;
	TsmGuestWork *work;
} GuestWork;

typedef struct MeasureWork {
	Service *service;
	Bdf device;
	uint8_t nonce[32];
} MeasureWork;

static uint64_t measure_usec(Service *service, Bdf device)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;

	if (tsm_find_dsm(service->tsm, device, &config, &refusal) != 0)
		return 0;
	return (uint64_t)config->latencies.measure * USEC_PER_MSEC;
}

static json_object *reply_json(const TsmGuestReply *reply)
{
	_cleanup_free_ char *message = NULL;
	json_object *object = NULL, *evidence = NULL;

	if (base64_encode(&message, reply->message.data, reply->message.size) < 0)
		return NULL;
	if (reply->has_evidence) {
		evidence = service_evidence_json(&reply->evidence);
		if (!evidence)
			return NULL;
	}
	json_build(&object, J_STRING("message", message), J_TAKE("evidence", evidence));
	return object;
}

static uint64_t guest_start(void *userdata)
{
	GuestWork *work = userdata;

	if (!tsm_guest_work_measures(work->work))
		return 0;
	return measure_usec(work->service, tsm_guest_work_dsm(work->work));
}

static void guest_run(void *userdata, OperationOutcome *ret)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	GuestWork *work = userdata;
	int r;

	r = tsm_guest_perform(work->service->tsm, work->work, &reply, &refusal);
	if (r == 0)
		outcome_reply(ret, reply_json(&reply));
	else
		outcome_refused(ret, r, &refusal);
}

static void guest_free(void *userdata)
{
	GuestWork *work = userdata;

	tsm_guest_work_free(work->work);
	free(work);
}

int service_guest_request(Service *service, Uuid tvm, TsmScope scope, const void *message,
			  size_t size, OperationRequest *ret, OperationOutcome *ret_outcome)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	TsmGuestWork *work;
	GuestWork *guest;
	int r;

	r = tsm_guest_receive(service->tsm, tvm, scope, message, size, &work, &reply, &refusal);
	if (r != 0) {
		outcome_refused(ret_outcome, r, &refusal);
		return 0;
	}
	if (!work) {
		outcome_reply(ret_outcome, reply_json(&reply));
		return 0;
	}
	guest = calloc(1, sizeof(*guest));
	if (!guest) {
		tsm_guest_work_free(work);
		return -ENOMEM;
	}
	guest->service = service;
	guest->work = work;
	*ret = (OperationRequest){
		.verb = "guest_request",
		.queue = bdf_requester_id(tsm_guest_work_dsm(work)),
		.start = guest_start,
		.run = guest_run,
		.userdata = guest,
		.free = guest_free,
	};
	return 1;
}

static int on_guest_request(VarlinkCall *call, json_object *parameters, void *userdata)
{
	bool info = strcmp(json_get_string(parameters, "scope"), "info") == 0;
	_cleanup_free_ uint8_t *message = NULL;
	OperationOutcome outcome = {};
	OperationRequest request;
	Service *service = userdata;
	char name[BDF_STRING_SIZE];
	size_t size;
	Uuid tvm;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (base64_decode(&message, &size, json_get_string(parameters, "message"),
			  GUEST_MESSAGE_MAX_SIZE) < 0)
		return varlink_call_invalid_parameter(call, "message");
	r = service_guest_request(service, tvm, info ? TSM_SCOPE_INFO : TSM_SCOPE_STATE_CHANGE,
				  message, size, &request, &outcome);
	if (r < 0)
		return r;
	if (r > 0) {
		request.device = bdf_format(bdf_from_requester_id(request.queue), name);
		return answer_submit(service->operations, call, &request);
	}
	r = answer_outcome(call, &outcome);
	operation_outcome_done(&outcome);
	return r;
}

static uint64_t measure_start(void *userdata)
{
	MeasureWork *work = userdata;

	return measure_usec(work->service, work->device);
}

static void measure_run(void *userdata, OperationOutcome *ret)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_(tsm_evidence_done) TsmEvidence evidence = {};
	json_object *object = NULL, *blobs;
	MeasureWork *work = userdata;
	uint64_t sequence;
	int r;

	r = tsm_measure(work->service->tsm, work->device, work->nonce, &sequence, &evidence,
			&refusal);
	if (r != 0) {
		outcome_refused(ret, r, &refusal);
		return;
	}
	blobs = service_evidence_json(&evidence);
	if (blobs)
		json_build(&object, J_INT("measurements_sequence", (int64_t)sequence),
			   J_TAKE("evidence", blobs));
	outcome_reply(ret, object);
}

static int on_measure(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_free_ MeasureWork *work = calloc(1, sizeof(*work));
	const ConfigDevice *config;
	Service *service = userdata;
	char name[BDF_STRING_SIZE];
	int r;

	if (!work)
		return -ENOMEM;
	work->service = service;
	r = answer_get_bdf(call, parameters, "device", &work->device);
	if (r != 0)
		return r < 0 ? r : 0;
	if (hex_decode(work->nonce, sizeof(work->nonce), json_get_string(parameters, "nonce")) < 0)
		return varlink_call_invalid_parameter(call, "nonce");
	r = tsm_find_dsm(service->tsm, work->device, &config, &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	bdf_format(work->device, name);
	return answer_submit(service->operations, call,
			     &(OperationRequest){
				     .verb = "measure",
				     .device = name,
				     .queue = bdf_requester_id(config->device),
				     .start = measure_start,
				     .run = measure_run,
				     .userdata = steal_ptr(work),
				     .free = free,
			     });
}

int service_bind_guest(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.GuestRequest", 0, on_guest_request },
		{ "io.tdid.Tsm.Measure", 0, on_measure },
	};

	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
