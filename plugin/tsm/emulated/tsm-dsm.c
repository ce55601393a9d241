/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DSMs: connecting them, and the evidence that comes from them. */
#include "common/random.h"
#include "firmware.h"
#include "tsm-private.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static inline EVP_PKEY *key_free(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
	return NULL;
}

DEFINE_CLEANUP(EVP_PKEY, key_free);

static void measured_done(Measured *measured)
{
	blob_done(&measured->transcript);
	*measured = (Measured){};
}

void dsm_disconnect(Dsm *dsm)
{
	dsm->connected = false;
	blob_done(&dsm->certificates);
	dsm->chain = cert_chain_free(dsm->chain);
	measured_done(&dsm->measured);
	requester_done(&dsm->requester);
	dsm->certificates_digest = (Digest){};
}

void dsm_done(Dsm *dsm)
{
	dsm_disconnect(dsm);
	dsm->device = device_free(dsm->device);
}

static int find_function(void *userdata, Bdf bdf, HostFunction *ret)
{
	Dsm *dsm = userdata;
	HostFunction function;
	int r;

	r = host_function_read(&function, dsm->tsm->config->sysfs, bdf, NULL);
	if (r < 0)
		return r;
	if (!bdf_equal(function.physical, dsm->config->device))
		return -ENODEV;
	*ret = function;
	return 0;
}

static int exchange(void *userdata, const void *request, size_t request_size, void *response,
		    size_t capacity, size_t *ret_size)
{
	Dsm *dsm = userdata;

	return device_exchange(dsm->device, request, request_size, response, capacity, ret_size);
}

static bool has_tdis(const Dsm *dsm, bool bound_only, const Tdi **ret)
{
	for (size_t i = 0; i < dsm->tsm->n_tdis; i++) {
		const Tdi *tdi = dsm->tsm->tdis[i];

		if (tdi->dsm != dsm || (bound_only && !tdi->bound))
			continue;
		*ret = tdi;
		return true;
	}
	return false;
}

/*
 * The device behind the DSM's address, with the key and the firmware of that device. Made anew for
 * every connection, because another card may sit there now, unless something is left in it.
 */
static int make_device(Dsm *dsm, char **ret_error)
{
	_cleanup_(key_freep) EVP_PKEY *key = NULL;
	uint8_t record[FIRMWARE_RECORD_SIZE];
	_cleanup_blob_ Blob chain = {};
	HostFunction function;
	Firmware firmware;
	const Tdi *left;
	Device *device;
	int r;

	if (dsm->device && has_tdis(dsm, false, &left))
		return 0;
	r = host_function_read(&function, dsm->tsm->config->sysfs, dsm->config->device, ret_error);
	if (r < 0)
		return r;
	r = pki_device(dsm->tsm->pki, function.bdf, &function.identity, &key, &chain, ret_error);
	if (r < 0)
		return r;
	firmware = (Firmware){
		.identity = function.identity,
		.name = dsm->config->firmware,
		.svn = dsm->config->svn,
		.debug = dsm->config->debug,
	};
	r = firmware_record(&firmware, record);
	if (r < 0)
		return r;
	r = device_new(&device, &(DeviceOptions){ .key = key,
						  .chain = chain.data,
						  .chain_size = chain.size,
						  .record = record,
						  .record_size = sizeof(record),
						  .n_blocks = FIRMWARE_N_BLOCKS,
						  .find_function = find_function,
						  .userdata = dsm });
	if (r < 0)
		return r;
	device_free(dsm->device);
	dsm->device = device;
	return 0;
}

int tsm_collect(Dsm *dsm, Tdi *tdi, const uint8_t *nonce, char **ret_error)
{
	Measured *measured = tdi ? &tdi->measured : &dsm->measured;
	_cleanup_blob_ Blob transcript = {};
	Digest digest;
	int r;

	/* What its TVM has accepted, if it waits for START, is what was measured before. */
	if (tdi && tdi->asked == TSM_ASKED_START)
		tdi_ask_no_more(tdi, "measured anew: its TVM has not accepted that");
	r = requester_measure(&dsm->requester, dsm->slot, nonce, cert_chain_leaf_key(dsm->chain),
			      &transcript, ret_error);
	if (r == 0)
		r = digest_of(&digest, transcript.data, transcript.size);
	if (r < 0)
		return r;
	blob_done(&measured->transcript);
	measured->transcript = blob_steal(&transcript);
	measured->digest = digest;
	measured->sequence = ++dsm->tsm->sequence;
	return 0;
}

/* VCA and certificates, then measurements with the TSM's nonce: the proof of the leaf's key. */
static int authenticate(Dsm *dsm, uint8_t slot, char **ret_error)
{
	uint8_t nonce[SPDM_NONCE_SIZE];
	int r;

	dsm->requester = (Requester){ .exchange = exchange, .userdata = dsm };
	dsm->slot = slot;
	r = requester_negotiate(&dsm->requester, ret_error);
	if (r == 0)
		r = requester_certificates(&dsm->requester, slot, &dsm->certificates,
					   &dsm->certificates_digest, ret_error);
	if (r == 0)
		r = cert_chain_parse(&dsm->chain, dsm->certificates.data, dsm->certificates.size,
				     ret_error);
	if (r == 0)
		r = vca_parse(&dsm->vca, dsm->requester.vca.data, dsm->requester.vca.size,
			      ret_error);
	if (r == 0)
		r = digest_of(&dsm->vca_digest, dsm->requester.vca.data, dsm->requester.vca.size);
	if (r == 0)
		r = random_public(nonce, sizeof(nonce));
	if (r == 0)
		r = tsm_collect(dsm, NULL, nonce, ret_error);
	return r;
}

