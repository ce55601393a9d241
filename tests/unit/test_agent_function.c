/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/function.h"
#include "testing-tree.h"

#include <errno.h>

static TestingTree files;
static const Bdf at = { .bus = 1 };

static void setup(void)
{
	testing_tree_init(&files);
	testing_put_function(&files);
}

static void teardown(void)
{
	testing_tree_done(&files);
}

TestSuite(agent_function, .init = setup, .fini = teardown);

static int read_it(void)
{
	Function f;

	return function_read(&f, &files.tree, at);
}

static void put_resource(const char *first)
{
	testing_put(&files, TESTING_DEVICE "/resource",
		    "%s\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n", first);
}

Test(agent_function, not_there)
{
	Function f;

	cr_assert_eq(function_read(&f, &files.tree, (Bdf){ .bus = 9 }), -ENOENT);
	cr_assert_eq(function_enable(&files.tree, (Bdf){ .bus = 9 }), -ENOENT);
}

Test(agent_function, malformed)
{
	testing_put(&files, TESTING_DEVICE "/resource", "%s", "");
	cr_assert_eq(read_it(), -EBADMSG, "empty");
	testing_put(&files, TESTING_DEVICE "/resource", "0x1000 0x1fff 0x200\n");
	cr_assert_eq(read_it(), -EAGAIN, "not what configuration space says");
	put_resource("what");
	cr_assert_eq(read_it(), -EBADMSG);
	put_resource("0xfe000000 0xfd000000 0x200");
	cr_assert_eq(read_it(), -EBADMSG, "ends before it begins");
	testing_put_resource(&files, TESTING_BAR0);
	testing_put(&files, TESTING_DEVICE "/vendor", "0x11b36\n");
	cr_assert_eq(read_it(), -EBADMSG, "too large");
	testing_put(&files, TESTING_DEVICE "/vendor", "-1\n");
	cr_assert_eq(read_it(), -EBADMSG);
	testing_put(&files, TESTING_DEVICE "/vendor", "0x1b36 \n");
	cr_assert_eq(read_it(), -EBADMSG);
}

Test(agent_function, not_assigned)
{
	put_resource("0x0 0x3fff 0x140204");
	cr_assert_eq(read_it(), -EAGAIN);
	put_resource("0xfe000000 0xfe003fff 0x20140204");
	cr_assert_eq(read_it(), -EAGAIN, "IORESOURCE_UNSET");
	testing_put_resource(&files, TESTING_BAR0);
	testing_put_config(&files, 0);
	cr_assert_eq(read_it(), -EAGAIN, "not written to configuration space");
	testing_put_config(&files, TESTING_BAR0);
	cr_assert_eq(read_it(), 0);
}

Test(agent_function, read)
{
	Function f, g;

	cr_assert_eq(function_read(&f, &files.tree, at), 0);
	cr_assert_eq(f.starts[0], TESTING_BAR0);
	cr_assert_eq(f.bars[0].size, TESTING_BAR0_SIZE);
	cr_assert(f.bars[0].present && f.bars[0].is_memory && f.bars[0].is_64bit);
	cr_assert_not(f.bars[1].present, "upper half");
	cr_assert_eq(f.identity.class_code, 0x010802);
	cr_assert_not(f.identity.has_serial);
	cr_assert_eq(function_read(&g, &files.tree, at), 0);
	cr_assert(function_equal(&f, &g));
	testing_put_resource(&files, TESTING_BAR0 + 0x100000);
	testing_put_config(&files, TESTING_BAR0 + 0x100000);
	cr_assert_eq(function_read(&g, &files.tree, at), 0);
	cr_assert_not(function_equal(&f, &g));
}

Test(agent_function, serial_number)
{
	static const uint8_t capabilities[] = { 0x01, 0x00, 0x01, 0x14, /* AER, next at 0x140 */ };
	static const uint8_t serial[] = { 0x03, 0x00, 0x01, 0x00, 0x78, 0x56,
					  0x34, 0x12, 0xef, 0xcd, 0xab, 0x90 };
	int config = tree_open(&files.tree, O_RDWR, TESTING_DEVICE "/config");
	Function f;

	cr_assert_eq(pwrite(config, capabilities, sizeof(capabilities), 0x100), 4);
	cr_assert_eq(pwrite(config, serial, sizeof(serial), 0x140), 12);
	close(config);
	cr_assert_eq(function_read(&f, &files.tree, at), 0);
	cr_assert(f.identity.has_serial);
	cr_assert_eq(f.identity.serial, 0x90abcdef12345678U);
}

Test(agent_function, enabled_once)
{
	uint8_t command[2] = { 0 };
	int config;

	cr_assert_eq(function_enable(&files.tree, at), 0);
	cr_assert(testing_file_is(&files, TESTING_DEVICE "/enable", "1"));
	/* Somebody else's reference is left alone: the count would never come down again. */
	testing_put(&files, TESTING_DEVICE "/enable", "2\n");
	cr_assert_eq(function_enable(&files.tree, at), 0);
	cr_assert(testing_file_is(&files, TESTING_DEVICE "/enable", "2"));
	config = tree_open(&files.tree, O_RDONLY, TESTING_DEVICE "/config");
	cr_assert_eq(pread(config, command, 2, 4), 2);
	cr_assert_eq(command[0], 6);
	close(config);
	cr_assert_eq(function_disable(&files.tree, at), 0);
	cr_assert(testing_file_is(&files, TESTING_DEVICE "/enable", "0"));
}

Test(agent_function, driver)
{
	char driver[FUNCTION_DRIVER_SIZE];

	cr_assert_eq(function_driver(&files.tree, at, driver), -ENOENT);
	testing_bind_driver(&files, true);
	cr_assert_eq(function_driver(&files.tree, at, driver), 0);
	cr_assert_str_eq(driver, "nvme");
	cr_assert_eq(function_enable(&files.tree, at), -EBUSY);
}
