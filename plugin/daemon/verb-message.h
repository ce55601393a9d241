/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A verb as io.tdid.Tsm has it: what is asked of a provider, and what its answers mean. */
#pragma once

#include "daemon/operations.h"
#include "rpc/json.h"

const char *verb_message_method(Verb verb);
/* What hangs in the TSM gives way to it, and it waits behind nothing. */
bool verb_message_has_force(const OperationRequest *request);

#define VERB_MESSAGE_ID_SIZE 32
/*
 * After a restart of tdid the ids come in the same order, each with the answer that it had.
 * `refusals`: how often it has been refused and is asked again.
 */
void verb_message_id(char ret[static VERB_MESSAGE_ID_SIZE], const OperationRequest *request,
		     unsigned int refusals);
/* The parameters. -ENOMEM, -EINVAL. */
int verb_message_build(const OperationRequest *request, unsigned int refusals, json_object **ret);

/* Errors after which nothing has changed; every other one leaves the outcome open. */
bool verb_message_is_refusal(const char *error);
/* What a done unbind says of the device. *ret_reason: why it is not clean; to be freed. */
bool verb_message_confirms(const OperationRequest *request, json_object *p, char **ret_reason);
