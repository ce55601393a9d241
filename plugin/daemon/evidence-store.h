/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The evidence that the TSM showed to the host, per assignment: public bytes, kept for whoever asks
 * later. tdid does not judge them; the TVM does, with what the TSM sealed for it.
 */
#pragma once

#include "daemon/registry.h"

typedef struct EvidenceStore EvidenceStore;

/* -ENOMEM, or what sd-event says. */
int evidence_store_new(EvidenceStore **ret, sd_event *event);
/* After the assignments. */
EvidenceStore *evidence_store_free(EvidenceStore *store);

/* Asks the TSM what it holds for this bind; what comes replaces what was kept. */
void evidence_store_fetch(Assignment *assignment, uint64_t generation);
/* The assignment goes. */
void evidence_store_forget(Assignment *assignment);
/* What is kept is about to be replaced. */
bool evidence_store_is_fetching(const Assignment *assignment);
