/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An engine on the bench: events in short words, the last step's effects at hand. */
#pragma once

#include "core/engine.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Assignment, TDI n; by default all in TVM 0 and of DSM 0. The last step's effects are kept. */
typedef struct Bench {
	Engine *engine;
	EngineEffect effects[128];
	size_t n;
} Bench;

static Bench bench;

static inline int try_step(EngineEvent event)
{
	const EngineEffect *effects;
	int r = engine_step(bench.engine, &event, &effects, &bench.n);

	cr_assert_leq(bench.n, ELEMENTSOF(bench.effects));
	if (bench.n)
		memcpy(bench.effects, effects, bench.n * sizeof(*effects));
	return r;
}

static inline void step(EngineEvent event)
{
	cr_assert_eq(try_step(event), 0, "%s", engine_event_name(event.type));
}

static inline void begin(void)
{
	cr_assert_eq(engine_new(&bench.engine, 100), 0);
	for (uint32_t tvm = 0; tvm < 2; tvm++)
		step((EngineEvent){ .type = EVENT_TVM_STARTED, .id = tvm });
}

static inline void end(void)
{
	bench.engine = engine_free(bench.engine);
}

static inline size_t count(EngineEffectType type)
{
	size_t n = 0;

	for (size_t i = 0; i < bench.n; i++)
		n += bench.effects[i].type == type;
	return n;
}

static inline const EngineEffect *effect(EngineEffectType type)
{
	cr_assert_eq(count(type), 1, "%zu times %s", count(type), engine_effect_name(type));
	for (size_t i = 0; i < bench.n; i++)
		if (bench.effects[i].type == type)
			return &bench.effects[i];
	return NULL;
}

static inline size_t position(EngineEffectType type)
{
	return (size_t)(effect(type) - bench.effects);
}

static inline const EngineAssignment *at(uint32_t id)
{
	const EngineAssignment *a = engine_assignment(bench.engine, id);

	cr_assert_not_null(a);
	return a;
}

static inline void is(uint32_t id, AssignmentState state, EngineFault fault)
{
	cr_assert_str_eq(assignment_state_name(at(id)->state), assignment_state_name(state));
	cr_assert_str_eq(engine_fault_name(at(id)->fault), engine_fault_name(fault));
}

static inline void dsm_is(DsmState state)
{
	cr_assert_str_eq(dsm_state_name(engine_dsm(bench.engine, 0)->state), dsm_state_name(state));
}

static inline void simple(EngineEventType type, uint32_t id)
{
	step((EngineEvent){ .type = type, .id = id });
}

static inline void appear_in(uint32_t id, uint32_t tvm, uint32_t tdi)
{
	step((EngineEvent){ .type = EVENT_APPEARED, .id = id, .tvm = tvm, .dsm = 0, .tdi = tdi });
}

static inline void appear(uint32_t id)
{
	appear_in(id, 0, id);
}

static inline void dsm_done(EngineEventType type, OperationOutcome outcome)
{
	step((EngineEvent){ .type = type,
			    .id = 0,
			    .operation = engine_dsm(bench.engine, 0)->operation,
			    .outcome = outcome });
}

static inline void bind_done(uint32_t id, OperationOutcome outcome, TdispState state)
{
	step((EngineEvent){ .type = EVENT_BIND_DONE,
			    .id = id,
			    .operation = at(id)->operation,
			    .outcome = outcome,
			    .tdi_state = state });
}

static inline void unbind_done(uint32_t id, OperationOutcome outcome, bool confirmed)
{
	step((EngineEvent){ .type = EVENT_UNBIND_DONE,
			    .id = id,
			    .operation = at(id)->operation,
			    .outcome = outcome,
			    .device_confirmed = confirmed });
}

static inline void tdi_changed(uint32_t tdi, TdispState state, bool accepted)
{
	step((EngineEvent){ .type = EVENT_TDI_CHANGED,
			    .id = tdi,
			    .generation = engine_tdi(bench.engine, tdi)->generation,
			    .tdi_state = state,
			    .accepted = accepted });
}

/* The TVM has a request open. */
static inline void asks(uint32_t tdi, TdispState state, EngineRequest what, uint64_t request)
{
	step((EngineEvent){ .type = EVENT_TDI_CHANGED,
			    .id = tdi,
			    .generation = engine_tdi(bench.engine, tdi)->generation,
			    .tdi_state = state,
			    .asks = what,
			    .request = request });
}

static inline void request_done(uint32_t id, OperationOutcome outcome)
{
	step((EngineEvent){ .type = EVENT_REQUEST_DONE,
			    .id = id,
			    .operation = at(id)->operation,
			    .outcome = outcome });
}

static inline void to_binding(uint32_t id)
{
	appear(id);
	if (engine_dsm(bench.engine, 0)->state == DSM_CONNECTING)
		dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	simple(EVENT_GUEST_READY, id);
	is(id, ASSIGNMENT_BINDING, FAULT_NONE);
}

static inline void to_locked(uint32_t id)
{
	to_binding(id);
	bind_done(id, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(id, ASSIGNMENT_LOCKED, FAULT_NONE);
}

static inline void to_running(uint32_t id)
{
	to_locked(id);
	tdi_changed(id, TDISP_RUN, true);
	is(id, ASSIGNMENT_RUNNING, FAULT_NONE);
}

/* A fault, and nothing of it bound: by the strictest policy it leaves the domain. */
static inline void taken_out(uint32_t id, EngineFault fault)
{
	is(id, ASSIGNMENT_ATTACHED, fault);
	cr_assert_eq(at(id)->present, true);
	simple(EVENT_LOOKED, id);
	is(id, ASSIGNMENT_DETACHING, fault);
	effect(EFFECT_DETACH);
}

/* What a fault leads to: withdrawn, unbound, detached, gone. */
static inline void ends_failed(uint32_t id, EngineFault fault)
{
	is(id, ASSIGNMENT_UNBINDING, fault);
	cr_assert_lt(position(EFFECT_TELL_WITHDRAWN), position(EFFECT_UNBIND));
	unbind_done(id, OUTCOME_DONE, true);
	effect(EFFECT_LOOK);
	taken_out(id, fault);
	simple(EVENT_GONE, id);
	is(id, ASSIGNMENT_FAILED, fault);
	cr_assert_eq(engine_tdi(bench.engine, id)->owner, ENGINE_NONE);
}

/* The same where nothing more is known than that it is unlocked: no failure. */
static inline void ends_let_go(uint32_t id)
{
	is(id, ASSIGNMENT_UNBINDING, FAULT_UNLOCKED);
	effect(EFFECT_UNBIND);
	unbind_done(id, OUTCOME_DONE, true);
	taken_out(id, FAULT_UNLOCKED);
	simple(EVENT_GONE, id);
	is(id, ASSIGNMENT_RELEASED, FAULT_NONE);
	cr_assert_eq(engine_tdi(bench.engine, id)->owner, ENGINE_NONE);
}

static inline void changes_nothing(EngineEvent event)
{
	uint8_t before[2048], after[2048];
	size_t n = engine_serialize(bench.engine, before, sizeof(before));
	int r = try_step(event);

	cr_assert(r == 0 || r == -EINVAL, "%s", engine_event_name(event.type));
	cr_assert_eq(bench.n, 0, "%s: %s", engine_event_name(event.type),
		     engine_effect_name(bench.effects[0].type));
	cr_assert_gt(n, 0);
	cr_assert_eq(engine_serialize(bench.engine, after, sizeof(after)), n);
	cr_assert_arr_eq(before, after, n, "%s", engine_event_name(event.type));
}
