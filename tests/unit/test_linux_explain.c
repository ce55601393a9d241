/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/proxy-wire.h"
#include "tsm/linux/explain.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static const char *cause;

static TsmOutcome explain(KernelVerb verb, KernelBinder binder, int error)
{
	cause = NULL;
	return explain_errno(verb, binder, error, &cause);
}

Test(linux_explain, every_errno_has_a_sentence)
{
	for (int verb = KERNEL_CONNECT; verb <= KERNEL_GUEST_REQUEST; verb++)
		for (int error = 1; error <= 133; error++) {
			for (int b = KERNEL_BINDER_PROXY; b <= KERNEL_BINDER_OBSERVE; b++) {
				TsmOutcome o = explain((KernelVerb)verb, (KernelBinder)b, error);

				cr_assert(o == TSM_REFUSED || o == TSM_OUTCOME_UNKNOWN);
				cr_assert_gt(strlen(cause), 10);
			}
		}
}

/* What may have been done half-way is never "nothing has changed". */
Test(linux_explain, unknown_outcomes)
{
	static const int unknown[] = { ETIMEDOUT, ECONNRESET, EINTR, EPROTO, ECANCELED };
	static const int nothing[] = { ETIME, ENOTCONN, EBUSY, ENXIO, ENODEV, ENOBUFS, EINVAL };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		cr_assert_eq(explain(KERNEL_BIND, KERNEL_BINDER_PROXY, unknown[i]),
			     TSM_OUTCOME_UNKNOWN, "%d", unknown[i]);
		cr_assert_eq(explain(KERNEL_CONNECT, KERNEL_BINDER_PROXY, unknown[i]),
			     TSM_OUTCOME_UNKNOWN, "%d", unknown[i]);
	}
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		cr_assert_eq(explain(KERNEL_BIND, KERNEL_BINDER_PROXY, nothing[i]), TSM_REFUSED,
			     "%d", nothing[i]);
	cr_assert_eq(explain(KERNEL_BIND, KERNEL_BINDER_OBSERVE, 77), TSM_OUTCOME_UNKNOWN);
	cr_assert_eq(explain(KERNEL_CONNECT, KERNEL_BINDER_OBSERVE, 77), TSM_REFUSED);
}

Test(linux_explain, the_same_number_by_another_way)
{
	explain(KERNEL_CONNECT, KERNEL_BINDER_PROXY, proxy_errno(TSM_REFUSED));
	cr_assert_not_null(strstr(cause, "refused"));
	explain(KERNEL_CONNECT, KERNEL_BINDER_PROXY, ENOENT);
	cr_assert_not_null(strstr(cause, "TSM does not know"));
	explain(KERNEL_CONNECT, KERNEL_BINDER_OBSERVE, ENOENT);
	cr_assert_null(strstr(cause, "TSM does not know"));
}

/* Outcomes and their errnos, for both ends of the tsm-proxy module. */
Test(linux_explain, outcomes_cross_the_kernel)
{
	static const int reserved[] = { ENODEV,	  ENXIO,     ENOTCONN, ECONNRESET, ETIME, ETIMEDOUT,
					EINTR,	  EBADF,     EACCES,   EXDEV,	   EBUSY, EALREADY,
					EMSGSIZE, ECANCELED, ENOBUFS,  EINVAL };

	for (int i = TSM_UNKNOWN_DEVICE; i <= TSM_GUEST_MESSAGE_REJECTED; i++) {
		int error = proxy_errno((TsmOutcome)i);

		cr_assert(error >= 1 && error <= 133);
		cr_assert_eq(proxy_outcome(error), i);
		for (size_t k = 0; k < sizeof(reserved) / sizeof(reserved[0]); k++)
			cr_assert_neq(error, reserved[k]);
	}
	cr_assert_eq(proxy_outcome(0), -ENOENT);
	cr_assert_eq(proxy_outcome(EBUSY), -ENOENT);
}
