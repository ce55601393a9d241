/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* That quotes verify is judged by another program, in tests/quote. */
#include "testing-qe.h"

#include <errno.h>

static Enclave *enclave;
static uint8_t report[TDREPORT_SIZE];

static void set_up(void)
{
	testing_host_new();
	enclave = testing_enclave();
	testing_report(report);
}

static void tear_down(void)
{
	enclave_free(enclave);
	testing_host_remove();
}

TestSuite(qe_enclave, .init = set_up, .fini = tear_down);

static int quote(const void *data, size_t size, Blob *ret)
{
	const char *why = NULL;
	int r = enclave_quote(enclave, data, size, ret, &why);

	if (r < 0)
		cr_assert_not_null(why);
	return r;
}

Test(qe_enclave, refuses_reports_of_another_size)
{
	uint8_t longer[TDREPORT_SIZE + 1];
	Blob none = {};

	memcpy(longer, report, sizeof(report));
	longer[TDREPORT_SIZE] = 0;
	cr_assert_eq(quote(report, 0, &none), -EBADMSG);
	cr_assert_eq(quote(report, TDREPORT_SIZE - 1, &none), -EBADMSG);
	cr_assert_eq(quote(longer, sizeof(longer), &none), -EBADMSG);
	cr_assert_null(none.data);
}

Test(qe_enclave, refuses_every_altered_byte)
{
	Blob none = {};

	for (size_t i = 0; i < TDREPORT_SIZE; i++) {
		report[i] ^= 0x10;
		cr_assert_eq(quote(report, sizeof(report), &none), -EBADMSG, "byte %zu", i);
		report[i] ^= 0x10;
	}
}

Test(qe_enclave, refuses_another_platforms_report)
{
	static const uint8_t other[TDREPORT_KEY_SIZE] = { 1 };
	const TdreportFields fields = {};
	Blob none = {};

	cr_assert_eq(tdreport_make(report, &fields, other), 0);
	cr_assert_eq(quote(report, sizeof(report), &none), -EBADMSG);
}

static const uint8_t *expect_run(const uint8_t *p, uint8_t byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(p[i], byte, "%#x at %zu", p[i], i);
	return p + n;
}

Test(qe_enclave, quotes_what_the_report_says)
{
	_cleanup_blob_ Blob made = {};
	const uint8_t *p;

	cr_assert_eq(quote(report, sizeof(report), &made), 0);
	p = made.data;
	cr_assert_arr_eq(p, "\x04\0\x02\0\x81\0\0\0\0\0\0\0", 12);
	cr_assert_arr_eq(p + 28, "emulated by tdid\0\0\0\0", 20);
	p += 48;
	cr_assert_arr_eq(p, report + TDREPORT_TCB_INFO_OFFSET + 8, 120);
	p += 120;
	cr_assert_arr_eq(p, "\x88\x77\x66\x55\x44\x33\x22\x11\xe7\0\0\0\0\0\0\0", 16);
	p += 16;
	for (uint8_t i = 0; i < 4; i++)
		p = expect_run(p, 0xa0 + i, DIGEST_SIZE);
	for (uint8_t i = 0; i < 4; i++)
		p = expect_run(p, 0xb0 + i, DIGEST_SIZE);
	p = expect_run(p, 0xd0, TDREPORT_DATA_SIZE);
	cr_assert_eq((size_t)(p - made.data), 632);
	cr_assert_eq(le32toh(*(const uint32_t *)(const void *)p), made.size - 636);
}

Test(qe_enclave, has_a_key_of_its_own_and_the_same_chain_after_a_restart)
{
	_cleanup_(enclave_freep) Enclave *again = testing_enclave();
	_cleanup_blob_ Blob first = {}, second = {};
	const char *why;

	cr_assert_eq(quote(report, sizeof(report), &first), 0);
	cr_assert_eq(enclave_quote(again, report, sizeof(report), &second, &why), 0);
	cr_assert_eq(first.size, second.size);
	cr_assert_arr_eq(first.data, second.data, 636);
	cr_assert_arr_neq(first.data + 700, second.data + 700, 64);
	cr_assert_arr_eq(first.data + 1258, second.data + 1258, first.size - 1258);
}
