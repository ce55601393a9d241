/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of records: tvm-UUID-PID, dsm-BDF, drain-BDF, tdi-BDF, assignment-UUID-PID-BDF-ALIAS.
 * Restoring goes by kind: TVMs, DSMs, TDIs, then the assignments, which refer to all three. A drain
 * has a record of its own, because a DSM that is idle has none. A TVM
 * whose QEMU is gone is put back too, so that its assignments can come to their end.
 *
 * A record that could not be written, or removed, says what was so before. Nothing is bound and
 * nobody is another TDI's owner without the TDI's record; so when that names another owner or bind
 * than an assignment's does, the assignment's is the old one, and had come to its end. A TVM's
 * record is written before its assignments' and stays as long as one of theirs does.
 */
#include "daemon/records.h"

#include "core/domain-xml.h"
#include "daemon/incarnation.h"
#include "daemon/metrics.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define NAME_SIZE 256

static void tvm_name(char name[static NAME_SIZE], const Tvm *tvm)
{
	char uuid[UUID_STRING_SIZE];

	snprintf(name, NAME_SIZE, "tvm-%s-%d", uuid_format(tvm->uuid, uuid), (int)tvm->pid);
}

static void bdf_name(char name[static NAME_SIZE], const char *kind, Bdf bdf)
{
	char text[BDF_STRING_SIZE];

	snprintf(name, NAME_SIZE, "%s-%s", kind, bdf_format(bdf, text));
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

	if (r < 0)
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
	tvm->unrecorded = r < 0;
	return r;
}

int records_write_dsm(Tdid *tdid, const Dsm *dsm)
{
	const EngineDsm *e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;
	char name[NAME_SIZE], bdf[BDF_STRING_SIZE];

	if (!e)
		return -ENOENT;
	bdf_name(name, "dsm", dsm->bdf);
	if (e->state == DSM_IDLE)
		return store_remove(tdid->store, name);
	return write_record(
		tdid, name, J_STRING("kind", "dsm"), J_STRING("dsm", bdf_format(dsm->bdf, bdf)),
		J_STRING("tsm", dsm->provider ? provider_name(dsm->provider) : NULL),
		J_STRING("state", dsm_state_name(e->state)), J_STRING("reason", dsm->reason),
		J_INT("operation", (int64_t)e->operation), J_BOOL("pinned", e->pinned),
		J_BOOL("doubtful", e->doubtful));
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

int records_write_tdi(Tdid *tdid, const Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const Assignment *owner;
	char name[NAME_SIZE], bdf[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];

	if (!e)
		return -ENOENT;
	owner = e->owner == ENGINE_NONE ? NULL : registry_assignment_at(tdid->registry, e->owner);
	bdf_name(name, "tdi", tdi->bdf);
	return write_record(
		tdid, name, J_STRING("kind", "tdi"), J_STRING("device", bdf_format(tdi->bdf, bdf)),
		J_STRING("dsm", tdi->dsm ? bdf_format(tdi->dsm->bdf, dsm) : NULL),
		J_INT("generation", (int64_t)e->generation),
		J_BOOL("quarantined", e->state != TDI_KNOWN), J_STRING("reason", tdi->reason),
		J_INT("operation", (int64_t)e->operation),
		J_STRING("owner", owner ? uuid_format(owner->tvm->uuid, uuid) : NULL));
}

/* The record of its end says so, with no other to follow. */
static bool is_detach_pending(const Assignment *a, const EngineAssignment *e)
{
	return a->detach_pending &&
	       (a->reset || (e->state != ASSIGNMENT_RELEASED && e->state != ASSIGNMENT_FAILED));
}

static int write_assignment(Tdid *tdid, const Assignment *a, const EngineAssignment *e)
{
	_cleanup_(json_text_clear) JsonText record = {};
	char name[NAME_SIZE], uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE],
		guest[BDF_STRING_SIZE];
	int r = a->tvm->unrecorded ? records_write_tvm(tdid, a->tvm) : 0;

	if (r < 0)
		return r;
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
		J_INT("operation", (int64_t)e->operation), J_BOOL("present", e->present),
		J_BOOL("left", e->left), J_BOOL("guest_ready", e->guest_ready),
		J_STRING("on_reject", policy_action_name(e->policy.on_reject)),
		J_STRING("on_timeout", policy_action_name(e->policy.on_timeout)),
		J_STRING("on_error", policy_action_name(e->policy.on_error)),
		J_INT("rebinds_max", e->policy.rebinds),
		J_INT("guest_timeout_usec", (int64_t)e->policy.guest_timeout_usec),
		J_INT("rebinds", e->rebinds), J_BOOL("retry_timer", e->retry_timer),
		J_BOOL("unserved", e->unserved), J_STRING("attach_token", a->attach_token.text),
		J_INT_IF(a->attach_token.text, "attach_uid", a->attach_token.uid),
		J_STRING("detach_token", a->detach_token.text),
		J_INT_IF(a->detach_token.text, "detach_uid", a->detach_token.uid),
		J_BOOL("detach_pending", is_detach_pending(a, e)));
	json_text_name(&record, "timeline");
	timeline_to_text(&a->timeline, &record);
	return write_text(tdid, name, &record);
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
	if (remove_record(tdid, name) < 0)
		a->tvm->littered = true;
}

