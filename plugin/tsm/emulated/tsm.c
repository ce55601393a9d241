/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Three kinds of records, each found by walking its list (there are few):
 *
 *	Dsm	one for each configured device, as long as the process lives. Connected by
 *		tsm_connect(), disconnected by tsm_disconnect() or a lost session.
 *	Tdi	from tsm_bind() to a tsm_unbind() that the device confirmed.
 *	Tvm	from tsm_prepare_tvm() to the next of the same UUID or tsm_release_tvm().
 *
 * A TDI's state is what its device said last; its acceptance is this TSM's own record, set in one
 * place (tsm-validate.c) and ended by everything that ends CONFIG_LOCKED or RUN.
 */
#include "tsm-private.h"

#include "common/platform-key.h"
#include "common/random.h"
#include "core/refusal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

void tsm_evidence_done(TsmEvidence *evidence)
{
	blob_done(&evidence->certificates);
	blob_done(&evidence->vca);
	blob_done(&evidence->measurements);
	blob_done(&evidence->report);
}

int tsm_new(Tsm **ret, const TsmOptions *options, char **ret_error)
{
	_cleanup_(tsm_freep) Tsm *tsm = calloc(1, sizeof(*tsm));
	const Config *config = options->config;
	int r;

	if (!tsm)
		return -ENOMEM;
	tsm->config = config;
	tsm->options = *options;
	tsm->dsms = calloc(config->n_devices ?: 1, sizeof(*tsm->dsms));
	if (!tsm->dsms)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_devices; i++) {
		tsm->dsms[i].tsm = tsm;
		tsm->dsms[i].config = &config->devices[i];
	}
	r = random_public(tsm->instance, sizeof(tsm->instance));
	/* Whoever reads numbers as doubles reads these as they are. */
	if (r == 0)
		r = random_public(&tsm->request, sizeof(tsm->request));
	tsm->request >>= 16;
	if (r == 0)
		r = pki_open(&tsm->pki, config->state, ret_error);
	if (r == 0)
		r = tvm_keys_open(&tsm->keys, config->keys,
				  config->has_group ? config->group : (gid_t)-1, ret_error);
	if (r == 0)
		r = tsm_load_tvms(tsm, ret_error);
	if (r == 0 && config->platform_key) {
		r = platform_key_open(tsm->platform_key, config->platform_key, ret_error);
		tsm->has_platform_key = r == 0;
	}
	if (r < 0)
		return r;
	*ret = steal_ptr(tsm);
	return 0;
}

Tsm *tsm_free(Tsm *tsm)
{
	if (!tsm)
		return NULL;
	while (tsm->n_tdis)
		tsm_remove_tdi(tsm, tsm->tdis[0]);
	free(tsm->tdis);
	for (size_t i = 0; tsm->dsms && i < tsm->config->n_devices; i++)
		dsm_done(&tsm->dsms[i]);
	free(tsm->dsms);
	tsm_free_tvms(tsm);
	tvm_keys_free(tsm->keys);
	pki_free(tsm->pki);
	OPENSSL_cleanse(tsm->platform_key, sizeof(tsm->platform_key));
	free(tsm);
	return NULL;
}

const uint8_t *tsm_instance(const Tsm *tsm)
{
	return tsm->instance;
}

Tdi *tsm_find_tdi(Tsm *tsm, Bdf device)
{
	for (size_t i = 0; i < tsm->n_tdis; i++)
		if (bdf_equal(tsm->tdis[i]->bdf, device))
			return tsm->tdis[i];
	return NULL;
}

bool tsm_is_bound(Tsm *tsm, Bdf device)
{
	const Tdi *tdi = tsm_find_tdi(tsm, device);

	return tdi && tdi->bound;
}

Tdi *tsm_find_tvm_tdi(Tsm *tsm, Uuid tvm, uint32_t guest_rid)
{
	for (size_t i = 0; i < tsm->n_tdis; i++) {
		Tdi *tdi = tsm->tdis[i];

		if (tdi->bound && uuid_equal(tdi->tvm, tvm) && tdi->guest_rid == guest_rid)
			return tdi;
	}
	return NULL;
}

static Dsm *find_dsm(Tsm *tsm, Bdf physical)
{
	for (size_t i = 0; i < tsm->config->n_devices; i++)
		if (bdf_equal(tsm->dsms[i].config->device, physical))
			return &tsm->dsms[i];
	return NULL;
}

int tsm_dsm_of(Tsm *tsm, Bdf device, Dsm **ret, HostFunction *ret_function, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	HostFunction function;
	Tdi *tdi = tsm_find_tdi(tsm, device);
	Dsm *dsm;
	int r;

	/* What is held of it counts, not what a VF that is being taken away still looks like. */
	if (tdi && !ret_function) {
		*ret = tdi->dsm;
		return 0;
	}
	r = host_function_read(&function, tsm->config->sysfs, device, &error);
	if (r < 0)
		return tsm_refuse_device(refusal, TSM_UNKNOWN_DEVICE, device, "%s",
					 error ?: strerror(-r));
	dsm = find_dsm(tsm, function.physical);
	if (!dsm)
		return tsm_refuse_device(refusal, TSM_NOT_TEE_IO, device,
					 "its physical function is not in the emulated TSM's "
					 "configuration");
	if (!dsm->config->tee_io)
		return tsm_refuse_device(refusal, TSM_NOT_TEE_IO, device,
					 "the emulated TSM's configuration says that its device "
					 "has no TEE-IO");
	*ret = dsm;
	if (ret_function)
		*ret_function = function;
	return 0;
}

