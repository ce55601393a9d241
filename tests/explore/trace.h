/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happened, for people. */
#pragma once

#include "model.h"

void trace_move(FILE *to, const Model *model, unsigned int number, Move move);
void trace_state(FILE *to, const Model *model);
