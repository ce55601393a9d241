/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vca.h"
#include "data/spdm-capture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHMS_AT 100

static void refused(const uint8_t *data, size_t size, int code, const char *about)
{
	char *error = NULL;
	Vca vca;

	cr_assert_eq(vca_parse(&vca, data, size, &error), code, "%s", about);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
	free(error);
}

Test(vca, cut_anywhere)
{
	Vca vca;

	for (size_t n = 0; n < sizeof(capture_vca); n++)
		cr_assert_eq(vca_parse(&vca, capture_vca, n, NULL), -EBADMSG, "%zu bytes", n);
	refused(NULL, 0, -EBADMSG, "GET_VERSION");
	refused(capture_vca, 5, -EBADMSG, "VERSION");
}

Test(vca, trailing_byte)
{
	uint8_t copy[sizeof(capture_vca) + 1] = {};

	memcpy(copy, capture_vca, sizeof(capture_vca));
	refused(copy, sizeof(copy), -EBADMSG, "after ALGORITHMS");
}

Test(vca, another_version)
{
	uint8_t copy[sizeof(capture_vca)];

	memcpy(copy, capture_vca, sizeof(copy));
	copy[11] = 0x11;
	refused(copy, sizeof(copy), -EPROTONOSUPPORT, "did not offer");
	memcpy(copy, capture_vca, sizeof(copy));
	copy[12] = 0x11;
	refused(copy, sizeof(copy), -EPROTONOSUPPORT, "GET_CAPABILITIES");
}

Test(vca, chosen_but_not_offered)
{
	static const struct {
		size_t at;
		uint8_t value;
	} choices[] = {
		{ 12, 0x10 }, /* base asym: P-256 */
		{ 12, 0x90 }, /* two */
		{ 16, 0x01 }, /* base hash: SHA-256 */
		{ 38, 0x08 }, /* DHE: secp256r1 */
		{ 42, 0x01 }, /* AEAD: AES-128-GCM */
		{ 8, 0x05 },  /* two measurement hashes */
	};

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		uint8_t copy[sizeof(capture_vca)];

		memcpy(copy, capture_vca, sizeof(copy));
		copy[ALGORITHMS_AT + choices[i].at] = choices[i].value;
		refused(copy, sizeof(copy), -EBADMSG, "had not been offered");
	}
}

Test(vca, capture)
{
	Vca vca;

	cr_assert_eq(vca_parse(&vca, capture_vca, sizeof(capture_vca), NULL), 0);
	cr_assert_eq(vca.version, 0x12);
	cr_assert_eq(vca.requester.flags, 0x2c6);
	cr_assert_eq(vca.responder.flags, 0x2d6);
	cr_assert_eq(vca.chosen.base_asym, SPDM_ASYM_ECDSA_P384);
	cr_assert_eq(vca.chosen.aead, SPDM_AEAD_AES_256_GCM);
}
