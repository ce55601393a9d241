/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GuestRequest. A TVM's message goes the way that it will go on real hosts: through the kernel, by
 * way of a function that is bound to the TVM. Which one makes no difference, since the message is
 * sealed and names its TDI inside. Before anything is bound there is no such way, and the companion
 * takes it.
 */
#include "verb-work.h"

#include "core/guest-message.h"
#include "rpc/base64.h"
#include "rpc/varlink.h"

#include <errno.h>
#include <string.h>

#define FORWARD_TIMEOUT_USEC (60 * UINT64_C(1000000))

static void malformed(VerbWork *work)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};

	tsm_refuse_device(&refusal, TSM_OUTCOME_UNKNOWN, work->device,
			  "the TSM's answer to a message of the TVM is malformed");
	outcome_refused(&work->outcome, TSM_OUTCOME_UNKNOWN, &refusal);
}

void service_guest_outcome(VerbWork *work, const KernelReport *report)
{
	_cleanup_(json_unrefp) json_object *reply = NULL;
	const char *error;

	if (json_parse_limited(&reply, (const char *)report->reply, report->reply_size,
			       TSM_PROXY_PAYLOAD_MAX, NULL) < 0) {
		malformed(work);
		return;
	}
	error = json_get_string(reply, "error");
	if (!error && !json_get_string(reply, "message")) {
		malformed(work);
		return;
	}
	/* What does not fit the interface is caught when it is answered. */
	if (error) {
		work->outcome.error = strdup(error);
		work->outcome.parameters = json_object_get(json_get_object(reply, "parameters"));
	} else {
		outcome_reply(&work->outcome, steal_ptr(reply));
	}
}

static const Binding *any_binding(const Service *service, Uuid tvm)
{
	for (size_t i = 0; i < bindings_count(service->bindings); i++) {
		const Binding *b = bindings_at(service->bindings, i);
		const KernelFunction *k = view_kernel(&service->view, b->device);

		if (uuid_equal(b->tvm, tvm) && k && k->bound[0])
			return b;
	}
	return NULL;
}

static int on_guest_request(VarlinkCall *call, json_object *parameters, void *userdata)
{
	bool info = strcmp(json_get_string(parameters, "scope"), "info") == 0;
	const char *tvm = json_get_string(parameters, "tvm");
	_cleanup_(verb_work_freep) VerbWork *work = calloc(1, sizeof(*work));
	Service *service = userdata;
	const Binding *b;
	int r;

	if (!work)
		return -ENOMEM;
	work->vm = QEMU_VM_NONE;
	work->verb = KERNEL_GUEST_REQUEST;
	work->state_change = !info;
	r = answer_get_uuid(call, parameters, "tvm", &work->tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (base64_decode(&work->message, &work->message_size,
			  json_get_string(parameters, "message"), GUEST_MESSAGE_MAX_SIZE) < 0)
		return varlink_call_invalid_parameter(call, "message");
	b = any_binding(service, work->tvm);
	if (b && service_binder(service) == KERNEL_BINDER_PROXY) {
		work->device = b->device;
		return service_submit_verb(service, call, NULL, parameters, steal_ptr(work));
	}
	if (service->companion)
		return companion_forward(service->companion, call, tvm, FORWARD_TIMEOUT_USEC);
	return varlink_call_errorb(
		call, "Refused", J_STRING("object", tvm),
		J_STRING("reason",
			 "no function is bound to this TVM through which the kernel would "
			 "carry its message"));
}

int service_bind_guest(Service *service)
{
	return varlink_server_bind(service->server, "io.tdid.Tsm.GuestRequest", 0, on_guest_request,
				   service);
}
