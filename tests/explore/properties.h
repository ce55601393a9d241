/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must hold. Each has a sentence as its name, and the first that is broken stays. */
#pragma once

#include "model.h"

__attribute__((format(printf, 3, 4))) void broken(Model *model, const char *property,
						  const char *detail, ...);

/* Before an effect is carried out. */
void properties_of_effect(Model *model, const EngineEffect *effect);

/* Between two moves. */
void properties_of_state(Model *model);

/* When nothing more comes by itself. */
void properties_of_rest(Model *model);

/* Late and repeated events. They have to leave no effect; the caller compares the states. */
void properties_of_stale_events(Model *model);

/* Whether one that has this fault is bound again after a while. */
bool policy_binds_again(const Policy *policy, EngineFault fault, uint32_t rebinds);

#define POLICY	 "what becomes of a fault is the policy's"
#define STALE	 "late and repeated events change nothing"
#define RESTS	 "if what is under way completes, a resting state is reached"
#define READABLE "what was written can be put back"
