/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One function per step, called in the order of the table below. Nothing outside this file decides:
 * a step returns 0, -EPERM with a sentence to refuse, or -ENOMEM/-EIO if it could not find out.
 * Whatever else comes back from a parser is a refusal by that step.
 */
#include "core/evidence.h"
#include "core/evidence-references.h"
#include "core/measurements.h"
#include "core/refusal.h"
#include "core/spdm-signature.h"
#include "core/tdisp.h"
#include "core/vca.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

typedef struct Check {
	const void *statement;
	size_t statement_size;
	const EvidenceBlobs *blobs;
	const EvidenceExpectations *expected;
	const EvidencePolicy *policy;
	int64_t now;

	EvidenceVerdict *verdict;
	Statement *s; /* of the verdict; read from EVIDENCE_REQUEST on */
	CertChain *chain;
	MeasurementSet measurements;
} Check;

static int check_statement(Check *c, char **ret_error)
{
	const EvidenceExpectations *e = c->expected;
	char found[BDF_STRING_SIZE], mine[BDF_STRING_SIZE];
	Statement *s = c->s;

	if (statement_parse(s, c->statement, c->statement_size) < 0)
		return refuse(ret_error, -EPERM, "the TSM's statement of %zu bytes is malformed",
			      c->statement_size);
	if (memcmp(s->tvm, e->tvm, sizeof(e->tvm)) != 0)
		return refuse(ret_error, -EPERM, "the TSM's statement is for another TVM");
	if (s->guest_rid != e->guest_rid)
		return refuse(ret_error, -EPERM,
			      "the TSM's statement is about function %s, expected %s",
			      bdf_format(bdf_from_requester_id(s->guest_rid), found),
			      bdf_format(bdf_from_requester_id(e->guest_rid), mine));
	if (e->has_generation && s->generation != e->generation)
		return refuse(ret_error, -EPERM,
			      "the TSM's statement is about bind %" PRIu64 ", expected %" PRIu64,
			      s->generation, e->generation);
	return 0;
}

static int check_request(Check *c, char **ret_error)
{
	if (CRYPTO_memcmp(c->s->nonce, c->expected->nonce, STATEMENT_NONCE_SIZE) != 0)
		return refuse(ret_error, -EPERM,
			      "the TSM's statement answers another request: the nonce differs");
	if ((c->s->flags & STATEMENT_EMULATED) && !c->policy->allow_emulated)
		return refuse(ret_error, -EPERM,
			      "the TSM is emulated and protects nothing; policy does not allow it");
	return 0;
}

static int check_state(Check *c, char **ret_error)
{
	bool accepted = c->expected->accepted_before || (c->s->flags & STATEMENT_ACCEPTED);

	switch (c->s->tdisp_state) {
	case TDISP_CONFIG_LOCKED: return 0;
	case TDISP_RUN:
		if (accepted)
			return 0;
		return refuse(ret_error, -EPERM,
			      "the TDI is in state run, but neither this TVM nor the TSM has a "
			      "record of its acceptance");
	default:
		return refuse(ret_error, -EPERM, "the TDI is in state %s, expected config_locked",
			      tdisp_state_name(c->s->tdisp_state));
	}
}

static int check_protected_link(const Statement *s, char **ret_error)
{
	if (!(s->flags & STATEMENT_SESSION_SECURED))
		return refuse(ret_error, -EPERM, "the SPDM session with the device is not secured");
	switch (s->link) {
	case STATEMENT_LINK_INTEGRATED: return 0;
	case STATEMENT_LINK_SELECTIVE_IDE:
		if (s->flags & STATEMENT_IDE_KEYS)
			return 0;
		return refuse(ret_error, -EPERM,
			      "the link's IDE keys were not set over the SPDM session");
	default:
		return refuse(ret_error, -EPERM,
			      "the link is protected by \"%s\", expected selective IDE or "
			      "integrated",
			      statement_link_name(s->link));
	}
}

