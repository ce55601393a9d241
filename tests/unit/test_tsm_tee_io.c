/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-linux.h"

#include "tsm/common/tee-io.h"

static TeeIoFunction *list;
static size_t n;

static void tear_down(void)
{
	free(list);
	testing_host_remove();
}

static int read_list(void)
{
	free(list);
	list = NULL;
	return tee_io_functions(&list, &n, testing_path("sys"));
}

TestSuite(tsm_tee_io, .init = testing_linux_new, .fini = tear_down);

Test(tsm_tee_io, no_tree)
{
	cr_assert_eq(tee_io_functions(&list, &n, "/nonexistent"), -ENOENT);
}

Test(tsm_tee_io, tsm_names)
{
	static const char *const bad[] = { "",
					   "tsm",
					   "tsmx",
					   "tsm-1",
					   "tsm1 ",
					   "tsm01",
					   "tsm4294967296",
					   "0tsm",
					   "tsm99999999999999999999" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert_not(tee_io_tsm_name_valid(bad[i]), "%s", bad[i]);
	cr_assert(tee_io_tsm_name_valid("tsm0"));
	cr_assert(tee_io_tsm_name_valid("tsm4294967295"));
}

Test(tsm_tee_io, none_is_success)
{
	testing_tsm_pf_gone(PF);
	testing_tsm_pf_gone(DISTANT_PF);
	cr_assert_eq(read_list(), 0);
	cr_assert_eq(n, 0);
	cr_assert_null(tee_io_find(list, n, testing_bdf(PF)));
}

Test(tsm_tee_io, functions_and_their_dsm)
{
	cr_assert_eq(read_list(), 0);
	cr_assert_eq(n, 4);
	for (size_t i = 1; i < n; i++)
		cr_assert_lt(bdf_requester_id(list[i - 1].host.bdf),
			     bdf_requester_id(list[i].host.bdf));
	cr_assert(bdf_equal(tee_io_find(list, n, testing_bdf(VF1))->dsm, testing_bdf(PF)));
	cr_assert(bdf_equal(tee_io_find(list, n, testing_bdf(DISTANT_PF))->dsm,
			    testing_bdf(DISTANT_PF)));
	cr_assert_null(tee_io_find(list, n, testing_bdf(OTHER_PF)));
}

/* Function 1 of a device is served by function 0, and so are the VFs of function 1. */
Test(tsm_tee_io, other_functions)
{
	testing_function("0000:05:00.1", "0x10c9\n", TESTING_PF_RESOURCE);
	testing_function("0000:05:10.1", "0x10ca\n", TESTING_PF_RESOURCE);
	testing_link("0000:05:10.1", "physfn", "../0000:05:00.1");
	cr_assert_eq(read_list(), 0);
	cr_assert_eq(n, 6);
	cr_assert(bdf_equal(tee_io_find(list, n, testing_bdf("0000:05:00.1"))->dsm,
			    testing_bdf(DISTANT_PF)));
	cr_assert(bdf_equal(tee_io_find(list, n, testing_bdf("0000:05:10.1"))->dsm,
			    testing_bdf(DISTANT_PF)));
}

Test(tsm_tee_io, vfio_holds)
{
	testing_link(DISTANT_PF, "driver", "../../../../bus/pci/drivers/igb");
	cr_assert_eq(read_list(), 0);
	cr_assert(tee_io_find(list, n, testing_bdf(VF0))->vfio, "by the driver's name");
	cr_assert_not(tee_io_find(list, n, testing_bdf(PF))->vfio, "no driver");
	cr_assert_not(tee_io_find(list, n, testing_bdf(DISTANT_PF))->vfio);
	mkdir(testing_path("sys/bus/pci/devices/" DISTANT_PF "/vfio-dev"), 0755);
	cr_assert_eq(read_list(), 0);
	cr_assert(tee_io_find(list, n, testing_bdf(DISTANT_PF))->vfio, "a variant driver");
}

Test(tsm_tee_io, tsm)
{
	TeeIoTsm tsm;
	uint64_t node;
	const char *sysfs = strdup(testing_path("sys"));

	TeeIoTsm *tsms;
	size_t n_tsms;

	cr_assert_eq(tee_io_tsms(&tsms, &n_tsms, "/nonexistent"), 0, "a kernel without TSMs");
	cr_assert_eq(n_tsms, 0);
	cr_assert_null(tsms);
	mkdir(testing_path("sys/class/tsm/tsm10"), 0755);
	mkdir(testing_path("sys/class/tsm/tsm2"), 0755);
	mkdir(testing_path("sys/class/tsm/tsm-x"), 0755);
	cr_assert_eq(tee_io_tsms(&tsms, &n_tsms, sysfs), 0);
	cr_assert_eq(n_tsms, 3);
	cr_assert_str_eq(tsms[1].name, "tsm2");
	cr_assert_str_eq(tsms[2].name, "tsm10");
	free(tsms);
	rmdir(testing_path("sys/class/tsm/tsm2"));
	cr_assert_eq(tee_io_tsm(&tsm, NULL, sysfs), 0);
	cr_assert_str_eq(tsm.name, "tsm0");
	cr_assert_str_empty(tsm.driver);
	cr_assert_eq(tee_io_tsm(&tsm, "tsm10", sysfs), 0);
	cr_assert_str_eq(tsm.name, "tsm10");
	cr_assert_eq(tee_io_tsm(&tsm, "tsm3", sysfs), -ENOENT);
	rmdir(testing_path("sys/class/tsm/tsm0"));
	mkdir(testing_path("sys/class/tsm/tsm10/device"), 0755);
	cr_assert_eq(symlink("../../../bus/pci/drivers/ccp",
			     testing_path("sys/class/tsm/tsm10/device/driver")),
		     0);
	cr_assert_eq(tee_io_tsm(&tsm, NULL, sysfs), 0);
	cr_assert_str_eq(tsm.name, "tsm10");
	cr_assert_str_eq(tsm.driver, "ccp");
	node = tsm.node;
	testing_tsm_again("tsm10");
	cr_assert_eq(tee_io_tsm(&tsm, NULL, sysfs), 0);
	cr_assert_neq(tsm.node, node, "it was gone meanwhile");
	rmdir(testing_path("sys/class/tsm/tsm10"));
	cr_assert_eq(tee_io_tsm(&tsm, NULL, sysfs), -ENOENT);
	free((char *)sysfs);
}

/* A DSM in a switch's upstream port serves what sits below the switch. */
Test(tsm_tee_io, below_a_switch)
{
	static const char far[] = "sys/devices/pci0000:00/0000:00:01.0/0000:06:00.0/0000:07:00.0";
	char path[256];

	for (const char *p = far; (p = strchr(p + 1, '/'));) {
		snprintf(path, sizeof(path), "%.*s", (int)(p - far), far);
		mkdir(testing_path("%s", path), 0755);
	}
	mkdir(testing_path("%s", far), 0755);
	testing_function("0000:08:00.0", "0x10d3\n", TESTING_PF_RESOURCE);
	testing_function("0000:06:00.0", "0x0001\n", TESTING_PF_RESOURCE);
	testing_tsm_pf("0000:06:00.0");
	testing_tsm_attribute("0000:08:00.0", "bound", "tsm0\n");
	snprintf(path, sizeof(path), "%s", testing_path("sys/bus/pci/devices/0000:08:00.0"));
	cr_assert_eq(rename(path, testing_path("%s/0000:08:00.0", far)), 0);
	cr_assert_eq(symlink("../../../devices/pci0000:00/0000:00:01.0/0000:06:00.0/0000:07:00.0/"
			     "0000:08:00.0",
			     path),
		     0);
	cr_assert_eq(read_list(), 0);
	cr_assert(bdf_equal(tee_io_find(list, n, testing_bdf("0000:08:00.0"))->dsm,
			    testing_bdf("0000:06:00.0")));
	cr_assert_not(tee_io_find(list, n, testing_bdf("0000:08:00.0"))->stray);
	testing_tsm_attribute(OTHER_PF, "bound", "tsm0\n");
	cr_assert_eq(read_list(), 0);
	cr_assert(tee_io_find(list, n, testing_bdf(OTHER_PF))->stray);
}

/* One that cannot be read may be bound all the same. */
Test(tsm_tee_io, unreadable_is_not_gone)
{
	const TeeIoFunction *f;

	testing_attribute(VF0, "vendor", "rubbish\n");
	testing_attribute(VF1, "vendor", "rubbish\n");
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	cr_assert_eq(read_list(), 0);
	f = tee_io_find(list, n, testing_bdf(VF0));
	cr_assert_not_null(f);
	cr_assert(f->unreadable);
	cr_assert_null(tee_io_find(list, n, testing_bdf(VF1)), "it has no tsm/ directory");
}
