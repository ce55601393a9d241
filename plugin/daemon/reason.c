/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/reason.h"

#include "daemon/bounded-text.h"
#include "daemon/tdid.h"

#include <string.h>

#define REASON_MAX 1024 /* bytes; a guest or a provider may have more to say */

static const char *fault_text(EngineFault fault)
{
	switch (fault) {
	case FAULT_CONNECT: return "device_connect failed";
	case FAULT_BIND: return "tdi_bind failed";
	case FAULT_NOT_READY:
		return "the guest did not get ready for it in time (does tdi-agent run in the TVM, "
		       "and "
		       "is the guest port open?)";
	case FAULT_NO_VERDICT:
		return "the guest did not validate it in time (does tdi-agent run in the TVM?)";
	case FAULT_REJECTED: return "the guest rejected it";
	case FAULT_ERROR: return "the TDI went to ERROR";
	case FAULT_UNLOCKED: return "the TDI fell back to CONFIG_UNLOCKED";
	case FAULT_VOIDED: return "the TSM does not hold its bind any more";
	case FAULT_FOREIGN:
		return "it is another TVM's, or quarantined, or no TSM serves it as a TDI";
	case FAULT_UNBIND: return "tdi_unbind failed: what the TSM holds of it is not known";
	case FAULT_REQUEST:
		return "what came of the LOCK or START that its TVM asked for is not known";
	case FAULT_UNACCOUNTED: return "the TDI is in RUN without an acceptance of this bind";
	default: return NULL;
	}
}

void reason_of_assignment(Assignment *a, const EngineAssignment *e, const char *reason)
{
	const char *text = e->fault == FAULT_NONE ? NULL : reason ?: a->reason;
	char *copy = NULL;

	if (e->fault != FAULT_NONE && !text)
		text = fault_text(e->fault);
	if (text) {
		copy = bounded_text(text, REASON_MAX);
		if (!copy)
			return;
	}
	free(a->reason);
	a->reason = copy;
}

void reason_of_tdi(Tdi *tdi, TdiState state, const char *reason)
{
	if (state == TDI_CLEARING)
		return;
	free(tdi->reason);
	tdi->reason = state != TDI_KNOWN && reason ? bounded_text(reason, REASON_MAX) : NULL;
}

void reason_of_dsm(Dsm *dsm, const char *reason)
{
	free(dsm->reason);
	dsm->reason = reason ? bounded_text(reason, REASON_MAX) : NULL;
}

/* One that nobody serves any more has never been sent; it may be given up all the same. */
static const char *title_of(const OperationRequest *request)
{
	return request->dsm->provider ? provider_title(request->dsm->provider) : "none";
}

/* A refused reclaim leaves a DSM that was in quarantine there. */
static bool is_session_unknown(const OperationRequest *request, const OperationResult *result)
{
	const EngineDsm *e = engine_dsm(request->dsm->tdid->engine, request->dsm->id);

	return result->outcome == OUTCOME_UNKNOWN ||
	       (result->outcome == OUTCOME_REFUSED && request->verb == VERB_RECLAIM && e &&
		e->doubtful);
}

/* Of one that was to be bound, so not by us. */
static bool is_held_by_others(const OperationRequest *request, const OperationResult *result)
{
	const Provider *provider = request->dsm->provider;
	const ProviderDevice *device =
		provider ? provider_view_device(provider_view(provider), operation_object(request))
			 : NULL;

	return request->verb == VERB_BIND && result->outcome == OUTCOME_REFUSED && device &&
	       device->bound;
}

char *reason_of_operation(const OperationRequest *request, const OperationResult *result)
{
	char object[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], *text = NULL;
	int r;

	bdf_format(operation_object(request), object);
	bdf_format(request->dsm->bdf, dsm);
	if (request->verb == VERB_CLEAR)
		r = asprintf(&text,
			     "%s %s: tsm %s: %s. It stays quarantined: when nothing else of that "
			     "device is in use, end its session (/sys/bus/pci/devices/%s/tsm/"
			     "disconnect, where it is there) or reset %s, and 'tdictl clear' it "
			     "again; a reboot of this host ends it in any case",
			     verb_name(request->verb), object, title_of(request), result->reason,
			     dsm, dsm);
	else if (request->verb == VERB_UNBIND ||
		 (request->verb == VERB_BIND && result->outcome == OUTCOME_UNKNOWN))
		r = asprintf(&text,
			     "%s %s: tsm %s: %s. What the TSM holds of it is not known: 'tdictl "
			     "clear %s' is the way out",
			     verb_name(request->verb), object, title_of(request), result->reason,
			     object);
	else if (is_held_by_others(request, result))
		r = asprintf(&text,
			     "%s %s: tsm %s: %s. The TSM holds it in a bind of which there is no "
			     "record here: 'tdictl clear %s' ends that",
			     verb_name(request->verb), object, title_of(request), result->reason,
			     object);
	else if ((request->verb == VERB_CONNECT || request->verb == VERB_RECLAIM) &&
		 is_session_unknown(request, result))
		r = asprintf(&text,
			     "%s %s: tsm %s: %s. Whether the TSM has a session with it is not "
			     "known: 'tdictl reclaim %s' is the way out",
			     verb_name(request->verb), object, title_of(request), result->reason,
			     dsm);
	else
		r = asprintf(&text, "%s %s: tsm %s: %s", verb_name(request->verb), object,
			     title_of(request), result->reason);
	return r < 0 ? NULL : text;
}

char *reason_of_hold(const Assignment *a)
{
	char *text;

	return asprintf(&text,
			"%s. It stays in its domain, unbound: detach it, or restart its guest for "
			"another bind",
			a->reason ?: "failed") < 0
		       ? NULL
		       : text;
}
