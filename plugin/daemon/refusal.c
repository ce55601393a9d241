/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/refusal.h"

#include "rpc/log.h"

#include <errno.h>
#include <stdarg.h>

int refusal_answer(VarlinkCall *call, Bdf object, Verb verb, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *message = NULL;
	char device[BDF_STRING_SIZE];
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (r < 0) {
		text = NULL;
		return -ENOMEM;
	}
	bdf_format(object, device);
	if (asprintf(&message, "%s: %s: %s", device, verb_name(verb), text) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	log_info("refused: %s", message);
	return varlink_call_errorb(call, "Refused", J_STRING("object", device),
				   J_STRING("message", message));
}
