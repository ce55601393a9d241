/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the subcommands of tdictl share: options, calls, and how errors are told. */
#pragma once

#include "rpc/idl.h"
#include "rpc/json.h"
#include "rpc/varlink-client.h"

#include <stdbool.h>
#include <stdint.h>

#define CLI_INTERFACE "io.tdid.Assignments"
#define CLI_SOCKET    "/run/tdid/io.tdid.Assignments"

/* Exit codes; --help lists them. */
typedef enum CliStatus {
	CLI_OK = 0,
	CLI_REFUSED = 1,     /* tdid says no, or there is no such thing */
	CLI_USAGE = 2,	     /* the command line is wrong */
	CLI_UNREACHABLE = 3, /* tdid does not answer, or not in its language */
	CLI_TIMEOUT = 4,
	CLI_NEVER = 5, /* what is waited for does not come any more */
} CliStatus;

/* Who is called. */
typedef struct CliService {
	const char *program;
	const char *interface;
	const char *socket;
} CliService;

extern const CliService cli_tdid, cli_quoted;

typedef struct Command Command;

typedef struct Cli {
	const Command *command;
	const CliService *service; /* NULL: cli_tdid */
	const char *socket;
	bool json;
	const char *out;       /* --out */
	const char *until;     /* --until */
	const char *state;     /* --state */
	uint64_t timeout_usec; /* --timeout; 0: none */
	bool all;	       /* --all */
	const char *root;      /* --root; NULL: the host's own */
	const char *platform;  /* --platform */
	const char *name;      /* --name */
	const char *token;     /* --token */
	const char *wait_for;  /* --wait */
	bool dry_run;	       /* --dry-run */
	IdlInterface *interface;
} Cli;

/* Options beyond --json, --socket and --help. */
enum {
	COMMAND_OUT = 1 << 0,
	COMMAND_UNTIL = 1 << 1,
	COMMAND_TIMEOUT = 1 << 2,
	COMMAND_ALL = 1 << 3,
	COMMAND_ROOT = 1 << 4,
	COMMAND_PLATFORM = 1 << 5,
	COMMAND_NAME = 1 << 6,
	COMMAND_TOKEN = 1 << 7,
	COMMAND_WAIT = 1 << 8,
	COMMAND_DRY_RUN = 1 << 9,
	COMMAND_STATE = 1 << 10,
};

struct Command {
	const char *name;
	const char *arguments; /* for the synopsis */
	const char *summary;   /* one line */
	const char *help;
	unsigned options;
	int min_arguments, max_arguments;
	bool own_json;		   /* --json prints what `help` describes, in words of its own */
	const CliService *service; /* NULL: cli_tdid */
	CliStatus (*run)(Cli *cli, char **arguments); /* ended by NULL */
};

extern const Command command_list;
extern const Command command_show;
extern const Command command_watch;
extern const Command command_wait;
extern const Command command_metrics;
extern const Command command_quotes;
extern const Command command_evidence;
extern const Command command_timeline;
extern const Command command_devices;
extern const Command command_doctor;
extern const Command command_connect;
extern const Command command_reclaim;
extern const Command command_clear;
extern const Command command_attach;
extern const Command command_detach;
extern const Command command_drain;
extern const Command command_undrain;

/* "tdictl COMMAND: ..." on standard error, made harmless for a terminal. */
void cli_error(const Cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * One call of the service's interface. `parameters` is taken. Whatever comes but a good answer is
 * told on standard error and is the exit code.
 */
CliStatus cli_call(const Cli *cli, const char *method, json_object *parameters, json_object **ret);

/* Tells why a call or a connection failed: a negative errno and, maybe, rpc's sentence. */
CliStatus cli_tell_failure(const Cli *cli, int error, const char *sentence);

/* Tells the error that tdid answered with. */
CliStatus cli_tell_refusal(const Cli *cli, const char *error, json_object *parameters);

/* DOMAIN/NAME taken apart. *ret_domain is allocated, *ret_name points into `argument`. */
CliStatus cli_split(const Cli *cli, const char *argument, char **ret_domain, const char **ret_name);

/* The `assignment` of a Get for DOMAIN/NAME. *ret is owned by the caller. */
CliStatus cli_get(const Cli *cli, const char *argument, json_object **ret);

/* One line of JSON on standard output, flushed. */
void cli_print_json(json_object *value);
