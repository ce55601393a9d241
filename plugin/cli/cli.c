/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

#include "cli/assignment.h"
#include "cli/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* tdid answers these from its own records, at once. */
#define CALL_TIMEOUT_USEC (30 * 1000000ULL)

const CliService cli_tdid = { .program = "tdid", .interface = CLI_INTERFACE, .socket = CLI_SOCKET };

const CliService cli_quoted = { .program = "tdi-quoted",
				.interface = "io.tdid.Quote",
				.socket = "/run/tdid/io.tdid.Quote" };

static const CliService *service_of(const Cli *cli)
{
	return cli->service ? cli->service : &cli_tdid;
}

void cli_error(const Cli *cli, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *clean = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	clean = text_clean(text);
	fflush(stdout);
	fprintf(stderr, "tdictl%s%s: %s\n", cli->command ? " " : "",
		cli->command ? cli->command->name : "", clean);
}

CliStatus cli_tell_failure(const Cli *cli, int error, const char *sentence)
{
	const CliService *service = service_of(cli);

	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		cli_error(cli,
			  "%s does not answer at %s (%s). Start it with 'systemctl start "
			  "%s.socket', or name another socket with --socket",
			  service->program, cli->socket, strerror(-error), service->program);
		return CLI_UNREACHABLE;
	case -EACCES:
		cli_error(cli,
			  "%s: %s. Use sudo, or become a member of the group that owns the socket",
			  cli->socket, strerror(EACCES));
		return CLI_UNREACHABLE;
	case -ETIME:
	case -ETIMEDOUT:
		cli_error(cli,
			  "%s has not answered in time at %s. See 'systemctl status %s' and "
			  "'journalctl -u %s'",
			  service->program, cli->socket, service->program, service->program);
		return CLI_TIMEOUT;
	case -ECONNRESET:
		cli_error(cli,
			  "%s closed the connection at %s. See 'systemctl status %s' and "
			  "'journalctl -u %s'",
			  service->program, cli->socket, service->program, service->program);
		return CLI_UNREACHABLE;
	case -EBADMSG:
		cli_error(cli,
			  "what answers at %s does not keep to %s. Are %s and tdictl of the "
			  "same version?",
			  cli->socket, service->interface, service->program);
		return CLI_UNREACHABLE;
	default:
		cli_error(cli, "%s: %s", cli->socket, sentence ? sentence : strerror(-error));
		return CLI_UNREACHABLE;
	}
}

static int call(const Cli *cli, const char *method, json_object *parameters, json_object **ret,
		char **ret_error, char **ret_sentence)
{
	_cleanup_free_ char *name = text_format("%s.%s", service_of(cli)->interface, method);
	VarlinkClientOptions options = { .interface = cli->interface };

	return varlink_call_blocking(cli->socket, &options, name, parameters, CALL_TIMEOUT_USEC,
				     ret, ret_error, ret_sentence);
}

/* "tvm0/ua-tdi-nic0, tvm0/ua-tdi-nvme0" of a domain, or "tvm0, tvm1" of all; NULL: none. */
static char *what_exists(const Cli *cli, const char *domain)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL, *reply = NULL;
	_cleanup_free_ char *error = NULL, *sentence = NULL;
	json_object *assignments;
	const char *last = NULL;
	char *names = NULL;

	if (json_build(&parameters, J_STRING("domain", domain)) < 0 ||
	    call(cli, "List", parameters, &reply, &error, &sentence) != 0)
		return NULL;
	assignments = json_get_array(reply, "assignments");
	for (size_t i = 0; i < json_object_array_length(assignments); i++) {
		Assignment a = assignment_read(json_object_array_get_idx(assignments, i));
		_cleanup_free_ char *before = names;

		if (!domain && last && strcmp(last, a.domain_name) == 0) {
			steal_ptr(before);
			continue;
		}
		names = text_format("%s%s%s%s%s", before ? before : "", before ? ", " : "",
				    a.domain_name, domain ? "/" : "", domain ? a.name : "");
		last = a.domain_name;
	}
	return names;
}

