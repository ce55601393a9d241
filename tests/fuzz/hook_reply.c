/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid's reply as the hook reads it, against rpc/json: it takes nothing else for the error and the
 * message, and refuses nothing that tdid may send.
 */
#include "fuzz.h"
#include "hooks/reply.h"
#include "rpc/json.h"

#include <errno.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* How deep objects and arrays lie in each other. */
static unsigned int depth(json_object *value)
{
	unsigned int deepest = 0;

	if (json_object_is_type(value, json_type_object)) {
		json_object_iter member;

		json_object_object_foreachC(value, member)
		{
			unsigned int d = depth(member.val);

			deepest = d > deepest ? d : deepest;
		}
		return deepest + 1;
	}
	if (!json_object_is_type(value, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		unsigned int d = depth(json_object_array_get_idx(value, i));

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

/* Whether it is a final varlink reply as reply.h describes it. */
static bool is_reply(json_object *o)
{
	json_object *message;

	if (depth(o) > REPLY_DEPTH_MAX)
		return false;
	json_object_object_foreach(o, name, value)
	{
		if (strcmp(name, "parameters") == 0) {
			if (!json_object_is_type(value, json_type_object) ||
			    (json_object_object_get_ex(value, "message", &message) &&
			     !json_object_is_type(message, json_type_string)))
				return false;
		} else if (strcmp(name, "error") == 0) {
			if (!json_object_is_type(value, json_type_string))
				return false;
		} else if (strcmp(name, "continues") != 0 ||
			   !json_object_is_type(value, json_type_boolean) ||
			   json_object_get_boolean(value)) {
			return false;
		}
	}
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *text = malloc(size ?: 1);
	Reply reply;
	int r, k;

	CHECK(text);
	if (size)
		memcpy(text, data, size);
	r = reply_parse(text, size, &reply);
	k = json_parse(&object, (const char *)data, size, NULL);
	CHECK(r == 0 || r == -EBADMSG);
	if (k == 0 && size <= REPLY_SIZE_MAX)
		CHECK((r == 0) == is_reply(object));
	/* It looks at no number's range and at no names that it does not need. */
	if (r == 0 && k == 0) {
		json_object *parameters = json_get_object(object, "parameters");

		CHECK(same(reply.error, json_get_string(object, "error")));
		CHECK(same(reply.message,
			   parameters ? json_get_string(parameters, "message") : NULL));
	}
	return r == 0;
}
