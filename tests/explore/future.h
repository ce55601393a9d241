/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can follow a state. */
#pragma once

#include "model.h"

/*
 * A digest of the set of states that can follow the one in the snapshot, each by its canonical
 * bytes, and never 0. The model is another afterwards.
 */
uint64_t future_digest(Model *model, const void *snapshot);
