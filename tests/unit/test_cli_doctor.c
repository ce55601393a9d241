/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks on a made-up host: first what is broken or unreadable, then what is there. */
#include "testing-config-space.h"
#include "testing-served.h"

#include "cli/doctor/doctor.h"
#include "schemas/schemas.h"

#include <criterion/redirect.h>

#include <errno.h>

#define RELEASE "7.3.4-test"
#define HOOK	"etc/libvirt/hooks/qemu.d/50-tdid"

static char root[64], socket_path[72];
static Cli cli;
static Doctor doctor;
static DoctorFinding finding;

static void set_up(void)
{
	testing_host_new();
	snprintf(root, sizeof(root), "%.63s", testing_root);
	snprintf(socket_path, sizeof(socket_path), "%s/socket", root);
	cli.socket = socket_path;
	cr_assert_eq(idl_parse(&cli.interface, schema_io_tdid_assignments, NULL), 0);
}

static void tear_down(void)
{
	free(finding.found);
	doctor_done(&doctor);
	cli.interface = idl_free(cli.interface);
	testing_host_remove();
}

TestSuite(cli_doctor, .init = set_up, .fini = tear_down, .timeout = 30);

/* With the directories above it. */
static void put(const char *path, const char *content)
{
	char part[128];

	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		mkdir(testing_path("%s", part), 0755);
	}
	testing_write(testing_path("%s", path), content, strlen(content));
}

static void look(void)
{
	doctor_done(&doctor);
	doctor_look(&doctor, &cli, root);
}

static DoctorStatus status_of(const char *id)
{
	for (size_t i = 0; i < doctor_n_checks; i++) {
		if (strcmp(doctor_checks[i].id, id) != 0)
			continue;
		free(finding.found);
		finding = doctor_run(&doctor, &doctor_checks[i]);
		cr_assert_not_null(finding.found, "%s", id);
		cr_assert_str_not_empty(finding.found, "%s", id);
		return finding.status;
	}
	cr_assert_fail("there is no check %s", id);
	return DOCTOR_UNKNOWN;
}

#define EXPECT(id, expected)                                                                       \
	({                                                                                         \
		DoctorStatus _status = status_of(id);                                              \
		cr_assert_eq(_status, (expected), "%s is %s: %s", (id),                            \
			     doctor_status_name(_status), finding.found);                          \
	})

static void serve(const char *text)
{
	cr_assert_eq(json_parse(&doctor.served.reply, text, strlen(text), NULL), 0);
	doctor.served.tsms = json_get_array(doctor.served.reply, "tsms");
	doctor.served.dsms = json_get_array(doctor.served.reply, "dsms");
	doctor.served.devices = json_get_array(doctor.served.reply, "devices");
	doctor.served_error = 0;
}

/* --- the table --- */

Test(cli_doctor, checks_are_complete)
{
	for (size_t i = 0; i < doctor_n_checks; i++) {
		const DoctorCheck *check = &doctor_checks[i];

		cr_assert_str_not_empty(check->why, "%s", check->id);
		cr_assert_str_not_empty(check->way_out, "%s", check->id);
		cr_assert_not_null(check->probe, "%s", check->id);
		cr_assert_neq(check->platforms, 0, "%s", check->id);
		for (size_t j = 0; j < i; j++)
			cr_assert_str_neq(check->id, doctor_checks[j].id);
	}
}

/* --- broken, empty, unreadable --- */

Test(cli_doctor, empty_host)
{
	look();
	for (size_t i = 0; i < doctor_n_checks; i++) {
		DoctorStatus status = status_of(doctor_checks[i].id);

		if (strcmp(doctor_checks[i].id, "emulated.tsm-proxy") == 0)
			cr_assert_eq(status, DOCTOR_OK);
		else if (strcmp(doctor_checks[i].id, "devices.sriov") == 0)
			cr_assert_eq(status, DOCTOR_OK, "the tree has two VFs");
		else
			cr_assert_neq(status, DOCTOR_OK, "%s", doctor_checks[i].id);
		if (doctor_checks[i].optional)
			cr_assert_neq(status, DOCTOR_MISSING, "%s", doctor_checks[i].id);
	}
	EXPECT("kernel.pci-ide", DOCTOR_UNKNOWN);
	EXPECT("kernel.vfio-pci", DOCTOR_UNKNOWN);
	EXPECT("kernel.kvm", DOCTOR_MISSING);
	EXPECT("tdid.socket", DOCTOR_MISSING);
	EXPECT("tdid.provider", DOCTOR_UNKNOWN);
}

