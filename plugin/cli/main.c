/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdictl: what an operator asks of tdid. */
#include "cli/cli.h"
#include "cli/text.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const Command *const commands[] = {
	&command_list,	   &command_show,   &command_watch,  &command_wait,    &command_evidence,
	&command_timeline, &command_attach, &command_detach, &command_devices, &command_connect,
	&command_reclaim,  &command_clear,  &command_drain,  &command_undrain, &command_metrics,
	&command_quotes,   &command_doctor,
};

enum {
	OPTION_VERSION = 256,
	OPTION_JSON,
	OPTION_SOCKET,
	OPTION_OUT,
	OPTION_UNTIL,
	OPTION_TIMEOUT,
	OPTION_ALL,
	OPTION_ROOT,
	OPTION_PLATFORM,
	OPTION_STATE,
	OPTION_NAME,
	OPTION_TOKEN,
	OPTION_WAIT,
	OPTION_DRY_RUN,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "out", required_argument, NULL, OPTION_OUT },
	{ "until", required_argument, NULL, OPTION_UNTIL },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "root", required_argument, NULL, OPTION_ROOT },
	{ "platform", required_argument, NULL, OPTION_PLATFORM },
	{ "state", required_argument, NULL, OPTION_STATE },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "token", required_argument, NULL, OPTION_TOKEN },
	{ "wait", required_argument, NULL, OPTION_WAIT },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ 0 },
};

typedef struct CommandLine {
	bool help, version;
	unsigned used; /* COMMAND_* options */
} CommandLine;

static const CliService *service_of(const Command *command)
{
	return command && command->service ? command->service : &cli_tdid;
}

static void print_common_help(const Command *command)
{
	const CliService *service = service_of(command);

	printf("  --json          print JSON%s%s\n",
	       command && command->own_json ? "" : ", with the field names of ",
	       command && command->own_json ? "" : service->interface);
	printf("  --socket PATH   where %s listens (%s)\n", service->program, service->socket);
	printf("  -h, --help      print this\n");
}

static void print_status_help(const Command *command)
{
	const char *program = service_of(command)->program;

	printf("\n"
	       "Exit status\n"
	       "  0  done\n"
	       "  1  refused by %s, or there is no such domain, device or evidence; doctor: "
	       "something is missing\n"
	       "  2  the command line is wrong\n"
	       "  3  %s cannot be reached\n"
	       "  4  the time is over\n"
	       "  5  what is waited for does not come any more\n",
	       program, program);
}

static void print_help(const Command *command)
{
	if (command) {
		printf("tdictl %s %s\n%s.\n\n%s\n", command->name, command->arguments,
		       command->summary, command->help);
		print_common_help(command);
		print_status_help(command);
		return;
	}
	printf("tdictl COMMAND [ARGUMENT] [OPTION...]\n"
	       "Trusted devices in TVMs: what there is, what happens, and why.\n\n");
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		int n = printf("  %s %s", commands[i]->name, commands[i]->arguments);

		printf("%*s%s\n", 34 - n, "", commands[i]->summary);
	}
	printf("\n  tdictl COMMAND --help tells more.\n\n");
	print_common_help(NULL);
	printf("  --version       print the version\n");
	print_status_help(NULL);
}

static int usage_error(const Cli *cli)
{
	fprintf(stderr, "Try 'tdictl %s%s--help'.\n", cli->command ? cli->command->name : "",
		cli->command ? " " : "");
	return CLI_USAGE;
}

static int parse_timeout(const Cli *cli, const char *text, uint64_t *ret)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end > text && strcmp(end, "s") == 0)
		end++;
	if (end == text || *end || !isfinite(seconds) || seconds <= 0 || seconds > 1e9) {
		cli_error(cli, "--timeout: '%s' is no number of seconds above 0", text);
		return -EINVAL;
	}
	*ret = (uint64_t)ceil(seconds * 1e6);
	return 0;
}

