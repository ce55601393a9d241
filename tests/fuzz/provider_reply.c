/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a TSM provider answers: held against io.tdid.Tsm first, then taken over by tdid (its view)
 * and, as a companion's, by tdi-tsm-linux. Input: which method, its reply's parameters.
 */
#include "daemon/provider-view.h"
#include "fuzz.h"
#include "rpc/idl.h"
#include "schemas/schemas.h"
#include "tsm/linux/companion-state.h"

#include <errno.h>
#include <string.h>

/* Each device that is listed is there once, and nothing else is. */
static void take_list(json_object *reply)
{
	ProviderView view = {};
	json_object *devices = json_get_array(reply, "devices");
	int r = provider_view_list(&view, devices);

	CHECK(r == 0 || r == -EBADMSG);
	for (size_t i = 0; r == 0 && i < json_object_array_length(devices); i++) {
		json_object *o = json_object_array_get_idx(devices, i);
		Bdf device;

		CHECK(bdf_parse(&device, json_get_string(o, "device")) == 0);
		CHECK(provider_view_device(&view, device));
	}
	CHECK(view.n_devices <= json_object_array_length(devices));
	for (size_t i = 0; i < view.n_devices; i++) {
		const ProviderDevice *d = &view.devices[i];

		CHECK(provider_view_device(&view, d->device) == d && !d->state_known);
		CHECK(!d->driver || json_utf8_valid(d->driver, strlen(d->driver)));
		CHECK(!provider_view_dsm_is_connected(&view, d->dsm));
	}
	provider_view_clear(&view);
}

/* In one word and in single ones it is the same, and the last word counts. */
static void take_dsms(json_object *array)
{
	ProviderView at_once = {}, singly = {};
	size_t n = json_object_array_length(array);
	_cleanup_free_ ProviderDsm *dsms = calloc(n + 1, sizeof(*dsms));

	CHECK(dsms);
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);

		dsms[i].connected = json_get_bool(o, "connected", false);
		bdf_parse(&dsms[i].dsm, json_get_string(o, "dsm"));
		provider_view_said(&singly, NULL, 0, &dsms[i], 1);
	}
	provider_view_said(&at_once, NULL, 0, dsms, n);
	CHECK(at_once.n_dsms == singly.n_dsms);
	for (size_t i = 0; i < n; i++)
		CHECK(provider_view_dsm_is_connected(&at_once, dsms[i].dsm) ==
		      provider_view_dsm_is_connected(&singly, dsms[i].dsm));
	provider_view_clear(&at_once);
	provider_view_clear(&singly);
}

/* What is said of a TVM's request is refused, or can be carried. */
static void take_tdis(json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		_cleanup_free_ char *error = NULL;
		ProviderTdi tdi;
		int r = provider_tdi_read(&tdi, json_object_array_get_idx(array, i), &error);

		CHECK(r == 0 || r == -EBADMSG);
		CHECK(!error == !r);
		if (r < 0 || tdi.asks == REQUEST_NONE)
			continue;
		CHECK(tdi.request > 0 && tdi.request <= INT64_MAX && tdi.generation > 0);
		CHECK(tdi.state ==
		      (tdi.asks == REQUEST_LOCK ? TDISP_CONFIG_UNLOCKED : TDISP_CONFIG_LOCKED));
	}
}

static void take_query(json_object *reply)
{
	CompanionState state = {};
	int r = companion_state_set(&state, reply);

	CHECK(r == 0 || r == -EBADMSG);
	CHECK(r == 0 || (!state.instance && !state.tdis && !state.dsms));
	for (size_t i = 0; i < state.n_tdis; i++)
		CHECK(companion_state_tdi(&state, state.tdis[i].device) == &state.tdis[i]);
	for (size_t i = 0; i < state.n_dsms; i++)
		companion_state_certificate(&state, state.dsms[i].dsm);
	companion_state_done(&state);
	take_dsms(json_get_array(reply, "dsms"));
	take_tdis(json_get_array(reply, "tdis"));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static IdlInterface *tsm;
	_cleanup_(json_unrefp) json_object *reply = NULL;
	char *field = NULL, *error = NULL;
	const IdlMethod *method;
	size_t n = 0;
	int r;

	if (!tsm)
		CHECK(idl_parse(&tsm, schema_io_tdid_tsm, NULL) == 0);
	while (idl_method_at(tsm, n))
		n++;
	if (size == 0 || json_parse(&reply, (const char *)data + 1, size - 1, NULL) < 0)
		return false;
	method = idl_method_at(tsm, data[0] % n);
	r = idl_check(method->output, reply, &field, &error);
	CHECK(!field == !r);
	free(field);
	if (!fuzz_good(r, error))
		return false;
	if (strcmp(method->name, "ListDevices") == 0)
		take_list(reply);
	else if (strcmp(method->name, "Query") == 0)
		take_query(reply);
	return true;
}
