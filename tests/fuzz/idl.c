/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An interface description, and (behind a NUL) a value that is held against all of its methods. */
#include "rpc/idl.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static void check_value(const IdlType *type, json_object *value)
{
	char *field = NULL, *error = NULL;
	int r = idl_check(type, value, &field, &error);

	CHECK(r == 0 || r == -EINVAL);
	CHECK(!r == !field);
	free(field);
	fuzz_good(r, error);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(idl_freep) IdlInterface *interface = NULL;
	_cleanup_(json_unrefp) json_object *value = NULL;
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t n = nul ? (size_t)(nul - data) : size;
	_cleanup_free_ char *text = fuzz_text(data, n);
	const IdlMethod *method;
	char *error = NULL;

	if (!fuzz_good(idl_parse(&interface, text, &error), error))
		return false;
	CHECK(strcmp(idl_text(interface), text) == 0);
	if (nul)
		json_parse(&value, (const char *)nul + 1, size - n - 1, NULL);
	for (size_t i = 0; (method = idl_method_at(interface, i)); i++) {
		CHECK(idl_method_find(interface, method->name) == method);
		check_value(method->input, value);
		check_value(method->output, value);
	}
	return true;
}
