/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TVMs and evidence: what the TSM does behind the kernel, and the companion is asked for. */
#include "service-private.h"
#include "verb-work.h"

#include <errno.h>

#define PREPARE_TIMEOUT_USEC  (10 * UINT64_C(1000000))
#define EVIDENCE_TIMEOUT_USEC (60 * UINT64_C(1000000))

static int on_prepare_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	Uuid tvm;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (service->companion)
		return companion_forward(service->companion, call,
					 json_get_string(parameters, "tvm"), PREPARE_TIMEOUT_USEC);
	/* The VMM and the firmware make the TVM's keys. */
	return varlink_call_reply(call, NULL);
}

/* Recorded binds, and those that are asked for. */
static int add_busy(TsmRefusal *refusal, Bdf device)
{
	Bdf *more;

	for (size_t i = 0; i < refusal->n_devices; i++)
		if (bdf_equal(refusal->devices[i], device))
			return 0;
	more = reallocarray(refusal->devices, refusal->n_devices + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	refusal->devices = more;
	more[refusal->n_devices++] = device;
	return 0;
}

static int answer_release(Service *service, VarlinkCall *call)
{
	const char *tvm = json_get_string(varlink_call_parameters(call), "tvm");
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = { .has_tvm = true };
	int r = uuid_from_string(&refusal.tvm, tvm);

	for (size_t i = 0; r == 0 && i < bindings_count(service->bindings); i++) {
		const Binding *b = bindings_at(service->bindings, i);

		if (uuid_equal(b->tvm, refusal.tvm))
			r = add_busy(&refusal, b->device);
	}
	for (const VerbWork *w = service->works; r == 0 && w; w = w->next)
		if (w->verb == KERNEL_BIND && uuid_equal(w->tvm, refusal.tvm))
			r = add_busy(&refusal, w->device);
	if (r < 0)
		return r;
	if (refusal.n_devices)
		return answer_refused(call, TSM_TVM_BUSY, &refusal);
	if (service->companion)
		return companion_forward(service->companion, call, tvm, PREPARE_TIMEOUT_USEC);
	return varlink_call_reply(call, NULL);
}

/* After a look, so that binds that have ended by themselves are not in the way. */
static int on_release_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Uuid tvm;
	int r = answer_get_uuid(call, parameters, "tvm", &tvm);

	if (r != 0)
		return r < 0 ? r : 0;
	return service_hold(userdata, call, answer_release);
}

/* GetEvidence and Measure. */
static int on_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *device = json_get_string(parameters, "device");
	Bdf bdf;
	int r;

	r = answer_get_bdf(call, parameters, "device", &bdf);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!service->companion)
		return varlink_call_errorb(
			call, "Refused", J_STRING("object", device),
			J_STRING("reason",
				 "the kernel shows a device's evidence to the host on no platform "
				 "yet; the TVM gets it from its TSM"));
	return companion_forward(service->companion, call, device, EVIDENCE_TIMEOUT_USEC);
}

int service_bind_tvms(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.PrepareTvm", 0, on_prepare_tvm },
		{ "io.tdid.Tsm.ReleaseTvm", 0, on_release_tvm },
		{ "io.tdid.Tsm.GetEvidence", 0, on_evidence },
		{ "io.tdid.Tsm.Measure", 0, on_evidence },
	};

	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
