/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tdid must not forget over a crash, as records of the store: one per TVM (which QEMU it is),
 * per DSM, per TDI (owner, quarantine, its generation before this owner) and per assignment. No
 * secret is in them.
 */
#pragma once

#include "daemon/tdid.h"

/* As store_write. */
int records_write_tvm(Tdid *tdid, Tvm *tvm);
int records_write_dsm(Tdid *tdid, const Dsm *dsm);
/* The drain's own: there while the DSM is being drained. */
int records_write_drain(Tdid *tdid, const Dsm *dsm);
int records_write_tdi(Tdid *tdid, Tdi *tdi);
/* Those of its TVM and TDI, where they could not be written before. */
int records_write_before(Tdid *tdid, const Assignment *a);
int records_write_assignment(Tdid *tdid, Assignment *assignment);
void records_remove_tvm(Tdid *tdid, const Tvm *tvm);
void records_remove_assignment(Tdid *tdid, const Assignment *assignment);

/* Puts everything back into registry and engine. Before anything else runs. */
int records_restore(Tdid *tdid, char **ret_error);
