/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/client-token.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

#include <string.h>

Test(daemon_client_token, valid)
{
	static const char *const bad[] = { "", " ", "a b", "a\n", "\x7f", "\xc3\xa4", "\t" };
	char text[CLIENT_TOKEN_MAX + 2];

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_expect_not(client_token_valid(bad[i]), "%zu", i);
	memset(text, '~', sizeof(text));
	text[CLIENT_TOKEN_MAX + 1] = '\0';
	cr_expect_not(client_token_valid(text));
	text[CLIENT_TOKEN_MAX] = '\0';
	cr_expect(client_token_valid(text));
	cr_expect(client_token_valid("!"));
}

Test(daemon_client_token, each_users_own)
{
	ClientToken token = {};

	cr_assert_not(client_token_is(&token, NULL, 0));
	cr_assert_not(client_token_is(&token, "a", 0));
	cr_assert_eq(client_token_set(&token, "a", 7), 0);
	cr_assert(client_token_is(&token, "a", 7));
	cr_assert_not(client_token_is(&token, "a", 8));
	cr_assert_not(client_token_is(&token, "b", 7));
	cr_assert_not(client_token_is(&token, NULL, 7));
	cr_assert_eq(client_token_set(&token, NULL, 7), 0);
	cr_assert_not(client_token_is(&token, "a", 7));
}
