/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TDI's interface report, and that it is held against the function's BARs. Input: rules (1 byte),
 * BARs (6: bit 7 present, 6 memory, 5 64 bits, 4:0 size), the report.
 */
#include "core/interface-report.h"
#include "core/bytes.h"
#include "fuzz.h"

#include <errno.h>

static uint8_t buffer[INTERFACE_REPORT_MAX_SIZE];

static void check_ranges(const InterfaceReport *report, const InterfaceBar *bars,
			 const InterfaceRules *rules)
{
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];
		uint64_t page = interface_report_page(report, bars, rules, i);
		const InterfaceBar *bar;

		CHECK(range->id < INTERFACE_REPORT_N_BARS);
		bar = &bars[range->id];
		CHECK(bar->present && bar->is_memory);
		/* One smaller than a page is taken for a page. */
		CHECK(page + range->n_pages <=
		      (bar->size + INTERFACE_REPORT_PAGE_SIZE - 1) / INTERFACE_REPORT_PAGE_SIZE);
	}
	for (unsigned int i = 1; i < report->n_ranges; i++)
		CHECK(report->ranges[i - 1].id <= report->ranges[i].id);
}

static void check(const InterfaceReport *report, ByteReader *r)
{
	static const InterfaceRegion everywhere[] = { { 0, 0, 4 }, { 2, 1, 8 } };
	uint8_t flags = bytes_take_u8(r);
	InterfaceBar bars[INTERFACE_REPORT_N_BARS];
	InterfaceRules rules = {
		.lock_no_fw_update = flags & 1,
		.lock_msix = flags & 2,
		.allow_fw_update = flags & 4,
		.allow_ats = flags & 8,
		.allow_prs = flags & 8,
		.allow_pasid = flags & 16,
		.shared = everywhere,
		.n_shared = flags & 32 ? 2 : 0,
		.gaps = everywhere,
		.n_gaps = flags & 64 ? 2 : 0,
	};
	char *error = NULL;
	int k;

	for (unsigned int i = 0; i < INTERFACE_REPORT_N_BARS; i++) {
		uint8_t b = bytes_take_u8(r);

		bars[i] = (InterfaceBar){ b & 0x80, b & 0x40, b & 0x20, 16ULL << (b & 0x1f) };
	}
	k = interface_report_check(report, bars, &rules, &error);
	CHECK(k >= 0 && k <= INTERFACE_REFUSED_SHARED);
	if (fuzz_good(k, error))
		check_ranges(report, bars, &rules);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	const size_t before = 1 + INTERFACE_REPORT_N_BARS;
	ByteReader r = byte_reader(data, size < before ? size : before);
	static InterfaceReport report;
	char *error = NULL;
	size_t n;

	if (size < before)
		return false;
	if (!fuzz_good(interface_report_parse(&report, data + before, size - before, &error),
		       error))
		return false;
	CHECK(report.n_ranges <= INTERFACE_REPORT_MAX_RANGES);
	CHECK(interface_report_encode(&report, buffer, sizeof(buffer), &n) == 0);
	CHECK(n == size - before && memcmp(buffer, data + before, n) == 0);
	CHECK(interface_report_encode(&report, buffer, n - 1, &n) == -ENOBUFS);
	check(&report, &r);
	return true;
}