static int check_link(Check *c, char **ret_error)
{
	uint8_t min = c->policy->min_spdm_version;
	bool emulated = c->s->flags & STATEMENT_EMULATED; /* and allowed, by the step before */
	const Statement *s = c->s;
	int r = emulated ? 0 : check_protected_link(s, ret_error);

	if (r < 0)
		return r;
	if (s->spdm_version != SPDM_VERSION_1_2 || s->spdm_version < min)
		return refuse(ret_error, -EPERM,
			      "SPDM %u.%u with the device; policy wants at least %u.%u and this "
			      "verifier reads 1.2",
			      s->spdm_version >> 4, s->spdm_version & 15U,
			      (min ? min : SPDM_VERSION_1_2) >> 4,
			      (min ? min : SPDM_VERSION_1_2) & 15U);
	if (s->base_asym != SPDM_ASYM_ECDSA_P384 && s->base_asym != SPDM_ASYM_ECDSA_P256)
		return refuse(ret_error, -EPERM,
			      "SPDM signature algorithm 0x%x, expected ECDSA P-384 or P-256",
			      s->base_asym);
	if (s->base_hash != SPDM_HASH_SHA384)
		return refuse(ret_error, -EPERM, "SPDM hash algorithm 0x%x, expected SHA-384",
			      s->base_hash);
	if (!(s->flags & STATEMENT_SESSION_SECURED))
		return 0;
	if (s->aead != SPDM_AEAD_AES_256_GCM)
		return refuse(ret_error, -EPERM, "SPDM session cipher 0x%x, expected AES-256-GCM",
			      s->aead);
	if (s->dhe != SPDM_DHE_SECP384R1 && s->dhe != SPDM_DHE_SECP256R1)
		return refuse(ret_error, -EPERM,
			      "SPDM key exchange group 0x%x, expected secp384r1 or secp256r1",
			      s->dhe);
	return 0;
}

static int check_digests(Check *c, char **ret_error)
{
	const struct {
		const char *name;
		const struct iovec *blob;
		const Digest *digest;
	} blobs[] = {
		{ "certificate chain", &c->blobs->certificates, &c->s->evidence.certificates },
		{ "VCA", &c->blobs->vca, &c->s->evidence.vca },
		{ "measurements", &c->blobs->measurements, &c->s->evidence.measurements },
		{ "interface report", &c->blobs->report, &c->s->evidence.report },
	};

	for (size_t i = 0; i < ELEMENTSOF(blobs); i++) {
		char is[DIGEST_STRING_SIZE], should[DIGEST_STRING_SIZE];
		Digest digest;
		int r = digest_of(&digest, blobs[i].blob->iov_base, blobs[i].blob->iov_len);

		if (r < 0)
			return r;
		if (!digest_equal(&digest, blobs[i].digest))
			return refuse(ret_error, -EPERM,
				      "the host's %s (%zu bytes) has SHA-384 %s, the TSM states %s",
				      blobs[i].name, blobs[i].blob->iov_len,
				      digest_format(&digest, is),
				      digest_format(blobs[i].digest, should));
	}
	return 0;
}

static int check_negotiation(Check *c, char **ret_error)
{
	const Statement *s = c->s;
	Vca vca;
	int r = vca_parse(&vca, c->blobs->vca.iov_base, c->blobs->vca.iov_len, ret_error);

	if (r < 0)
		return r;
	if (vca.version != s->spdm_version || vca.chosen.base_asym != s->base_asym ||
	    vca.chosen.base_hash != s->base_hash || vca.chosen.aead != s->aead ||
	    vca.chosen.dhe != s->dhe)
		return refuse(
			ret_error, -EPERM,
			"the VCA negotiated asym 0x%x, hash 0x%x, AEAD 0x%x, DHE 0x%x; the TSM "
			"states 0x%x, 0x%x, 0x%x, 0x%x",
			vca.chosen.base_asym, vca.chosen.base_hash, vca.chosen.aead, vca.chosen.dhe,
			s->base_asym, s->base_hash, s->aead, s->dhe);
	if (vca.chosen.measurement_spec != SPDM_MEASUREMENT_SPEC_DMTF ||
	    vca.chosen.measurement_hash != SPDM_MEASUREMENT_HASH_SHA384)
		return refuse(ret_error, -EPERM,
			      "the VCA negotiated measurement specification 0x%x and hash 0x%x, "
			      "expected DMTF's and SHA-384",
			      vca.chosen.measurement_spec, vca.chosen.measurement_hash);
	if (!(vca.responder.flags & SPDM_CAP_MEASUREMENTS_SIGNED))
		return refuse(ret_error, -EPERM,
			      "the device does not claim to sign its measurements");
	return 0;
}

