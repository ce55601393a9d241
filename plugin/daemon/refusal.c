/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/refusal.h"

#include "rpc/log.h"

#include <errno.h>
#include <stdarg.h>

static int say(VarlinkCall *call, const char *object, const char *step, const char *format,
	       va_list arguments) __attribute__((format(printf, 4, 0)));

static int say(VarlinkCall *call, const char *object, const char *step, const char *format,
	       va_list arguments)
{
	_cleanup_free_ char *text = NULL, *message = NULL;

	if (vasprintf(&text, format, arguments) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (asprintf(&message, "%s: %s: %s", object, step, text) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	log_info("refused: %s", message);
	return varlink_call_errorb(call, "Refused", J_STRING("object", object),
				   J_STRING("message", message));
}

int refusal_answer(VarlinkCall *call, Bdf object, Verb verb, const char *format, ...)
{
	char device[BDF_STRING_SIZE];
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = say(call, bdf_format(object, device), verb_name(verb), format, arguments);
	va_end(arguments);
	return r;
}

int refusal_say(VarlinkCall *call, const char *object, const char *step, const char *format, ...)
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = say(call, object, step, format, arguments);
	va_end(arguments);
	return r;
}
