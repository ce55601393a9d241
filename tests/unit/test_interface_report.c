/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/interface-report.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KIB	1024u
#define NON_TEE INTERFACE_RANGE_NON_TEE_MEM
#define TABLE	INTERFACE_RANGE_MSIX_TABLE
#define PBA	INTERFACE_RANGE_MSIX_PBA

/* BAR 0/1: 64-bit, 16 pages; BAR 2: I/O; BAR 3: 4 pages; BAR 4/5: 64-bit, 2 pages. */
static const InterfaceBar bars[INTERFACE_REPORT_N_BARS] = {
	[0] = { .present = true, .is_memory = true, .is_64bit = true, .size = 64 * KIB },
	[2] = { .present = true, .size = 32 },
	[3] = { .present = true, .is_memory = true, .size = 16 * KIB },
	[4] = { .present = true, .is_memory = true, .is_64bit = true, .size = 8 * KIB },
};

/* Two ranges in BAR 0 (the higher one first), one in each of the others. */
static const InterfaceReport good = {
	.info = INTERFACE_INFO_NO_FW_UPDATE | INTERFACE_INFO_DMA_WITHOUT_PASID,
	.msix_control = 0x801f,
	.lnr_control = 0x1234,
	.tph_control = 0x89abcdef,
	.n_ranges = 4,
	.ranges = { { 0xffff0004, 12, 0, 0 },
		    { 0xffff0000, 4, INTERFACE_RANGE_MEM_ATTR_UPDATABLE, 0 },
		    { 0xfffe0000, 4, 0, 3 },
		    { 0xfffe0010, 2, 0, 4 } },
	.device_specific = (const uint8_t *)"device",
	.device_specific_size = 6,
};
static const InterfaceRules strict = { .lock_no_fw_update = true, .lock_msix = true };

static size_t encode_good(uint8_t *buffer, size_t capacity)
{
	size_t size = 0;

	cr_assert_eq(interface_report_encode(&good, buffer, capacity, &size), 0);
	return size;
}

static void assert_malformed(const uint8_t *data, size_t size, const char *words)
{
	InterfaceReport report;
	char *error = NULL;

	cr_assert_eq(interface_report_parse(&report, data, size, &error), -EBADMSG,
		     "taken, although: %s", words);
	cr_assert_not_null(error);
	cr_assert_not_null(strstr(error, words), "'%s' does not say '%s'", error, words);
	free(error);
	cr_assert_eq(interface_report_parse(&report, data, size, NULL), -EBADMSG);
}

static void assert_refused(const InterfaceReport *report, const InterfaceRules *rules,
			   InterfaceRefusal refusal, const char *words)
{
	char *error = NULL;
	int r = interface_report_check(report, bars, rules, &error);

	cr_assert_eq(r, refusal, "%d instead of %d: %s", r, refusal, error ? error : words);
	cr_assert_not_null(error);
	cr_assert_not_null(strstr(error, words), "'%s' does not say '%s'", error, words);
	free(error);
	cr_assert_eq(interface_report_check(report, bars, rules, NULL), refusal);
}

static void assert_passes(const InterfaceReport *report, const InterfaceRules *rules)
{
	char *error = NULL;
	int r = interface_report_check(report, bars, rules, &error);

	cr_assert_eq(r, 0, "%s", error ? error : "refused without a word");
	cr_assert_null(error);
}

Test(interface_report, wrong_sizes)
{
	static uint8_t huge[INTERFACE_REPORT_MAX_SIZE + 1];
	uint8_t buffer[128] = {};
	size_t size = encode_good(buffer, sizeof(buffer));

	assert_malformed(NULL, 0, "0 bytes");
	for (size_t n = 0; n < sizeof(buffer); n++)
		if (n != size)
			assert_malformed(buffer, n, n < 20 ? "not 20 to" : " make ");
	assert_malformed(huge, sizeof(huge), "65536 bytes");
}

Test(interface_report, lying_counts)
{
	uint8_t buffer[128];
	size_t size = encode_good(buffer, sizeof(buffer));

	buffer[12] = 5;
	assert_malformed(buffer, size, "5 ranges");
	buffer[12] = 3;
	assert_malformed(buffer, size, "3 ranges");
	buffer[12] = 65;
	assert_malformed(buffer, size, "65 ranges, at most 64");
	memset(buffer + 12, 0xff, 4);
	assert_malformed(buffer, size, "4294967295 ranges");
	encode_good(buffer, sizeof(buffer));
	memset(buffer + 16 + 4 * 16, 0xff, 4);
	assert_malformed(buffer, size, "4294967295 bytes of device specific");
}

