/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/interface-report.h"

#include "core/bytes.h"
#include "core/refusal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_BEI 7u

/* "range 3 (BEI 2, 4 pages from 0x80010)" */
#define RANGE_FORMAT "range %u (BEI %u, %" PRIu32 " pages from 0x%" PRIx64 ")"
#define RANGE_ARGUMENTS(r, i)                                                                      \
	(i), (r)->ranges[i].id, (r)->ranges[i].n_pages, (r)->ranges[i].first_page

_Static_assert(INTERFACE_REPORT_MIN_SIZE +
			       INTERFACE_REPORT_RANGE_SIZE * INTERFACE_REPORT_MAX_RANGES <
		       INTERFACE_REPORT_MAX_SIZE,
	       "what is taken fits into what can be read");

/* What no reserved field shows: values out of range. */
static int check_values(const InterfaceReport *report, char **ret_error)
{
	if (report->info & ~INTERFACE_INFO_ALL)
		return refuse(ret_error, -EBADMSG,
			      "interface report: INTERFACE_INFO 0x%04x has reserved bits",
			      report->info);
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];

		if (range->attributes & ~INTERFACE_RANGE_ALL)
			return refuse(ret_error, -EBADMSG,
				      "interface report: " RANGE_FORMAT
				      ": attributes 0x%04x have reserved bits",
				      RANGE_ARGUMENTS(report, i), range->attributes);
		if (range->id > MAX_BEI)
			return refuse(ret_error, -EBADMSG,
				      "interface report: " RANGE_FORMAT ": no such BEI",
				      RANGE_ARGUMENTS(report, i));
		if (range->n_pages == 0)
			return refuse(ret_error, -EBADMSG,
				      "interface report: " RANGE_FORMAT ": empty",
				      RANGE_ARGUMENTS(report, i));
	}
	return 0;
}

int interface_report_parse(InterfaceReport *ret, const void *data, size_t size, char **ret_error)
{
	ByteReader r = byte_reader(data, size);
	uint64_t expected;

	if (size < INTERFACE_REPORT_MIN_SIZE || size > INTERFACE_REPORT_MAX_SIZE)
		return refuse(ret_error, -EBADMSG, "interface report: %zu bytes, not %u to %u",
			      size, INTERFACE_REPORT_MIN_SIZE, INTERFACE_REPORT_MAX_SIZE);
	memset(ret, 0, sizeof(*ret));
	ret->info = bytes_take_u16(&r);
	bytes_take_zero(&r, 2);
	if (r.failed)
		return refuse(ret_error, -EBADMSG,
			      "interface report: reserved bytes 2-3 are not 0");
	ret->msix_control = bytes_take_u16(&r);
	ret->lnr_control = bytes_take_u16(&r);
	ret->tph_control = bytes_take_u32(&r);
	ret->n_ranges = bytes_take_u32(&r);
	if (ret->n_ranges > INTERFACE_REPORT_MAX_RANGES)
		return refuse(ret_error, -EBADMSG,
			      "interface report: %" PRIu32 " ranges, at most %u are taken",
			      ret->n_ranges, INTERFACE_REPORT_MAX_RANGES);
	for (unsigned int i = 0; i < ret->n_ranges; i++) {
		ret->ranges[i].first_page = bytes_take_u64(&r);
		ret->ranges[i].n_pages = bytes_take_u32(&r);
		ret->ranges[i].attributes = bytes_take_u16(&r);
		ret->ranges[i].id = bytes_take_u16(&r);
	}
	ret->device_specific_size = bytes_take_u32(&r);
	expected = (uint64_t)INTERFACE_REPORT_MIN_SIZE + ret->device_specific_size +
		   (uint64_t)INTERFACE_REPORT_RANGE_SIZE * ret->n_ranges;
	if (r.failed || size != expected)
		return refuse(ret_error, -EBADMSG,
			      "interface report: %zu bytes, but %" PRIu32 " ranges and %" PRIu32
			      " bytes of device specific information make %" PRIu64,
			      size, ret->n_ranges, ret->device_specific_size, expected);
	ret->device_specific = bytes_take(&r, ret->device_specific_size);
	return check_values(ret, ret_error);
}

