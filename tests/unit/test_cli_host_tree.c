/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files, programs and the kernel's configuration of a made-up host. */
#include "testing-host.h"

#include "cli/doctor/host-tree.h"
#include "cli/doctor/kernel-config.h"
#include "cli/doctor/program.h"

#include <errno.h>
#include <time.h>

#define RELEASE "7.3.4-test"

static char root[64];
static char *text;
static size_t size;
static KernelConfig config;

static void set_up(void)
{
	testing_host_new();
	snprintf(root, sizeof(root), "%.63s", testing_root);
	mkdir(testing_path("proc"), 0755);
	mkdir(testing_path("boot"), 0755);
	mkdir(testing_path("lib"), 0755);
	mkdir(testing_path("lib/modules"), 0755);
	mkdir(testing_path("lib/modules/" RELEASE), 0755);
}

static void tear_down(void)
{
	free(text);
	kernel_config_done(&config);
	testing_host_remove();
}

TestSuite(cli_host_tree, .init = set_up, .fini = tear_down, .timeout = 20);

static void put(const char *path, const char *content)
{
	testing_write(testing_path("%s", path), content, strlen(content));
}

/* --- files --- */

Test(cli_host_tree, nothing_to_read)
{
	char line[8] = "left";
	int error;

	cr_assert_eq(host_tree_read(root, "/absent", 100, &text, &size), -ENOENT);
	cr_assert_eq(host_tree_read(root, "/proc", 100, &text, &size), -EINVAL, "a directory");
	cr_assert_eq(mkfifo(testing_path("fifo"), 0644), 0);
	cr_assert_eq(host_tree_read(root, "/fifo", 100, &text, &size), -EINVAL, "does not wait");
	cr_assert_eq(host_tree_line(root, "/absent", line, sizeof(line)), -ENOENT);
	cr_assert_str_empty(line);
	cr_assert_eq(host_tree_count(root, "/absent", 10), -ENOENT);
	cr_assert_not(host_tree_has(root, "/absent", &error));
	cr_assert_eq(error, -ENOENT);
	cr_assert_null(text);
}

Test(cli_host_tree, too_large)
{
	put("file", "0123456789");
	cr_assert_eq(host_tree_read(root, "/file", 9, &text, &size), -EFBIG);
	cr_assert_eq(host_tree_read(root, "/file", 10, &text, &size), 0);
	cr_assert_str_eq(text, "0123456789");
	cr_assert_eq(size, 10);
}

Test(cli_host_tree, line)
{
	char line[5];

	put("file", "");
	cr_assert_eq(host_tree_line(root, "/file", line, sizeof(line)), 0);
	cr_assert_str_empty(line);
	put("file", "Y\nmore\n");
	cr_assert_eq(host_tree_line(root, "/file", line, sizeof(line)), 0);
	cr_assert_str_eq(line, "Y");
	put("file", "longer than that\n");
	cr_assert_eq(host_tree_line(root, "/file", line, sizeof(line)), 0);
	cr_assert_str_eq(line, "long");
}

Test(cli_host_tree, count)
{
	cr_assert_eq(host_tree_count(root, "/boot", 10), 0);
	put("boot/a", "");
	put("boot/b", "");
	cr_assert_eq(host_tree_count(root, "/boot", 10), 2);
	cr_assert_eq(host_tree_count(root, "/boot", 1), 1);
}

/* --- programs --- */

static int shell(const char *script, uint32_t timeout_ms, size_t max)
{
	const char *const arguments[] = { "sh", "-c", script, NULL };

	free(text);
	text = NULL;
	return program_output(arguments, timeout_ms, max, &text, &size);
}

Test(cli_host_tree, programs_that_fail)
{
	const char *const absent[] = { "/nonexistent/program", NULL };

	cr_assert_eq(program_output(absent, 1000, 10, &text, &size), -ENOENT);
	cr_assert_eq(shell("echo 1; exit 3", 5000, 100), -EPROTO);
	cr_assert_eq(shell("kill -9 $$", 5000, 100), -EPROTO);
	cr_assert_null(text);
}

