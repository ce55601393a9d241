/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.TsmEmulated: makes things go wrong. Served only if the configuration says so. */
#include "service-private.h"

#include "device-interface.h"

#include <errno.h>
#include <string.h>

static const char interface_text[] =
#include "io.tdid.TsmEmulated.inc"
	;

/* The index of `word` in a list that is in the order of its enumeration. */
static int word_index(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (words[i] && strcmp(words[i], word) == 0)
			return (int)i;
	return -EINVAL;
}

/* The device, if it is one that can be a TDI; else the call is answered. */
static int get_target(VarlinkCall *call, json_object *parameters, Service *service, Bdf *ret)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;
	int r;

	r = answer_get_bdf(call, parameters, "device", ret);
	if (r != 0)
		return r;
	r = tsm_find_dsm(service->tsm, *ret, &config, &refusal);
	if (r == 0)
		return 0;
	r = answer_refused(call, r, &refusal);
	return r < 0 ? r : 1;
}

static int on_fail_verb(VarlinkCall *call, json_object *parameters, void *userdata)
{
	static const char *const verbs[] = { "connect", "disconnect", "bind",
					     "unbind",	"lock",	      "start" };
	static const char *const faults[] = { NULL, "refuse", "hang", "late", "done_but_failed" };
	int64_t milliseconds = json_get_int(parameters, "milliseconds", 0);
	int64_t times = json_get_int(parameters, "times", 1);
	Service *service = userdata;
	VerbFault fault;
	int r, verb;
	Bdf device;

	r = get_target(call, parameters, service, &device);
	if (r != 0)
		return r < 0 ? r : 0;
	if (milliseconds < 0 || milliseconds > CONFIG_MAX_LATENCY_MS)
		return varlink_call_invalid_parameter(call, "milliseconds");
	if (times < 0 || times > UINT32_MAX)
		return varlink_call_invalid_parameter(call, "times");
	verb = word_index(verbs, ELEMENTSOF(verbs), json_get_string(parameters, "verb"));
	r = word_index(faults, ELEMENTSOF(faults), json_get_string(parameters, "fault"));
	if (verb < 0 || r < 0)
		return -EINVAL;
	fault = (VerbFault){ (VerbFaultKind)r, (uint32_t)milliseconds };
	r = verb_faults_set(service->faults, device, (Verb)verb, fault, (uint32_t)times);
	return r < 0 ? r : varlink_call_reply(call, NULL);
}

static int on_fail_device(VarlinkCall *call, json_object *parameters, void *userdata)
{
	static const char *const words[] = { "wrong_nonce", "malformed_report", "wrong_report",
					     "no_stop",	    "no_reset",		"stuck" };
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	json_object *list = json_get_array(parameters, "faults");
	Service *service = userdata;
	unsigned int faults = 0;
	Bdf device;
	int r;

	r = get_target(call, parameters, service, &device);
	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		/* The words are in the order of the bits DEVICE_FAULT_*. */
		r = word_index(words, ELEMENTSOF(words),
			       json_object_get_string(json_object_array_get_idx(list, i)));
		if (r < 0)
			return r;
		faults |= 1U << r;
	}
	r = tsm_set_device_faults(service->tsm, device, faults, &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_reply(call, NULL);
}

static int on_reset_function(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;
	Service *service = userdata;
	Bdf device;
	int r;

	r = get_target(call, parameters, service, &device);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tsm_find_dsm(service->tsm, device, &config, &refusal);
	if (r == 0 && bdf_equal(config->device, device))
		r = tsm_lose_session(service->tsm, device, "reset of the physical function",
				     &refusal);
	else if (r == 0)
		r = tsm_reset_virtual(service->tsm, device, "function level reset", &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_reply(call, NULL);
}

static int on_violate(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	Service *service = userdata;
	Bdf device;
	int r;

	r = get_target(call, parameters, service, &device);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tsm_violate(service->tsm, device, "security violation", &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_reply(call, NULL);
}

static int on_clear(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	int64_t left = (int64_t)verb_faults_clear(service->faults);

	operations_resume(service->operations, 0, true);
	return varlink_call_replyb(call, J_INT("left", left));
}

int service_bind_faults(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.TsmEmulated.FailVerb", 0, on_fail_verb },
		{ "io.tdid.TsmEmulated.FailDevice", 0, on_fail_device },
		{ "io.tdid.TsmEmulated.ResetFunction", 0, on_reset_function },
		{ "io.tdid.TsmEmulated.Violate", 0, on_violate },
		{ "io.tdid.TsmEmulated.Clear", 0, on_clear },
	};
	int r;

	r = varlink_server_add_interface(service->server, interface_text, NULL);
	if (r < 0)
		return r;
	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
