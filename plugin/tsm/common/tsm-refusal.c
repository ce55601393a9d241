/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/tsm-refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tsm_refusal_done(TsmRefusal *refusal)
{
	free(refusal->object);
	free(refusal->reason);
	free(refusal->devices);
	*refusal = (TsmRefusal){};
}

int tsm_refuse(TsmRefusal *refusal, TsmOutcome outcome, const char *format, ...)
{
	va_list arguments;

	if (refusal->reason)
		return outcome;
	va_start(arguments, format);
	if (vasprintf(&refusal->reason, format, arguments) < 0)
		refusal->reason = NULL;
	va_end(arguments);
	return outcome;
}

int tsm_refuse_device(TsmRefusal *refusal, TsmOutcome outcome, Bdf device, const char *format, ...)
{
	char name[BDF_STRING_SIZE];
	va_list arguments;

	if (!refusal->object)
		refusal->object = strdup(bdf_format(device, name));
	if (refusal->reason)
		return outcome;
	va_start(arguments, format);
	if (vasprintf(&refusal->reason, format, arguments) < 0)
		refusal->reason = NULL;
	va_end(arguments);
	return outcome;
}
