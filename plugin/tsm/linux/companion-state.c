/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "companion-state.h"

#include "core/cleanup.h"

#include <errno.h>
#include <string.h>

void companion_state_done(CompanionState *state)
{
	free(state->instance);
	free(state->tdis);
	free(state->dsms);
	*state = (CompanionState){};
}

static CompanionTdi *tdi_record(CompanionState *state, Bdf device)
{
	CompanionTdi *more;

	for (size_t i = 0; i < state->n_tdis; i++)
		if (bdf_equal(state->tdis[i].device, device))
			return &state->tdis[i];
	if (state->n_tdis == COMPANION_RECORDS_MAX)
		return NULL;
	more = reallocarray(state->tdis, state->n_tdis + 1, sizeof(*more));
	if (!more)
		return NULL;
	state->tdis = more;
	more[state->n_tdis] = (CompanionTdi){ .device = device };
	return &more[state->n_tdis++];
}

int companion_state_take_tdi(CompanionState *state, json_object *o, Bdf *ret)
{
	CompanionTdi t = { .accepted = json_get_bool(o, "accepted", false),
			   .generation = (uint64_t)json_get_int(o, "generation", 0) };
	const char *tvm = json_get_string(o, "tvm");
	CompanionTdi *record;

	if (bdf_parse(&t.device, json_get_string(o, "device")) < 0 ||
	    tdisp_state_parse(&t.state, json_get_string(o, "state")) < 0 ||
	    (tvm && uuid_from_string(&t.tvm, tvm) < 0))
		return -EBADMSG;
	t.bound = tvm;
	record = tdi_record(state, t.device);
	if (!record)
		return -ENOMEM;
	*record = t;
	*ret = t.device;
	return 0;
}

static CompanionDsm *dsm_record(CompanionState *state, Bdf dsm)
{
	CompanionDsm *more;

	for (size_t i = 0; i < state->n_dsms; i++)
		if (bdf_equal(state->dsms[i].dsm, dsm))
			return &state->dsms[i];
	if (state->n_dsms == COMPANION_RECORDS_MAX)
		return NULL;
	more = reallocarray(state->dsms, state->n_dsms + 1, sizeof(*more));
	if (!more)
		return NULL;
	state->dsms = more;
	more[state->n_dsms] = (CompanionDsm){ .dsm = dsm };
	return &more[state->n_dsms++];
}

int companion_state_take_dsm(CompanionState *state, json_object *o, Bdf *ret)
{
	const char *certificate = json_get_string(o, "certificate_digest");
	CompanionDsm *record;
	Bdf dsm;

	if (bdf_parse(&dsm, json_get_string(o, "dsm")) < 0 ||
	    (certificate && strlen(certificate) >= DIGEST_STRING_SIZE))
		return -EBADMSG;
	record = dsm_record(state, dsm);
	if (!record)
		return -ENOMEM;
	snprintf(record->certificate, sizeof(record->certificate), "%s", certificate ?: "");
	*ret = dsm;
	return 0;
}

int companion_state_set(CompanionState *state, json_object *query)
{
	json_object *tdis = json_get_array(query, "tdis"), *dsms = json_get_array(query, "dsms");
	CompanionState fresh = { .instance = strdup(json_get_string(query, "instance")) };
	int r = fresh.instance ? 0 : -ENOMEM;
	Bdf ignored;

	for (size_t i = 0; r == 0 && i < json_object_array_length(tdis); i++)
		r = companion_state_take_tdi(&fresh, json_object_array_get_idx(tdis, i), &ignored);
	for (size_t i = 0; r == 0 && i < json_object_array_length(dsms); i++)
		r = companion_state_take_dsm(&fresh, json_object_array_get_idx(dsms, i), &ignored);
	if (r < 0) {
		companion_state_done(&fresh);
		return r;
	}
	companion_state_done(state);
	*state = fresh;
	return 0;
}

const CompanionTdi *companion_state_tdi(const CompanionState *state, Bdf device)
{
	for (size_t i = 0; i < state->n_tdis; i++)
		if (bdf_equal(state->tdis[i].device, device))
			return &state->tdis[i];
	return NULL;
}

const char *companion_state_certificate(const CompanionState *state, Bdf dsm)
{
	for (size_t i = 0; i < state->n_dsms; i++)
		if (bdf_equal(state->dsms[i].dsm, dsm) && state->dsms[i].certificate[0])
			return state->dsms[i].certificate;
	return NULL;
}
