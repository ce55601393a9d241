/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/verb-message.h"

#include "daemon/provider.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *verb_name(Verb verb)
{
	static const char *const names[VERB_N] = {
		[VERB_CONNECT] = "device_connect", [VERB_RECLAIM] = "device_reclaim",
		[VERB_BIND] = "tdi_bind",	   [VERB_UNBIND] = "tdi_unbind",
		[VERB_CLEAR] = "tdi_unbind",	   [VERB_LOCK] = "tdi_lock",
		[VERB_START] = "tdi_start",
	};

	return verb < VERB_N ? names[verb] : "?";
}

Bdf operation_object(const OperationRequest *request)
{
	return request->tdi	     ? request->tdi->bdf
	       : request->assignment ? request->assignment->tdi->bdf
				     : request->dsm->bdf;
}

const char *verb_message_method(Verb verb)
{
	static const char *const methods[VERB_N] = {
		[VERB_CONNECT] = "io.tdid.Tsm.Connect", [VERB_RECLAIM] = "io.tdid.Tsm.Disconnect",
		[VERB_BIND] = "io.tdid.Tsm.Bind",	[VERB_UNBIND] = "io.tdid.Tsm.Unbind",
		[VERB_CLEAR] = "io.tdid.Tsm.Unbind",	[VERB_LOCK] = "io.tdid.Tsm.Lock",
		[VERB_START] = "io.tdid.Tsm.Start",
	};

	return methods[verb];
}

bool verb_message_has_force(const OperationRequest *request)
{
	return request->verb == VERB_CLEAR || request->force;
}

void verb_message_id(char ret[static VERB_MESSAGE_ID_SIZE], const OperationRequest *request,
		     unsigned int refusals)
{
	if (refusals == 0)
		snprintf(ret, VERB_MESSAGE_ID_SIZE, "%016" PRIx64, request->number);
	else
		snprintf(ret, VERB_MESSAGE_ID_SIZE, "%016" PRIx64 "-%u", request->number, refusals);
}

int verb_message_build(const OperationRequest *request, unsigned int refusals, json_object **ret)
{
	char number[VERB_MESSAGE_ID_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE],
		uuid[UUID_STRING_SIZE];
	const Assignment *a = request->assignment;

	verb_message_id(number, request, refusals);
	bdf_format(request->dsm->bdf, dsm);
	bdf_format(operation_object(request), device);
	switch (request->verb) {
	case VERB_CONNECT:
	case VERB_RECLAIM:
		return json_build(ret, J_STRING("operation", number), J_STRING("dsm", dsm),
				  J_BOOL_IF(verb_message_has_force(request), "force", true));
	case VERB_BIND:
		uuid_format(a->tvm->uuid, uuid);
		return json_build(ret, J_STRING("operation", number), J_STRING("tvm", uuid),
				  J_STRING("device", device),
				  J_INT("guest_requester_id", bdf_requester_id(a->guest)),
				  J_INT("generation", (int64_t)request->generation));
	case VERB_LOCK:
	case VERB_START:
		uuid_format(a->tvm->uuid, uuid);
		return json_build(ret, J_STRING("operation", number), J_STRING("tvm", uuid),
				  J_STRING("device", device),
				  J_INT("generation", (int64_t)request->generation),
				  J_INT("request", (int64_t)request->request));
	case VERB_UNBIND:
	case VERB_CLEAR:
		return json_build(ret, J_STRING("operation", number), J_STRING("device", device),
				  J_BOOL_IF(verb_message_has_force(request), "force", true));
	default: return -EINVAL;
	}
}

bool verb_message_is_refusal(const char *error)
{
	static const char *const refusals[] = { "UnknownDevice", "NotTeeIo",	 "UnknownTvm",
						"DeviceBusy",	 "InvalidState", "Refused" };

	/* The provider's varlink service itself: the verb has not been reached. */
	if (strncmp(error, "org.varlink.service.", strlen("org.varlink.service.")) == 0)
		return true;
	for (size_t i = 0; i < ELEMENTSOF(refusals); i++)
		if (strcmp(error, refusals[i]) == 0)
			return true;
	return false;
}

bool verb_message_confirms(const OperationRequest *request, json_object *p, char **ret_reason)
{
	bool confirmed =
		json_get_bool(p, "freed", false) && json_get_bool(p, "device_confirmed", false);
	const char *why = json_get_string(p, "reason");
	char object[BDF_STRING_SIZE];

	if (!confirmed && asprintf(ret_reason, "the device has not confirmed STOP%s%s",
				   why ? ": " : "", why ?: "") < 0)
		*ret_reason = NULL;
	if (confirmed && why)
		log_info("%s %s: tsm %s: %s", verb_name(request->verb),
			 bdf_format(operation_object(request), object),
			 provider_title(request->dsm->provider), why);
	return confirmed;
}
