/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of records: tvm-UUID-PID, dsm-BDF, drain-BDF, tdi-BDF, assignment-UUID-PID-BDF-ALIAS. A
 * drain has a record of its own, because a DSM that is idle has none. A TVM's record is written
 * before its assignments' and stays as long as one of theirs does.
 */
#include "daemon/records.h"

#include "daemon/metrics.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define NAME_SIZE 256

static void tvm_name(char name[static NAME_SIZE], const Tvm *tvm)
{
	char uuid[UUID_STRING_SIZE];

	snprintf(name, NAME_SIZE, "tvm-%s-%d", uuid_format(tvm->uuid, uuid), (int)tvm->pid);
}

static void bdf_name(char name[static NAME_SIZE], const char *kind, Bdf bdf)
{
	char *end = stpcpy(name, kind);

	*end++ = '-';
	bdf_format(bdf, end);
}

static void assignment_name(char name[static NAME_SIZE], const Assignment *a)
{
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE];

	snprintf(name, NAME_SIZE, "assignment-%s-%d-%s-%s", uuid_format(a->tvm->uuid, uuid),
		 (int)a->tvm->pid, bdf_format(a->tdi->bdf, device), a->alias);
}

static int write_text(Tdid *tdid, const char *name, JsonText *record)
{
	int r = store_write(tdid->store, name, record);

	if (r != 0)
		metrics_record_failed(tdid->metrics);
	return r;
}

static int write_members(Tdid *tdid, const char *name, const JsonMember *members)
{
	_cleanup_(json_text_clear) JsonText record = {};

	json_text_open(&record, '{');
	json_text_members(&record, members);
	return write_text(tdid, name, &record);
}

#define write_record(tdid, name, ...)                                                              \
	write_members((tdid), (name),                                                              \
		      (const JsonMember[]){ __VA_ARGS__, { .kind = JSON_MEMBER_END } })

int records_write_tvm(Tdid *tdid, Tvm *tvm)
{
	char name[NAME_SIZE], uuid[UUID_STRING_SIZE];
	int r;

	tvm_name(name, tvm);
	r = write_record(tdid, name, J_STRING("kind", "tvm"),
			 J_STRING("domain", uuid_format(tvm->uuid, uuid)),
			 J_STRING("domain_name", tvm->domain ? tvm->domain->name : NULL),
			 J_INT("pid", tvm->pid), J_INT("start_time", (int64_t)tvm->start_time),
			 J_STRING("guest_boot", tvm->guest_boot));
	tvm->unrecorded = r != 0;
	return r;
}