Test(cli_doctor, no_host_at_all)
{
	doctor_look(&doctor, &cli, "/nonexistent");
	EXPECT("devices.tee-io", DOCTOR_UNKNOWN);
	EXPECT("kernel.release", DOCTOR_UNKNOWN);
	EXPECT("libvirt.hook", DOCTOR_MISSING);
}

Test(cli_doctor, odd_parameters)
{
	static const char *const bad[] = { "", "\n", "N\n", "0\n", "YES\n", "\xff\xfe\n" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		put("sys/module/kvm_amd/parameters/sev_snp", bad[i]);
		look();
		EXPECT("sev-tio.snp", DOCTOR_MISSING);
		cr_assert(json_utf8_valid(finding.found, strlen(finding.found)));
	}
	put("sys/module/kvm_amd/parameters/sev_snp", "Y\n");
	EXPECT("sev-tio.snp", DOCTOR_OK);
	EXPECT("tdx-connect.tdx", DOCTOR_MISSING);
}

Test(cli_doctor, tdid_conf)
{
	static const char *const bad[] = { "",
					   "[]",
					   "{",
					   "{}",
					   "{\"tsms\": {}}",
					   "{\"tsms\": []}",
					   "{\"tsms\": [1], \"tsms\": [1]}" };

	look();
	EXPECT("tdid.config", DOCTOR_MISSING);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		put("etc/tdid/tdid.conf", bad[i]);
		EXPECT("tdid.config", DOCTOR_MISSING);
	}
	put("etc/tdid/tdid.conf", "{\"tsms\": [{\"name\": \"linux\"}]}");
	EXPECT("tdid.config", DOCTOR_OK);
}

Test(cli_doctor, hook)
{
	static const char binary[] = "\177ELF and later io.tdid.Hook";

	look();
	EXPECT("libvirt.hook", DOCTOR_MISSING);
	put(HOOK, "#!/bin/sh\nexit 0\n");
	EXPECT("libvirt.hook", DOCTOR_MISSING);
	put(HOOK, binary);
	EXPECT("libvirt.hook", DOCTOR_MISSING);
	cr_assert_not_null(strstr(finding.found, "not executable"));
	chmod(testing_path(HOOK), 0755);
	EXPECT("libvirt.hook", DOCTOR_OK);
	put("usr/libexec/tdid/tdi-hook", "\177ELF, a later one of io.tdid.Hook");
	EXPECT("libvirt.hook", DOCTOR_WARNING);
	put("usr/libexec/tdid/tdi-hook", binary);
	EXPECT("libvirt.hook", DOCTOR_OK);
}

Test(cli_doctor, hook_that_is_a_link)
{
	look();
	put("usr/libexec/tdid/tdi-hook", "\177ELF io.tdid.Hook");
	chmod(testing_path("usr/libexec/tdid/tdi-hook"), 0755);
	put("etc/libvirt/hooks/qemu.d/other", "#!/bin/sh\n");
	cr_assert_eq(symlink("../../../../usr/libexec/tdid/tdi-hook", testing_path(HOOK)), 0);
	EXPECT("libvirt.hook", DOCTOR_WARNING);
	put("sys/module/apparmor/parameters/enabled", "Y\n");
	EXPECT("libvirt.hook", DOCTOR_MISSING);
	cr_assert_not_null(finding.way_out);
	put("etc/libvirt/hooks/tdi-hook", "\177ELF io.tdid.Hook");
	chmod(testing_path("etc/libvirt/hooks/tdi-hook"), 0755);
	unlink(testing_path(HOOK));
	cr_assert_eq(symlink("../tdi-hook", testing_path(HOOK)), 0);
	EXPECT("libvirt.hook", DOCTOR_OK);
}

Test(cli_doctor, hook_that_is_a_script)
{
	look();
	put(HOOK, "#!/bin/sh\nexec /usr/libexec/tdid/tdi-hook \"$@\"\n");
	chmod(testing_path(HOOK), 0755);
	EXPECT("libvirt.hook", DOCTOR_OK);
	put("sys/module/apparmor/parameters/enabled", "Y\n");
	EXPECT("libvirt.hook", DOCTOR_WARNING);
}

Test(cli_doctor, directory_in_place_of_a_hook)
{
	look();
	put(HOOK "/file", "");
	EXPECT("libvirt.hook", DOCTOR_MISSING);
}

/* --- what the kernel shows --- */

