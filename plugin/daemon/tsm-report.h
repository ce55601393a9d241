/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the TSMs say they hold, against what the engine believes.
 *
 * A report names what is the case, not what has changed: only what differs becomes an event.
 */
#pragma once

#include "daemon/tdid.h"

/* ProviderHandlers, userdata is the Tdid. */
extern const ProviderHandlers tsm_report_handlers;

/*
 * The TVM says that it has accepted the TDI. Where the platform's TSM cannot tell the host so
 * (state_source guest), this is what makes it RUN in the records; elsewhere it changes nothing.
 */
void tsm_report_accepted(Tdid *tdid, Assignment *assignment, uint64_t generation);