typedef struct RawRecord {
	const char *kind, *boot, *domain, *domain_name, *name, *device, *dsm, *tsm, *guest_address,
		*state, *fault, *reason, *owner, *guest_boot, *on_reject, *on_timeout, *on_error,
		*attach_token, *detach_token;
	int64_t version, pid, start_time, generation, operation, rebinds_max, rebinds,
		guest_timeout_usec, attach_uid, detach_uid;
	bool pinned, doubtful, quarantined, present, left, guest_ready, retry_timer, unserved,
		detach_pending;
	json_object *timeline;
} RawRecord;

#define STRING(field)                                                                              \
	{                                                                                          \
#field, JSON_FIELD_STRING, 0, offsetof(RawRecord, field)                           \
	}
#define NUMBER(field)                                                                              \
	{                                                                                          \
#field, JSON_FIELD_INT, 0, offsetof(RawRecord, field), 0, INT64_MAX                \
	}
#define BOOLEAN(field)                                                                             \
	{                                                                                          \
#field, JSON_FIELD_BOOL, 0, offsetof(RawRecord, field)                             \
	}

static const JsonField record_fields[] = {
	STRING(kind),
	STRING(boot),
	STRING(domain),
	STRING(domain_name),
	STRING(name),
	STRING(device),
	STRING(dsm),
	STRING(tsm),
	STRING(guest_address),
	STRING(state),
	STRING(fault),
	STRING(reason),
	STRING(owner),
	STRING(guest_boot),
	STRING(on_reject),
	STRING(on_timeout),
	STRING(on_error),
	STRING(attach_token),
	STRING(detach_token),
	NUMBER(version),
	NUMBER(pid),
	NUMBER(start_time),
	NUMBER(generation),
	NUMBER(operation),
	NUMBER(rebinds_max),
	NUMBER(rebinds),
	NUMBER(guest_timeout_usec),
	NUMBER(attach_uid),
	NUMBER(detach_uid),
	BOOLEAN(pinned),
	BOOLEAN(doubtful),
	BOOLEAN(quarantined),
	BOOLEAN(present),
	BOOLEAN(left),
	BOOLEAN(guest_ready),
	BOOLEAN(retry_timer),
	BOOLEAN(unserved),
	BOOLEAN(detach_pending),
	{ "timeline", JSON_FIELD_ARRAY, 0, offsetof(RawRecord, timeline) },
	{},
};

static Tvm *find_tvm(Tdid *tdid, Uuid uuid, int64_t pid)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (uuid_equal(tvm->uuid, uuid) && tvm->pid == pid)
			return tvm;
	return NULL;
}

static int restore_tvm(Tdid *tdid, const RawRecord *raw)
{
	Uuid uuid;
	Domain *domain;
	Tvm *tvm;
	int r;

	if (!raw->domain || uuid_from_string(&uuid, raw->domain) < 0 || raw->pid < 1 ||
	    raw->pid > INT32_MAX || find_tvm(tdid, uuid, raw->pid))
		return -EBADMSG;
	r = registry_domain(tdid->registry, uuid, &domain);
	if (r < 0)
		return r;
	if (!domain->name)
		domain->name = strdup(raw->domain_name ?: raw->domain);
	if (!domain->name)
		return -ENOMEM;
	r = incarnation_restore(tdid, domain, (pid_t)raw->pid, (uint64_t)raw->start_time);
	if (r < 0)
		return r;
	tvm = find_tvm(tdid, uuid, raw->pid);
	if (tvm && raw->guest_boot)
		tvm->guest_boot = strdup(raw->guest_boot);
	return 0;
}

