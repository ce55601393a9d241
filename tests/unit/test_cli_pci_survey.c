/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libpci and the kernel's attributes on a made-up sysfs. */
#include "testing-config-space.h"

#include "cli/pci-survey.h"

#include <errno.h>
#include <time.h>

static PciSurvey *survey;

static void tear_down(void)
{
	survey = pci_survey_free(survey);
	testing_host_remove();
}

TestSuite(cli_pci_survey, .init = testing_host_new, .fini = tear_down, .timeout = 30);

static void look(void)
{
	survey = pci_survey_free(survey);
	cr_assert_eq(pci_survey_new(&survey, testing_path("sys"), true), 0);
	cr_assert(survey->done);
}

static const PciFunction *find(const char *bdf)
{
	const PciFunction *f = pci_survey_find(survey, testing_bdf(bdf));

	cr_assert_not_null(f, "%s", bdf);
	return f;
}

static const PciConfig *config_of(const char *bdf)
{
	look();
	return &find(bdf)->config;
}

static void put_tsm(const char *bdf, const char *name, const char *text)
{
	char attribute[32];

	mkdir(testing_path("sys/bus/pci/devices/%s/tsm", bdf), 0755);
	snprintf(attribute, sizeof(attribute), "tsm/%s", name);
	testing_attribute(bdf, attribute, text);
}

/* --- bad input --- */

Test(cli_pci_survey, no_tree)
{
	cr_assert_eq(pci_survey_new(&survey, "/nonexistent", true), -ENOENT);
	cr_assert_null(survey);
}

Test(cli_pci_survey, names_that_are_no_functions)
{
	static const char *const bad[] = { "0000:06:00.8", "0000:06:20.0", "10000:06:00.0", "x" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		mkdir(testing_path("sys/bus/pci/devices/%s", bad[i]), 0755);
	look();
	cr_assert_eq(survey->n, 5);
	cr_assert_null(pci_survey_find(survey, testing_bdf(ABSENT)));
}

Test(cli_pci_survey, malformed_attributes_are_told)
{
	testing_attribute(PF, "vendor", "0x18086\n");
	mkdir(testing_path("sys/bus/pci/devices/" ABSENT), 0755);
	look();
	cr_assert_eq(find(PF)->error, -EBADMSG);
	cr_assert_not_null(strstr(find(PF)->trouble, "vendor"));
	cr_assert_eq(find(ABSENT)->error, -ENODEV, "nothing in it");
	cr_assert_eq(find(OTHER_PF)->error, 0, "the others are not concerned");
}

Test(cli_pci_survey, truncated_config)
{
	static const size_t sizes[] = { 0, 1, 3, 4, 63, 64, 65 };

	testing_config_full();
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		const PciConfig *config;

		testing_config_write(PF, sizes[i]);
		config = config_of(PF);
		cr_assert_not(config->basic, "%zu", sizes[i]);
		cr_assert_not(config->extended);
		cr_assert_not(config->tee_io);
		cr_assert_eq(find(PF)->error, 0);
	}
}

Test(cli_pci_survey, no_extended_space)
{
	static const size_t sizes[] = { 256, 257, 259 };

	testing_config_full();
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		const PciConfig *config;

		testing_config_write(PF, sizes[i]);
		config = config_of(PF);
		cr_assert(config->basic && config->tee_io);
		cr_assert_not(config->extended, "%zu", sizes[i]);
		cr_assert_not(config->has_ide);
	}
	testing_config_new(0);
	testing_put_u32(0x100, UINT32_MAX);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert_not(config_of(PF)->extended, "nobody answers there");
}

Test(cli_pci_survey, capability_cut_off)
{
	testing_config_full();
	testing_config_write(PF, 0x18c);
	cr_assert(config_of(PF)->extended);
	cr_assert(find(PF)->config.has_ide);
	cr_assert_not(find(PF)->config.has_sriov);
}

Test(cli_pci_survey, no_config)
{
	unlink(testing_path("sys/bus/pci/devices/" PF "/config"));
	cr_assert_not(config_of(PF)->basic);
	cr_assert_eq(find(PF)->error, 0);
	cr_assert(find(OTHER_PF)->config.basic, "the others are not concerned");
}

Test(cli_pci_survey, function_that_does_not_answer)
{
	memset(testing_config, 0xff, sizeof(testing_config));
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert_not(config_of(PF)->basic);
	cr_assert_not_null(strstr(find(PF)->config.trouble, "not answer"));
}

