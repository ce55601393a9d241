/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/answer.h"

#include "core/cleanup.h"
#include "rpc/varlink.h"

#include <errno.h>
#include <string.h>

static json_object *text_of_bdfs(const Bdf *list, size_t n)
{
	json_object *array = json_object_new_array();
	char name[BDF_STRING_SIZE];

	for (size_t i = 0; array && i < n; i++)
		json_append_string(array, bdf_format(list[i], name));
	return array;
}

static const struct {
	const char *name;
	const char *object; /* member that has the refusal's object */
	bool tvm, reason, state, devices;
} errors[] = {
	[TSM_UNKNOWN_DEVICE] = { "UnknownDevice", "device" },
	[TSM_NOT_TEE_IO] = { "NotTeeIo", "device", .reason = true },
	[TSM_UNKNOWN_TVM] = { "UnknownTvm", .tvm = true },
	[TSM_TVM_BUSY] = { "TvmBusy", .tvm = true, .devices = true },
	[TSM_DEVICE_BUSY] = { "DeviceBusy", "device", .tvm = true, .reason = true },
	[TSM_INVALID_STATE] = { "InvalidState", "device", .reason = true, .state = true },
	[TSM_REFUSED] = { "Refused", "object", .reason = true },
	[TSM_OUTCOME_UNKNOWN] = { "OutcomeUnknown", "object", .reason = true },
	[TSM_GUEST_MESSAGE_REJECTED] = { "GuestMessageRejected", .tvm = true, .reason = true },
};

void outcome_refused(OperationOutcome *ret, int result, const TsmRefusal *refusal)
{
	const char *reason = refusal->reason ?: "no reason is known";
	char tvm[UUID_STRING_SIZE];
	json_object *devices;

	if (result < 0) {
		ret->error = strdup(VARLINK_ERROR_INTERNAL);
		json_build(&ret->parameters,
			   J_STRING("message", refusal->reason ?: strerror(-result)));
		return;
	}
	uuid_format(refusal->tvm, tvm);
	devices =
		errors[result].devices ? text_of_bdfs(refusal->devices, refusal->n_devices) : NULL;
	ret->error = strdup(errors[result].name);
	json_build(&ret->parameters,
		   J_STRING(errors[result].object ?: "object",
			    errors[result].object ? refusal->object : NULL),
		   J_STRING("tvm", errors[result].tvm && refusal->has_tvm ? tvm : NULL),
		   J_STRING("state", errors[result].state ? refusal->state : NULL),
		   J_STRING("reason", errors[result].reason ? reason : NULL),
		   J_TAKE("devices", devices));
}

void outcome_text(OperationOutcome *ret, TsmOutcome outcome, const char *object, const char *reason)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {
		.object = strdup(object),
		.reason = strdup(reason),
	};

	outcome_refused(ret, outcome, &refusal);
}

void outcome_reply(OperationOutcome *ret, json_object *parameters)
{
	if (!parameters)
		outcome_refused(ret, -ENOMEM, &(TsmRefusal){});
	ret->parameters = parameters ?: ret->parameters;
}

int outcome_result(const OperationOutcome *outcome)
{
	if (!outcome->error)
		return 0;
	for (size_t i = 1; i < ELEMENTSOF(errors); i++)
		if (strcmp(errors[i].name, outcome->error) == 0)
			return (int)i;
	return -EIO;
}

int answer_outcome(VarlinkCall *call, const OperationOutcome *outcome)
{
	if (outcome->error)
		return varlink_call_error(call, outcome->error, outcome->parameters);
	return varlink_call_reply(call, outcome->parameters);
}

int answer_refused(VarlinkCall *call, int result, const TsmRefusal *refusal)
{
	OperationOutcome outcome = {};
	int r;

	outcome_refused(&outcome, result, refusal);
	r = answer_outcome(call, &outcome);
	operation_outcome_done(&outcome);
	return r;
}

