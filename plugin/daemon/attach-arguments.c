/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/attach-arguments.h"

#include "core/domain-xml.h"
#include "daemon/client-token.h"
#include "daemon/timed-calls.h"

#include <errno.h>
#include <string.h>

static bool has_prefix(const char *name)
{
	return strncmp(name, DOMAIN_XML_ALIAS_PREFIX, strlen(DOMAIN_XML_ALIAS_PREFIX)) == 0;
}

/* The address with what an alias may have: ua-tdi-0000-01-10-0. */
static int default_alias(char **ret, Bdf device)
{
	char text[BDF_STRING_SIZE];

	bdf_format(device, text);
	for (char *c = text; *c; c++)
		if (*c == ':' || *c == '.')
			*c = '-';
	return asprintf(ret, DOMAIN_XML_ALIAS_PREFIX "%s", text) < 0 ? -ENOMEM : 0;
}

static int named_alias(char **ret, const char *name)
{
	return asprintf(ret, "%s%s", has_prefix(name) ? "" : DOMAIN_XML_ALIAS_PREFIX, name) < 0
		       ? -ENOMEM
		       : 0;
}

static int invalid(VarlinkCall *call, const char *parameter)
{
	int r = varlink_call_invalid_parameter(call, parameter);

	return r < 0 ? r : 1;
}

int attach_arguments_read(AttachArguments *ret, VarlinkCall *call, json_object *parameters)
{
	const char *name = json_get_string(parameters, "name");
	const char *wait_for = json_get_string(parameters, "wait_for");
	int r;

	*ret = (AttachArguments){ .domain = json_get_string(parameters, "domain"),
				  .named = name,
				  .token = json_get_string(parameters, "client_token"),
				  .wait_for = ASSIGNMENT_ATTACHED,
				  .dry_run = json_get_bool(parameters, "dry_run", false),
				  .timeout_ms = json_get_int(parameters, "timeout_ms", 0) };
	if (!ret->domain[0])
		return invalid(call, "domain");
	if (bdf_parse(&ret->device, json_get_string(parameters, "device")) < 0)
		return invalid(call, "device");
	if (ret->token && !client_token_valid(ret->token))
		return invalid(call, "client_token");
	if (wait_for && (assignment_state_parse(&ret->wait_for, wait_for) < 0 ||
			 attach_progress(ret->wait_for) < 0))
		return invalid(call, "wait_for");
	if (json_object_object_get(parameters, "timeout_ms") &&
	    (ret->timeout_ms < 1 || ret->timeout_ms > TIMED_CALL_MS_MAX))
		return invalid(call, "timeout_ms");
	/* Before it becomes part of anything. */
	if (name && (!domain_xml_alias_valid(name) || strcmp(name, DOMAIN_XML_ALIAS_PREFIX) == 0))
		return invalid(call, "name");
	r = name ? named_alias(&ret->alias, name) : default_alias(&ret->alias, ret->device);
	if (r < 0)
		return r;
	if (domain_xml_alias_valid(ret->alias))
		return 0;
	attach_arguments_done(ret);
	return invalid(call, "name");
}

void attach_arguments_done(AttachArguments *arguments)
{
	free(arguments->alias);
	arguments->alias = NULL;
}

int attach_progress(AssignmentState state)
{
	static const AssignmentState way[] = {
		ASSIGNMENT_ATTACHED, ASSIGNMENT_CONNECTING, ASSIGNMENT_WAITING, ASSIGNMENT_BINDING,
		ASSIGNMENT_BOUND,    ASSIGNMENT_LOCKED,	    ASSIGNMENT_RUNNING,
	};

	for (size_t i = 0; i < ELEMENTSOF(way); i++)
		if (way[i] == state)
			return (int)i;
	return -1;
}
