/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a provider lists, and what its TSM said last of it. It stays while the provider is away.
 */
#pragma once

#include "core/bdf.h"
#include "core/engine.h"
#include "daemon/bdf-index.h"
#include "rpc/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* io.tdid.Tsm.TdiStatus */
typedef struct ProviderTdi {
	Bdf device;
	uint64_t generation; /* 0: not bound, or not by us */
	bool bound;	     /* the TSM holds it, for whomever */
	TdispState state;
	bool accepted;
	EngineRequest asks; /* the request of its TVM that is open, and its number */
	uint64_t request;
} ProviderTdi;

#define PROVIDER_VIEW_MAX 65536 /* devices, and what is said of them */

/* -EBADMSG with a sentence: an address or state that is none, or a request that cannot be. */
int provider_tdi_read(ProviderTdi *ret, json_object *status, char **ret_error);

/* io.tdid.Tsm.DsmStatus */
typedef struct ProviderDsm {
	Bdf dsm;
	bool connected;
} ProviderDsm;

/* io.tdid.Tsm.Device */
typedef struct ProviderDevice {
	Bdf device, dsm;
	bool tee_io, is_virtual_function;
	char *driver;	     /* NULL: none, or it does not say */
	int64_t iommu_group; /* -1: likewise */
	bool state_known;
	TdispState state;
	bool bound; /* as ProviderTdi's; false while the state is not known */
} ProviderDevice;

/* All zero is an empty one. */
typedef struct ProviderView {
	ProviderDevice *devices; /* in the order of their addresses */
	size_t n_devices;
	BdfIndex by_address; /* of them */
	ProviderDsm *dsms;
	size_t n_dsms;
} ProviderView;

void provider_view_clear(ProviderView *view);

/*
 * Takes over a ListDevices; states are not known then. -E2BIG (more devices than a host has),
 * -EBADMSG (an address that is none), -ENOMEM: the list is what it was.
 */
int provider_view_list(ProviderView *view, json_object *devices);

/* Before a Query is taken over: what it does not mention is not so. */
void provider_view_forget_said(ProviderView *view);
/* Takes over what the TSM says; what it does not mention stays. */
void provider_view_said(ProviderView *view, const ProviderTdi *tdis, size_t n_tdis,
			const ProviderDsm *dsms, size_t n_dsms);

/* NULL when it does not list it. */
const ProviderDevice *provider_view_device(const ProviderView *view, Bdf device);
/* Of one that the TSM has never mentioned: false. */
bool provider_view_dsm_is_connected(const ProviderView *view, Bdf dsm);