int records_write_dsm(Tdid *tdid, const Dsm *dsm)
{
	const EngineDsm *e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;
	char name[NAME_SIZE], bdf[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	const DsmCause *cause;

	if (!e)
		return -ENOENT;
	cause = &dsm->cause;
	bdf_name(name, "dsm", dsm->bdf);
	if (e->state == DSM_IDLE)
		return store_remove(tdid->store, name);
	return write_record(
		tdid, name, J_STRING("kind", "dsm"), J_STRING("dsm", bdf_format(dsm->bdf, bdf)),
		J_STRING("tsm", dsm->provider ? provider_name(dsm->provider) : NULL),
		J_STRING("state", dsm_state_name(e->state)), J_STRING("reason", dsm->reason),
		J_INT("operation", (int64_t)e->operation), J_BOOL("pinned", e->pinned),
		J_BOOL("doubtful", e->doubtful),
		J_INT_IF(e->pinned && dsm->pinned_by >= 0, "pinned_by", dsm->pinned_by),
		J_INT_IF(cause->kind == DSM_CAUSE_REQUEST, "cause_uid", cause->uid),
		J_STRING("cause_domain",
			 cause->kind == DSM_CAUSE_DEVICE ? uuid_format(cause->domain, uuid) : NULL),
		J_STRING("cause_domain_name", cause->domain_name),
		J_STRING("cause_name", cause->name),
		J_INT_IF(dsm->idle_until_usec, "idle_until_usec", (int64_t)dsm->idle_until_usec),
		J_INT_IF(dsm->idle_tries, "idle_tries", dsm->idle_tries));
}

int records_write_drain(Tdid *tdid, const Dsm *dsm)
{
	char name[NAME_SIZE], bdf[BDF_STRING_SIZE];

	bdf_name(name, "drain", dsm->bdf);
	if (!dsm->drained)
		return store_remove(tdid->store, name);
	return write_record(tdid, name, J_STRING("kind", "drain"),
			    J_STRING("dsm", bdf_format(dsm->bdf, bdf)));
}

int records_write_tdi(Tdid *tdid, Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const Assignment *owner;
	char name[NAME_SIZE], bdf[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	int r;

	if (!e)
		return -ENOENT;
	owner = e->owner == ENGINE_NONE ? NULL : registry_assignment_at(tdid->registry, e->owner);
	bdf_name(name, "tdi", tdi->bdf);
	r = write_record(tdid, name, J_STRING("kind", "tdi"),
			 J_STRING("device", bdf_format(tdi->bdf, bdf)),
			 J_STRING("dsm", tdi->dsm ? bdf_format(tdi->dsm->bdf, dsm) : NULL),
			 J_INT("generation", (int64_t)e->generation),
			 J_BOOL("quarantined", e->state != TDI_KNOWN),
			 J_STRING("reason", tdi->reason), J_INT("operation", (int64_t)e->operation),
			 J_STRING("owner", owner ? uuid_format(owner->tvm->uuid, uuid) : NULL),
			 J_INT_IF(owner, "owner_pid", owner ? owner->tvm->pid : 0),
			 J_STRING("owner_name", owner ? owner->alias : NULL));
	tdi->unrecorded = r != 0;
	return r;
}

int records_write_before(Tdid *tdid, const Assignment *a)
{
	int of_tvm = a->tvm->unrecorded ? records_write_tvm(tdid, a->tvm) : 0, of_tdi;

	if (of_tvm < 0)
		return of_tvm;
	of_tdi = a->tdi->unrecorded ? records_write_tdi(tdid, a->tdi) : 0;
	return of_tdi ?: of_tvm;
}

/* The record of its end says so, with no other to follow. */
static bool is_detach_pending(const Assignment *a, const EngineAssignment *e)
{
	return a->detach_pending &&
	       (a->reset || (e->state != ASSIGNMENT_RELEASED && e->state != ASSIGNMENT_FAILED));
}

static int write_assignment(Tdid *tdid, Assignment *a, const EngineAssignment *e)
{
	_cleanup_(json_text_clear) JsonText record = {};
	char name[NAME_SIZE], uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE],
		guest[BDF_STRING_SIZE];
	int r, before = records_write_before(tdid, a);

	if (before < 0)
		return before;
	assignment_name(name, a);
	json_text_open(&record, '{');
	json_text_add(
		&record, J_STRING("kind", "assignment"),
		J_STRING("domain", uuid_format(a->tvm->uuid, uuid)), J_INT("pid", a->tvm->pid),
		J_STRING("name", a->alias), J_STRING("device", bdf_format(a->tdi->bdf, device)),
		J_STRING("dsm", bdf_format(a->dsm->bdf, dsm)),
		J_STRING("guest_address", a->guest_known ? bdf_format(a->guest, guest) : NULL),
		J_STRING("state", assignment_state_name(e->state)),
		J_STRING("fault", engine_fault_name(e->fault)), J_STRING("reason", a->reason),
		J_INT("generation", (int64_t)e->generation),
		J_INT("operation", (int64_t)e->operation),
		J_INT_IF(e->request, "request", (int64_t)e->request), J_BOOL("present", e->present),
		J_BOOL("left", e->left), J_BOOL("guest_ready", e->guest_ready),
		J_STRING("on_reject", policy_action_name(e->policy.on_reject)),
		J_STRING("on_timeout", policy_action_name(e->policy.on_timeout)),
		J_STRING("on_error", policy_action_name(e->policy.on_error)),
		J_INT("rebinds_max", e->policy.rebinds),
		J_INT("guest_timeout_usec", (int64_t)e->policy.guest_timeout_usec),
		J_INT("rebinds", e->rebinds), J_BOOL("retry_timer", e->retry_timer),
		J_INT_IF(a->guest_until_usec, "guest_until_usec", (int64_t)a->guest_until_usec),
		J_INT_IF(a->guest_timer_left, "guest_left_usec", (int64_t)a->guest_timer_left),
		J_INT_IF(a->retry_until_usec, "retry_until_usec", (int64_t)a->retry_until_usec),
		J_BOOL("unserved", e->unserved), J_STRING("attach_token", a->attach_token.text),
		J_INT_IF(a->attach_token.text, "attach_uid", a->attach_token.uid),
		J_STRING("detach_token", a->detach_token.text),
		J_INT_IF(a->detach_token.text, "detach_uid", a->detach_token.uid),
		J_BOOL("detach_pending", is_detach_pending(a, e)));
	json_text_name(&record, "timeline");
	timeline_to_text(&a->timeline, &record);
	r = write_text(tdid, name, &record);
	return r ?: before;
}

int records_write_assignment(Tdid *tdid, Assignment *a)
{
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	int r = e ? write_assignment(tdid, a, e) : -ENOENT;

	if (e)
		a->unrecorded = r < 0;
	return r;
}

static int remove_record(Tdid *tdid, const char *name)
{
	int r = store_remove(tdid->store, name);

	if (r < 0)
		log_error("%s/%s: cannot be removed: %s", tdid->config->records, name,
			  strerror(-r));
	return r;
}

void records_remove_tvm(Tdid *tdid, const Tvm *tvm)
{
	char name[NAME_SIZE];

	if (tvm->littered)
		return; /* so that the next start finds whose those records are */
	tvm_name(name, tvm);
	remove_record(tdid, name);
}

void records_remove_assignment(Tdid *tdid, const Assignment *a)
{
	char name[NAME_SIZE];

	assignment_name(name, a);
	if (remove_record(tdid, name) != 0)
		a->tvm->littered = true;
}
