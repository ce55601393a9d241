/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TVM owner's policy file (schemas/agent-policy.schema.json): strict JSON, unknown members
 * refused, and what is absent is at its strictest, but for what is only asked for by naming it:
 * require_device_mode, crls, pins, reattest_interval_sec and relying_party.
 */
#pragma once

#include "agent/policy-command.h"
#include "agent/policy-quote.h"
#include "agent/tree.h"
#include "core/bdf.h"
#include "core/cleanup.h"
#include "core/device-identity.h"
#include "core/evidence-policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AGENT_POLICY_PATH     "/etc/tdi-agent/policy.json"
#define AGENT_POLICY_MAX_SIZE (1024 * 1024)

/* Whom a certificate may name, and what such a device has to measure. */
typedef struct PolicyDevice {
	EvidenceDevice device;
	bool any_subsystem_vendor;
	uint16_t subsystem_vendor;
	EvidenceReference *references;
	size_t n_references;
} PolicyDevice;

/* Functions that get their driver without any evidence: the guest's own, emulated ones. */
typedef enum PolicyUnverifiedKind {
	POLICY_UNVERIFIED_ADDRESS,
	POLICY_UNVERIFIED_VENDOR,
	POLICY_UNVERIFIED_CLASS,
} PolicyUnverifiedKind;

typedef struct PolicyUnverified {
	PolicyUnverifiedKind kind;
	Bdf address;
	uint16_t vendor;
	uint32_t class_code; /* 24 bits */
	uint32_t class_mask;
} PolicyUnverified;

typedef struct AgentPolicy {
	EvidencePolicy evidence; /* without devices and references, see agent_policy_select() */
	PolicyDevice *devices;
	size_t n_devices;
	EvidenceDevice *evidence_devices; /* of all `devices` */
	PolicyUnverified *unverified;
	size_t n_unverified;
	/* A driver that holds an offered function is unbound; otherwise the function is refused. */
	bool unbind_driver;
	PolicyCommand relying_party; /* asked about what the policy lets through */
	PolicyQuote quote;

	Digest *roots;
	struct iovec *crls;
	Digest *leaf_keys;
	InterfaceRegion *shared;
	InterfaceRegion *gaps;
} AgentPolicy;

/*
 * -EINVAL (or -EBADMSG, -E2BIG: not the strict JSON that rpc/json.h wants) with a sentence that
 * names the member and the way out; -ENOMEM.
 */
int agent_policy_parse(AgentPolicy **ret, const char *text, size_t size, char **ret_error);
/* Reads a file below the tree's root first; negative errno with a sentence. */
int agent_policy_load(AgentPolicy **ret, const Tree *tree, const char *path, char **ret_error);
AgentPolicy *agent_policy_free(AgentPolicy *policy);
DEFINE_CLEANUP(AgentPolicy, agent_policy_free);

/*
 * The policy for one device, by the identity in its (not yet verified) certificate; borrows from
 * `policy`. False: the policy lists devices and none fits. Then *ret lists them all, so that
 * evidence_check() can say what is wrong before that, and the caller has to refuse in any case.
 */
bool agent_policy_select(const AgentPolicy *policy, const DeviceIdentity *identity,
			 EvidencePolicy *ret);

bool agent_policy_is_unverified(const AgentPolicy *policy, Bdf address, uint16_t vendor,
				uint32_t class_code);

/* Says in words what the policy lets through. */
void agent_policy_describe(const AgentPolicy *policy, FILE *out);