Test(cli_host_tree, programs_that_do_not_end)
{
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	cr_assert_eq(shell("exec sleep 60", 200, 100), -ETIME);
	cr_assert_eq(shell("exec >&-; exec sleep 60", 200, 100), -ETIME, "its output ended");
	cr_assert_eq(shell("while :; do echo 0123456789; done", 5000, 1000), -EFBIG);
	clock_gettime(CLOCK_MONOTONIC, &after);
	cr_assert_lt(after.tv_sec - before.tv_sec, 8);
}

Test(cli_host_tree, program)
{
	cr_assert_eq(shell("cat; echo out; echo error >&2", 5000, 4), 0, "nothing to read");
	cr_assert_str_eq(text, "out\n");
	cr_assert_eq(size, 4);
}

/* --- the kernel's configuration --- */

Test(cli_host_tree, no_kernel_configuration)
{
	put("proc/config.gz", "this was never compressed");
	put("boot/config-" RELEASE, "\nCONFIG-less\n");
	kernel_config_load(&config, root, RELEASE);
	cr_assert_null(config.text);
	cr_assert_eq(kernel_config_get(&config, "KVM"), KERNEL_OPTION_UNKNOWN);
}

Test(cli_host_tree, release_that_leads_elsewhere)
{
	put("config", "#\nCONFIG_KVM=y\n");
	kernel_config_load(&config, root, "x/../../config");
	cr_assert_null(config.text);
	kernel_config_load(&config, root, "");
	cr_assert_null(config.text);
}

Test(cli_host_tree, binary_configuration)
{
	static const char binary[] = "#\nCONFIG_KVM=y\n\0CONFIG_X=y\n";

	testing_write(testing_path("boot/config-" RELEASE), binary, sizeof(binary));
	kernel_config_load(&config, root, RELEASE);
	cr_assert_null(config.text);
}

Test(cli_host_tree, options)
{
	put("lib/modules/" RELEASE "/config",
	    "# Linux/x86 7.3.4 Kernel Configuration\n"
	    "CONFIG_PCI_TSM=y\n# CONFIG_IOMMUFD is not set\nCONFIG_VFIO_PCI=m\n"
	    "CONFIG_NR_CPUS=8192\nCONFIG_VFIO_PCI_CORE=maybe\nXCONFIG_KVM=y\nCONFIG_LAST=m");
	kernel_config_load(&config, root, RELEASE);
	cr_assert_str_eq(config.origin, "/lib/modules/" RELEASE "/config");
	cr_assert_eq(kernel_config_get(&config, "PCI_TSM"), KERNEL_OPTION_YES);
	cr_assert_eq(kernel_config_get(&config, "IOMMUFD"), KERNEL_OPTION_NO);
	cr_assert_eq(kernel_config_get(&config, "VFIO_PCI"), KERNEL_OPTION_MODULE);
	cr_assert_eq(kernel_config_get(&config, "NR_CPUS"), KERNEL_OPTION_YES);
	cr_assert_eq(kernel_config_get(&config, "VFIO_PCI_CORE"), KERNEL_OPTION_YES);
	cr_assert_eq(kernel_config_get(&config, "KVM"), KERNEL_OPTION_NO);
	cr_assert_eq(kernel_config_get(&config, "PCI"), KERNEL_OPTION_NO, "not its beginning");
	cr_assert_eq(kernel_config_get(&config, "LAST"), KERNEL_OPTION_MODULE);
}

/* What /proc shows is of the kernel that runs. */
Test(cli_host_tree, compressed_configuration_first)
{
	char command[256];

	put("boot/config-" RELEASE, "#\nCONFIG_KVM=m\n");
	put("proc/config", "#\nCONFIG_KVM=y\n");
	snprintf(command, sizeof(command), "gzip %s/proc/config", root);
	cr_assert_eq(system(command), 0);
	kernel_config_load(&config, root, RELEASE);
	cr_assert_str_eq(config.origin, "/proc/config.gz");
	cr_assert_eq(kernel_config_get(&config, "KVM"), KERNEL_OPTION_YES);
}
