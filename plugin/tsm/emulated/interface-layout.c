/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interface-layout.h"

#include <errno.h>

#define PAGE INTERFACE_REPORT_PAGE_SIZE

/* Pages of one BAR, from its start; empty if first == end. */
typedef struct Pages {
	uint64_t first, end;
} Pages;

static Pages pages_of(bool here, uint32_t offset, uint32_t size)
{
	if (!here)
		return (Pages){};
	return (Pages){ offset / PAGE, ((uint64_t)offset + size + PAGE - 1) / PAGE };
}

static bool contains(Pages p, uint64_t page)
{
	return page >= p.first && page < p.end;
}

/* The next page after `page` at which one of them begins or ends, at most `end`. */
static uint64_t next_cut(uint64_t page, uint64_t end, Pages a, Pages b)
{
	const uint64_t cuts[] = { a.first, a.end, b.first, b.end };

	for (unsigned int i = 0; i < 4; i++)
		if (cuts[i] > page && cuts[i] < end)
			end = cuts[i];
	return end;
}

static int add_bar(InterfaceReport *report, const HostFunction *f, unsigned int bar, bool lock_msix)
{
	const HostMsix *msix = &f->msix;
	uint64_t first = f->bars[bar].start / PAGE;
	uint64_t n_pages = (f->bars[bar].size + PAGE - 1) / PAGE;
	Pages table = pages_of(msix->present && msix->table_bar == bar, msix->table_offset,
			       msix->table_size);
	Pages pba =
		pages_of(msix->present && msix->pba_bar == bar, msix->pba_offset, msix->pba_size);

	if (f->bars[bar].size > PAGE && f->bars[bar].start % PAGE)
		return TDISP_ERROR_INVALID_DEVICE_CONFIGURATION;
	if (n_pages > UINT32_MAX || table.end > n_pages || pba.end > n_pages)
		return TDISP_ERROR_INVALID_DEVICE_CONFIGURATION;
	for (uint64_t page = 0, end; page < n_pages; page = end) {
		InterfaceRange *range = &report->ranges[report->n_ranges];
		uint16_t msix_attributes = 0;

		end = next_cut(page, n_pages, table, pba);
		if (contains(table, page))
			msix_attributes |= INTERFACE_RANGE_MSIX_TABLE;
		if (contains(pba, page))
			msix_attributes |= INTERFACE_RANGE_MSIX_PBA;
		if (msix_attributes && !lock_msix)
			msix_attributes = INTERFACE_RANGE_NON_TEE_MEM;
		*range = (InterfaceRange){
			.first_page = first + page,
			.n_pages = (uint32_t)(end - page),
			.attributes = msix_attributes,
			.id = (uint16_t)bar,
		};
		report->n_ranges++;
	}
	return 0;
}

static bool pages_overlap(const InterfaceReport *report)
{
	for (uint32_t i = 0; i < report->n_ranges; i++)
		for (uint32_t k = 0; k < i; k++) {
			const InterfaceRange *a = &report->ranges[i], *b = &report->ranges[k];

			if (a->first_page < b->first_page + b->n_pages &&
			    b->first_page < a->first_page + a->n_pages)
				return true;
		}
	return false;
}

int interface_layout_ranges(InterfaceReport *ret, const HostFunction *function, bool lock_msix)
{
	/* At most five ranges a BAR: the two regions cut it in four places. */
	_Static_assert(HOST_FUNCTION_N_BARS * 5 <= INTERFACE_REPORT_MAX_RANGES, "room for all");
	ret->n_ranges = 0;
	for (unsigned int bar = 0; bar < HOST_FUNCTION_N_BARS; bar++) {
		int r;

		if (!function->bars[bar].is_memory || function->bars[bar].size == 0)
			continue;
		r = add_bar(ret, function, bar, lock_msix);
		if (r != 0)
			return r;
	}
	return pages_overlap(ret) ? TDISP_ERROR_INVALID_DEVICE_CONFIGURATION : 0;
}

static bool add_offset(InterfaceReport *report, int64_t offset)
{
	int64_t pages = offset / (int64_t)PAGE;
	const uint64_t n_all = UINT64_MAX / PAGE + 1;

	for (uint32_t i = 0; i < report->n_ranges; i++) {
		InterfaceRange *range = &report->ranges[i];
		uint64_t shifted;

		if (pages < 0 && range->first_page < (uint64_t)-pages)
			return false;
		shifted = range->first_page + (uint64_t)pages;
		if (shifted > n_all || range->n_pages > n_all - shifted)
			return false;
		range->first_page = shifted;
	}
	return true;
}

int interface_layout(Blob *ret, const HostFunction *function, const TdispLock *lock)
{
	uint8_t buffer[INTERFACE_REPORT_MIN_SIZE + sizeof(INTERFACE_LAYOUT_INFO) +
		       INTERFACE_REPORT_MAX_RANGES * INTERFACE_REPORT_RANGE_SIZE];
	InterfaceReport report = {
		.info = INTERFACE_INFO_DMA_WITHOUT_PASID,
		.msix_control = function->msix.control,
		.device_specific = (const uint8_t *)INTERFACE_LAYOUT_INFO,
		.device_specific_size = sizeof(INTERFACE_LAYOUT_INFO) - 1,
	};
	size_t size;
	int r;

	if (lock->flags & TDISP_LOCK_NO_FW_UPDATE)
		report.info |= INTERFACE_INFO_NO_FW_UPDATE;
	r = interface_layout_ranges(&report, function, lock->flags & TDISP_LOCK_MSIX);
	if (r != 0)
		return r;
	if (lock->mmio_reporting_offset % (int64_t)PAGE ||
	    !add_offset(&report, lock->mmio_reporting_offset))
		return TDISP_ERROR_INVALID_REQUEST;
	if (interface_report_encode(&report, buffer, sizeof(buffer), &size) < 0)
		return TDISP_ERROR_INVALID_DEVICE_CONFIGURATION;
	return blob_set(ret, buffer, size);
}