int interface_report_encode(const InterfaceReport *report, void *buffer, size_t capacity,
			    size_t *ret_size)
{
	ByteWriter w = byte_writer(buffer, capacity);

	if (report->n_ranges > INTERFACE_REPORT_MAX_RANGES || check_values(report, NULL) < 0)
		return -EINVAL;
	if (report->device_specific_size > INTERFACE_REPORT_MAX_SIZE - INTERFACE_REPORT_MIN_SIZE -
						   INTERFACE_REPORT_RANGE_SIZE * report->n_ranges)
		return -EINVAL;
	bytes_put_u16(&w, report->info);
	bytes_put_zero(&w, 2);
	bytes_put_u16(&w, report->msix_control);
	bytes_put_u16(&w, report->lnr_control);
	bytes_put_u32(&w, report->tph_control);
	bytes_put_u32(&w, report->n_ranges);
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		bytes_put_u64(&w, report->ranges[i].first_page);
		bytes_put_u32(&w, report->ranges[i].n_pages);
		bytes_put_u16(&w, report->ranges[i].attributes);
		bytes_put_u16(&w, report->ranges[i].id);
	}
	bytes_put_u32(&w, report->device_specific_size);
	bytes_put(&w, report->device_specific, report->device_specific_size);
	if (w.failed)
		return -ENOBUFS;
	*ret_size = w.used;
	return 0;
}

bool interface_range_is_shared(const InterfaceRange *range, const InterfaceRules *rules)
{
	uint16_t shared = INTERFACE_RANGE_NON_TEE_MEM;

	if (!rules->lock_msix)
		shared |= INTERFACE_RANGE_MSIX_TABLE | INTERFACE_RANGE_MSIX_PBA;
	return range->attributes & shared;
}

static uint64_t bar_pages(const InterfaceBar *bar)
{
	if (!bar->present || !bar->is_memory)
		return 0;
	return bar->size / INTERFACE_REPORT_PAGE_SIZE +
	       (bar->size % INTERFACE_REPORT_PAGE_SIZE != 0);
}

/* Overflow has been ruled out when this is used. */
static uint64_t last_page(const InterfaceRange *range)
{
	return range->first_page + range->n_pages - 1;
}

/*
 * The first page after `page` that is in none of the regions, or `page` itself. `page` moves up
 * only, by whole regions, so this ends after as many rounds as there are regions.
 */
static uint64_t skip_regions(const InterfaceRegion *regions, size_t n, unsigned int bar,
			     uint64_t page)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < n; i++) {
			const InterfaceRegion *region = &regions[i];

			/* In this order nothing overflows, whatever the regions say. */
			if (region->bar == bar && region->first_page <= page &&
			    page - region->first_page < region->n_pages) {
				uint64_t left = region->n_pages - (page - region->first_page);

				if (left > UINT64_MAX - page)
					return UINT64_MAX;
				page += left;
				moved = true;
			}
		}
	}
	return page;
}

/* Lowest and highest page that the ranges of a BAR have. False, and 0, if it has no range. */
static bool bar_span(const InterfaceReport *report, unsigned int bar, uint64_t *ret_lowest,
		     uint64_t *ret_highest)
{
	bool found = false;

	*ret_lowest = *ret_highest = 0;
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];

		if (range->id != bar)
			continue;
		if (!found || range->first_page < *ret_lowest)
			*ret_lowest = range->first_page;
		if (!found || last_page(range) > *ret_highest)
			*ret_highest = last_page(range);
		found = true;
	}
	return found;
}

/* Where in its BAR, in pages, the lowest range begins. */
static uint64_t bar_head(unsigned int bar, uint64_t n_pages, uint64_t lowest, uint64_t highest,
			 const InterfaceRules *rules)
{
	uint64_t head = 0;

	for (size_t i = 0; i < rules->n_gaps; i++)
		if (rules->gaps[i].bar == bar && rules->gaps[i].first_page == 0 &&
		    rules->gaps[i].n_pages > head)
			head = rules->gaps[i].n_pages;
	/* Compared this way round because highest - lowest + 1 might overflow. */
	return head < n_pages && highest - lowest < n_pages - head ? head : 0;
}

uint64_t interface_report_page(const InterfaceReport *report,
			       const InterfaceBar bars[static INTERFACE_REPORT_N_BARS],
			       const InterfaceRules *rules, unsigned int i)
{
	unsigned int bar = report->ranges[i].id;
	uint64_t lowest = 0, highest = 0;

	bar_span(report, bar, &lowest, &highest);
	return bar_head(bar, bar_pages(&bars[bar]), lowest, highest, rules) +
	       (report->ranges[i].first_page - lowest);
}

