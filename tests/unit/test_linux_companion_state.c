/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "tsm/linux/companion-state.h"

#include <errno.h>

static CompanionState state;

static void tear_down(void)
{
	companion_state_done(&state);
}

TestSuite(linux_companion_state, .fini = tear_down);

static int set(const char *text)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0, "%s", text);
	return companion_state_set(&state, o);
}

#define TDI(device, more) "{\"device\":\"" device "\",\"state\":\"run\",\"accepted\":true" more "}"
#define DSM(dsm, digest)  "{\"dsm\":\"" dsm "\",\"certificate_digest\":\"" digest "\"}"
#define QUERY(tdis, dsms) "{\"instance\":\"i\",\"tdis\":[" tdis "],\"dsms\":[" dsms "]}"

/* Half of an answer is none. */
Test(linux_companion_state, malformed_changes_nothing)
{
	static const char *const bad[] = {
		QUERY(TDI(VF1, "") "," TDI("x", ""), ""),
		QUERY(TDI(VF1, ",\"tvm\":\"x\""), ""),
		QUERY(TDI(VF1, ""), DSM("x", "ab")),
	};

	cr_assert_eq(
		set(QUERY(TDI(VF0, ",\"tvm\":\"" TVM_A "\",\"generation\":7"), DSM(PF, "abcd"))),
		0);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		cr_assert_eq(set(bad[i]), -EBADMSG);
		cr_assert_not_null(companion_state_tdi(&state, testing_bdf(VF0)));
		cr_assert_null(companion_state_tdi(&state, testing_bdf(VF1)));
		cr_assert_str_eq(companion_state_certificate(&state, testing_bdf(PF)), "abcd");
	}
}

Test(linux_companion_state, replaces_what_was_said)
{
	const CompanionTdi *t;

	cr_assert_eq(
		set(QUERY(TDI(VF0, ",\"tvm\":\"" TVM_A "\",\"generation\":7"), DSM(PF, "abcd"))),
		0);
	t = companion_state_tdi(&state, testing_bdf(VF0));
	cr_assert(t->bound);
	cr_assert_eq(t->generation, 7);
	cr_assert_eq(t->state, TDISP_RUN);
	cr_assert_eq(set(QUERY(TDI(VF1, ""), "")), 0);
	cr_assert_null(companion_state_tdi(&state, testing_bdf(VF0)));
	cr_assert_not(companion_state_tdi(&state, testing_bdf(VF1))->bound);
	cr_assert_null(companion_state_certificate(&state, testing_bdf(PF)));
}
