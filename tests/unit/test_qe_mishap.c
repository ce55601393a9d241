/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What they do to a connection is looked at in tests/quote. */
#include "core/cleanup.h"
#include "core/qgs-message.h"
#include "quote/emulated/answer.h"
#include "quote/emulated/behaviour.h"

#include <criterion/criterion.h>

#include <errno.h>

Test(qe_mishap, names)
{
	MishapKind kind = MISHAP_NONE;

	cr_assert_eq(mishap_from_name(&kind, ""), -EINVAL);
	cr_assert_eq(mishap_from_name(&kind, "SILENT"), -EINVAL);
	for (int i = MISHAP_NONE + 1; i < _MISHAP_MAX; i++) {
		cr_assert_not_null(mishap_name((MishapKind)i), "%d", i);
		cr_assert_eq(mishap_from_name(&kind, mishap_name((MishapKind)i)), 0);
		cr_assert_eq(kind, (MishapKind)i);
	}
}

/* Whatever lies is found out by our own reader. */
Test(qe_mishap, lies_are_lies)
{
	for (int i = MISHAP_NONE; i < _MISHAP_MAX; i++) {
		_cleanup_blob_ Blob answer = {};
		QgsMessage message = {};
		uint32_t size;
		bool right;

		cr_assert_eq(answer_refusal("", 0, 0x12001, &answer), 0);
		cr_assert_eq(mishap_spoil((MishapKind)i, &answer), 0);
		right = qgs_frame_parse(&size, answer.data, QGS_MESSAGE_MAX) == 0 &&
			size == answer.size - QGS_FRAME_SIZE &&
			qgs_message_parse(&message, answer.data + QGS_FRAME_SIZE, size, NULL) ==
				0 &&
			message.minor == QGS_MINOR && message.type == QGS_GET_QUOTE_RESPONSE;
		cr_assert_eq(right, i < MISHAP_SHORT_FRAME, "%d", i);
	}
}

Test(qe_mishap, hits_as_many_as_it_says)
{
	Behaviour behaviour = { .mishap = { MISHAP_CUT }, .times = 2 };

	cr_assert_eq(behaviour_take_mishap(&behaviour).kind, MISHAP_CUT);
	cr_assert_eq(behaviour_take_mishap(&behaviour).kind, MISHAP_CUT);
	cr_assert_eq(behaviour_take_mishap(&behaviour).kind, MISHAP_NONE);
	behaviour.times = BEHAVIOUR_ALL;
	for (size_t i = 0; i < 10; i++)
		cr_assert_eq(behaviour_take_mishap(&behaviour).kind, MISHAP_CUT);
	cr_assert_eq(behaviour.mishaps, 12);
}