static int restore_dsm(Tdid *tdid, const RawRecord *raw)
{
	EngineDsm e = { .operation = (uint64_t)raw->operation,
			.pinned = raw->pinned,
			.doubtful = raw->doubtful };
	Dsm *dsm;
	Bdf bdf;
	int r;

	if (!raw->dsm || bdf_parse(&bdf, raw->dsm) < 0 ||
	    dsm_state_parse(&e.state, raw->state) < 0 || registry_find_dsm(tdid->registry, bdf))
		return -EBADMSG;
	r = registry_dsm(tdid->registry, bdf, &dsm);
	if (r < 0)
		return r;
	for (size_t i = 0; raw->tsm && i < tdid->config->n_tsms; i++)
		if (strcmp(provider_name(tdid->providers[i]), raw->tsm) == 0)
			dsm->provider = tdid->providers[i];
	dsm->reason = raw->reason ? strdup(raw->reason) : NULL;
	return engine_restore_dsm(tdid->engine, dsm->id, &e);
}

static int restore_drain(Tdid *tdid, const RawRecord *raw)
{
	Dsm *dsm;
	Bdf bdf;
	int r;

	if (!raw->dsm || bdf_parse(&bdf, raw->dsm) < 0)
		return -EBADMSG;
	r = registry_dsm(tdid->registry, bdf, &dsm);
	if (r >= 0)
		dsm->drained = true;
	return r;
}

static int restore_tdi(Tdid *tdid, const RawRecord *raw)
{
	EngineTdi e = { .operation = (uint64_t)raw->operation,
			.generation = (uint64_t)raw->generation };
	Tdi *tdi;
	Bdf bdf, dsm;
	int r;

	if (!raw->device || bdf_parse(&bdf, raw->device) < 0 ||
	    registry_find_tdi(tdid->registry, bdf) || (raw->dsm && bdf_parse(&dsm, raw->dsm) < 0))
		return -EBADMSG;
	r = registry_tdi(tdid->registry, bdf, &tdi);
	if (r >= 0 && raw->dsm)
		r = registry_dsm(tdid->registry, dsm, &tdi->dsm);
	if (r < 0)
		return r;
	tdi->has_recorded_owner =
		raw->owner && uuid_from_string(&tdi->recorded_owner, raw->owner) >= 0;
	tdi->reason = raw->reason ? strdup(raw->reason) : NULL;
	if (raw->quarantined)
		e.state = e.operation ? TDI_CLEARING : TDI_QUARANTINED;
	return engine_restore_tdi(tdid->engine, tdi->id, &e);
}

/* A DSM without a session has no record. */
static int idle_dsm(Tdid *tdid, Bdf bdf, Dsm **ret)
{
	int r = registry_dsm(tdid->registry, bdf, ret);

	if (r >= 0 && !engine_dsm(tdid->engine, (*ret)->id))
		r = engine_restore_dsm(tdid->engine, (*ret)->id, &(EngineDsm){});
	return r;
}

/* One of before there were policies has none: the next read of its domain brings it. */
static int restore_policy(const Tdid *tdid, const RawRecord *raw, EngineAssignment *e)
{
	e->policy = tdid->config->policy;
	if (!raw->on_reject)
		return 0;
	if (policy_action_parse(&e->policy.on_reject, raw->on_reject) < 0 || !raw->on_timeout ||
	    policy_action_parse(&e->policy.on_timeout, raw->on_timeout) < 0 || !raw->on_error ||
	    policy_action_parse(&e->policy.on_error, raw->on_error) < 0 ||
	    raw->rebinds_max > UINT32_MAX || raw->rebinds > UINT32_MAX)
		return -EBADMSG;
	e->policy.rebinds = (uint32_t)raw->rebinds_max;
	e->policy.guest_timeout_usec = (uint64_t)raw->guest_timeout_usec;
	e->rebinds = (uint32_t)raw->rebinds;
	e->retry_timer = raw->retry_timer;
	return 0;
}

static ClientToken restore_token(const char *text, int64_t uid)
{
	bool good = text && client_token_valid(text) && uid <= UINT32_MAX;

	return (ClientToken){ .text = good ? strdup(text) : NULL, .uid = (uid_t)uid };
}

/* Its end could not be written. */
static bool is_outdated(const Tdid *tdid, const EngineAssignment *e, const Tdi *tdi, Uuid domain)
{
	switch (e->state) {
	case ASSIGNMENT_RELEASED:
	case ASSIGNMENT_FAILED:
	case ASSIGNMENT_QUARANTINED: return false; /* a doubt counts, whoever has it */
	default: break;
	}
	if (e->fault == FAULT_FOREIGN)
		return false; /* was never the owner */
	if (!tdi->has_recorded_owner || !uuid_equal(tdi->recorded_owner, domain))
		return true;
	return e->generation > 0 && e->generation != engine_tdi(tdid->engine, tdi->id)->generation;
}

