/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timers that were under way when tdid ended, after its restart: none goes off on what a record
 * says before the world has been compared with that. Those of an assignment are held until the TSM
 * that serves it has said what it holds and its domain has been read after that; the grace of a DSM
 * until its TSM has said so, libvirt has listed its domains, and each of these has been read.
 *
 * So they are held for as long as the TSM or libvirt is away.
 */
#pragma once

#include "daemon/tdid.h"

/* All that have been restored. */
void held_timers_begin(Tdid *tdid);
/* libvirt has shown the domain. */
void held_timers_compared(const Tvm *tvm);
/* libvirt has listed or shown something, or a TSM has. */
void held_timers_look(Tdid *tdid);
