/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdreport.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const uint8_t key[TDREPORT_KEY_SIZE] = { 1, 2, 3 };

static void make(uint8_t report[static TDREPORT_SIZE])
{
	TdreportFields fields = {
		.report_data = { 0xaa },
		.mr_td = { { 1 } },
		.mr_config_id = { { 2 } },
		.mr_owner = { { 3 } },
		.mr_owner_config = { { 4 } },
		.rt_mr = { { { 5 } }, { { 6 } }, { { 7 } }, { { 8 } } },
		.attributes = 0x1122,
		.xfam = 0x3344,
	};

	cr_assert_eq(tdreport_make(report, &fields, key), 0);
}

static void refused(const uint8_t *data, size_t size, const char *about)
{
	const char *why = NULL;
	Tdreport report;

	cr_assert_eq(tdreport_parse(&report, data, size, &why), -EBADMSG, "%s", about);
	cr_assert_not_null(why);
	cr_assert(strstr(why, about), "\"%s\" says nothing of \"%s\"", why, about);
	cr_assert_eq(tdreport_parse(&report, data, size, NULL), -EBADMSG);
}

Test(tdreport, empty_short_oversize)
{
	uint8_t bytes[TDREPORT_SIZE + 1] = {};

	make(bytes);
	refused(NULL, 0, "1,024");
	refused(bytes, 1, "1,024");
	refused(bytes, TDREPORT_SIZE - 1, "1,024");
	refused(bytes, TDREPORT_SIZE + 1, "1,024");
}

Test(tdreport, wrong_type_and_version)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *about;
	} changes[] = {
		{ 0, 0x00, "type" },	   { 0, 0x80, "type" },	      { 1, 2, "subtype" },
		{ 2, 2, "version" },	   { 2, 4, "version" },	      { 2, 0xff, "version" },
		{ 3, 1, "reserved" },	   { 4, 1, "reserved" },      { 15, 1, "reserved" },
		{ 192, 1, "reserved" },	   { 223, 0x80, "reserved" }, { 495, 1, "reserved" },
		{ 511, 0xff, "reserved" },
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint8_t bytes[TDREPORT_SIZE];

		make(bytes);
		bytes[changes[i].at] = changes[i].value;
		refused(bytes, sizeof(bytes), changes[i].about);
	}
}

Test(tdreport, one_bit_anywhere)
{
	uint8_t bytes[TDREPORT_SIZE];

	make(bytes);
	for (size_t i = 0; i < TDREPORT_SIZE; i++) {
		const char *why = NULL;
		Tdreport report;

		bytes[i] ^= 1;
		if (tdreport_parse(&report, bytes, sizeof(bytes), NULL) == 0) {
			cr_assert_eq(tdreport_verify(&report, key, &why), -EBADMSG, "byte %zu", i);
			cr_assert_not_null(why);
		}
		bytes[i] ^= 1;
	}
}

Test(tdreport, altered_measurement)
{
	uint8_t bytes[TDREPORT_SIZE];
	const char *why = NULL;
	Tdreport report;

	make(bytes);
	cr_assert_eq(tdreport_parse(&report, bytes, sizeof(bytes), NULL), 0);
	bytes[TDREPORT_TD_INFO_OFFSET + 16] ^= 1;
	cr_assert_eq(tdreport_check_hashes(&report, &why), -EBADMSG);
	cr_assert(strstr(why, "TDINFO"));
	cr_assert_eq(tdreport_verify(&report, key, NULL), -EBADMSG);
	bytes[TDREPORT_TD_INFO_OFFSET + 16] ^= 1;
	bytes[TDREPORT_TCB_INFO_OFFSET] ^= 1;
	cr_assert_eq(tdreport_check_hashes(&report, &why), -EBADMSG);
	cr_assert(strstr(why, "TEE_TCB_INFO"));
}

Test(tdreport, another_platforms_key)
{
	static const uint8_t other[TDREPORT_KEY_SIZE] = { 1, 2, 4 };
	uint8_t bytes[TDREPORT_SIZE];
	const char *why = NULL;
	Tdreport report;

	make(bytes);
	cr_assert_eq(tdreport_parse(&report, bytes, sizeof(bytes), NULL), 0);
	cr_assert_eq(tdreport_verify(&report, other, &why), -EBADMSG);
	cr_assert(strstr(why, "MAC"));
	cr_assert_eq(tdreport_check_hashes(&report, NULL), 0);
}

Test(tdreport, made_and_read)
{
	uint8_t bytes[TDREPORT_SIZE];
	Tdreport report;

	memset(bytes, 0xee, sizeof(bytes));
	make(bytes);
	cr_assert_eq(tdreport_parse(&report, bytes, sizeof(bytes), NULL), 0);
	cr_assert_eq(report.version, 0);
	cr_assert_eq(report.report_data, bytes + 128);
	cr_assert_eq(report.report_data[0], 0xaa);
	cr_assert_eq(report.mac, bytes + TDREPORT_MAC_OFFSET);
	cr_assert_eq(report.tcb_info, bytes + TDREPORT_TCB_INFO_OFFSET);
	cr_assert_eq(report.td_info, bytes + TDREPORT_TD_INFO_OFFSET);
	cr_assert_eq(report.attributes, bytes + 512);
	cr_assert_arr_eq(report.attributes, ((uint8_t[]){ 0x22, 0x11, 0, 0, 0, 0, 0, 0 }), 8);
	cr_assert_arr_eq(report.xfam, ((uint8_t[]){ 0x44, 0x33, 0, 0, 0, 0, 0, 0 }), 8);
	cr_assert_eq(report.mr_td, bytes + 528);
	cr_assert_eq(report.mr_td[0], 1);
	cr_assert_eq(report.mr_config_id[0], 2);
	cr_assert_eq(report.mr_owner[0], 3);
	cr_assert_eq(report.mr_owner_config[0], 4);
	for (unsigned int i = 0; i < TDREPORT_RTMRS; i++)
		cr_assert_eq(report.rt_mr[i][0], 5 + i);
	cr_assert_eq(report.rt_mr[3], bytes + 512 + 352);
	cr_assert_eq(tdreport_verify(&report, key, NULL), 0);
}

Test(tdreport, other_versions)
{
	static const uint8_t versions[] = { 0, 1, 3 };
	uint8_t bytes[TDREPORT_SIZE];
	Tdreport report;

	make(bytes);
	memset(bytes + TDREPORT_SIZE - 112, 0x5a, 112); /* SERVTD_HASH and what is behind */
	bytes[1] = 1;
	for (size_t i = 0; i < sizeof(versions); i++) {
		bytes[2] = versions[i];
		cr_assert_eq(tdreport_parse(&report, bytes, sizeof(bytes), NULL), 0);
		cr_assert_eq(report.version, versions[i]);
	}
}
