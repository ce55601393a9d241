/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the vendor of an emulated device would publish about it, as part of an agent's policy. */
#pragma once

#include "config.h"
#include "rpc/json.h"

/*
 * {roots, devices, allow_shared_ranges} for the device, or the device of this VF. The ranges are
 * those of the function named (MSI-X while it is not locked). Makes the CA if there is none.
 */
int reference_make(json_object **ret, const Config *config, Bdf device, char **ret_error);
