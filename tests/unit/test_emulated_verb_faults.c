/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include "tsm/emulated/verb-faults.h"

static VerbFaults *faults;

static VerbFaultKind take(const char *device, Verb verb)
{
	return verb_faults_take(faults, testing_bdf(device), verb).kind;
}

static void set(const char *device, Verb verb, VerbFaultKind kind, uint32_t times)
{
	cr_assert_eq(
		verb_faults_set(faults, testing_bdf(device), verb, (VerbFault){ kind, 5 }, times),
		0);
}

Test(emulated_verb_faults, hits_what_was_meant_and_counts)
{
	cr_assert_eq(verb_faults_new(&faults), 0);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_NONE);
	set(VF0, VERB_BIND, VERB_FAULT_REFUSE, 2);
	set(VF1, VERB_BIND, VERB_FAULT_LATE, 1);
	cr_assert_eq(take(VF0, VERB_UNBIND), VERB_FAULT_NONE);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_REFUSE);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_REFUSE);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_NONE);
	cr_assert_eq(verb_faults_take(faults, testing_bdf(VF1), VERB_BIND).milliseconds, 5);
	set(VF0, VERB_BIND, VERB_FAULT_HANG, 7);
	set(VF0, VERB_BIND, VERB_FAULT_DONE_BUT_FAILED, 1);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_DONE_BUT_FAILED, "in place of the former");
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_NONE);
	set(VF0, VERB_BIND, VERB_FAULT_HANG, 7);
	cr_assert_eq(verb_faults_clear(faults), 7);
	cr_assert_eq(verb_faults_clear(faults), 0);
	cr_assert_eq(take(VF0, VERB_BIND), VERB_FAULT_NONE);
	verb_faults_free(faults);
}