Test(interface_report, reserved_bits)
{
	uint8_t buffer[128];
	size_t size = encode_good(buffer, sizeof(buffer));

	buffer[0] |= 0x20;
	assert_malformed(buffer, size, "INTERFACE_INFO 0x0023");
	encode_good(buffer, sizeof(buffer));
	buffer[1] = 0x80;
	assert_malformed(buffer, size, "INTERFACE_INFO");
	encode_good(buffer, sizeof(buffer));
	buffer[3] = 1;
	assert_malformed(buffer, size, "bytes 2-3");
	encode_good(buffer, sizeof(buffer));
	buffer[16 + 12] = 0x10;
	assert_malformed(buffer, size, "attributes 0x0010");
	encode_good(buffer, sizeof(buffer));
	buffer[16 + 14] = 8;
	assert_malformed(buffer, size, "range 0 (BEI 8, 12 pages from 0xffff0004): no such BEI");
	encode_good(buffer, sizeof(buffer));
	memset(buffer + 16 + 8, 0, 4);
	assert_malformed(buffer, size, "empty");
}

Test(interface_report, what_is_not_encoded)
{
	InterfaceReport report = good;
	uint8_t buffer[128];
	size_t size = 99;

	cr_assert_eq(interface_report_encode(&good, buffer, 89, &size), -ENOBUFS);
	report.n_ranges = INTERFACE_REPORT_MAX_RANGES + 1;
	cr_assert_eq(interface_report_encode(&report, buffer, sizeof(buffer), &size), -EINVAL);
	report = good;
	report.ranges[2].attributes = 0x10;
	cr_assert_eq(interface_report_encode(&report, buffer, sizeof(buffer), &size), -EINVAL);
	report = good;
	report.device_specific_size = INTERFACE_REPORT_MAX_SIZE;
	cr_assert_eq(interface_report_encode(&report, buffer, sizeof(buffer), &size), -EINVAL);
	cr_assert_eq(size, 99);
}

Test(interface_report, on_the_wire)
{
	static const uint8_t expected[] = {
		0x0d, 0,    0,	  0, 0x1f, 0x80, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 1,
		0,    0,    0,	  8, 7,	   6,	 5,    4,    3,	   2,	 1,    0x44, 0x33,
		0x22, 0x11, 0x0c, 0, 5,	   0,	 2,    0,    0,	   0,	 'h',  'i',
	};
	InterfaceReport report;

	cr_assert_eq(interface_report_parse(&report, expected, sizeof(expected), NULL), 0);
	cr_assert_eq(report.info, INTERFACE_INFO_NO_FW_UPDATE | INTERFACE_INFO_DMA_WITH_PASID |
					  INTERFACE_INFO_ATS);
	cr_assert_eq(report.msix_control, 0x801f);
	cr_assert_eq(report.lnr_control, 0x1234);
	cr_assert_eq(report.tph_control, 0x89abcdef);
	cr_assert_eq(report.n_ranges, 1);
	cr_assert_eq(report.ranges[0].first_page, 0x0102030405060708);
	cr_assert_eq(report.ranges[0].n_pages, 0x11223344);
	cr_assert_eq(report.ranges[0].attributes,
		     INTERFACE_RANGE_NON_TEE_MEM | INTERFACE_RANGE_MEM_ATTR_UPDATABLE);
	cr_assert_eq(report.ranges[0].id, 5);
	cr_assert_eq(report.device_specific, expected + 36);
	cr_assert_eq(report.device_specific_size, 2);
}

Test(interface_report, comes_back)
{
	uint8_t first[2048], second[2048];
	InterfaceReport report = good, parsed;
	size_t size, again;

	for (unsigned int n = 0; n <= INTERFACE_REPORT_MAX_RANGES; n++) {
		report.n_ranges = n;
		for (unsigned int i = 0; i < n; i++)
			report.ranges[i] = (InterfaceRange){ i << 20, i + 1, i % 16, i % 8 };
		cr_assert_eq(interface_report_encode(&report, first, sizeof(first), &size), 0);
		cr_assert_eq(size, 20 + 16 * n + 6);
		cr_assert_eq(interface_report_parse(&parsed, first, size, NULL), 0);
		cr_assert_eq(interface_report_encode(&parsed, second, sizeof(second), &again), 0);
		cr_assert_eq(again, size);
		cr_assert_arr_eq(first, second, size);
	}
}

