/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client names a request by, so that asking once more does nothing twice. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define CLIENT_TOKEN_MAX 128

typedef struct ClientToken {
	char *text; /* NULL: none */
	uid_t uid;  /* whose; another user's are others */
} ClientToken;

/* 1 to CLIENT_TOKEN_MAX printable ASCII characters. */
bool client_token_valid(const char *text);

/* Of nothing: false. */
bool client_token_is(const ClientToken *token, const char *text, uid_t uid);

/* text NULL: there is none from now on. -ENOMEM: there is none either. */
int client_token_set(ClientToken *token, const char *text, uid_t uid);