Test(cli_doctor, cpus)
{
	put("proc/cpuinfo", "model name\t: vendor_id\t: AuthenticAMD\n");
	look();
	cr_assert_eq(doctor.platforms, DOCTOR_ALL, "no vendor at the beginning of a line");
	put("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t: x\n");
	look();
	EXPECT("sev-tio.snp", DOCTOR_MISSING);
	EXPECT("tdx-connect.tdx", DOCTOR_NOT_APPLICABLE);
	EXPECT("cca.tsm", DOCTOR_NOT_APPLICABLE);
	put("proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\n");
	look();
	EXPECT("sev-tio.snp", DOCTOR_NOT_APPLICABLE);
	EXPECT("tdx-connect.tdx", DOCTOR_MISSING);
	put("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
	look();
	cr_assert_str_eq(doctor.cpu, "Arm");
	put("proc/cpuinfo", "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdch\n");
	look();
	EXPECT("cove-io.tsm", DOCTOR_MISSING);
	EXPECT("cca.tsm", DOCTOR_NOT_APPLICABLE);
}

Test(cli_doctor, features_before_options)
{
	put("proc/sys/kernel/osrelease", RELEASE "\n");
	put("boot/config-" RELEASE, "#\nCONFIG_VFIO_PCI=m\nCONFIG_PCI_DOE=y\nCONFIG_VFIO=m\n"
				    "CONFIG_PCI_TSM=y\n");
	look();
	EXPECT("kernel.release", DOCTOR_OK);
	EXPECT("kernel.config", DOCTOR_OK);
	EXPECT("kernel.vfio-pci", DOCTOR_OK);
	EXPECT("kernel.vfio-device", DOCTOR_OK);
	EXPECT("kernel.pci-doe", DOCTOR_OK);
	EXPECT("kernel.pci-ide", DOCTOR_MISSING);
	EXPECT("kernel.iommufd", DOCTOR_WARNING);
	EXPECT("kernel.pci-tsm", DOCTOR_MISSING);
	EXPECT("kernel.kvm", DOCTOR_MISSING);
	put("dev/kvm", "");
	put("dev/iommu", "");
	put("sys/class/tsm/.keep", "");
	EXPECT("kernel.kvm", DOCTOR_OK);
	EXPECT("kernel.iommufd", DOCTOR_OK);
	EXPECT("kernel.pci-tsm", DOCTOR_OK);
	EXPECT("kernel.vfio-device", DOCTOR_OK);
}

Test(cli_doctor, iommu_groups)
{
	look();
	EXPECT("kernel.iommu-groups", DOCTOR_MISSING);
	put("sys/kernel/iommu_groups/.keep", "");
	EXPECT("kernel.iommu-groups", DOCTOR_MISSING);
	put("sys/kernel/iommu_groups/17/type", "DMA\n");
	EXPECT("kernel.iommu-groups", DOCTOR_OK);
}

Test(cli_doctor, tsms)
{
	put("sys/class/tsm/tsm0/.keep", "");
	look();
	EXPECT("sev-tio.tsm", DOCTOR_MISSING);
	EXPECT("cca.tsm", DOCTOR_MISSING);
	put("sys/class/tsm/tsm1/device/.keep", "");
	cr_assert_eq(symlink("../../../bus/pci/drivers/ccp",
			     testing_path("sys/class/tsm/tsm1/device/driver")),
		     0);
	look();
	EXPECT("sev-tio.tsm", DOCTOR_OK);
	EXPECT("cca.tsm", DOCTOR_OK);
}

Test(cli_doctor, tsm_proxy)
{
	look();
	EXPECT("emulated.tsm-proxy", DOCTOR_OK);
	put("dev/tsm-proxy-vmm", "");
	EXPECT("emulated.tsm-proxy", DOCTOR_WARNING);
}

Test(cli_doctor, devices)
{
	testing_config_full();
	testing_config_write(PF, 64);
	look();
	EXPECT("devices.tee-io", DOCTOR_UNKNOWN);
	EXPECT("devices.ide", DOCTOR_UNKNOWN);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	mkdir(testing_path("sys/bus/pci/devices/" PF "/tsm"), 0755);
	/* Read it would hold us up: whether it is there is all that counts. */
	cr_assert_eq(mkfifo(testing_path("sys/bus/pci/devices/" PF "/tsm/connect"), 0644), 0);
	look();
	EXPECT("devices.tee-io", DOCTOR_OK);
	EXPECT("devices.ide", DOCTOR_OK);
	EXPECT("devices.sriov", DOCTOR_OK);
	EXPECT("devices.tsm-connect", DOCTOR_OK);
}

Test(cli_doctor, sriov_that_is_off)
{
	testing_config_full();
	testing_config_write(OTHER_PF, TESTING_CONFIG_SIZE);
	unlink(testing_path("sys/bus/pci/devices/" PF "/virtfn0"));
	look();
	EXPECT("devices.sriov", DOCTOR_WARNING);
	cr_assert_not_null(strstr(finding.found, "none has it enabled"));
}

Test(cli_doctor, programs)
{
	put("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
	look();
	EXPECT("qemu.binary", DOCTOR_MISSING);
	/* Programs of another tree are not run. */
	put("usr/bin/qemu-system-x86_64", "#!/bin/sh\necho version\n");
	chmod(testing_path("usr/bin/qemu-system-x86_64"), 0755);
	EXPECT("qemu.binary", DOCTOR_OK);
	cr_assert_null(strstr(finding.found, "version"));
	EXPECT("libvirt.daemon", DOCTOR_MISSING);
	put("run/libvirt/libvirt-sock", "");
	EXPECT("libvirt.daemon", DOCTOR_OK);
}

/* --- what tdid says --- */

Test(cli_doctor, no_providers)
{
	look();
	serve("{\"tsms\": [], \"dsms\": [], \"devices\": []}");
	EXPECT("tdid.socket", DOCTOR_OK);
	EXPECT("tdid.provider", DOCTOR_MISSING);
	EXPECT("emulated.provider", DOCTOR_MISSING);
	EXPECT("tdid.providers", DOCTOR_WARNING);
	EXPECT("tdid.devices", DOCTOR_WARNING);
}

Test(cli_doctor, providers)
{
	look();
	serve("{\"tsms\": ["
	      "{\"name\": \"a\", \"title\": \"a\", \"protection\": true, \"ready\": false,"
	      " \"trouble\": \"no socket\"},"
	      "{\"name\": \"b\", \"title\": \"b\", \"protection\": true, \"ready\": true},"
	      "{\"name\": \"c\", \"title\": \"c (no protection)\", \"protection\": false,"
	      " \"ready\": false}], \"dsms\": [], \"devices\": [{}]}");
	EXPECT("tdid.provider", DOCTOR_OK);
	cr_assert_str_eq(finding.found, "b is ready");
	EXPECT("emulated.provider", DOCTOR_MISSING);
	EXPECT("tdid.providers", DOCTOR_WARNING);
	cr_assert_str_eq(finding.found, "a is not ready: no socket; b is ready; "
					"c (no protection) is not ready");
	EXPECT("tdid.devices", DOCTOR_OK);
}

/* Not protecting is not the same as emulated; and the way out is not to run what runs already. */
Test(cli_doctor, provider_of_an_unknown_platform)
{
	look();
	serve("{\"tsms\": [{\"name\": \"l\", \"title\": \"l (unknown, no protection)\","
	      " \"protection\": false, \"ready\": true}], \"dsms\": [], \"devices\": []}");
	EXPECT("tdid.provider", DOCTOR_MISSING);
	cr_assert_not_null(strstr(finding.way_out, "\"platform\""));
	EXPECT("emulated.provider", DOCTOR_MISSING);
}

/* --- the whole command --- */

static CliStatus run(const char *platform)
{
	static const char reply[] =
		"{\"parameters\":{\"tsms\":[{\"name\":\"e\",\"title\":\"e (emulated, no "
		"protection)\","
		"\"protection\":false,\"ready\":true}],\"dsms\":[],\"devices\":[]}}|";
	pid_t child = testing_tdid(socket_path, reply);
	char *none[] = { NULL };
	CliStatus status;

	cli.command = &command_doctor;
	cli.root = root;
	cli.platform = platform;
	status = command_doctor.run(&cli, none);
	kill(child, SIGKILL);
	testing_tdid_end(child);
	unlink(socket_path);
	return status;
}

Test(cli_doctor, exit_status)
{
	cr_redirect_stdout();
	cr_redirect_stderr();
	cr_assert_eq(run("x86"), CLI_USAGE);
	cr_assert_eq(run(NULL), CLI_REFUSED);
	put("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
	put("dev/kvm", "");
	put("dev/vfio/vfio", "");
	put("sys/kernel/iommu_groups/17/type", "DMA\n");
	put("sys/bus/pci/drivers/vfio-pci/bind", "");
	put("usr/bin/qemu-system-x86_64", "");
	put("run/libvirt/libvirt-sock", "");
	put("run/tdid/io.tdid.Hook", "");
	put("etc/tdid/tdid.conf", "{\"tsms\": [{}]}");
	cr_assert_eq(run("emulated"), CLI_REFUSED, "no hook");
	put(HOOK, "\177ELF io.tdid.Hook");
	chmod(testing_path(HOOK), 0755);
	cr_assert_eq(run("emulated"), CLI_OK);
	cr_assert_eq(run("generic"), CLI_OK);
	cr_assert_eq(run("sev-tio"), CLI_REFUSED);
	cr_assert_eq(run("cca"), CLI_REFUSED, "another CPU");
	cr_assert_eq(run(NULL), CLI_OK, "one platform is enough");
	cli.json = true;
	cr_assert_eq(run("emulated"), CLI_OK);
}
