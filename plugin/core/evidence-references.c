/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/evidence-references.h"
#include "core/refusal.h"

#include <errno.h>
#include <inttypes.h>

/* 1: the block satisfies the reference; 0: not; -EIO. */
static int reference_holds(const MeasurementBlock *block, const EvidenceReference *reference)
{
	Digest digest;
	uint64_t svn;
	int r;

	if (reference->by_svn)
		return measurement_block_svn(block, &svn) == 0 && svn >= reference->min_svn;
	r = measurement_block_digest(block, &digest);
	return r < 0 ? r : digest_equal(&digest, &reference->digest);
}

static int refuse_reference(const MeasurementBlock *block, const EvidenceReference *reference,
			    char **ret_error)
{
	char is[DIGEST_STRING_SIZE], should[DIGEST_STRING_SIZE];
	Digest digest;
	uint64_t svn;

	if (reference->by_svn && measurement_block_svn(block, &svn) < 0)
		return refuse(ret_error, -EPERM,
			      "measurement 0x%02x is no security version number, policy wants at "
			      "least %" PRIu64,
			      block->index, reference->min_svn);
	if (reference->by_svn)
		return refuse(ret_error, -EPERM,
			      "measurement 0x%02x: security version number %" PRIu64
			      ", policy wants at least %" PRIu64,
			      block->index, svn, reference->min_svn);
	if (measurement_block_digest(block, &digest) < 0)
		return -EIO;
	return refuse(ret_error, -EPERM, "measurement 0x%02x is %s, policy wants %s", block->index,
		      digest_format(&digest, is), digest_format(&reference->digest, should));
}

/* References with the same index are alternatives. */
static int check_index(const MeasurementSet *measurements, const EvidencePolicy *policy,
		       const EvidenceReference *wanted, char **ret_error)
{
	const MeasurementBlock *block = measurement_set_find(measurements, wanted->index);

	if (!block)
		return refuse(ret_error, -EPERM,
			      "measurement 0x%02x, which policy wants, is not among the device's",
			      wanted->index);
	for (size_t i = 0; i < policy->n_references; i++) {
		const EvidenceReference *reference = &policy->references[i];
		int r = reference->index == wanted->index ? reference_holds(block, reference) : 0;

		if (r != 0)
			return r < 0 ? r : 0;
	}
	return refuse_reference(block, wanted, ret_error);
}

/* The device's mode is judged by check_device_mode(), it needs no reference. */
static int check_unlisted(const MeasurementSet *measurements, const EvidencePolicy *policy,
			  char **ret_error)
{
	for (size_t i = 0; i < measurements->n_blocks; i++) {
		const MeasurementBlock *block = &measurements->blocks[i];
		bool listed = block->type == MEASUREMENT_DEVICE_MODE;

		for (size_t n = 0; n < policy->n_references && !listed; n++)
			listed = policy->references[n].index == block->index;
		if (!listed)
			return refuse(ret_error, -EPERM,
				      "policy has no reference for measurement 0x%02x",
				      block->index);
	}
	return 0;
}

static int check_device_mode(const MeasurementSet *measurements, const EvidencePolicy *policy,
			     char **ret_error)
{
	bool found = false;

	for (size_t i = 0; i < measurements->n_blocks; i++) {
		const MeasurementBlock *block = &measurements->blocks[i];
		MeasurementDeviceMode mode;

		if (block->type != MEASUREMENT_DEVICE_MODE &&
		    block->index != MEASUREMENT_INDEX_DEVICE_MODE)
			continue;
		if (measurement_block_device_mode(block, &mode) < 0)
			return refuse(ret_error, -EPERM,
				      "measurement 0x%02x should be a device mode and is none that "
				      "can be read",
				      block->index);
		found = true;
		if (policy->allow_debug)
			continue;
		if (mode.mode_state)
			return refuse(ret_error, -EPERM,
				      "the device is or has been in debug mode (state 0x%x, "
				      "expected 0)",
				      mode.mode_state);
		if (mode.operational_state != MEASUREMENT_OPERATIONAL_NORMAL)
			return refuse(ret_error, -EPERM,
				      "the device is in operational state 0x%x, expected normal "
				      "(0x%x)",
				      mode.operational_state, MEASUREMENT_OPERATIONAL_NORMAL);
	}
	if (!found && policy->require_device_mode)
		return refuse(ret_error, -EPERM,
			      "the device does not report its mode, and policy wants it");
	return 0;
}

int evidence_references_check(const MeasurementSet *measurements, const EvidencePolicy *policy,
			      char **ret_error)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < policy->n_references; i++)
		r = check_index(measurements, policy, &policy->references[i], ret_error);
	if (r == 0)
		r = check_device_mode(measurements, policy, ret_error);
	if (r == 0 && !policy->allow_unlisted_indices)
		r = check_unlisted(measurements, policy, ret_error);
	return r;
}