int tsm_find_dsm(Tsm *tsm, Bdf device, const ConfigDevice **ret, TsmRefusal *refusal)
{
	Dsm *dsm;
	int r = tsm_dsm_of(tsm, device, &dsm, NULL, refusal);

	if (r == 0)
		*ret = dsm->config;
	return r;
}

/* --- what there is --- */

typedef struct FunctionList {
	HostFunction *functions;
	bool *tee_io;
	size_t n;
} FunctionList;

static int add_function(FunctionList *list, Tsm *tsm, Bdf bdf, bool tee_io)
{
	HostFunction function, *functions;
	bool *flags;

	/* Gone between the listing and now, or never there: no error, just not listed. */
	if (host_function_read(&function, tsm->config->sysfs, bdf, NULL) < 0)
		return 0;
	functions = reallocarray(list->functions, list->n + 1, sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	list->functions = functions;
	flags = reallocarray(list->tee_io, list->n + 1, sizeof(*flags));
	if (!flags)
		return -ENOMEM;
	list->tee_io = flags;
	functions[list->n] = function;
	flags[list->n++] = tee_io;
	return 0;
}

static int add_device(FunctionList *list, Tsm *tsm, const ConfigDevice *device)
{
	_cleanup_free_ Bdf *virtual = NULL;
	size_t n_virtual = 0;
	int r;

	r = host_function_virtual(&virtual, &n_virtual, tsm->config->sysfs, device->device);
	if (r < 0)
		return r;
	r = add_function(list, tsm, device->device, device->tee_io);
	for (size_t i = 0; i < n_virtual && r == 0; i++)
		r = add_function(list, tsm, virtual[i], device -> tee_io);
	return r;
}

int tsm_functions(Tsm *tsm, HostFunction **ret, bool **ret_tee_io, size_t *ret_n)
{
	FunctionList list = {};
	int r = 0;

	for (size_t i = 0; i < tsm->config->n_devices && r == 0; i++)
		r = add_device(&list, tsm, &tsm->config->devices[i]);
	if (r < 0 || !ret_tee_io)
		free(list.tee_io);
	if (r < 0) {
		free(list.functions);
		return r;
	}
	*ret = list.functions;
	if (ret_tee_io)
		*ret_tee_io = list.tee_io;
	*ret_n = list.n;
	return 0;
}

static TsmTdiStatus tdi_status(const Tdi *tdi)
{
	return (TsmTdiStatus){
		.device = tdi->bdf,
		.dsm = tdi->dsm->config->device,
		.bound = tdi->bound,
		.tvm = tdi->tvm,
		.generation = tdi->generation,
		.state = tdi->state,
		.accepted = tdi->accepted,
		.asked = tdi->asked,
		.request = tdi->request,
	};
}

static TsmDsmStatus dsm_status(const Dsm *dsm)
{
	return (TsmDsmStatus){
		.dsm = dsm->config->device,
		.connected = dsm->connected,
		.certificate = dsm->certificates_digest,
	};
}

void tsm_tdi_changed(Tdi *tdi, const char *reason)
{
	const TsmOptions *options = &tdi->dsm->tsm->options;
	TsmTdiStatus status = tdi_status(tdi);

	if (options->tdi_changed)
		options->tdi_changed(options->userdata, &status, reason);
}

void tsm_dsm_changed(Dsm *dsm, const char *reason)
{
	const TsmOptions *options = &dsm->tsm->options;
	TsmDsmStatus status = dsm_status(dsm);

	if (options->dsm_changed)
		options->dsm_changed(options->userdata, &status, reason);
}

static bool status_has(const TsmTdiStatus *list, size_t n, Bdf device)
{
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(list[i].device, device))
			return true;
	return false;
}

int tsm_query_tdis(Tsm *tsm, TsmTdiStatus **ret, size_t *ret_n)
{
	_cleanup_free_ HostFunction *functions = NULL;
	_cleanup_free_ bool *tee_io = NULL;
	TsmTdiStatus *list;
	size_t n_functions, n;
	int r;

	r = tsm_functions(tsm, &functions, &tee_io, &n_functions);
	if (r < 0)
		return r;
	list = calloc(n_functions + tsm->n_tdis + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (n = 0; n < tsm->n_tdis; n++)
		list[n] = tdi_status(tsm->tdis[n]);
	for (size_t i = 0; i < n_functions; i++)
		if (tee_io[i] && !status_has(list, tsm->n_tdis, functions[i].bdf))
			list[n++] = (TsmTdiStatus){
				.device = functions[i].bdf,
				.dsm = functions[i].physical,
				.state = TDISP_CONFIG_UNLOCKED,
			};
	*ret = list;
	*ret_n = n;
	return 0;
}

int tsm_query_dsms(Tsm *tsm, TsmDsmStatus **ret, size_t *ret_n)
{
	TsmDsmStatus *list = calloc(tsm->config->n_devices ?: 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < tsm->config->n_devices; i++)
		if (tsm->dsms[i].config->tee_io)
			list[n++] = dsm_status(&tsm->dsms[i]);
	*ret = list;
	*ret_n = n;
	return 0;
}
