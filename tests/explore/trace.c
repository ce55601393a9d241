/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace.h"

static const char *verb_text(uint8_t verb)
{
	static const char *const texts[] = {
		"nothing",    "device_connect",		 "device_reclaim", "tdi_bind",
		"tdi_unbind", "tdi_unbind, by request,", "LOCK",	   "START",
	};

	return texts[verb];
}

static const char *how_text(uint8_t how)
{
	static const char *const texts[] = { "well",
					     "refused",
					     "not done, outcome unknown",
					     "done, outcome unknown",
					     "done, not confirmed",
					     "done, and in ERROR" };

	return texts[how];
}

static const char *outcome_text(uint8_t outcome)
{
	static const char *const texts[] = { "done", "refused", "unknown" };

	return texts[outcome];
}

static void trace_verb(FILE *to, const Model *model, Move move)
{
	bool dsm = move.type == MOVE_EXECUTE_DSM || move.type == MOVE_ANSWER_DSM;
	bool clear = move.type == MOVE_EXECUTE_CLEAR || move.type == MOVE_ANSWER_CLEAR;
	bool carried = move.type == MOVE_EXECUTE_CARRIED || move.type == MOVE_ANSWER_CARRIED;
	const Operation *operation = dsm       ? &model->world.dsms[move.object].operation
				     : clear   ? &model->world.tdis[move.object].operation
				     : carried ? &model->world.assignments[move.object].carried
					       : &model->world.assignments[move.object].operation;
	const char *object = dsm ? "dsm" : clear ? "tdi" : "a";

	if (move.type <= MOVE_EXECUTE_CLEAR)
		fprintf(to, "the TSM carries out %s of %s%u: %s", verb_text(operation->verb),
			object, move.object, how_text(move.how));
	else
		fprintf(to, "the answer to %s of %s%u comes: %s", verb_text(operation->verb),
			object, move.object, outcome_text(operation->outcome));
}

static void trace_notice(FILE *to, const Model *model, Move move)
{
	const Notice *notice = &model->world.tdis[move.object].notices[0];

	if (notice->lost) {
		fprintf(to, "the notice that bind %u of tdi%u is not there any more comes",
			notice->generation, move.object);
		return;
	}
	fprintf(to, "the notice that tdi%u is in %s%s%s (bind %u) comes", move.object,
		tdisp_state_name((TdispState)notice->state),
		notice->state == TDISP_RUN ? notice->accepted ? ", accepted" : ", not accepted"
					   : "",
		notice->request ? ", its guest asks" : "", notice->generation);
}

void trace_move(FILE *to, const Model *model, unsigned int number, Move move)
{
	static const char *const texts[] = {
		[MOVE_RESYNC] = "the provider says what it holds",
		[MOVE_RETELL] = "it is seen how it stands with tvm",
		[MOVE_REREAD] = "the domain's XML is read anew for a",
		[MOVE_NOTICE_DSM] = "the notice that the session is lost comes for dsm",
		[MOVE_LET_GO] = "the guest gives back, as asked, a",
		[MOVE_LOOKED] = "the domain is read, and still has a",
		[MOVE_RETRY_TIMER] = "the retry timer goes off for a",
		[MOVE_GUEST_TIMER] = "the guest timer goes off for a",
		[MOVE_IDLE_TIMER] = "the idle timer goes off for dsm",
		[MOVE_ARRIVE] = "hot-plugged is a",
		[MOVE_LEAVE] = "taken out of its domain is a",
		[MOVE_POLICY] = "other metadata is given to a",
		[MOVE_GUEST_READY] = "the guest is ready for a",
		[MOVE_ASK_LOCK] = "the guest asks to lock tdi",
		[MOVE_VALIDATE] = "the guest accepts tdi",
		[MOVE_STOP] = "stopping is tvm",
		[MOVE_END] = "ended has tvm",
		[MOVE_ASK_CONNECT] = "somebody asks to connect dsm",
		[MOVE_ASK_AHEAD] = "an attach connects ahead dsm",
		[MOVE_ASK_RECLAIM] = "somebody asks to reclaim dsm",
		[MOVE_ASK_CLEAR] = "somebody asks to clear tdi",
		[MOVE_REJECT] = "the guest rejects a",
		[MOVE_RUN_UNACCEPTED] = "to RUN without acceptance goes tdi",
		[MOVE_ERROR] = "to ERROR goes tdi",
		[MOVE_FALL] = "to CONFIG_UNLOCKED falls tdi",
		[MOVE_VOID] = "somebody else ends the bind of tdi",
		[MOVE_TAKE_BACK] = "the request is open no more of tdi",
		[MOVE_LOSE] = "its session loses dsm",
		[MOVE_DETACH_FAIL] = "the VMM cannot detach a",
		[MOVE_CUT_OFF] = "the provider is lost, with what it had to tell, and comes back",
		[MOVE_CRASH] = "the engine's process dies and comes back",
	};

	if (number > 0)
		fprintf(to, "%4u. ", number);
	else
		fputs("      ", to);
	if (move.type >= MOVE_EXECUTE_DSM && move.type <= MOVE_ANSWER_CLEAR)
		trace_verb(to, model, move);
	else if (move.type == MOVE_NOTICE_TDI)
		trace_notice(to, model, move);
	else if (move.type == MOVE_RESYNC || move.type == MOVE_CUT_OFF || move.type == MOVE_CRASH)
		fputs(texts[move.type], to);
	else
		fprintf(to, "%s%u%s", texts[move.type], move.object,
			move.type == MOVE_ARRIVE && move.how ? ", which admission refuses" : "");
	fputc('\n', to);
}

void trace_state(FILE *to, const Model *model)
{
	fputs("      ==", to);
	for (uint32_t i = 0; i < model->scenario->dsms; i++) {
		const EngineDsm *dsm = engine_dsm(model->engine, i);

		fprintf(to, " dsm%u %s%s (TSM: %s);", (unsigned)i,
			dsm ? dsm_state_name(dsm->state) : "-",
			dsm && dsm->pinned ? ", pinned" : "",
			model->world.dsms[i].connected ? "connected" : "not connected");
	}
	for (uint32_t i = 0; i < model->scenario->assignments; i++) {
		const EngineAssignment *a = engine_assignment(model->engine, i);

		if (a)
			fprintf(to, " a%u %s%s%s bind %u;", (unsigned)i,
				assignment_state_name(a->state), a->fault ? ", " : "",
				a->fault ? engine_fault_name(a->fault) : "",
				(unsigned)a->generation);
	}
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		if (model->world.tdis[i].holder != ENGINE_NONE)
			fprintf(to, " TSM holds tdi%u for a%u in %s;", (unsigned)i,
				(unsigned)model->world.tdis[i].holder,
				tdisp_state_name((TdispState)model->world.tdis[i].state));
	fputc('\n', to);
}
