/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/proxy-wire.h"

#include "core/cleanup.h"

#include <errno.h>

static const int errnos[] = {
	[TSM_UNKNOWN_DEVICE] = ENOENT,
	[TSM_NOT_TEE_IO] = EOPNOTSUPP,
	[TSM_UNKNOWN_TVM] = ENOKEY,
	[TSM_TVM_BUSY] = EUSERS,
	[TSM_DEVICE_BUSY] = EADDRINUSE,
	[TSM_INVALID_STATE] = EPERM,
	[TSM_REFUSED] = EREMOTEIO,
	[TSM_OUTCOME_UNKNOWN] = EPROTO,
	[TSM_GUEST_MESSAGE_REJECTED] = EBADMSG,
};

int proxy_errno(TsmOutcome outcome)
{
	return errnos[outcome];
}

int proxy_outcome(int error)
{
	for (size_t i = 1; i < ELEMENTSOF(errnos); i++)
		if (errnos[i] == error)
			return (int)i;
	return -ENOENT;
}