static int check_chain(Check *c, char **ret_error)
{
	const EvidencePolicy *p = c->policy;
	CertChainTrust trust = { .roots = p->roots,
				 .n_roots = p->n_roots,
				 .crls = p->crls,
				 .n_crls = p->n_crls,
				 .now = c->now };
	char text[DIGEST_STRING_SIZE];
	const Digest *key;
	int r;

	r = cert_chain_parse(&c->chain, c->blobs->certificates.iov_base,
			     c->blobs->certificates.iov_len, ret_error);
	if (r == 0)
		r = cert_chain_verify(c->chain, &trust, ret_error);
	if (r < 0)
		return r;
	key = cert_chain_leaf_key_digest(c->chain);
	if (!digest_equal(key, &c->s->leaf_key))
		return refuse(ret_error, -EPERM,
			      "the leaf certificate's key (SHA-384 %s) is not the session's",
			      digest_format(key, text));
	if (spdm_signature_algorithm(cert_chain_leaf_key(c->chain)) != c->s->base_asym)
		return refuse(
			ret_error, -EPERM,
			"the leaf certificate's key is of algorithm 0x%x, negotiated was 0x%x",
			spdm_signature_algorithm(cert_chain_leaf_key(c->chain)), c->s->base_asym);
	for (size_t i = 0; i < p->n_leaf_keys; i++)
		if (digest_equal(key, &p->leaf_keys[i]))
			return 0;
	if (p->n_leaf_keys)
		return refuse(ret_error, -EPERM,
			      "the leaf certificate's key (SHA-384 %s) is none of the %zu pinned",
			      digest_format(key, text), p->n_leaf_keys);
	return 0;
}

static bool device_allowed(const DeviceIdentity *id, const EvidenceDevice *device)
{
	return id->vendor == device->vendor &&
	       (device->any_device || id->device == device->device) &&
	       (id->class_code & device->class_mask) == device->class_code;
}

static int check_identity(Check *c, char **ret_error)
{
	char named[DEVICE_IDENTITY_STRING_SIZE], seen[DEVICE_IDENTITY_STRING_SIZE];
	const DeviceIdentity *function = &c->expected->function;
	DeviceIdentity *id = &c->verdict->identity;
	const EvidencePolicy *p = c->policy;
	int r = cert_chain_identity(c->chain, id, ret_error);

	if (r < 0)
		return r;
	device_identity_format(id, named);
	device_identity_format(function, seen);
	if (id->vendor != function->vendor || id->subsystem_vendor != function->subsystem_vendor)
		return refuse(ret_error, -EPERM,
			      "the certificate names %s, another vendor's than the function (%s)",
			      named, seen);
	if (p->n_devices == 0 && !device_identity_equal(id, function))
		return refuse(ret_error, -EPERM,
			      "the certificate names %s, not this function (%s), and policy lists "
			      "no devices",
			      named, seen);
	for (size_t i = 0; i < p->n_devices; i++)
		if (device_allowed(id, &p->devices[i]))
			return 0;
	if (p->n_devices)
		return refuse(ret_error, -EPERM,
			      "the certificate names %s, none of the %zu devices that policy lists",
			      named, p->n_devices);
	return 0;
}

static int check_measurements(Check *c, char **ret_error)
{
	MeasurementsCheck check = { .vca = c->blobs->vca.iov_base,
				    .vca_size = c->blobs->vca.iov_len,
				    .key = cert_chain_leaf_key(c->chain),
				    .slot = c->s->slot,
				    .nonce = c->expected->nonce };

	return measurements_verify(&c->measurements, c->blobs->measurements.iov_base,
				   c->blobs->measurements.iov_len, &check, ret_error);
}

static int check_references(Check *c, char **ret_error)
{
	return evidence_references_check(&c->measurements, c->policy, ret_error);
}

static int check_report(Check *c, char **ret_error)
{
	return interface_report_parse(&c->verdict->report, c->blobs->report.iov_base,
				      c->blobs->report.iov_len, ret_error);
}

/* What the report is held against. */
static InterfaceRules rules_of(const Check *c)
{
	const EvidencePolicy *p = c->policy;

	return (InterfaceRules){
		.lock_no_fw_update = c->s->lock_flags & TDISP_LOCK_NO_FW_UPDATE,
		.lock_msix = c->s->lock_flags & TDISP_LOCK_MSIX,
		.allow_fw_update = !p->require_no_fw_update && p->reattest_interval_sec,
		.allow_ats = p->allow_ats,
		.allow_prs = p->allow_prs,
		.allow_pasid = p->allow_pasid,
		.shared = p->shared,
		.n_shared = p->n_shared,
		.gaps = p->gaps,
		.n_gaps = p->n_gaps,
	};
}

