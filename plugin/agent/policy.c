/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy.h"

#include "core/refusal.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int agent_policy_load(AgentPolicy **ret, const Tree *tree, const char *path, char **ret_error)
{
	_cleanup_free_ char *text = NULL, *cause = NULL;
	size_t size;
	int r;

	r = tree_read(tree, &text, &size, AGENT_POLICY_MAX_SIZE, "%s", path);
	if (r < 0)
		return refuse(ret_error, r, "policy %s: %s", path, strerror(-r));
	r = agent_policy_parse(ret, text, size, &cause);
	if (r < 0)
		return refuse(ret_error, r, "policy %s: %s", path, cause ? cause : strerror(-r));
	return 0;
}

AgentPolicy *agent_policy_free(AgentPolicy *policy)
{
	for (size_t i = 0; i < policy->n_devices; i++)
		free(policy->devices[i].references);
	for (size_t i = 0; i < policy->evidence.n_crls; i++)
		OPENSSL_free(policy->crls[i].iov_base);
	policy_command_done(&policy->relying_party);
	free(policy->devices);
	free(policy->evidence_devices);
	free(policy->unverified);
	free(policy->roots);
	free(policy->crls);
	free(policy->leaf_keys);
	free(policy->shared);
	free(policy->gaps);
	free(policy);
	return NULL;
}

static bool device_fits(const PolicyDevice *device, const DeviceIdentity *identity)
{
	const EvidenceDevice *d = &device->device;

	return d->vendor == identity->vendor && d->device == identity->device &&
	       (identity->class_code & d->class_mask) == d->class_code &&
	       (device->any_subsystem_vendor ||
		device->subsystem_vendor == identity->subsystem_vendor);
}

bool agent_policy_select(const AgentPolicy *policy, const DeviceIdentity *identity,
			 EvidencePolicy *ret)
{
	*ret = policy->evidence;
	ret->devices = policy->evidence_devices;
	ret->n_devices = policy->n_devices;
	for (size_t i = 0; identity && i < policy->n_devices; i++) {
		if (!device_fits(&policy->devices[i], identity))
			continue;
		ret->devices = &policy->evidence_devices[i];
		ret->n_devices = 1;
		ret->references = policy->devices[i].references;
		ret->n_references = policy->devices[i].n_references;
		return true;
	}
	return policy->n_devices == 0;
}

bool agent_policy_is_unverified(const AgentPolicy *policy, Bdf address, uint16_t vendor,
				uint32_t class_code)
{
	for (size_t i = 0; i < policy->n_unverified; i++) {
		const PolicyUnverified *u = &policy->unverified[i];

		switch (u->kind) {
		case POLICY_UNVERIFIED_ADDRESS:
			if (bdf_equal(u->address, address))
				return true;
			break;
		case POLICY_UNVERIFIED_VENDOR:
			if (u->vendor == vendor)
				return true;
			break;
		case POLICY_UNVERIFIED_CLASS:
			if ((class_code & u->class_mask) == u->class_code)
				return true;
			break;
		}
	}
	return false;
}

static void describe_devices(const AgentPolicy *policy, FILE *out)
{
	if (!policy->n_devices)
		fputs("devices: only a certificate that names the function itself (never a VF's)\n",
		      out);
	for (size_t i = 0; i < policy->n_devices; i++) {
		const PolicyDevice *d = &policy->devices[i];

		fprintf(out, "device %04x:%04x", d->device.vendor, d->device.device);
		if (d->device.class_mask)
			fprintf(out, ", class %06x", d->device.class_code);
		if (!d->any_subsystem_vendor)
			fprintf(out, ", subsystem vendor %04x", d->subsystem_vendor);
		fprintf(out, ": %zu reference values\n", d->n_references);
		if (!d->n_references && policy->evidence.allow_unlisted_indices)
			fputs("  WARNING: any firmware is accepted\n", out);
	}
}

static void describe_unverified(const AgentPolicy *policy, FILE *out)
{
	char address[BDF_STRING_SIZE];

	if (!policy->n_unverified)
		fputs("unverified: no function gets a driver without evidence\n", out);
	for (size_t i = 0; i < policy->n_unverified; i++) {
		const PolicyUnverified *u = &policy->unverified[i];

		switch (u->kind) {
		case POLICY_UNVERIFIED_ADDRESS:
			fprintf(out, "unverified: %s\n", bdf_format(u->address, address));
			break;
		case POLICY_UNVERIFIED_VENDOR:
			fprintf(out, "unverified: every function of vendor %04x\n", u->vendor);
			break;
		case POLICY_UNVERIFIED_CLASS:
			fprintf(out, "unverified: every function of class %06x/%06x\n",
				u->class_code, u->class_mask);
			break;
		}
	}
}

static void describe_regions(const char *what, const InterfaceRegion *regions, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s: BAR %u, pages 0x%llx to 0x%llx\n", what, regions[i].bar,
			(unsigned long long)regions[i].first_page,
			(unsigned long long)(regions[i].first_page + regions[i].n_pages - 1));
}

void agent_policy_describe(const AgentPolicy *policy, FILE *out)
{
	const EvidencePolicy *e = &policy->evidence;
	char digest[DIGEST_STRING_SIZE];

	if (e->allow_emulated)
		fputs("WARNING: an emulated TSM is let through: nothing is protected\n", out);
	if (!e->n_roots)
		fputs("roots: none, so no device is ever accepted\n", out);
	for (size_t i = 0; i < e->n_roots; i++)
		fprintf(out, "root: SHA-384 %s\n", digest_format(&e->roots[i], digest));
	if (e->n_crls)
		fprintf(out, "revocation: %zu lists, one has to cover the leaf's issuer\n",
			e->n_crls);
	else
		fputs("revocation: not checked\n", out);
	if (e->n_leaf_keys)
		fprintf(out, "keys: one of %zu pinned leaf keys\n", e->n_leaf_keys);
	describe_devices(policy, out);
	fprintf(out, "measurements of unlisted indices: %s\n",
		e->allow_unlisted_indices ? "ignored" : "refused");
	fprintf(out, "debug modes: %s\n", e->allow_debug ? "ALLOWED" : "refused");
	fprintf(out, "a device that does not report its mode: %s\n",
		e->require_device_mode ? "refused" : "let through");
	fprintf(out, "firmware updates while in use: %s\n",
		e->require_no_fw_update ? "refused" : "allowed");
	if (e->reattest_interval_sec)
		fprintf(out, "evidence anew: every %u s\n", e->reattest_interval_sec);
	fprintf(out, "ATS %s, PRS %s, PASID %s, peer-to-peer %s\n", e->allow_ats ? "yes" : "no",
		e->allow_prs ? "yes" : "no", e->allow_pasid ? "yes" : "no",
		e->allow_p2p ? "yes" : "no");
	describe_regions("shared memory", e->shared, e->n_shared, out);
	describe_regions("need not be in the report", e->gaps, e->n_gaps, out);
	describe_unverified(policy, out);
	fprintf(out, "a driver that holds an offered function: %s\n",
		policy->unbind_driver ? "is unbound" : "the function is refused");
	policy_command_describe(&policy->relying_party, out);
	policy_quote_describe(&policy->quote, out);
}
