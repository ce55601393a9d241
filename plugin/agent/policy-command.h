/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The member "relying_party" of the agent's policy: a command that may still refuse a device. */
#pragma once

#include <json-c/json.h>

#include <stdint.h>
#include <stdio.h>

#define POLICY_COMMAND_MAX_ARGUMENTS	64u   /* the program counted */
#define POLICY_COMMAND_MAX_SIZE		4096u /* bytes of one */
#define POLICY_COMMAND_MIN_TIMEOUT_MS	100
#define POLICY_COMMAND_MAX_TIMEOUT_MS	60000
#define POLICY_COMMAND_USUAL_TIMEOUT_MS 10000

typedef struct PolicyCommand {
	char **arguments; /* ends with NULL; [0] is an absolute path. NULL: there is no command */
	uint32_t timeout_ms;
} PolicyCommand;

/* 0, -EINVAL with a sentence, -ENOMEM. Release *ret in any case. */
int policy_command_read(PolicyCommand *ret, json_object *object, char **ret_error);
void policy_command_done(PolicyCommand *command);

/* Says in words what it means. */
void policy_command_describe(const PolicyCommand *command, FILE *out);