/* interface_report_check() looks in the order of our steps: each step asks for its own refusal. */
static int check_interface(Check *c, InterfaceRefusal about, char **ret_error)
{
	_cleanup_free_ char *reason = NULL;
	int r = interface_report_check(&c->verdict->report, c->expected->bars, &c->verdict->rules,
				       &reason);

	if (r < 0)
		return r;
	/* The last step takes whatever has not been refused by now. */
	if (r == 0 || (r > (int)about && about != INTERFACE_REFUSED_SHARED))
		return 0;
	return refuse(ret_error, -EPERM, "%s", reason ? reason : "the interface report is refused");
}

static int check_firmware(Check *c, char **ret_error)
{
	bool updates = !(c->s->lock_flags & TDISP_LOCK_NO_FW_UPDATE);

	c->verdict->rules = rules_of(c);
	c->verdict->reattest_interval_sec = c->policy->reattest_interval_sec;
	if (updates && !c->policy->require_no_fw_update && !c->policy->reattest_interval_sec)
		return refuse(ret_error, -EPERM,
			      "the device's firmware may be updated while it is locked; policy "
			      "allows that but sets no re-attestation interval");
	return check_interface(c, INTERFACE_REFUSED_FIRMWARE, ret_error);
}

static int check_features(Check *c, char **ret_error)
{
	c->verdict->msix_unlocked = !(c->s->lock_flags & TDISP_LOCK_MSIX);
	if ((c->s->lock_flags & TDISP_LOCK_BIND_P2P) && !c->policy->allow_p2p)
		return refuse(ret_error, -EPERM,
			      "the TDI is locked for peer-to-peer streams; policy does not allow "
			      "them");
	return check_interface(c, INTERFACE_REFUSED_FEATURES, ret_error);
}

static int check_ranges(Check *c, char **ret_error)
{
	return check_interface(c, INTERFACE_REFUSED_RANGES, ret_error);
}

static int check_shared(Check *c, char **ret_error)
{
	return check_interface(c, INTERFACE_REFUSED_SHARED, ret_error);
}

static const struct {
	const char *name;
	int (*check)(Check *c, char **ret_error);
} steps[_EVIDENCE_STEP_MAX] = {
	[EVIDENCE_STATEMENT] = { "statement", check_statement },
	[EVIDENCE_REQUEST] = { "request", check_request },
	[EVIDENCE_STATE] = { "state", check_state },
	[EVIDENCE_LINK] = { "link", check_link },
	[EVIDENCE_DIGESTS] = { "digests", check_digests },
	[EVIDENCE_NEGOTIATION] = { "negotiation", check_negotiation },
	[EVIDENCE_CHAIN] = { "chain", check_chain },
	[EVIDENCE_IDENTITY] = { "identity", check_identity },
	[EVIDENCE_MEASUREMENTS] = { "measurements", check_measurements },
	[EVIDENCE_REFERENCES] = { "references", check_references },
	[EVIDENCE_REPORT] = { "report", check_report },
	[EVIDENCE_FIRMWARE] = { "firmware", check_firmware },
	[EVIDENCE_FEATURES] = { "features", check_features },
	[EVIDENCE_RANGES] = { "ranges", check_ranges },
	[EVIDENCE_SHARED] = { "shared", check_shared },
};

const char *evidence_step_name(EvidenceStep step)
{
	return (unsigned int)step < _EVIDENCE_STEP_MAX ? steps[step].name : "none";
}

void evidence_verdict_done(EvidenceVerdict *verdict)
{
	free(verdict->reason);
	verdict->reason = NULL;
}

int evidence_check(EvidenceVerdict *ret, const void *statement, size_t statement_size,
		   const EvidenceBlobs *blobs, const EvidenceExpectations *expected,
		   const EvidencePolicy *policy, int64_t now)
{
	Check c = { .statement = statement,
		    .statement_size = statement_size,
		    .blobs = blobs,
		    .expected = expected,
		    .policy = policy,
		    .now = now,
		    .verdict = ret,
		    .s = &ret->statement };
	int r = 0;

	*ret = (EvidenceVerdict){ .step = EVIDENCE_STATEMENT };
	while (ret->step < _EVIDENCE_STEP_MAX) {
		r = steps[ret->step].check(&c, &ret->reason);
		if (r < 0)
			break;
		ret->step++;
	}
	cert_chain_free(c.chain);
	if (r == -ENOMEM || r == -EIO) {
		evidence_verdict_done(ret);
		return r;
	}
	if (r < 0 && !ret->reason)
		return -ENOMEM;
	ret->good = r == 0 && ret->step == _EVIDENCE_STEP_MAX;
	return 0;
}
