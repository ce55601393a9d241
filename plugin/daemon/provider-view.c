/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-view.h"

#include "core/refusal.h"
#include "daemon/bounded-text.h"

#include <errno.h>
#include <string.h>

#define DSMS_MAX   4096 /* no host has more, and they are searched one by one */
#define DRIVER_MAX 64	/* bytes; a module's name is shorter */

static void devices_free(ProviderDevice *devices, size_t n)
{
	for (size_t i = 0; devices && i < n; i++)
		free(devices[i].driver);
	free(devices);
}

void provider_view_clear(ProviderView *view)
{
	devices_free(view->devices, view->n_devices);
	bdf_index_done(&view->by_address);
	free(view->dsms);
	*view = (ProviderView){};
}

static int in_order(const void *a, const void *b)
{
	return bdf_order(((const ProviderDevice *)a)->device, ((const ProviderDevice *)b)->device);
}

static ProviderDevice *find_device(const ProviderView *view, Bdf device)
{
	return bdf_index_find(&view->by_address, device);
}

static ProviderDsm *find_dsm(const ProviderView *view, Bdf dsm)
{
	for (size_t i = 0; i < view->n_dsms; i++)
		if (bdf_equal(view->dsms[i].dsm, dsm))
			return &view->dsms[i];
	return NULL;
}

static int read_device(ProviderDevice *ret, json_object *o)
{
	const char *driver = json_get_string(o, "driver");

	*ret = (ProviderDevice){
		.tee_io = json_get_bool(o, "tee_io", false),
		.is_virtual_function = json_get_bool(o, "is_virtual_function", false),
		.iommu_group = json_get_int(o, "iommu_group", -1),
	};
	if (bdf_parse(&ret->device, json_get_string(o, "device")) < 0 ||
	    bdf_parse(&ret->dsm, json_get_string(o, "dsm")) < 0)
		return -EBADMSG;
	ret->driver = driver ? bounded_text(driver, DRIVER_MAX) : NULL;
	return 0;
}

/*
 * One of each address, of which there are so many. Who reads a directory while devices leave it may
 * list one twice.
 */
static size_t drop_repeated(ProviderDevice *devices, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && bdf_equal(devices[kept - 1].device, devices[i].device))
			free(devices[i].driver);
		else
			devices[kept++] = devices[i];
	}
	return kept;
}

/* What a TVM asks for belongs to a bind of ours, and to the state in which it can be had. */
static int read_request(ProviderTdi *tdi, json_object *o, char **ret_error)
{
	int64_t id = json_get_int(o, "id", 0);

	tdi->asks = strcmp(json_get_string(o, "what"), "lock") == 0 ? REQUEST_LOCK : REQUEST_START;
	tdi->request = (uint64_t)id;
	if (id < 1)
		return refuse(ret_error, -EBADMSG,
			      "a request of a TVM has the number %lld: they are from 1 on",
			      (long long)id);
	if (tdi->generation == 0)
		return refuse(ret_error, -EBADMSG, "a TVM's request is about a TDI in no bind");
	if (tdi->state != (tdi->asks == REQUEST_LOCK ? TDISP_CONFIG_UNLOCKED : TDISP_CONFIG_LOCKED))
		return refuse(ret_error, -EBADMSG, "a TVM's request to %s a TDI that is in %s",
			      json_get_string(o, "what"), tdisp_state_name(tdi->state));
	return 0;
}

int provider_tdi_read(ProviderTdi *ret, json_object *o, char **ret_error)
{
	int64_t generation = json_get_int(o, "generation", 0);
	json_object *request = json_get_object(o, "request");

	*ret = (ProviderTdi){ .generation = (uint64_t)generation,
			      .bound = json_get_string(o, "tvm") || generation,
			      .accepted = json_get_bool(o, "accepted", false) };
	if (bdf_parse(&ret->device, json_get_string(o, "device")) < 0)
		return refuse(ret_error, -EBADMSG, "a device's address is malformed");
	if (tdisp_state_parse(&ret->state, json_get_string(o, "state")) < 0)
		return refuse(ret_error, -EBADMSG, "a TDI's state is none");
	/* A platform may not know for whom. */
	ret->bound |= ret->state == TDISP_CONFIG_LOCKED || ret->state == TDISP_RUN;
	return request ? read_request(ret, request, ret_error) : 0;
}

int provider_view_list(ProviderView *view, json_object *array)
{
	size_t n = json_object_array_length(array);
	_cleanup_(bdf_index_done) BdfIndex index = {};
	ProviderDevice *devices;
	int r = 0;

	if (n > PROVIDER_VIEW_MAX)
		return -E2BIG;
	devices = calloc(n + 1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = read_device(&devices[i], json_object_array_get_idx(array, i));
	if (r >= 0) {
		qsort(devices, n, sizeof(*devices), in_order);
		n = drop_repeated(devices, n);
	}
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = bdf_index_add(&index, devices[i].device, &devices[i]);
	if (r < 0) {
		devices_free(devices, n);
		return r;
	}
	devices_free(view->devices, view->n_devices);
	bdf_index_done(&view->by_address);
	view->by_address = index;
	index = (BdfIndex){};
	view->devices = devices;
	view->n_devices = n;
	return 0;
}

void provider_view_forget_said(ProviderView *view)
{
	for (size_t i = 0; i < view->n_devices; i++)
		view->devices[i].state_known = view->devices[i].bound = false;
	view->n_dsms = 0;
}

static void dsm_said(ProviderView *view, const ProviderDsm *dsm)
{
	ProviderDsm *known = find_dsm(view, dsm->dsm);

	if (!known && view->n_dsms == DSMS_MAX)
		return;
	if (!known) {
		ProviderDsm *grown = realloc(view->dsms, (view->n_dsms + 1) * sizeof(*grown));

		if (!grown)
			return;
		view->dsms = grown;
		known = &view->dsms[view->n_dsms++];
	}
	*known = *dsm;
}

void provider_view_said(ProviderView *view, const ProviderTdi *tdis, size_t n_tdis,
			const ProviderDsm *dsms, size_t n_dsms)
{
	for (size_t i = 0; i < n_tdis; i++) {
		ProviderDevice *device = find_device(view, tdis[i].device);

		if (!device)
			continue;
		device->state = tdis[i].state;
		device->state_known = true;
		device->bound = tdis[i].bound;
	}
	for (size_t i = 0; i < n_dsms; i++)
		dsm_said(view, &dsms[i]);
}

const ProviderDevice *provider_view_device(const ProviderView *view, Bdf device)
{
	return find_device(view, device);
}

bool provider_view_dsm_is_connected(const ProviderView *view, Bdf dsm)
{
	const ProviderDsm *known = find_dsm(view, dsm);

	return known && known->connected;
}
