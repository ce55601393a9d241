/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include "tsm/emulated/interface-layout.h"

static InterfaceReport report;
static Blob bytes;

static HostFunction nic(void)
{
	return (HostFunction){
		.bars = { [0] = { 0x800000000, 0x4000, true },
			  [2] = { 0xc000, 0x20, false },
			  [3] = { 0x800020000, 0x4000, true } },
		.msix = { .present = true,
			  .control = 2,
			  .table_bar = 3,
			  .pba_bar = 3,
			  .pba_offset = 0x2000,
			  .table_size = 48,
			  .pba_size = 8 },
	};
}

static int layout(const HostFunction *function, uint16_t flags, int64_t offset)
{
	const TdispLock lock = { .flags = flags, .mmio_reporting_offset = offset };
	int r;

	blob_done(&bytes);
	r = interface_layout(&bytes, function, &lock);
	if (r == 0)
		cr_assert_eq(interface_report_parse(&report, bytes.data, bytes.size, NULL), 0);
	return r;
}

static void check_range(unsigned int i, uint64_t first, uint32_t n, uint16_t attributes,
			uint16_t id)
{
	cr_assert_lt(i, report.n_ranges);
	cr_assert_eq(report.ranges[i].first_page, first, "range %u", i);
	cr_assert_eq(report.ranges[i].n_pages, n, "range %u", i);
	cr_assert_eq(report.ranges[i].attributes, attributes, "range %u", i);
	cr_assert_eq(report.ranges[i].id, id, "range %u", i);
}

static void clean_up(void)
{
	blob_done(&bytes);
}

TestSuite(emulated_interface_layout, .fini = clean_up);

Test(emulated_interface_layout, refuses_bars_that_no_report_can_describe)
{
	HostFunction f = nic();

	f.bars[3].start = 0x800003000; /* in BAR 0 */
	cr_assert_eq(layout(&f, 0, 0), TDISP_ERROR_INVALID_DEVICE_CONFIGURATION);
	f = nic();
	f.bars[0].start += 0x800; /* a large BAR that is not aligned */
	cr_assert_eq(layout(&f, 0, 0), TDISP_ERROR_INVALID_DEVICE_CONFIGURATION);
	f = nic();
	f.bars[0].size = 1ULL << 45;
	f.bars[0].start = 0;
	cr_assert_eq(layout(&f, 0, 0), TDISP_ERROR_INVALID_DEVICE_CONFIGURATION);
	f = nic();
	f.msix.table_offset = 0x4000; /* behind its BAR */
	cr_assert_eq(layout(&f, 0, 0), TDISP_ERROR_INVALID_DEVICE_CONFIGURATION);
}

Test(emulated_interface_layout, refuses_bad_reporting_offsets)
{
	HostFunction f = nic();

	cr_assert_eq(layout(&f, 0, 1), TDISP_ERROR_INVALID_REQUEST);
	cr_assert_eq(layout(&f, 0, -1), TDISP_ERROR_INVALID_REQUEST);
	cr_assert_eq(layout(&f, 0, -0x800001000), TDISP_ERROR_INVALID_REQUEST);
	f.bars[0].start = 0xffffffffffff8000;
	f.bars[3].size = 0;
	f.msix.present = false;
	cr_assert_eq(layout(&f, 0, 0x4000), 0);
	cr_assert_eq(layout(&f, 0, 0x5000), TDISP_ERROR_INVALID_REQUEST);
}

Test(emulated_interface_layout, unlocked_msix_is_shared_memory)
{
	HostFunction f = nic();

	cr_assert_eq(layout(&f, TDISP_LOCK_NO_FW_UPDATE, 0x1000), 0);
	cr_assert_eq(report.info, INTERFACE_INFO_NO_FW_UPDATE | INTERFACE_INFO_DMA_WITHOUT_PASID);
	cr_assert_eq(report.msix_control, 2);
	cr_assert_eq(report.n_ranges, 5);
	check_range(0, 0x800001, 4, 0, 0);
	check_range(1, 0x800021, 1, INTERFACE_RANGE_NON_TEE_MEM, 3);
	check_range(2, 0x800022, 1, 0, 3);
	check_range(3, 0x800023, 1, INTERFACE_RANGE_NON_TEE_MEM, 3);
	check_range(4, 0x800024, 1, 0, 3);
	cr_assert_eq(report.device_specific_size, strlen(INTERFACE_LAYOUT_INFO));
}

Test(emulated_interface_layout, locked_msix_is_marked)
{
	HostFunction f = nic();

	cr_assert_eq(layout(&f, TDISP_LOCK_MSIX, -0x800000000), 0);
	cr_assert_eq(report.info, INTERFACE_INFO_DMA_WITHOUT_PASID);
	cr_assert_eq(report.n_ranges, 5);
	check_range(0, 0, 4, 0, 0);
	check_range(1, 0x20, 1, INTERFACE_RANGE_MSIX_TABLE, 3);
	check_range(3, 0x22, 1, INTERFACE_RANGE_MSIX_PBA, 3);
	f.msix.pba_offset = 0x800; /* in the table's page */
	cr_assert_eq(layout(&f, TDISP_LOCK_MSIX, 0), 0);
	cr_assert_eq(report.n_ranges, 3);
	check_range(1, 0x800020, 1, INTERFACE_RANGE_MSIX_TABLE | INTERFACE_RANGE_MSIX_PBA, 3);
	check_range(2, 0x800021, 3, 0, 3);
}

Test(emulated_interface_layout, small_bar_is_one_page)
{
	HostFunction f = { .bars = { [1] = { 0xfe800100, 0x100, true } } };

	cr_assert_eq(layout(&f, 0, 0), 0);
	cr_assert_eq(report.n_ranges, 1);
	check_range(0, 0xfe800, 1, 0, 1);
	f.bars[2] = (HostBar){ 0xfe800200, 0x100, true };
	cr_assert_eq(layout(&f, 0, 0), TDISP_ERROR_INVALID_DEVICE_CONFIGURATION);
}

/* The verifier's own check holds for what the emulated device reports. */
Test(emulated_interface_layout, passes_the_verifier)
{
	const InterfaceBar bars[INTERFACE_REPORT_N_BARS] = {
		[0] = { true, true, true, 0x4000 },
		[3] = { true, true, true, 0x4000 },
	};
	const InterfaceRegion shared[] = { { 3, 0, 1 }, { 3, 2, 1 } };
	InterfaceRules rules = {
		.lock_no_fw_update = true,
		.shared = shared,
		.n_shared = 2,
	};
	_cleanup_free_ char *error = NULL;
	HostFunction f = nic();

	cr_assert_eq(layout(&f, TDISP_LOCK_NO_FW_UPDATE, 0x7000), 0);
	cr_assert_eq(interface_report_check(&report, bars, &rules, &error), 0, "%s", error);
	rules.n_shared = 1;
	cr_assert_eq(interface_report_check(&report, bars, &rules, NULL), INTERFACE_REFUSED_SHARED);
}
