/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/attach-records.h"

#include "core/domain-xml.h"
#include "daemon/metrics.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define NAME_SIZE 256

static void record_name(char name[static NAME_SIZE], const AttachRecord *record)
{
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE];

	snprintf(name, NAME_SIZE, "attach-%s-%d-%s", uuid_format(record->domain, uuid),
		 (int)record->pid, bdf_format(record->device, device));
}

int attach_record_write(Tdid *tdid, const AttachRecord *record)
{
	_cleanup_(json_text_clear) JsonText o = {};
	char name[NAME_SIZE], uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	int r;

	record_name(name, record);
	json_text_open(&o, '{');
	json_text_add(
		&o, J_STRING("kind", "attach"),
		J_STRING("domain", uuid_format(record->domain, uuid)), J_INT("pid", record->pid),
		J_STRING("device", bdf_format(record->device, device)),
		J_STRING("dsm", bdf_format(record->dsm, dsm)), J_STRING("name", record->alias),
		J_INT("asked_usec", (int64_t)record->asked_usec),
		J_STRING("attach_token", record->token.text),
		J_INT_IF(record->token.text, "attach_uid", record->token.uid));
	r = store_write(tdid->store, name, &o);
	if (r != 0)
		metrics_record_failed(tdid->metrics);
	return r;
}

void attach_record_remove(Tdid *tdid, const AttachRecord *record)
{
	char name[NAME_SIZE];
	int r;

	record_name(name, record);
	r = store_remove(tdid->store, name);
	if (r < 0)
		log_error("%s/%s: cannot be removed: %s", tdid->config->records, name,
			  strerror(-r));
}

typedef struct Walk {
	Tdid *tdid;
	AttachRecordFn fn;
	void *userdata;
} Walk;

static int on_record(const char *name, json_object *o, void *userdata)
{
	const char *kind = json_get_string(o, "kind"), *domain = json_get_string(o, "domain");
	const char *device = json_get_string(o, "device"), *token;
	const char *dsm = json_get_string(o, "dsm");
	int64_t pid = json_get_int(o, "pid", 0), uid = json_get_int(o, "attach_uid", 0);
	int64_t asked_usec = json_get_int(o, "asked_usec", 0);
	AttachRecord record = { .alias = json_get_string(o, "name") };
	Walk *walk = userdata;

	if (!kind || strcmp(kind, "attach") != 0)
		return 0;
	token = json_get_string(o, "attach_token");
	if (!domain || uuid_from_string(&record.domain, domain) < 0 || !device || !dsm ||
	    bdf_parse(&record.device, device) < 0 || bdf_parse(&record.dsm, dsm) < 0 ||
	    !record.alias || !domain_xml_alias_valid(record.alias) || pid < 1 || pid > INT32_MAX ||
	    uid < 0 || uid > UINT32_MAX || asked_usec < 0 || (token && !client_token_valid(token)))
		return -EBADMSG;
	record.pid = (pid_t)pid;
	record.asked_usec = (uint64_t)asked_usec;
	record.token = (ClientToken){ .text = (char *)token, .uid = (uid_t)uid };
	return walk->fn(walk->tdid, &record, walk->userdata);
}

int attach_records_each(Tdid *tdid, AttachRecordFn fn, void *userdata, char **ret_error)
{
	static const char *const order[] = { "attach", NULL };
	Walk walk = { tdid, fn, userdata };

	return store_each(tdid->store, order, false, on_record, &walk, ret_error);
}
