/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The evidence that the TSM showed to the host, per assignment: public bytes, kept for whoever asks
 * later. tdid does not judge them; the TVM does, with what the TSM sealed for it.
 */
#pragma once

#include "daemon/registry.h"

/* Asks the TSM what it holds for this bind; what comes replaces what was kept. */
void evidence_store_fetch(Assignment *assignment, uint64_t generation);
/* What is kept is about to be replaced. */
bool evidence_store_is_fetching(const Assignment *assignment);
