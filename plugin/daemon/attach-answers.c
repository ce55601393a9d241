/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/attach-private.h"

#include "daemon/assignment-view.h"
#include "daemon/assignments-service.h"
#include "daemon/refusal.h"
#include "daemon/wait-goal.h"

#include <errno.h>

const char *attach_domain_name(Tdid *tdid, Uuid uuid, char text[static UUID_STRING_SIZE])
{
	const Domain *domain = registry_find_domain(tdid->registry, uuid);

	return domain && domain->name ? domain->name : uuid_format(uuid, text);
}

int attach_refuse_call(Tdid *tdid, VarlinkCall *call, Uuid domain, Bdf device, const char *why)
{
	char uuid[UUID_STRING_SIZE], bdf[BDF_STRING_SIZE];
	_cleanup_free_ char *object = NULL;

	if (asprintf(&object, "%s/%s", attach_domain_name(tdid, domain, uuid),
		     bdf_format(device, bdf)) < 0) {
		object = NULL;
		return -ENOMEM;
	}
	return refusal_say(call, object, "attach", "%s", why);
}

static int answer_off_the_way(Tdid *tdid, VarlinkCall *call, const AttachMoment *moment,
			      json_object *o)
{
	const Assignment *a = moment->a;
	char uuid[UUID_STRING_SIZE];
	_cleanup_free_ char *message = NULL;

	if (asprintf(&message, "%s/%s: attach: it is %s%s%s",
		     attach_domain_name(tdid, a->tvm->uuid, uuid), a->alias,
		     assignment_state_name(moment->state), a->reason ? ": " : "",
		     a->reason ?: "") < 0)
		message = NULL;
	return varlink_call_errorb(call, "NotReached", J_REF("assignment", o),
				   J_STRING("message", message ?: "it is not there"));
}

/* After a reset of its guest it is released for a moment: the read that follows brings it back. */
static WaitVerdict judge(const TimedCall *waiting, const AttachMoment *moment)
{
	if (moment->state == ASSIGNMENT_RELEASED && moment->a->reset)
		return WAIT_ON;
	return wait_goal_judge((WaitGoal)1 << waiting->goal, moment->state, true);
}

int attach_settle(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const AttachMoment *moment = userdata;
	_cleanup_(json_unrefp) json_object *o = NULL;
	WaitVerdict verdict = judge(waiting, moment);
	int r = assignment_view_to_json(tdid, moment->a,
					&(Moment){ moment->state, moment->generation }, &o);

	if (r < 0)
		return r;
	if (verdict == WAIT_NEVER)
		return answer_off_the_way(tdid, waiting->call, moment, o);
	if (verdict == WAIT_THERE)
		return varlink_call_replyb(waiting->call, J_REF("assignment", o));
	/* Whoever does not read is dropped by the server. */
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("assignment", o));
	return 1;
}

int attach_tell_plan(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const AttachRequest *request = userdata;

	if (request->dry_run)
		return varlink_call_replyb(waiting->call, J_REF("plan", request->plan));
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("plan", request->plan));
	return 1;
}

int attach_answer_too_late(Tdid *tdid, const TimedCall *waiting, const AttachRequest *request,
			   const Assignment *a)
{
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *message = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	if (e)
		assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);
	r = asprintf(
		&message, "%s/%s: attach: after %.1f s %s%s. It goes on; 'tdictl watch' shows it",
		attach_domain_name(tdid, a ? a->tvm->uuid : request->record.domain, uuid),
		a ? a->alias : request->alias, (double)waiting->timeout_usec / 1e6,
		e					 ? "it is "
		: request->stage == ATTACH_STAGE_READING ? "libvirt has not told of the domain yet"
		: request->stage == ATTACH_STAGE_ASKED	 ? "libvirt is still attaching it"
							 : "it is in the domain, and not yet read",
		e ? assignment_state_name(e->state) : "");
	if (r < 0)
		message = NULL;
	return varlink_call_errorb(waiting->call, "TimedOut", J_REF("assignment", o),
				   J_STRING("message", message ?: "it goes on"));
}
