/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/base64.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

Test(base64, refuses)
{
	static const char *const bad[] = {
		"A",	"AA",	     "AAA",	    "AAAAA",	"=",	  "====",
		"A===", "AA=A",	     "AA==AAAA",    "AAA=AAAA", "Zg==\n", "Zg==    ",
		"Zm 9", " Zm9vYg==", "Zm9v\n===",   "Zm9-",	"Zm9_",	  "Zh==",
		"Zk==", "Zm9=",	     "Zm8=Zm8=",    "Zm9v====", "Zm9v=",  "\xff\xff\xff\xff",
		"Zg=x", "=AAA",	     "Zm9v\x01===",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		uint8_t *data = NULL;
		size_t len = 0;

		cr_assert_eq(base64_decode(&data, &len, bad[i], 1000), -EBADMSG, "accepted: \"%s\"",
			     bad[i]);
		cr_assert_null(data);
	}
}

Test(base64, refuses_more_than_the_limit)
{
	uint8_t *data = NULL;
	size_t len = 0;

	cr_assert_eq(base64_decode(&data, &len, "Zm9vYg==", 3), -E2BIG);
	cr_assert_null(data);
	cr_assert_eq(base64_decode(&data, &len, "Zm9vYg==", 4), 0);
	free(data);
}

/* RFC 4648 section 10. */
Test(base64, rfc_vectors)
{
	static const char *const vectors[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_free_ uint8_t *data = NULL;
		size_t len;

		cr_assert_eq(base64_encode(&text, vectors[i][0], strlen(vectors[i][0])), 0);
		cr_assert_str_eq(text, vectors[i][1]);
		cr_assert_eq(base64_decode(&data, &len, text, len = strlen(vectors[i][0])), 0);
		cr_assert_eq(len, strlen(vectors[i][0]));
		cr_assert_str_eq((const char *)data, vectors[i][0]);
	}
}

Test(base64, every_byte_and_length_survives)
{
	uint8_t bytes[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(255 - i);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_free_ uint8_t *data = NULL;
		size_t len;

		cr_assert_eq(base64_encode(&text, bytes, n), 0);
		cr_assert_eq(base64_decode(&data, &len, text, n), 0);
		cr_assert_eq(len, n);
		cr_assert_eq(memcmp(data, bytes, n), 0);
	}
}