Test(cli_pci_survey, virtual_function_without_identity)
{
	testing_config_full();
	testing_put_u32(0, UINT32_MAX);
	testing_config_write(VF0, TESTING_CONFIG_SIZE);
	cr_assert(config_of(VF0)->basic);
	cr_assert(find(VF0)->config.tee_io);
}

Test(cli_pci_survey, capability_loops)
{
	testing_config_new(TESTING_TEE_IO);
	testing_config[TESTING_EXPRESS + 1] = 0x80;
	testing_config[0x80] = 0x11;
	testing_config[0x81] = TESTING_EXPRESS;
	testing_config_extended(0x100, 0x2e, 0x140);
	testing_config_extended(0x140, 0x2e, 0x100);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert(config_of(PF)->tee_io);
	cr_assert_eq(find(PF)->config.n_doe, 2);

	testing_config_extended(0x100, 0x30, 0x100);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert(config_of(PF)->has_ide, "one that is its own next");

	testing_config_extended(0x100, 0x30, 0x80);
	testing_config_extended(0x80, 0x2e, 0);
	testing_config[TESTING_EXPRESS + 1] = 0;
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert_eq(config_of(PF)->n_doe, 0, "one that leads out of the extended space");
}

Test(cli_pci_survey, more_mailboxes_than_are_told)
{
	testing_config_new(0);
	for (size_t at = 0x100; at < 0x300; at += 0x10)
		testing_config_extended(at, 0x2e, at + 0x10 < 0x300 ? at + 0x10 : 0);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert_eq(config_of(PF)->n_doe, PCI_CONFIG_DOE_MAX);
}

/* Its paths are at most 1,023 bytes long; the kernel's 4,095. */
Test(cli_pci_survey, libpci_gives_up)
{
	char sysfs[2048];

	snprintf(sysfs, sizeof(sysfs), "%s", testing_path("sys"));
	while (strlen(sysfs) < 1100)
		strcat(sysfs, "/.");
	cr_assert_eq(pci_survey_new(&survey, sysfs, true), 0);
	cr_assert(survey->done);
	for (size_t i = 0; i < survey->n; i++) {
		cr_assert_eq(survey->functions[i].error, 0);
		cr_assert_not(survey->functions[i].config.basic);
		cr_assert_str_not_empty(survey->functions[i].config.trouble);
	}
}

/* A reading that does not end costs its time, and the function; the rest is read. */
Test(cli_pci_survey, function_that_hangs)
{
	unlink(testing_path("sys/bus/pci/devices/" PF "/config"));
	cr_assert_eq(mkfifo(testing_path("sys/bus/pci/devices/" PF "/config"), 0644), 0);
	look();
	cr_assert_eq(find(PF)->error, -EIO);
	cr_assert_not_null(strstr(find(PF)->trouble, "too long"));
	cr_assert_eq(find(VF0)->error, 0);
	cr_assert(find(OTHER_PF)->config.basic);
}

Test(cli_pci_survey, absurd_attributes)
{
	static const char *const bad[] = {
		"", "7", "-1\n", "65536\n", "7x\n", " 7\n", "99999999999999999999\n"
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		testing_attribute(PF, "sriov_totalvfs", bad[i]);
		look();
		cr_assert_not(find(PF)->has_vfs_total, "'%s'", bad[i]);
	}
	mkdir(testing_path("sys/bus/pci/devices/" PF "/doe_features"), 0755);
	testing_attribute(PF, "doe_features/0001-01", "");
	testing_attribute(PF, "doe_features/0001:0g", "");
	testing_attribute(PF, "doe_features/0001:012", "");
	for (unsigned int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "doe_features/1af4:%02x", i);
		if (i > 0)
			testing_attribute(PF, name, "");
		look();
		cr_assert_leq(find(PF)->n_doe_features, PCI_DOE_FEATURES_MAX);
	}
	for (size_t i = 0; i < find(PF)->n_doe_features; i++)
		cr_assert_eq(strncmp(find(PF)->doe_features[i], "1af4:", 5), 0);
}

