/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.QeEmulated: makes things go wrong. Served only if the configuration says where. */
#include "service-private.h"

#include "answer.h"
#include "core/qgs-message.h"
#include "rpc/log.h"

#include <errno.h>

#define DELAY_MAX_MS 600000

static const char interface_text[] =
#include "io.tdid.QeEmulated.inc"
	;

static int on_fail(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t value = json_get_int(parameters, "value", 0);
	int64_t times = json_get_int(parameters, "times", 1);
	Service *service = userdata;
	MishapKind kind;
	int r;

	if (value < 0 || value > UINT32_MAX)
		return varlink_call_invalid_parameter(call, "value");
	if (times < 0)
		return varlink_call_invalid_parameter(call, "times");
	r = mishap_from_name(&kind, json_get_string(parameters, "mishap"));
	if (r < 0)
		return r;
	if (kind == MISHAP_SPLIT && value > DELAY_MAX_MS)
		return varlink_call_invalid_parameter(call, "value");
	service->behaviour.mishap = (Mishap){ kind, (uint32_t)value };
	service->behaviour.times = times ? (uint64_t)times : BEHAVIOUR_ALL;
	return varlink_call_reply(call, NULL);
}

static int on_delay(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t milliseconds = json_get_int(parameters, "milliseconds", 0);
	Service *service = userdata;

	if (milliseconds < 0 || milliseconds > DELAY_MAX_MS)
		return varlink_call_invalid_parameter(call, "milliseconds");
	service->behaviour.delay_ms = (uint32_t)milliseconds;
	return varlink_call_reply(call, NULL);
}

static int on_set_quote_size(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t bytes = json_get_int(parameters, "bytes", 0);
	Service *service = userdata;

	if (bytes != 0 && (bytes < ANSWER_QUOTE_MIN || bytes > ANSWER_QUOTE_MAX))
		return varlink_call_invalid_parameter(call, "bytes");
	service->behaviour.quote_size = (size_t)bytes;
	return varlink_call_reply(call, NULL);
}

static int on_lose_split_requests(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	service->behaviour.lose_split_requests = json_get_bool(parameters, "lose", false);
	return varlink_call_reply(call, NULL);
}

static int on_stop_accepting(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	service->behaviour.stop_accepting = true;
	return varlink_call_reply(call, NULL);
}

static int on_clear(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	Behaviour *behaviour = &service->behaviour;
	uint64_t left = behaviour->times == BEHAVIOUR_ALL ? 0 : behaviour->times;

	*behaviour = (Behaviour){
		.requests = behaviour->requests,
		.answered = behaviour->answered,
		.refused = behaviour->refused,
		.mishaps = behaviour->mishaps,
	};
	listener_resume(service->listener);
	return varlink_call_replyb(call, J_INT("left", (int64_t)left));
}

static int on_get_status(VarlinkCall *call, json_object *parameters, void *userdata)
{
	const Service *service = userdata;
	const Behaviour *behaviour = &service->behaviour;

	return varlink_call_replyb(call, J_INT("connections", (int64_t)service->n_clients),
				   J_INT("requests", (int64_t)behaviour->requests),
				   J_INT("answered", (int64_t)behaviour->answered),
				   J_INT("refused", (int64_t)behaviour->refused),
				   J_INT("mishaps", (int64_t)behaviour->mishaps),
				   J_BOOL("accepting", listener_accepts(service->listener)));
}

static bool on_peer(const struct ucred *peer, void *userdata)
{
	const Service *service = userdata;

	if (settings_uids_have(&service->config->allow_uids, peer->uid))
		return true;
	log_warning("uid %u may not control this service (allow_uids)", (unsigned int)peer->uid);
	return false;
}

int service_control_open(Service *service, char **ret_error)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.QeEmulated.Fail", 0, on_fail },
		{ "io.tdid.QeEmulated.Delay", 0, on_delay },
		{ "io.tdid.QeEmulated.SetQuoteSize", 0, on_set_quote_size },
		{ "io.tdid.QeEmulated.LoseSplitRequests", 0, on_lose_split_requests },
		{ "io.tdid.QeEmulated.StopAccepting", 0, on_stop_accepting },
		{ "io.tdid.QeEmulated.Clear", 0, on_clear },
		{ "io.tdid.QeEmulated.GetStatus", 0, on_get_status },
	};
	const VarlinkServerOptions options = {
		.vendor = "tdid",
		.product = "tdi-qe-emulated",
		.version = TDID_VERSION,
		.allow = on_peer,
		.userdata = service,
	};
	int r;

	r = varlink_server_new(&service->control, service->event, &options);
	if (r == 0)
		r = varlink_server_add_interface(service->control, interface_text, ret_error);
	if (r == 0)
		r = varlink_server_bind_all(service->control, methods, ELEMENTSOF(methods),
					    service);
	/* Open to all by its mode: who may connect is decided by uid. */
	return r < 0 ? r
		     : varlink_server_listen(service->control, service->config->control, 0666,
					     ret_error);
}