static int connect_device(Dsm *dsm, uint8_t slot, char **ret_error)
{
	int r;

	dsm_disconnect(dsm);
	r = make_device(dsm, ret_error);
	if (r == 0)
		r = authenticate(dsm, slot, ret_error);
	if (r < 0) {
		dsm_disconnect(dsm);
		return r;
	}
	dsm->connected = true;
	dsm->identity_sequence = ++dsm->tsm->sequence;
	return 0;
}

/* A DSM is named by its own function. */
static int dsm_by_name(Tsm *tsm, Bdf bdf, Dsm **ret, TsmRefusal *refusal)
{
	int r = tsm_dsm_of(tsm, bdf, ret, NULL, refusal);
	char dsm[BDF_STRING_SIZE];

	if (r != 0)
		return r;
	if (!bdf_equal((*ret)->config->device, bdf))
		return tsm_refuse_device(refusal, TSM_REFUSED, bdf,
					 "it is not a DSM: its DSM is at %s",
					 bdf_format((*ret)->config->device, dsm));
	return 0;
}

int tsm_connect(Tsm *tsm, Bdf bdf, uint8_t slot, Digest *ret_certificate, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	const Tdi *bound;
	Dsm *dsm;
	int r;

	r = dsm_by_name(tsm, bdf, &dsm, refusal);
	if (r != 0)
		return r;
	if (dsm->connected && dsm->slot != slot) {
		refusal->state = "connected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, bdf,
					 "it is connected with certificate slot %u; disconnect it "
					 "first",
					 dsm->slot);
	}
	if (!dsm->connected) {
		char name[BDF_STRING_SIZE];

		if (has_tdis(dsm, true, &bound)) {
			refusal->state = "session lost";
			return tsm_refuse_device(
				refusal, TSM_INVALID_STATE, bdf,
				"TDI %s is still bound from the session that was lost; unbind it "
				"first",
				bdf_format(bound->bdf, name));
		}
		r = connect_device(dsm, slot, &error);
		if (r < 0)
			return tsm_refuse_device(refusal, TSM_REFUSED, bdf, "%s",
						 error ?: strerror(-r));
		tsm_dsm_changed(dsm, "connected");
	}
	*ret_certificate = dsm->certificates_digest;
	return 0;
}

int tsm_disconnect(Tsm *tsm, Bdf bdf, TsmRefusal *refusal)
{
	const Tdi *bound;
	Dsm *dsm;
	int r;

	r = dsm_by_name(tsm, bdf, &dsm, refusal);
	if (r != 0)
		return r;
	if (has_tdis(dsm, true, &bound)) {
		char name[BDF_STRING_SIZE];

		refusal->has_tvm = true;
		refusal->tvm = bound->tvm;
		return tsm_refuse_device(refusal, TSM_DEVICE_BUSY, bdf,
					 "TDI %s is bound; unbind it first",
					 bdf_format(bound->bdf, name));
	}
	if (!dsm->connected)
		return 0;
	dsm_disconnect(dsm);
	device_reset(dsm->device);
	tsm_dsm_changed(dsm, "disconnected");
	return 0;
}

static int connected_dsm(Tsm *tsm, Bdf device, Dsm **ret, Tdi **ret_tdi, TsmRefusal *refusal)
{
	Tdi *tdi = tsm_find_tdi(tsm, device);
	int r;

	*ret_tdi = tdi && tdi->bound ? tdi : NULL;
	r = tsm_dsm_of(tsm, device, ret, NULL, refusal);
	if (r != 0)
		return r;
	if (!(*ret)->connected) {
		refusal->state = "disconnected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, device,
					 "its DSM is not connected");
	}
	return 0;
}

int tsm_copy_evidence(const Dsm *dsm, const Tdi *tdi, TsmEvidence *ret)
{
	const Measured *measured = tdi ? &tdi->measured : &dsm->measured;
	TsmEvidence copy = {};
	int r;

	r = blob_set(&copy.certificates, dsm->certificates.data, dsm->certificates.size);
	if (r == 0)
		r = blob_set(&copy.vca, dsm->requester.vca.data, dsm->requester.vca.size);
	if (r == 0)
		r = blob_set(&copy.measurements, measured->transcript.data,
			     measured->transcript.size);
	if (r == 0 && tdi)
		r = blob_set(&copy.report, tdi->report_bytes.data, tdi->report_bytes.size);
	if (r < 0) {
		tsm_evidence_done(&copy);
		return r;
	}
	tsm_evidence_done(ret);
	*ret = copy;
	return 0;
}

int tsm_measure(Tsm *tsm, Bdf device, const uint8_t *nonce, uint64_t *ret_sequence,
		TsmEvidence *ret, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi;
	Dsm *dsm;
	int r;

	r = connected_dsm(tsm, device, &dsm, &tdi, refusal);
	if (r != 0)
		return r;
	r = tsm_collect(dsm, tdi, nonce, &error);
	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, device, "%s", error ?: strerror(-r));
	*ret_sequence = tdi ? tdi->measured.sequence : dsm->measured.sequence;
	return tsm_copy_evidence(dsm, tdi, ret);
}

int tsm_evidence(Tsm *tsm, Bdf device, TsmEvidence *ret, TsmRefusal *refusal)
{
	Tdi *tdi;
	Dsm *dsm;
	int r;

	r = connected_dsm(tsm, device, &dsm, &tdi, refusal);
	if (r != 0)
		return r;
	return tsm_copy_evidence(dsm, tdi, ret);
}
