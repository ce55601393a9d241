/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/client-token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool client_token_valid(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > CLIENT_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x21 || text[i] > 0x7e)
			return false;
	return true;
}

bool client_token_is(const ClientToken *token, const char *text, uid_t uid)
{
	return token->text && text && token->uid == uid && strcmp(token->text, text) == 0;
}

int client_token_set(ClientToken *token, const char *text, uid_t uid)
{
	free(token->text);
	*token = (ClientToken){ .text = text ? strdup(text) : NULL, .uid = uid };
	return text && !token->text ? -ENOMEM : 0;
}
