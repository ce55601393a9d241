/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "tsm/common/host-function.h"

#include <errno.h>

static HostFunction function;

static int read_function(const char *bdf)
{
	_cleanup_free_ char *error = NULL, *sysfs = strdup(testing_path("sys"));
	int r = host_function_read(&function, sysfs, testing_bdf(bdf), &error);

	cr_assert_eq(r < 0, error != NULL);
	if (r < 0)
		cr_assert(strstr(error, bdf), "%s", error);
	return r;
}

TestSuite(tsm_host_function, .init = testing_host_new, .fini = testing_host_remove);

Test(tsm_host_function, absent)
{
	cr_assert_eq(read_function(ABSENT), -ENODEV);
}

Test(tsm_host_function, malformed_attributes)
{
	static const struct {
		const char *name, *text;
	} bad[] = {
		{ "vendor", "" },
		{ "vendor", "zebra\n" },
		{ "vendor", "0x8086 x\n" },
		{ "vendor", "0x18086\n" },
		{ "class", "0x1020000\n" },
		{ "revision", "0x100\n" },
		{ "resource", "" },
		{ "resource", "0x0 0x0\n" },
		{ "resource", TESTING_NO_BAR TESTING_NO_BAR TESTING_NO_BAR },
		{ "resource", "0x2000 0x1fff 0x200\n" TESTING_NO_BAR TESTING_NO_BAR TESTING_NO_BAR
				      TESTING_NO_BAR TESTING_NO_BAR },
		{ "resource", "0x0 0xffffffffffffffff 0x200\n" TESTING_NO_BAR TESTING_NO_BAR
				      TESTING_NO_BAR TESTING_NO_BAR TESTING_NO_BAR },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		testing_attribute(OTHER_PF, bad[i].name, bad[i].text);
		cr_assert_eq(read_function(OTHER_PF), -EBADMSG, "%s %s", bad[i].name, bad[i].text);
		testing_host_remove();
		testing_host_new();
	}
}

Test(tsm_host_function, missing_attribute_and_bad_link)
{
	remove(testing_path("sys/bus/pci/devices/%s/class", OTHER_PF));
	cr_assert_eq(read_function(OTHER_PF), -ENODEV);
	testing_link(PLAIN_PF, "physfn", "../nonsense");
	cr_assert_eq(read_function(PLAIN_PF), -EBADMSG);
}

Test(tsm_host_function, physical)
{
	cr_assert_eq(read_function(PF), 0);
	cr_assert_not(function.is_virtual);
	cr_assert(bdf_equal(function.physical, function.bdf));
	cr_assert_eq(function.identity.vendor, 0x8086);
	cr_assert_eq(function.identity.device, 0x10c9);
	cr_assert_eq(function.identity.class_code, 0x020000);
	cr_assert_eq(function.identity.revision, 1);
	cr_assert_eq(function.identity.subsystem_vendor, 0x8086);
	cr_assert_eq(function.identity.subsystem, 0xa03c);
	cr_assert_eq(function.bars[0].size, 0x20000);
	cr_assert(function.bars[0].is_memory);
	cr_assert_eq(function.bars[1].size, 0);
	cr_assert_eq(function.bars[2].size, 32);
	cr_assert_not(function.bars[2].is_memory);
	cr_assert_eq(function.bars[3].start, 0xfe820000);
	cr_assert_str_empty(function.driver);
	cr_assert_not(function.has_iommu_group);
}

Test(tsm_host_function, virtual_with_msix)
{
	cr_assert_eq(read_function(VF0), 0);
	cr_assert(function.is_virtual);
	cr_assert(bdf_equal(function.physical, testing_bdf(PF)));
	cr_assert_eq(function.bars[0].start, 0x800000000ULL);
	cr_assert_eq(function.bars[0].size, 0x4000);
	cr_assert_str_eq(function.driver, "vfio-pci");
	cr_assert(function.has_iommu_group && function.iommu_group == 17);
	cr_assert(function.msix.present);
	cr_assert_eq(function.msix.table_bar, 3);
	cr_assert_eq(function.msix.table_offset, 0);
	cr_assert_eq(function.msix.table_size, 48);
	cr_assert_eq(function.msix.pba_bar, 3);
	cr_assert_eq(function.msix.pba_offset, 0x2000);
	cr_assert_eq(function.msix.pba_size, 8);
}

/* What the kernel shows to the unprivileged; and a list of capabilities that is a circle. */
Test(tsm_host_function, msix_not_readable)
{
	uint8_t config[256] = { [0x06] = 0x10, [0x34] = 0x40, [0x40] = 1, [0x41] = 0x40 };

	testing_write(testing_path("sys/bus/pci/devices/%s/config", VF0), config, 64);
	cr_assert_eq(read_function(VF0), 0);
	cr_assert_not(function.msix.present);
	testing_write(testing_path("sys/bus/pci/devices/%s/config", VF0), config, sizeof(config));
	cr_assert_eq(read_function(VF0), 0);
	cr_assert_not(function.msix.present);
	config[0x40] = 0x11;
	config[0x44] = 6; /* no such BAR */
	testing_write(testing_path("sys/bus/pci/devices/%s/config", VF0), config, sizeof(config));
	cr_assert_eq(read_function(VF0), 0);
	cr_assert_not(function.msix.present);
	remove(testing_path("sys/bus/pci/devices/%s/config", VF0));
	cr_assert_eq(read_function(VF0), 0);
	cr_assert_not(function.msix.present);
}

Test(tsm_host_function, lists_virtual_functions)
{
	_cleanup_free_ char *sysfs = strdup(testing_path("sys"));
	_cleanup_free_ Bdf *list = NULL, *none = NULL, *absent = NULL;
	size_t n = 9;

	cr_assert_eq(host_function_virtual(&absent, &n, sysfs, testing_bdf(ABSENT)), 0);
	cr_assert_eq(n, 0);
	cr_assert_eq(host_function_virtual(&none, &n, sysfs, testing_bdf(OTHER_PF)), 0);
	cr_assert_eq(n, 0);
	cr_assert_eq(host_function_virtual(&list, &n, sysfs, testing_bdf(PF)), 0);
	cr_assert_eq(n, 2);
	cr_assert(bdf_equal(list[0], testing_bdf(VF0)) && bdf_equal(list[1], testing_bdf(VF1)));
	testing_link(PF, "virtfn2", "../nonsense");
	cr_assert_eq(host_function_virtual(&absent, &n, sysfs, testing_bdf(PF)), -EBADMSG);
}
