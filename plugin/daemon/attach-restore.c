/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an earlier tdid had asked libvirt for: whether it has come is to be seen. */
#include "daemon/attach-private.h"

#include "daemon/attach-arguments.h"

#include <errno.h>
#include <string.h>

static Tvm *find_tvm(Tdid *tdid, const AttachRecord *record)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (uuid_equal(tvm->uuid, record->domain) && tvm->pid == record->pid)
			return tvm;
	return NULL;
}

static int restore(Tdid *tdid, const AttachRecord *record, void *userdata)
{
	AttachRequests *requests = userdata;
	Tvm *tvm = find_tvm(tdid, record);
	Assignment *a = tvm ? registry_find_assignment(tvm, record->alias, record->device) : NULL;
	AttachRequest *request;

	if (!tvm || (a && attach_progress(engine_assignment(tdid->engine, a->id)->state) >= 0)) {
		if (a)
			attach_give_token(tdid, a, &record->token);
		if (!a || !a->unrecorded)
			attach_record_remove(tdid, record);
		return 0;
	}
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	*request = (AttachRequest){ .requests = requests,
				    .stage = ATTACH_STAGE_ASKED,
				    .doubtful = true,
				    .named = true,
				    .record = *record,
				    .alias = strdup(record->alias),
				    .next = requests->first };
	requests->first = request;
	request->record.alias = request->alias;
	request->record.token.text = NULL;
	if (!request->alias)
		return -ENOMEM;
	attach_request_doubt_on(request);
	return client_token_set(&request->record.token, record->token.text, record->token.uid);
}

int attach_requests_restore(AttachRequests *requests, char **ret_error)
{
	return attach_records_each(requests->tdid, restore, requests, ret_error);
}
