/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine's tables in writable memory. The explorer is linked with this object in place of the
 * library's engine-table.o, and holds the very rows that are shipped until one is changed.
 */
#pragma once

#include "core/engine-table.h"

/* The rows as they are shipped. */
void table_restore(void);

/* The row of this state, input and guard, to be changed; NULL when there is none. */
EngineTransition *table_row(AssignmentState from, EngineInput input, EngineGuard guard);
/* The same of a DSM's. */
/* Of a TDI. */
TdiTransition *table_tdi_row(TdiState from, TdiInput input);
DsmTransition *table_dsm_row(DsmState from, DsmInput input, DsmGuard guard);