Test(interface_report, firmware_and_features)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;

	rules.lock_no_fw_update = false;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FIRMWARE, "NO_FW_UPDATE is 1");
	report.info &= ~INTERFACE_INFO_NO_FW_UPDATE;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FIRMWARE, "policy does not allow");
	rules.allow_fw_update = true;
	assert_passes(&report, &rules);
	rules.lock_no_fw_update = true;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FIRMWARE, "NO_FW_UPDATE is 0");

	report = good;
	rules = strict;
	report.info |= INTERFACE_INFO_ATS;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FEATURES, "ATS is on");
	rules.allow_ats = true;
	report.info |= INTERFACE_INFO_PRS;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FEATURES, "PRS is on");
	rules.allow_prs = true;
	report.info |= INTERFACE_INFO_DMA_WITH_PASID;
	assert_refused(&report, &rules, INTERFACE_REFUSED_FEATURES, "PASID is on");
	rules.allow_pasid = true;
	assert_passes(&report, &rules);
}

Test(interface_report, ranges_of_no_memory_bar)
{
	InterfaceReport report = good;

	report.ranges[3].id = 2;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES,
		       "range 3 (BEI 2, 2 pages from 0xfffe0010) comes after a range of BEI 3");
	report = good;
	report.ranges[3].id = 6;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "is of no BAR");
	report.ranges[3].id = 5;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES,
		       "BAR 5 is the upper half of 64-bit BAR 4");
	report.ranges[2].id = 2;
	report.ranges[3].id = 4;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "has no memory BAR 2");
}

Test(interface_report, ranges_that_overlap_or_overflow)
{
	InterfaceReport report = good;

	report.ranges[1].n_pages = 5;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES,
		       "range 1 (BEI 0, 5 pages from 0xffff0000) overlaps range 0 (BEI 0, 12 "
		       "pages from 0xffff0004)");
	/* Two BARs at the same addresses */
	report = good;
	report.ranges[3].first_page = 0xfffe0002;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "overlaps range 2");
	report = good;
	report.ranges[0].first_page = UINT64_MAX - 10;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "overflows");
	report = good;
	report.ranges[0].n_pages = UINT32_MAX;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "BAR 0 has 0x10 pages");
	report = good;
	report.ranges[0].n_pages = 13;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "BAR 0 has 0x10 pages");
	report = good;
	report.ranges[1].first_page = 0;
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES, "BAR 0 has 0x10 pages");
}

Test(interface_report, gaps)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;
	InterfaceRegion gaps[3] = { { .bar = 0, .first_page = 4, .n_pages = 2 } };

	/* Pages 4 to 6 of BAR 0 are in no range. */
	report.ranges[0] = (InterfaceRange){ 0xffff0007, 9, 0, 0 };
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES,
		       "BAR 0: pages 0x4 to 0x6 are in no range, and page 0x4");
	rules.gaps = gaps;
	rules.n_gaps = 1;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "page 0x6 is in no gap");
	gaps[1] = (InterfaceRegion){ .bar = 3, .first_page = 6, .n_pages = 1 };
	rules.n_gaps = 2;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "page 0x6 is in no gap");
	gaps[1].bar = 0;
	assert_passes(&report, &rules);
	/* Listed, but not made use of */
	assert_passes(&good, &rules);
	/* At the end */
	report.ranges[0].n_pages = 8;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "pages 0xf to 0xf");
	gaps[2] = (InterfaceRegion){ .bar = 0, .first_page = 15, .n_pages = UINT64_MAX };
	rules.n_gaps = 3;
	assert_passes(&report, &rules);
}

Test(interface_report, bar_without_ranges)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;
	InterfaceRegion gap = { .bar = 4, .first_page = 0, .n_pages = 1 };

	report.n_ranges = 3;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "BAR 4: pages 0x0 to 0x1");
	rules.gaps = &gap;
	rules.n_gaps = 1;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "page 0x1 is in no gap");
	gap.n_pages = 2;
	assert_passes(&report, &rules);
	/* The gap may be, but need not. */
	assert_passes(&good, &rules);
	report.n_ranges = 0;
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "BAR 0: pages 0x0 to 0xf");
}

