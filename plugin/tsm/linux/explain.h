/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an errno of the kernel's PCI/TSM, or of the tsm-proxy module, means, and what to do. */
#pragma once

#include "kernel.h"
#include "tsm/common/tsm-refusal.h"

/*
 * error: positive. Gives the outcome (nothing has changed, or nobody knows) and a sentence with
 * cause and way out; constant.
 */
TsmOutcome explain_errno(KernelVerb verb, KernelBinder binder, int error, const char **ret_cause);