int answer_get_bdf(VarlinkCall *call, json_object *parameters, const char *name, Bdf *ret)
{
	if (bdf_parse(ret, json_get_string(parameters, name)) == 0)
		return 0;
	return varlink_call_invalid_parameter(call, name) < 0 ? -ECONNRESET : 1;
}

int answer_get_uuid(VarlinkCall *call, json_object *parameters, const char *name, Uuid *ret)
{
	if (uuid_from_string(ret, json_get_string(parameters, name)) == 0)
		return 0;
	return varlink_call_invalid_parameter(call, name) < 0 ? -ECONNRESET : 1;
}

static void on_caller_gone(VarlinkCall *call, void *userdata)
{
	Operations *operations = userdata;

	operations_unwatch(operations, call);
	varlink_call_unref(call);
}

/* Whose it is. Errors that are not of io.tdid.Tsm have no place for that. */
static void name_operation(const VarlinkCall *call, const OperationOutcome *outcome)
{
	const char *operation = json_get_string(varlink_call_parameters(call), "operation");

	if (operation && !(outcome->error && strchr(outcome->error, '.')))
		json_add_string(outcome->parameters, "operation", operation);
}

static void on_progress(void *watcher, OperationProgress progress, const OperationOutcome *outcome)
{
	VarlinkCall *call = watcher;

	if (progress != OPERATION_DONE) {
		/* Of the methods here, those that have `progress` are those that have an id. */
		if (varlink_call_is_more(call))
			varlink_call_notifyb(
				call,
				J_STRING("operation", json_get_string(varlink_call_parameters(call),
								      "operation")),
				J_STRING("progress", operation_progress_name(progress)));
		return;
	}
	varlink_call_on_gone(call, NULL, NULL);
	name_operation(call, outcome);
	answer_outcome(call, outcome);
	varlink_call_unref(call);
}

/* Methods without progress: what is not the outcome is not told. */
static void on_outcome(void *watcher, OperationProgress progress, const OperationOutcome *outcome)
{
	if (progress == OPERATION_DONE)
		on_progress(watcher, progress, outcome);
}

int answer_submit(Operations *operations, VarlinkCall *call, const OperationRequest *request)
{
	int r;

	varlink_call_ref(call);
	varlink_call_on_gone(call, on_caller_gone, operations);
	r = operations_submit(operations, request, request->id ? on_progress : on_outcome, call);
	if (r >= 0)
		return 0;
	varlink_call_on_gone(call, NULL, NULL);
	if (r == -EEXIST)
		r = varlink_call_errorb(call, "Refused", J_STRING("object", request->id),
					J_STRING("reason", "this operation id was used for another "
							   "call"));
	else if (r == -ENOBUFS)
		r = varlink_call_errorb(call, "Refused",
					J_STRING("object", request->id ?: request->device),
					J_STRING("reason", "too many operations are under way"));
	else if (r == -EINVAL)
		r = varlink_call_invalid_parameter(call, "operation");
	varlink_call_unref(call);
	return r;
}

int answer_operations(Operations *operations, json_object *array)
{
	OperationStatus s;
	int r = 0;

	for (size_t i = 0; r == 0 && operations_at(operations, i, &s) == 0; i++) {
		json_object *object = NULL;

		r = json_build(&object, J_STRING("operation", s.id), J_STRING("verb", s.verb),
			       J_STRING("device", s.device),
			       J_STRING("progress", operation_progress_name(s.progress)));
		if (r == 0)
			r = json_append_take(array, object);
	}
	return r;
}

int answer_cancel(Operations *operations, VarlinkCall *call, json_object *parameters)
{
	const char *operation = json_get_string(parameters, "operation");
	OperationOutcome outcome = {};
	bool cancelled;
	int r;

	if (!*operation || strlen(operation) > OPERATION_ID_MAX)
		return varlink_call_invalid_parameter(call, "operation");
	outcome_text(&outcome, TSM_REFUSED, operation, "cancelled before it started");
	r = operations_cancel(operations, operation, &outcome, &cancelled);
	if (r < 0)
		return r;
	return varlink_call_replyb(call, J_BOOL("cancelled", cancelled));
}
