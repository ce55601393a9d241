/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls that ask for a verb, and what of them the kernel cannot carry. */
#include "verb-work.h"

#include <errno.h>
#include <string.h>

static int submit(VarlinkCall *call, json_object *parameters, Service *service,
		  const VerbWork *from)
{
	VerbWork *work = malloc(sizeof(*work));

	if (!work)
		return -ENOMEM;
	*work = *from;
	return service_submit_verb(service, call, json_get_string(parameters, "operation"),
				   parameters, work);
}

static int refuse_parameter(VarlinkCall *call, json_object *parameters, const char *device,
			    const char *name, const char *why)
{
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason, "%s: %s", name, why) < 0)
		return -ENOMEM;
	return varlink_call_errorb(call, "Refused",
				   J_STRING("object", json_get_string(parameters, device)),
				   J_STRING("reason", reason));
}

static int on_connect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_CONNECT };
	const char *link = json_get_string(parameters, "link");
	int64_t slot = json_get_int(parameters, "certificate_slot", 0);
	int r;

	r = answer_get_bdf(call, parameters, "dsm", &work.device);
	if (r != 0)
		return r < 0 ? r : 0;
	if (slot < 0 || slot > 7)
		return varlink_call_invalid_parameter(call, "certificate_slot");
	if (link && strcmp(link, "auto") != 0)
		return refuse_parameter(
			call, parameters, "dsm", "link",
			"the kernel and its TSM driver choose the link; ask for auto");
	if (slot != 0)
		return refuse_parameter(call, parameters, "dsm", "certificate_slot",
					"the kernel's tsm/connect takes slot 0 only");
	return submit(call, parameters, userdata, &work);
}

static int on_disconnect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_DISCONNECT };
	int r = answer_get_bdf(call, parameters, "dsm", &work.device);

	if (r != 0)
		return r < 0 ? r : 0;
	return submit(call, parameters, userdata, &work);
}

/* The kernel's bind carries no flags: the TSM locks with its own, of which NO_FW_UPDATE is known.
 */
static bool default_flags(json_object *flags)
{
	return !flags || (json_get_bool(flags, "no_fw_update", false) &&
			  !json_get_bool(flags, "system_cache_line_size", false) &&
			  !json_get_bool(flags, "lock_msix", false) &&
			  !json_get_bool(flags, "bind_p2p", false) &&
			  !json_get_bool(flags, "all_request_redirect", false));
}

static int on_bind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_BIND };
	int64_t rid = json_get_int(parameters, "guest_requester_id", -1);
	int64_t generation = json_get_int(parameters, "generation", -1);
	int r;

	r = answer_get_bdf(call, parameters, "device", &work.device);
	if (r == 0)
		r = answer_get_uuid(call, parameters, "tvm", &work.tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (rid < 0 || rid > UINT32_MAX)
		return varlink_call_invalid_parameter(call, "guest_requester_id");
	if (generation < 0)
		return varlink_call_invalid_parameter(call, "generation");
	if (!default_flags(json_get_object(parameters, "flags")))
		return refuse_parameter(call, parameters, "device", "flags",
					"the kernel's bind carries none but no_fw_update");
	work.guest_rid = (uint32_t)rid;
	work.generation = (uint64_t)generation;
	return submit(call, parameters, userdata, &work);
}

/* The kernel's unbind always completes; `force` is for what it knows nothing of. */
static int on_unbind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_UNBIND,
			  .force = json_get_bool(parameters, "force", false) };
	int r = answer_get_bdf(call, parameters, "device", &work.device);

	if (r != 0)
		return r < 0 ? r : 0;
	return submit(call, parameters, userdata, &work);
}

/* Neither is the host's to ask of the kernel. */
static int on_carry(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return varlink_call_errorb(call, "Refused",
				   J_STRING("object", json_get_string(parameters, "device")),
				   J_STRING("reason", "the kernel carries no LOCK or START for a "
						      "TVM: its bind locks, and the TVM starts by "
						      "itself"),
				   J_STRING("operation", json_get_string(parameters, "operation")));
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
		{ "io.tdid.Tsm.Lock", 0, on_carry },
		{ "io.tdid.Tsm.Start", 0, on_carry },
		{ "io.tdid.Tsm.Cancel", 0, on_cancel },
	};

	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
