/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a policy says about the measurements of a device. */
#pragma once

#include "core/evidence-policy.h"
#include "core/measurement-block.h"

/*
 * All indices that the policy has references for are there and one reference of each holds, the
 * device's mode is allowed, and no block is there without a reference unless policy allows that
 * (the device's mode needs none). 0, -EPERM with a sentence, or -EIO.
 */
int evidence_references_check(const MeasurementSet *measurements, const EvidencePolicy *policy,
			      char **ret_error);