static int check_firmware(const InterfaceReport *report, const InterfaceRules *rules,
			  char **ret_error)
{
	bool no_fw_update = report->info & INTERFACE_INFO_NO_FW_UPDATE;

	if (no_fw_update != rules->lock_no_fw_update)
		return refuse(ret_error, INTERFACE_REFUSED_FIRMWARE,
			      "interface report: NO_FW_UPDATE is %d, but it was locked with %d",
			      no_fw_update, rules->lock_no_fw_update);
	if (!no_fw_update && !rules->allow_fw_update)
		return refuse(ret_error, INTERFACE_REFUSED_FIRMWARE,
			      "interface report: NO_FW_UPDATE is 0, so firmware may be updated "
			      "while the device is trusted, which the policy does not allow");
	return 0;
}

static int check_features(const InterfaceReport *report, const InterfaceRules *rules,
			  char **ret_error)
{
	const struct {
		uint16_t bit;
		bool allowed;
		const char *name;
	} features[] = {
		{ INTERFACE_INFO_ATS, rules->allow_ats, "ATS" },
		{ INTERFACE_INFO_PRS, rules->allow_prs, "PRS" },
		{ INTERFACE_INFO_DMA_WITH_PASID, rules->allow_pasid, "DMA with PASID" },
	};

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (report->info & features[i].bit && !features[i].allowed)
			return refuse(ret_error, INTERFACE_REFUSED_FEATURES,
				      "interface report: %s is on (INTERFACE_INFO 0x%04x), which "
				      "the policy does not allow",
				      features[i].name, report->info);
	return 0;
}

/* Each range by itself, and against those before it. */
static int check_range(const InterfaceReport *report, unsigned int i, const InterfaceBar *bars,
		       char **ret_error)
{
	const InterfaceRange *range = &report->ranges[i];

	if (i > 0 && range->id < report->ranges[i - 1].id)
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: " RANGE_FORMAT
			      " comes after a range of BEI %u: BEIs do not ascend",
			      RANGE_ARGUMENTS(report, i), report->ranges[i - 1].id);
	if (range->id >= INTERFACE_REPORT_N_BARS)
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: " RANGE_FORMAT " is of no BAR",
			      RANGE_ARGUMENTS(report, i));
	if (range->id > 0 && bars[range->id - 1].present && bars[range->id - 1].is_64bit)
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: " RANGE_FORMAT
			      ": BAR %u is the upper half of 64-bit BAR %u",
			      RANGE_ARGUMENTS(report, i), range->id, range->id - 1);
	if (!bar_pages(&bars[range->id]))
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: " RANGE_FORMAT
			      ": the function has no memory BAR %u",
			      RANGE_ARGUMENTS(report, i), range->id);
	if (range->n_pages - 1 > UINT64_MAX - range->first_page)
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: " RANGE_FORMAT " overflows",
			      RANGE_ARGUMENTS(report, i));
	/* Across BARs too: with one reporting offset, equal pages are equal host addresses. */
	for (unsigned int k = 0; k < i; k++)
		if (range->first_page <= last_page(&report->ranges[k]) &&
		    report->ranges[k].first_page <= last_page(range))
			return refuse(ret_error, INTERFACE_REFUSED_RANGES,
				      "interface report: " RANGE_FORMAT " overlaps " RANGE_FORMAT,
				      RANGE_ARGUMENTS(report, i), RANGE_ARGUMENTS(report, k));
	return 0;
}

/* The range of this BAR that begins lowest at or above `page`; ranges do not overlap. */
static const InterfaceRange *next_range(const InterfaceReport *report, unsigned int bar,
					uint64_t page)
{
	const InterfaceRange *next = NULL;

	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];

		if (range->id == bar && range->first_page >= page &&
		    (!next || range->first_page < next->first_page))
			next = range;
	}
	return next;
}

static int check_gap(unsigned int bar, uint64_t from, uint64_t to, const InterfaceRules *rules,
		     char **ret_error)
{
	uint64_t open = skip_regions(rules->gaps, rules->n_gaps, bar, from);

	if (open >= to)
		return 0;
	return refuse(ret_error, INTERFACE_REFUSED_RANGES,
		      "interface report: BAR %u: pages 0x%" PRIx64 " to 0x%" PRIx64
		      " are in no range, and page 0x%" PRIx64 " is in no gap that the policy lists",
		      bar, from, to - 1, open);
}

