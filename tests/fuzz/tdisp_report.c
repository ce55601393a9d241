/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report collected from portions: from an honest device all of it, from a hostile one what fits.
 * Input: sizes of the buffer, of the report and of either side's portions (2 bytes each), then
 * lengths of portion and remainder that the hostile one claims.
 */
#include "core/bytes.h"
#include "core/tdisp.h"
#include "fuzz.h"

#include <errno.h>

#define FUNCTION 0x0110

static uint8_t report[TDISP_REPORT_MAX], collected[TDISP_REPORT_MAX];

static void honest(uint16_t size, uint16_t asked, uint16_t given)
{
	TdispReportReader reader =
		tdisp_report_reader(collected, sizeof(collected), FUNCTION, asked);
	int r = 0;

	for (unsigned int i = 0; r == 0; i++) {
		TdispRequest request = tdisp_report_next(&reader);
		TdispResponse response;

		CHECK(i <= size);
		CHECK(tdisp_report_portion(&response, &request, report, size, given) == 0);
		CHECK(response.report.portion_length <= asked);
		r = tdisp_report_add(&reader, &response, NULL);
	}
	CHECK(r == 1 && reader.size == size && memcmp(collected, report, size) == 0);
}

static bool hostile(size_t capacity, uint16_t asked, ByteReader *r)
{
	TdispReportReader reader = tdisp_report_reader(collected, capacity, FUNCTION, asked);

	while (r->left) {
		TdispRequest request = tdisp_report_next(&reader);
		TdispResponse response = { .message = TDISP_MSG_DEVICE_INTERFACE_REPORT,
					   .function_id = FUNCTION };
		char *error = NULL;
		int k;

		CHECK(request.report.length > 0 && request.report.length <= asked);
		CHECK(request.report.offset == reader.size);
		response.report.portion = report;
		response.report.portion_length = bytes_take_u16(r) % (request.report.length + 1u);
		response.report.remainder_length = bytes_take_u16(r);
		k = tdisp_report_add(&reader, &response, &error);
		CHECK(reader.size <= capacity);
		if (k < 0)
			return fuzz_good(k, error);
		CHECK(!error);
		if (k == 1)
			return true;
	}
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	uint16_t capacity = bytes_take_u16(&r), total = bytes_take_u16(&r);
	uint16_t asked = bytes_take_u16(&r), given = bytes_take_u16(&r);

	if (r.failed || total == 0 || asked == 0 || given == 0)
		return false;
	for (size_t i = 0; i < sizeof(report) && !report[1]; i++)
		report[i] = (uint8_t)(i * 7 + i / 256);
	/* Not more than some hundred turns. */
	if (total / asked < 256 && total / given < 256)
		honest(total, asked, given);
	return hostile(capacity, asked, &r);
}
