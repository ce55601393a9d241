/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "tsm/linux/verb-work.h"

static KernelReport *report;
static Service service;
static VerbWork work;
static TsmRefusal refusal;

static void set_up(void)
{
	report = calloc(1, sizeof(*report));
	work = (VerbWork){ .service = &service,
			   .verb = KERNEL_BIND,
			   .device = testing_bdf(VF0),
			   .request = { .verb = KERNEL_BIND,
					.dsm = testing_bdf(PF),
					.target = testing_bdf(VF0),
					.tsm = "tsm0",
					.observe_ms = 200 } };
	report->n = 2;
	report->functions[0] = (KernelFunction){ .bdf = testing_bdf(PF), .connect = "tsm0" };
	report->functions[1] = (KernelFunction){ .bdf = testing_bdf(VF0) };
}

static void tear_down(void)
{
	tsm_refusal_done(&refusal);
	free(report);
}

TestSuite(linux_verb_judge, .init = set_up, .fini = tear_down);

static int judge(WorkerEnd end)
{
	tsm_refusal_done(&refusal);
	refusal = (TsmRefusal){};
	return verb_work_judge(&work, end, report, 300, &refusal);
}

/* The guard said no; that the child was killed on its last steps changes nothing. */
Test(linux_verb_judge, killed_after_the_guard)
{
	report->guard = KERNEL_GUARD_DISCONNECTED;
	report->step = KERNEL_STEP_LOOKED;
	report->functions[1].error = 0;
	strcpy(report->functions[1].bound, "tsm0");
	cr_assert_eq(judge(WORKER_KILLED), TSM_INVALID_STATE);
	cr_assert_eq(judge(WORKER_DONE), TSM_INVALID_STATE);
}

Test(linux_verb_judge, killed)
{
	report->step = KERNEL_STEP_LOOKING;
	cr_assert_eq(judge(WORKER_KILLED), TSM_REFUSED);
	report->step = KERNEL_STEP_ACTING;
	cr_assert_eq(judge(WORKER_KILLED), TSM_OUTCOME_UNKNOWN);
	cr_assert_eq(judge(WORKER_ABANDONED), TSM_OUTCOME_UNKNOWN);
}

/* Only who has seen that the VMM did nothing says so. */
Test(linux_verb_judge, observed)
{
	work.request.binder = KERNEL_BINDER_OBSERVE;
	report->step = KERNEL_STEP_ACTED;
	report->error = -ETIME;
	cr_assert_eq(judge(WORKER_DONE), TSM_REFUSED);
	report->error = -EINTR;
	cr_assert_eq(judge(WORKER_DONE), TSM_OUTCOME_UNKNOWN);
	report->step = KERNEL_STEP_ACTING;
	cr_assert_eq(judge(WORKER_KILLED), TSM_OUTCOME_UNKNOWN);
	work.verb = KERNEL_UNBIND;
	report->step = KERNEL_STEP_ACTED;
	report->error = -ETIME;
	cr_assert_eq(judge(WORKER_DONE), TSM_OUTCOME_UNKNOWN);
}

Test(linux_verb_judge, success_is_seen)
{
	report->step = KERNEL_STEP_LOOKED;
	cr_assert_eq(judge(WORKER_DONE), TSM_OUTCOME_UNKNOWN, "it is not bound");
	strcpy(report->functions[1].bound, "tsm0");
	cr_assert_eq(judge(WORKER_DONE), 0);
	report->step = KERNEL_STEP_ACTED;
	cr_assert_eq(judge(WORKER_DONE), TSM_OUTCOME_UNKNOWN, "it could not be looked at");
}
