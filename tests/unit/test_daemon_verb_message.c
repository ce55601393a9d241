/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/verb-message.c: what is asked of a provider, and what its answers mean. */
#include "daemon/verb-message.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static Dsm dsm = { .bdf = { .bus = 0x41 } };
static Tdi tdi = { .bdf = { .bus = 0x41, .function = 1 } };

static bool confirms(const char *text, const char *reason)
{
	OperationRequest request = { .verb = VERB_CLEAR, .dsm = &dsm, .tdi = &tdi };
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *why = NULL;
	bool confirmed;

	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0);
	confirmed = verb_message_confirms(&request, o, &why);
	cr_assert_eq(confirmed, !reason);
	if (reason)
		cr_assert_str_eq(why, reason);
	return confirmed;
}

Test(daemon_verb_message, half_an_unbind_confirms_nothing)
{
	cr_assert_not(confirms("{}", "the device has not confirmed STOP"));
	cr_assert_not(confirms("{\"freed\":true}", "the device has not confirmed STOP"));
	cr_assert_not(confirms("{\"device_confirmed\":true}", "the device has not confirmed STOP"));
	cr_assert_not(
		confirms("{\"freed\":true,\"device_confirmed\":false,\"reason\":\"it is gone\"}",
			 "the device has not confirmed STOP: it is gone"));
	cr_assert(confirms("{\"freed\":true,\"device_confirmed\":true}", NULL));
}

Test(daemon_verb_message, errors_that_leave_it_open)
{
	cr_assert_not(verb_message_is_refusal("OutcomeUnknown"));
	cr_assert_not(verb_message_is_refusal(""));
	cr_assert_not(verb_message_is_refusal("refused"));
	cr_assert_not(verb_message_is_refusal("Refused2"));
	cr_assert(verb_message_is_refusal("Refused"));
	cr_assert(verb_message_is_refusal("InvalidState"));
	cr_assert(verb_message_is_refusal("org.varlink.service.MethodNotFound"));
}

Test(daemon_verb_message, ids_and_force)
{
	OperationRequest request = { .verb = VERB_CLEAR, .number = 0x1f, .dsm = &dsm, .tdi = &tdi };
	_cleanup_(json_unrefp) json_object *o = NULL;
	char id[VERB_MESSAGE_ID_SIZE];

	verb_message_id(id, &request, 0);
	cr_assert_str_eq(id, "000000000000001f");
	request.number = UINT64_MAX;
	verb_message_id(id, &request, UINT32_MAX);
	cr_assert_str_eq(id, "ffffffffffffffff-4294967295");
	cr_assert_eq(verb_message_build(&request, 2, &o), 0);
	cr_assert_str_eq(json_get_string(o, "operation"), "ffffffffffffffff-2");
	cr_assert_str_eq(json_get_string(o, "device"), "0000:41:00.1");
	cr_assert(json_get_bool(o, "force", false), "clear gives way to nothing");
	cr_assert_str_eq(verb_message_method(VERB_CLEAR), "io.tdid.Tsm.Unbind");
	request.verb = VERB_N;
	cr_assert_eq(verb_message_build(&request, 0, &o), -EINVAL);
}
