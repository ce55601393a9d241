/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy-command.h"

#include "core/cleanup.h"
#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct CommandText {
	json_object *command;
	uint32_t timeout_ms;
} CommandText;

static int read_argument(json_object *element, size_t index, char **ret, char **ret_error)
{
	const char *text;

	if (!json_object_is_type(element, json_type_string))
		return refuse(ret_error, -EINVAL, "command[%zu]: must be a string", index);
	text = json_object_get_string(element);
	if (strlen(text) > POLICY_COMMAND_MAX_SIZE)
		return refuse(ret_error, -EINVAL, "command[%zu]: has more than %u bytes", index,
			      POLICY_COMMAND_MAX_SIZE);
	if (index == 0 && (text[0] != '/' || text[1] == '\0'))
		return refuse(ret_error, -EINVAL,
			      "command[0]: \"%s\" must be a program's absolute path: there is "
			      "neither a shell nor a search",
			      json_shown(text));
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int policy_command_read(PolicyCommand *ret, json_object *object, char **ret_error)
{
	static const JsonField fields[] = {
		{ "command", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(CommandText, command) },
		{ "timeout_ms", JSON_FIELD_U32, 0, offsetof(CommandText, timeout_ms),
		  POLICY_COMMAND_MIN_TIMEOUT_MS, POLICY_COMMAND_MAX_TIMEOUT_MS },
		{ 0 },
	};
	CommandText p = { .timeout_ms = POLICY_COMMAND_USUAL_TIMEOUT_MS };
	size_t n;
	int r;

	*ret = (PolicyCommand){ 0 };
	r = json_dispatch(object, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	n = json_object_array_length(p.command);
	if (n == 0 || n > POLICY_COMMAND_MAX_ARGUMENTS)
		return refuse(ret_error, -EINVAL,
			      "\"command\" has %zu elements, expected a program and at most %u "
			      "arguments",
			      n, POLICY_COMMAND_MAX_ARGUMENTS - 1);
	ret->timeout_ms = p.timeout_ms;
	ret->arguments = calloc(n + 1, sizeof(*ret->arguments));
	if (!ret->arguments)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_argument(json_object_array_get_idx(p.command, i), i, &ret->arguments[i],
				  ret_error);
	return r;
}

void policy_command_done(PolicyCommand *command)
{
	for (char **argument = command->arguments; argument && *argument; argument++)
		free(*argument);
	free(command->arguments);
	command->arguments = NULL;
}

void policy_command_describe(const PolicyCommand *command, FILE *out)
{
	if (!command->arguments)
		return;
	fputs("relying party:", out);
	for (char **argument = command->arguments; *argument; argument++)
		fprintf(out, " %s", json_shown(*argument));
	fprintf(out, "; it has the last word within %" PRIu32 " ms, and may only refuse\n",
		command->timeout_ms);
}