Test(cli_pci_survey, malformed_tsm_attributes)
{
	put_tsm(PF, "connect", "none\n");
	put_tsm(PF, "bound", "tsm0 and more than fits\n");
	put_tsm(PF, "dsm", "0000:01:00\n");
	look();
	cr_assert_eq(find(PF)->connect.state, TSM_VALUE_UNKNOWN);
	cr_assert_eq(find(PF)->bound.state, TSM_VALUE_UNKNOWN);
	cr_assert_eq(find(PF)->kernel_dsm.state, TSM_VALUE_UNKNOWN);
	cr_assert_eq(find(PF)->connect.error, -EBADMSG);
	cr_assert_str_empty(find(PF)->connect.text);
}

/* A FIFO without a writer stands for the kernel's lock. */
Test(cli_pci_survey, lock_that_is_not_free)
{
	struct timespec before, after;

	put_tsm(PF, "connect", "tsm0\n");
	mkdir(testing_path("sys/bus/pci/devices/" VF0 "/tsm"), 0755);
	cr_assert_eq(mkfifo(testing_path("sys/bus/pci/devices/" VF0 "/tsm/bound"), 0644), 0);
	put_tsm(VF1, "bound", "tsm0\n");
	clock_gettime(CLOCK_MONOTONIC, &before);
	look();
	clock_gettime(CLOCK_MONOTONIC, &after);
	cr_assert_leq(after.tv_sec - before.tv_sec, PCI_SURVEY_TSM_MSEC / 1000 + 2);
	cr_assert_eq(find(PF)->connect.state, TSM_VALUE_KNOWN, "it came before");
	cr_assert_eq(find(VF0)->bound.state, TSM_VALUE_UNKNOWN);
	cr_assert_eq(find(VF0)->bound.error, -EINTR);
	cr_assert_eq(find(VF1)->bound.state, TSM_VALUE_UNKNOWN, "nobody waits twice");
}

/* --- good --- */

Test(cli_pci_survey, ascending)
{
	look();
	cr_assert_eq(survey->n, 5);
	for (size_t i = 1; i < survey->n; i++)
		cr_assert_lt(bdf_requester_id(survey->functions[i - 1].bdf),
			     bdf_requester_id(survey->functions[i].bdf));
}

Test(cli_pci_survey, conventional)
{
	const PciConfig *config = config_of(OTHER_PF);

	cr_assert(config->basic && config->extended);
	cr_assert_not(config->pcie || config->tee_io || config->has_ide || config->n_doe);
}

Test(cli_pci_survey, full)
{
	const PciFunction *f;

	testing_config_full();
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	testing_attribute(PF, "sriov_totalvfs", "7\n");
	mkdir(testing_path("sys/bus/pci/devices/" PF "/doe_features"), 0755);
	testing_attribute(PF, "doe_features/0001:01", "");
	testing_attribute(PF, "doe_features/doe_discovery", "");
	put_tsm(PF, "connect", "tsm0\n");
	put_tsm(PF, "bound", "\n");
	put_tsm(VF0, "bound", "tsm0\n");
	put_tsm(VF0, "dsm", PF "\n");
	look();
	f = find(PF);
	cr_assert(f->config.basic && f->config.extended && f->config.pcie && f->config.tee_io);
	cr_assert(f->config.link_ide && f->config.selective_ide);
	cr_assert(f->config.has_sriov);
	cr_assert_eq(f->config.vfs_total, 7);
	cr_assert_eq(f->vfs_enabled, 2);
	cr_assert(f->has_vfs_total && f->vfs_total == 7);
	cr_assert_eq(f->config.n_doe, 2);
	cr_assert_eq(f->config.doe[0], 0x140);
	cr_assert_eq(f->config.doe[1], 0x160);
	cr_assert_eq(f->n_doe_features, 2);
	cr_assert_str_eq(f->doe_features[0], "0001:00");
	cr_assert(pci_function_has_dsm(f));
	cr_assert_str_eq(f->connect.text, "tsm0");
	cr_assert_eq(f->bound.state, TSM_VALUE_KNOWN);
	cr_assert_str_empty(f->bound.text);
	f = find(VF0);
	cr_assert(f->host.is_virtual);
	cr_assert(bdf_equal(f->dsm, testing_bdf(PF)));
	cr_assert_not(pci_function_has_dsm(f));
	cr_assert_str_eq(f->bound.text, "tsm0");
	cr_assert_str_eq(f->kernel_dsm.text, PF);
	cr_assert_eq(find(OTHER_PF)->bound.state, TSM_VALUE_ABSENT);
}
