/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/evidence-store.h"

#include "daemon/assignments-service.h"
#include "daemon/tdid.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define FETCH_TIMEOUT_USEC (10 * UINT64_C(1000000))

/* The assignment may be gone when the answer comes: it is looked up again. */
typedef struct Fetch {
	Tdid *tdid;
	uint32_t assignment;
	uint64_t generation;
} Fetch;

static void on_evidence(const VarlinkReply *reply, const char *error, void *userdata)
{
	_cleanup_free_ Fetch *fetch = userdata;
	Assignment *a = registry_assignment_at(fetch->tdid->registry, fetch->assignment);
	const EngineAssignment *e = engine_assignment(fetch->tdid->engine, fetch->assignment);

	if (!a || !e || e->generation != fetch->generation)
		return;
	if (reply->status < 0 || error) {
		_cleanup_free_ char *why = provider_reply_reason(reply, error);

		log_warning("%s: evidence of bind %llu cannot be kept: %s", a->alias,
			    (unsigned long long)fetch->generation, why ?: "out of memory");
		return;
	}
	json_object_put(a->evidence);
	a->evidence = json_object_get(json_get_object(reply->parameters, "evidence"));
	a->evidence_generation = fetch->generation;
	a->evidence_usec = timeline_now();
}

void evidence_store_fetch(Assignment *a, uint64_t generation)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ Fetch *fetch = NULL;
	char device[BDF_STRING_SIZE];
	int r;

	if (!a->dsm->provider)
		return;
	fetch = malloc(sizeof(*fetch));
	if (!fetch)
		return;
	*fetch = (Fetch){ .tdid = a->tdid, .assignment = a->id, .generation = generation };
	r = json_build(&parameters, J_STRING("device", bdf_format(a->tdi->bdf, device)));
	if (r >= 0)
		r = provider_call(a->dsm->provider, "io.tdid.Tsm.GetEvidence", parameters, 0,
				  FETCH_TIMEOUT_USEC, on_evidence, fetch, NULL);
	if (r < 0)
		log_warning("%s: evidence cannot be asked for: %s", a->alias, strerror(-r));
	else
		steal_ptr(fetch);
}