/* A BAR from its first page to its last: ranges, and gaps that are listed. */
static int check_bar(const InterfaceReport *report, unsigned int bar, const InterfaceBar *bars,
		     const InterfaceRules *rules, char **ret_error)
{
	uint64_t n_pages = bar_pages(&bars[bar]), lowest, highest, head, at = 0;
	const InterfaceRange *range;
	int r;

	if (!bar_span(report, bar, &lowest, &highest))
		return check_gap(bar, 0, n_pages, rules, ret_error);
	head = bar_head(bar, n_pages, lowest, highest, rules);
	if (highest - lowest >= n_pages - head)
		return refuse(ret_error, INTERFACE_REFUSED_RANGES,
			      "interface report: ranges of BEI %u lie from page 0x%" PRIx64
			      " to 0x%" PRIx64 ", but BAR %u has 0x%" PRIx64 " pages",
			      bar, lowest, highest, bar, n_pages);
	for (uint64_t page = lowest; (range = next_range(report, bar, page));) {
		uint64_t begin = head + (range->first_page - lowest);

		r = check_gap(bar, at, begin, rules, ret_error);
		if (r)
			return r;
		at = begin + range->n_pages;
		if (last_page(range) == highest)
			break;
		page = last_page(range) + 1;
	}
	return check_gap(bar, at, n_pages, rules, ret_error);
}

/*
 * On the host a BAR begins at a multiple of its size. The reporting offset moves all of them alike,
 * so two BARs' beginnings, as reported, differ by a multiple of the smaller size. (Unsigned
 * arithmetic is right for this, since sizes are powers of two.)
 */
static int check_offset(const InterfaceReport *report, const InterfaceBar *bars,
			const InterfaceRules *rules, char **ret_error)
{
	uint64_t begin[INTERFACE_REPORT_N_BARS], pages[INTERFACE_REPORT_N_BARS] = {};

	for (unsigned int bar = 0; bar < INTERFACE_REPORT_N_BARS; bar++) {
		uint64_t lowest, highest;

		if (!bar_span(report, bar, &lowest, &highest))
			continue;
		pages[bar] = bar_pages(&bars[bar]);
		begin[bar] = lowest - bar_head(bar, pages[bar], lowest, highest, rules);
		for (unsigned int k = 0; k < bar; k++) {
			uint64_t smaller = pages[k] < pages[bar] ? pages[k] : pages[bar];

			if (smaller && (begin[bar] - begin[k]) & (smaller - 1))
				return refuse(ret_error, INTERFACE_REFUSED_RANGES,
					      "interface report: BAR %u begins at page 0x%" PRIx64
					      " and BAR %u at 0x%" PRIx64 ": no one reporting "
					      "offset fits BARs of 0x%" PRIx64 " and 0x%" PRIx64
					      " pages",
					      k, begin[k], bar, begin[bar], pages[k], pages[bar]);
		}
	}
	return 0;
}

static int check_shared(const InterfaceReport *report, const InterfaceBar *bars,
			const InterfaceRules *rules, char **ret_error)
{
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];
		uint64_t page = interface_report_page(report, bars, rules, i);

		if (!interface_range_is_shared(range, rules))
			continue;
		if (skip_regions(rules->shared, rules->n_shared, range->id, page) <
		    page + range->n_pages)
			return refuse(ret_error, INTERFACE_REFUSED_SHARED,
				      "interface report: " RANGE_FORMAT ", page 0x%" PRIx64
				      " of BAR %u on, is %s, and the policy does not list it as "
				      "shared",
				      RANGE_ARGUMENTS(report, i), page, range->id,
				      range->attributes & INTERFACE_RANGE_NON_TEE_MEM
					      ? "not TEE memory"
					      : "MSI-X that was not locked");
	}
	return 0;
}

int interface_report_check(const InterfaceReport *report,
			   const InterfaceBar bars[static INTERFACE_REPORT_N_BARS],
			   const InterfaceRules *rules, char **ret_error)
{
	int r = check_firmware(report, rules, ret_error);

	if (!r)
		r = check_features(report, rules, ret_error);
	for (unsigned int i = 0; i < report->n_ranges && !r; i++)
		r = check_range(report, i, bars, ret_error);
	for (unsigned int bar = 0; bar < INTERFACE_REPORT_N_BARS && !r; bar++)
		r = check_bar(report, bar, bars, rules, ret_error);
	if (!r)
		r = check_offset(report, bars, rules, ret_error);
	if (!r)
		r = check_shared(report, bars, rules, ret_error);
	return r;
}
