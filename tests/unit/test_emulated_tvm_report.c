/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/emulated/tvm-report.h"
#include "core/digest.h"
#include "testing-host.h"

#include <errno.h>

Test(emulated_tvm_report, says_which_tvm_and_that_nothing_is_protected)
{
	static const char measured[] = "tdid emulated TVM, nothing measured";
	static const char named[] = "tdid emulated TVM " TVM_A;
	const uint8_t key[TDREPORT_KEY_SIZE] = { 5 }, other[TDREPORT_KEY_SIZE] = { 6 };
	const uint8_t data[TDREPORT_DATA_SIZE] = { 8, [63] = 9 };
	const uint8_t zero[DIGEST_SIZE] = {};
	uint8_t report[TDREPORT_SIZE];
	const char *why = NULL;
	Digest digest;
	Tdreport r;

	cr_assert_eq(tvm_report_make(report, testing_uuid(TVM_A), data, key), 0);
	cr_assert_eq(tdreport_parse(&r, report, sizeof(report), &why), 0, "%s", why);
	cr_assert_eq(tdreport_verify(&r, other, &why), -EBADMSG);
	cr_assert_eq(tdreport_verify(&r, key, &why), 0, "%s", why);
	cr_assert_eq(r.version, 0, "quotes of version 4 come of it");
	cr_assert_arr_eq(r.report_data, data, sizeof(data));
	cr_assert_arr_eq(r.attributes, "\1\0\0\0\0\0\0\0", 8, "debug");
	cr_assert_arr_eq(r.xfam, "\3\0\0\0\0\0\0\0", 8);
	cr_assert_eq(digest_of(&digest, measured, strlen(measured)), 0);
	cr_assert_arr_eq(r.mr_td, digest.bytes, DIGEST_SIZE);
	cr_assert_eq(digest_of(&digest, named, strlen(named)), 0);
	cr_assert_arr_eq(r.mr_config_id, digest.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(r.mr_owner, zero, DIGEST_SIZE);
	cr_assert_arr_eq(r.rt_mr[3], zero, DIGEST_SIZE);
}