CliStatus cli_tell_refusal(const Cli *cli, const char *error, json_object *parameters)
{
	const char *name = varlink_error_name(error, service_of(cli)->interface);
	const char *domain = json_get_string(parameters, "domain");
	const char *assignment = json_get_string(parameters, "name");
	const char *message = json_get_string(parameters, "message");
	const char *parameter = json_get_string(parameters, "parameter");
	_cleanup_free_ char *others = NULL;

	if (name && strcmp(name, "NoSuchAssignment") == 0) {
		others = what_exists(cli, domain);
		cli_error(cli, "there is no trusted device %s in domain %s%s%s", assignment, domain,
			  others ? "; there are: " : ", nor any other", others ? others : "");
	} else if (name && strcmp(name, "NoSuchDomain") == 0) {
		others = what_exists(cli, NULL);
		cli_error(cli, "tdid knows of no trusted devices in a domain %s; %s%s", domain,
			  others ? "it knows of some in: " : "it knows of none at all",
			  others ? others : "");
	} else if (name && strcmp(name, "NoEvidence") == 0) {
		cli_error(cli, "%s/%s: there is no evidence: %s", domain, assignment,
			  json_get_string(parameters, "reason"));
	} else if (name && strcmp(name, "NoSuchDevice") == 0) {
		cli_error(cli,
			  "no TSM serves %s. 'tdictl devices' has what they serve, with the "
			  "address of each DSM",
			  json_get_string(parameters, "device"));
	} else if (name &&
		   (strcmp(name, "Refused") == 0 || strcmp(name, "PermissionDenied") == 0)) {
		cli_error(cli, "%s", message);
	} else if (name && strcmp(name, "TimedOut") == 0) {
		cli_error(cli, "%s", message);
		return CLI_TIMEOUT;
	} else if (name && strcmp(name, "NotReached") == 0) {
		cli_error(cli, "%s", message);
		return CLI_NEVER;
	} else if (strcmp(error, VARLINK_ERROR_METHOD_NOT_FOUND) == 0 ||
		   strcmp(error, VARLINK_ERROR_INTERFACE_NOT_FOUND) == 0) {
		cli_error(cli,
			  "what answers at %s does not serve this part of %s. Are %s and tdictl "
			  "of the same version?",
			  cli->socket, service_of(cli)->interface, service_of(cli)->program);
		return CLI_UNREACHABLE;
	} else {
		cli_error(cli, "%s answers with %s%s%s", service_of(cli)->program, error,
			  message || parameter ? ": " : "",
			  message     ? message
			  : parameter ? parameter
				      : "");
	}
	return CLI_REFUSED;
}

CliStatus cli_call(const Cli *cli, const char *method, json_object *parameters, json_object **ret)
{
	_cleanup_(json_unrefp) json_object *taken = parameters, *reply = NULL;
	_cleanup_free_ char *error = NULL, *sentence = NULL;
	int r;

	r = call(cli, method, taken, &reply, &error, &sentence);
	if (r < 0)
		return cli_tell_failure(cli, r, sentence);
	if (r > 0)
		return cli_tell_refusal(cli, error, reply);
	*ret = steal_ptr(reply);
	return CLI_OK;
}

CliStatus cli_split(const Cli *cli, const char *argument, char **ret_domain, const char **ret_name)
{
	const char *slash = strchr(argument, '/');

	/* No domain's name has a slash: libvirt refuses it. */
	if (!slash || slash == argument || !slash[1]) {
		cli_error(cli,
			  "'%s' is no DOMAIN/NAME, such as tvm0/ua-tdi-nic0 or tvm0/0000:01:10.0. "
			  "'tdictl list' has them",
			  argument);
		return CLI_USAGE;
	}
	*ret_domain = text_format("%.*s", (int)(slash - argument), argument);
	*ret_name = slash + 1;
	return CLI_OK;
}

CliStatus cli_get(const Cli *cli, const char *argument, json_object **ret)
{
	_cleanup_(json_unrefp) json_object *reply = NULL;
	_cleanup_free_ char *domain = NULL;
	json_object *parameters = NULL;
	const char *name;
	CliStatus status;

	status = cli_split(cli, argument, &domain, &name);
	if (status != CLI_OK)
		return status;
	if (json_build(&parameters, J_STRING("domain", domain), J_STRING("name", name)) < 0) {
		cli_error(cli, "'%s' is not UTF-8", argument);
		return CLI_USAGE;
	}
	status = cli_call(cli, "Get", parameters, &reply);
	if (status == CLI_OK)
		*ret = json_object_get(json_get_object(reply, "assignment"));
	return status;
}

void cli_print_json(json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
}