Test(interface_report, gap_at_the_head)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;
	InterfaceRegion gap = { .bar = 0, .first_page = 0, .n_pages = 4 };

	report.n_ranges = 3;
	report.ranges[0] = (InterfaceRange){ 0xffff0004, 12, 0, 0 };
	report.ranges[1] = good.ranges[2];
	report.ranges[2] = good.ranges[3];
	assert_refused(&report, &rules, INTERFACE_REFUSED_RANGES, "pages 0xc to 0xf");
	rules.gaps = &gap;
	rules.n_gaps = 1;
	assert_passes(&report, &rules);
	cr_assert_eq(interface_report_page(&report, bars, &rules, 0), 4);
	cr_assert_eq(interface_report_page(&report, bars, &rules, 1), 0);
	assert_passes(&good, &rules);
	cr_assert_eq(interface_report_page(&good, bars, &rules, 0), 4);
	cr_assert_eq(interface_report_page(&good, bars, &rules, 1), 0);
}

Test(interface_report, one_reporting_offset)
{
	InterfaceReport report = good;
	/* Negative, and not page by page what the guest sees: only differences count. */
	static const uint64_t offsets[] = { 0, 1, 0x12345, UINT64_MAX - 0xffff0000ULL - 15,
					    (uint64_t)-0xfffe0000LL };

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		report = good;
		for (unsigned int k = 0; k < report.n_ranges; k++)
			report.ranges[k].first_page += offsets[i];
		assert_passes(&report, &strict);
		cr_assert_eq(interface_report_page(&report, bars, &strict, 0), 4);
		cr_assert_eq(interface_report_page(&report, bars, &strict, 1), 0);
	}
	report = good;
	report.ranges[2].first_page += 2; /* BAR 3 has 4 pages */
	assert_refused(&report, &strict, INTERFACE_REFUSED_RANGES,
		       "BAR 0 begins at page 0xffff0000 and BAR 3 at 0xfffe0002: no one reporting "
		       "offset");
}

Test(interface_report, shared_ranges)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;
	InterfaceRegion shared[2] = { { .bar = 0, .first_page = 4, .n_pages = 11 },
				      { .bar = 4, .first_page = 4, .n_pages = 12 } };

	report.ranges[0].attributes = NON_TEE;
	assert_refused(
		&report, &rules, INTERFACE_REFUSED_SHARED,
		"range 0 (BEI 0, 12 pages from 0xffff0004), page 0x4 of BAR 0 on, is not TEE "
		"memory");
	rules.shared = shared;
	rules.n_shared = 2;
	assert_refused(&report, &rules, INTERFACE_REFUSED_SHARED, "range 0");
	shared[1].bar = 0;
	assert_passes(&report, &rules);
	cr_assert(interface_range_is_shared(&report.ranges[0], &rules));
	cr_assert_not(interface_range_is_shared(&report.ranges[1], &rules));
}

Test(interface_report, msix_unlocked)
{
	InterfaceReport report = good;
	InterfaceRules rules = strict;
	InterfaceRegion shared = { .bar = 3, .first_page = 0, .n_pages = 4 };

	report.ranges[2].attributes = TABLE;
	report.ranges[3].attributes = PBA;
	assert_passes(&report, &rules);
	cr_assert_not(interface_range_is_shared(&report.ranges[2], &rules));
	rules.lock_msix = false;
	cr_assert(interface_range_is_shared(&report.ranges[2], &rules));
	assert_refused(&report, &rules, INTERFACE_REFUSED_SHARED,
		       "range 2 (BEI 3, 4 pages from 0xfffe0000), page 0x0 of BAR 3 on, is MSI-X");
	rules.shared = &shared;
	rules.n_shared = 1;
	assert_refused(&report, &rules, INTERFACE_REFUSED_SHARED, "range 3");
	report.ranges[3].attributes = 0;
	assert_passes(&report, &rules);
}

Test(interface_report, good_one)
{
	InterfaceBar small[INTERFACE_REPORT_N_BARS] = {
		[5] = { .present = true, .is_memory = true, .size = 256 },
	};
	InterfaceReport report = { .info = INTERFACE_INFO_NO_FW_UPDATE,
				   .n_ranges = 1,
				   .ranges = { { 7, 1, 0, 5 } } };

	assert_passes(&good, &strict);
	/* Less than a page is a page. */
	cr_assert_eq(interface_report_check(&report, small, &strict, NULL), 0);
	report.ranges[0].n_pages = 2;
	cr_assert_eq(interface_report_check(&report, small, &strict, NULL),
		     INTERFACE_REFUSED_RANGES);
}