static int parse_options(Cli *cli, CommandLine *line, int argc, char **argv)
{
	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (c) {
		case 'h': line->help = true; break;
		case OPTION_VERSION: line->version = true; break;
		case OPTION_JSON: cli->json = true; break;
		case OPTION_SOCKET: cli->socket = optarg; break;
		case OPTION_OUT:
			cli->out = optarg;
			line->used |= COMMAND_OUT;
			break;
		case OPTION_UNTIL:
			cli->until = optarg;
			line->used |= COMMAND_UNTIL;
			break;
		case OPTION_STATE:
			cli->state = optarg;
			line->used |= COMMAND_STATE;
			break;
		case OPTION_TIMEOUT:
			line->used |= COMMAND_TIMEOUT;
			if (parse_timeout(cli, optarg, &cli->timeout_usec) < 0)
				return -EINVAL;
			break;
		case OPTION_ALL:
			cli->all = true;
			line->used |= COMMAND_ALL;
			break;
		case OPTION_ROOT:
			cli->root = optarg;
			line->used |= COMMAND_ROOT;
			break;
		case OPTION_PLATFORM:
			cli->platform = optarg;
			line->used |= COMMAND_PLATFORM;
			break;
		case OPTION_NAME:
			cli->name = optarg;
			line->used |= COMMAND_NAME;
			break;
		case OPTION_TOKEN:
			cli->token = optarg;
			line->used |= COMMAND_TOKEN;
			break;
		case OPTION_WAIT:
			cli->wait_for = optarg;
			line->used |= COMMAND_WAIT;
			break;
		case OPTION_DRY_RUN:
			cli->dry_run = true;
			line->used |= COMMAND_DRY_RUN;
			break;
		default: return -EINVAL;
		}
	}
	return 0;
}

static const Command *find_command(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static const struct {
	unsigned option;
	const char *name;
} option_names[] = {
	{ COMMAND_OUT, "--out" },	  { COMMAND_UNTIL, "--until" },
	{ COMMAND_TIMEOUT, "--timeout" }, { COMMAND_ALL, "--all" },
	{ COMMAND_ROOT, "--root" },	  { COMMAND_PLATFORM, "--platform" },
	{ COMMAND_NAME, "--name" },	  { COMMAND_TOKEN, "--token" },
	{ COMMAND_WAIT, "--wait" },	  { COMMAND_DRY_RUN, "--dry-run" },
	{ COMMAND_STATE, "--state" },
};

static int check_command_line(const Cli *cli, const CommandLine *line, int n_arguments)
{
	const Command *command = cli->command;

	for (size_t i = 0; i < ELEMENTSOF(option_names); i++)
		if (line->used & ~command->options & option_names[i].option) {
			cli_error(cli, "this command takes no %s", option_names[i].name);
			return -EINVAL;
		}
	if (n_arguments < command->min_arguments || n_arguments > command->max_arguments) {
		cli_error(cli,
			  n_arguments < command->min_arguments ? "%s is missing"
							       : "takes %s and nothing else",
			  command->max_arguments ? command->arguments : "options");
		return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *error = NULL, *socket = NULL;
	Cli cli = { 0 };
	CommandLine line = { 0 };
	CliStatus status;

	/* Widths only: numbers and messages stay as they are everywhere. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");

	if (parse_options(&cli, &line, argc, argv) < 0)
		return usage_error(&cli);
	if (line.version) {
		puts("tdictl " TDID_VERSION);
		return CLI_OK;
	}
	if (optind < argc) {
		cli.command = find_command(argv[optind]);
		if (!cli.command) {
			cli_error(&cli, "there is no command '%s'", argv[optind]);
			return usage_error(&cli);
		}
	}
	if (line.help) {
		print_help(cli.command);
		return CLI_OK;
	}
	if (!cli.command) {
		cli_error(&cli, "which command?");
		return usage_error(&cli);
	}
	if (check_command_line(&cli, &line, argc - optind - 1) < 0)
		return usage_error(&cli);

	cli.service = service_of(cli.command);
	/* That of the tree, unless another one is named. */
	if (!cli.socket)
		cli.socket = socket =
			text_format("%s%s", cli.root ? cli.root : "", cli.service->socket);
	if (idl_parse(&cli.interface,
		      cli.service == &cli_quoted ? schema_io_tdid_quote
						 : schema_io_tdid_assignments,
		      &error) < 0) {
		cli_error(&cli, "%s", error);
		return CLI_UNREACHABLE;
	}
	status = cli.command->run(&cli, argv + optind + 1);
	idl_free(cli.interface);
	/* A full disk behind the pipe is no success. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_OK) {
		fprintf(stderr, "tdictl: standard output: %s\n", strerror(errno));
		status = CLI_REFUSED;
	}
	return (int)status;
}
