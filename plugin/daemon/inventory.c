/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/inventory.h"

#include <errno.h>

static int tsm_to_json(const Provider *provider, json_object **ret)
{
	return json_build(ret, J_STRING("name", provider_name(provider)),
			  J_STRING("title", provider_title(provider)),
			  J_BOOL("protection", provider_protects(provider)),
			  J_BOOL("ready", provider_is_ready(provider)),
			  J_STRING("trouble", provider_trouble(provider)));
}

int inventory_dsm_to_json(Tdid *tdid, const Provider *provider, Bdf bdf, json_object **ret)
{
	const Dsm *dsm = registry_find_dsm(tdid->registry, bdf);
	const EngineDsm *e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;
	bool in_use = e && e->state != DSM_IDLE;
	char text[BDF_STRING_SIZE];
	json_object *cause = NULL;
	int r = in_use ? dsm_cause_to_json(&dsm->cause, &cause) : 0;

	if (r < 0)
		return r;
	return json_build(
		ret, J_STRING("dsm", bdf_format(bdf, text)),
		J_STRING("tsm", provider_title(provider)),
		J_STRING("state", dsm_state_name(e ? e->state : DSM_IDLE)),
		J_BOOL("connected", provider_view_dsm_is_connected(provider_view(provider), bdf)),
		J_BOOL("pinned", e && e->pinned),
		J_INT_IF(e && e->pinned && dsm->pinned_by >= 0, "pinned_by",
			 dsm ? dsm->pinned_by : 0),
		J_TAKE("connected_by", cause), J_BOOL_IF(dsm && dsm->drained, "drained", true),
		J_STRING("reason", dsm ? dsm->reason : NULL));
}

static int device_to_json(Tdid *tdid, const Provider *provider, const ProviderDevice *device,
			  json_object **ret)
{
	const Tdi *tdi = registry_find_tdi(tdid->registry, device->device);
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const Assignment *a = e && e->owner != ENGINE_NONE
				      ? registry_assignment_at(tdid->registry, e->owner)
				      : NULL;
	char text[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	bool quarantined = e && e->state != TDI_KNOWN;
	const char *reason = a ? a->reason : NULL;

	if (quarantined && tdi->reason)
		reason = tdi->reason;
	if (quarantined && !reason)
		reason = "what the TSM holds of it is not known";
	return json_build(
		ret, J_STRING("device", bdf_format(device->device, text)),
		J_STRING("dsm", bdf_format(device->dsm, dsm)),
		J_STRING("tsm", provider_title(provider)),
		J_BOOL("is_virtual_function", device->is_virtual_function),
		J_STRING("driver", device->driver),
		J_INT_IF(device->iommu_group >= 0, "iommu_group", device->iommu_group),
		J_STRING("tdi_state", device->state_known ? tdisp_state_name(device->state) : NULL),
		J_STRING("domain", a ? uuid_format(a->tvm->uuid, uuid) : NULL),
		J_STRING("domain_name", a && a->tvm->domain ? a->tvm->domain->name : NULL),
		J_STRING("name", a ? a->alias : NULL), J_BOOL("quarantined", quarantined),
		J_STRING("excluded",
			 exclusions_find(tdid->config->excluded, device->device, &device->dsm)),
		J_STRING("reason", reason));
}

int inventory_device_to_json(Tdid *tdid, const Provider *provider, Bdf device, Bdf dsm,
			     json_object **ret)
{
	const ProviderDevice *listed = provider_view_device(provider_view(provider), device);
	ProviderDevice unlisted = { .device = device, .dsm = dsm, .iommu_group = -1 };

	return device_to_json(tdid, provider, listed ?: &unlisted, ret);
}

/* The lists of an inventory while they grow. */
typedef struct Lists {
	Tdid *tdid;
	json_object *tsms, *dsms, *devices;
	Bdf *listed; /* DSMs, in the order of `dsms` */
	size_t n_listed;
} Lists;

static void lists_clear(Lists *lists)
{
	json_object_put(lists->tsms);
	json_object_put(lists->dsms);
	json_object_put(lists->devices);
	free(lists->listed);
}

static int add(json_object *array, int r, json_object *object)
{
	return r < 0 ? r : json_append_take(array, object);
}

static int add_dsm(Lists *lists, const Provider *provider, Bdf bdf)
{
	json_object *o = NULL;
	Bdf *grown;
	int r;

	for (size_t i = lists->n_listed; i-- > 0;)
		if (bdf_equal(lists->listed[i], bdf))
			return 0;
	grown = realloc(lists->listed, (lists->n_listed + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	lists->listed = grown;
	lists->listed[lists->n_listed++] = bdf;
	r = inventory_dsm_to_json(lists->tdid, provider, bdf, &o);
	return add(lists->dsms, r, o);
}

static int add_provider(Lists *lists, const Provider *provider)
{
	const ProviderView *view = provider_view(provider);
	json_object *o = NULL;
	int r = tsm_to_json(provider, &o);

	r = add(lists->tsms, r, o);
	for (size_t i = 0; r >= 0 && i < view->n_devices; i++) {
		const ProviderDevice *device = &view->devices[i];

		if (!device->tee_io)
			continue;
		r = add_dsm(lists, provider, device->dsm);
		if (r < 0)
			break;
		o = NULL;
		r = device_to_json(lists->tdid, provider, device, &o);
		r = add(lists->devices, r, o);
	}
	return r;
}

/* What tdid has to do with a DSM does not end because its provider no longer lists it. */
static int add_others(Lists *lists)
{
	const Dsm *dsm;
	int r = 0;

	for (uint32_t p = 0; r >= 0 && (dsm = registry_next_dsm(lists->tdid->registry, &p));) {
		const EngineDsm *e = engine_dsm(lists->tdid->engine, dsm->id);

		if (dsm->provider && ((e && e->state != DSM_IDLE) || dsm->drained))
			r = add_dsm(lists, dsm->provider, dsm->bdf);
	}
	return r;
}

int inventory_to_json(Tdid *tdid, json_object **ret)
{
	Lists lists = { .tdid = tdid,
			.tsms = json_object_new_array(),
			.dsms = json_object_new_array(),
			.devices = json_object_new_array() };
	int r = lists.tsms && lists.dsms && lists.devices ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < tdid->config->n_tsms; i++)
		r = add_provider(&lists, tdid->providers[i]);
	if (r >= 0)
		r = add_others(&lists);
	if (r >= 0)
		r = json_build(ret, J_REF("tsms", lists.tsms), J_REF("dsms", lists.dsms),
			       J_REF("devices", lists.devices));
	lists_clear(&lists);
	return r;
}