static int restore_assignment(Tdid *tdid, const RawRecord *raw)
{
	EngineAssignment e = { .unserved = raw->unserved,
			       .generation = (uint64_t)raw->generation,
			       .operation = (uint64_t)raw->operation,
			       .present = raw->present,
			       .left = raw->left,
			       .guest_ready = raw->guest_ready };
	Bdf device, dsm_bdf;
	Assignment *a;
	Uuid uuid;
	Tvm *tvm;
	Tdi *tdi;
	Dsm *dsm;
	int r;

	/* The name goes into the record's own, so that another could be read but not written. */
	if (!raw->domain || !raw->name || !domain_xml_alias_valid(raw->name) ||
	    uuid_from_string(&uuid, raw->domain) < 0 || bdf_parse(&device, raw->device) < 0 ||
	    bdf_parse(&dsm_bdf, raw->dsm) < 0 || assignment_state_parse(&e.state, raw->state) < 0 ||
	    engine_fault_parse(&e.fault, raw->fault) < 0 || restore_policy(tdid, raw, &e) < 0)
		return -EBADMSG;
	tvm = find_tvm(tdid, uuid, raw->pid);
	tdi = registry_find_tdi(tdid->registry, device);
	if (!tvm || !tdi)
		return -EBADMSG;
	r = idle_dsm(tdid, dsm_bdf, &dsm);
	if (r >= 0)
		r = registry_add_assignment(tdid->registry, tvm, dsm, tdi, raw->name, &a);
	if (r < 0)
		return r;
	/* It is over; if libvirt has it in the domain all the same, it appears there anew. */
	if (is_outdated(tdid, &e, tdi, uuid)) {
		log_warning("%s/%s: its record is older than %s's: it is over", tvm->domain->name,
			    raw->name, raw->device);
		e = (EngineAssignment){ .state = e.fault == FAULT_NONE ? ASSIGNMENT_RELEASED
								       : ASSIGNMENT_FAILED,
					.fault = e.fault,
					.generation = e.generation };
	}
	e.tvm = tvm->id;
	e.dsm = dsm->id;
	e.tdi = tdi->id;
	r = engine_restore_assignment(tdid->engine, a->id, &e);
	if (r < 0) {
		registry_remove_assignment(tdid->registry, a);
		return r == -EINVAL ? -EBADMSG : r;
	}
	/* What happened when is worth less than the assignment itself. */
	if (raw->timeline && timeline_from_json(&a->timeline, raw->timeline) < 0)
		timeline_clear(&a->timeline);
	a->attach_token = restore_token(raw->attach_token, raw->attach_uid);
	a->detach_token = restore_token(raw->detach_token, raw->detach_uid);
	a->detach_pending = a->detach_token.text && raw->detach_pending;
	a->guest_known = raw->guest_address && bdf_parse(&a->guest, raw->guest_address) >= 0;
	a->reason = raw->reason ? strdup(raw->reason) : NULL;
	a->last_state = e.state;
	a->last_generation = e.generation;
	a->last_fault = e.fault;
	return 0;
}

typedef struct Kind {
	const char *name;
	int (*restore)(Tdid *tdid, const RawRecord *raw);
} Kind;

static const Kind kinds[] = {
	{ "tvm", restore_tvm },
	{ "dsm", restore_dsm },
	{ "drain", restore_drain },
	{ "tdi", restore_tdi },
	{ "assignment", restore_assignment },
};

typedef struct Restore {
	Tdid *tdid;
	unsigned int n[ELEMENTSOF(kinds)];
} Restore;

/* Of a kind that is not known it is nothing to us. */
static int on_record(const char *name, json_object *record, void *userdata)
{
	Restore *restore = userdata;
	_cleanup_free_ char *why = NULL;
	RawRecord raw = {};
	int r;

	if (json_dispatch(record, record_fields, &raw, 0, &why) < 0 || !raw.kind)
		return -EBADMSG;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		if (strcmp(raw.kind, kinds[i].name) != 0)
			continue;
		r = kinds[i].restore(restore->tdid, &raw);
		if (r >= 0)
			restore->n[i]++;
		return r;
	}
	return 0;
}

int records_restore(Tdid *tdid, char **ret_error)
{
	static const char *const order[] = { "tvm", "dsm", "drain", "tdi", "assignment", NULL };
	Restore restore = { .tdid = tdid };
	int r = store_each(tdid->store, order, true, on_record, &restore, ret_error);

	if (r >= 0 && (restore.n[0] || restore.n[4]))
		log_info("%s: %u TVMs, %u assignments of before", tdid->config->records,
			 restore.n[0], restore.n[4]);
	return r;
}
