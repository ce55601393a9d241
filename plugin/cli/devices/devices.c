/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Three sources, each of which may be away or slow without taking the others along: the kernel and
 * the configuration space through a survey, tdid through one bounded call.
 */
#include "cli/devices/devices.h"

#include "cli/text.h"

#include <errno.h>
#include <string.h>

/* What the columns do not say, once for all functions, on standard error. */
static void tell_gaps(const Cli *cli, const DeviceView *views, size_t n)
{
	size_t busy = 0, unreadable = 0, hidden = 0;

	for (size_t i = 0; i < n; i++) {
		const PciFunction *f = views[i].f;
		const TsmValue *values[] = { &f->connect, &f->bound, &f->kernel_dsm };
		char name[BDF_STRING_SIZE];

		for (size_t j = 0; j < ELEMENTSOF(values); j++) {
			if (values[j]->state != TSM_VALUE_UNKNOWN)
				continue;
			busy += values[j]->error == -EINTR;
			unreadable += values[j]->error != -EINTR;
		}
		if (f->config.trouble[0])
			cli_error(cli, "%s: configuration space: %s", bdf_format(f->bdf, name),
				  f->config.trouble);
		else
			hidden += !f->config.basic || !f->config.extended;
	}
	if (busy)
		cli_error(cli,
			  "the kernel's TSM lock was not free for %u s: a connect or disconnect is "
			  "under way, or a device hangs in one. What is not known is shown as ?",
			  PCI_SURVEY_TSM_MSEC / 1000);
	if (unreadable)
		cli_error(cli, "attributes in tsm/ that cannot be read are shown as ?");
	if (hidden)
		cli_error(cli,
			  "the capabilities of %zu function%s cannot be read and are shown as -: "
			  "that needs %s",
			  hidden, hidden == 1 ? "" : "s",
			  geteuid() == 0 ? "a kernel that reaches the extended space" : "root");
}

static void tell_left_out(const Cli *cli, const PciSurvey *survey, const Served *served)
{
	for (size_t i = 0; i < survey->n; i++)
		if (survey->functions[i].error < 0)
			cli_error(cli, "%s", survey->functions[i].trouble);
	for (size_t i = 0; served->devices && i < json_object_array_length(served->devices); i++) {
		const char *name =
			json_get_string(json_object_array_get_idx(served->devices, i), "device");
		Bdf bdf;

		if (bdf_parse(&bdf, name) < 0 || !pci_survey_find(survey, bdf))
			cli_error(cli, "%s: tdid serves it, but there is no such function", name);
	}
}

static CliStatus show_one(const Cli *cli, const PciSurvey *survey, const Served *served, Bdf bdf)
{
	const PciFunction *f = pci_survey_find(survey, bdf);
	char name[BDF_STRING_SIZE];
	DeviceView view;

	if (!f || f->error < 0) {
		if (f)
			cli_error(cli, "%s", f->trouble);
		else
			cli_error(cli,
				  "%s: there is no such function; 'tdictl devices --all' has them",
				  bdf_format(bdf, name));
		return CLI_REFUSED;
	}
	view = device_view(survey, served, f);
	tell_gaps(cli, &view, 1);
	if (cli->json) {
		_cleanup_(json_unrefp) json_object *object = device_view_json(&view);

		cli_print_json(object);
	} else {
		device_view_print(&view);
	}
	return CLI_OK;
}

static void print_json(const DeviceView *views, size_t n)
{
	_cleanup_(json_unrefp) json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		if (json_append_take(array, device_view_json(&views[i])) < 0)
			abort();
	cli_print_json(array);
}

static CliStatus show_all(const Cli *cli, const PciSurvey *survey, const Served *served,
			  const char *sysfs)
{
	_cleanup_free_ DeviceView *views = calloc(survey->n + 1, sizeof(*views));
	_cleanup_free_ TeeIoTsm *tsms = NULL;
	size_t n = 0, n_tsms = 0;

	if (!views)
		abort();
	for (size_t i = 0; i < survey->n; i++) {
		if (survey->functions[i].error < 0)
			continue;
		views[n] = device_view(survey, served, &survey->functions[i]);
		n += cli->all || device_view_is_relevant(&views[n]);
	}
	tell_left_out(cli, survey, served);
	tell_gaps(cli, views, n);
	if (cli->json) {
		print_json(views, n);
		return CLI_OK;
	}
	if (tee_io_tsms(&tsms, &n_tsms, sysfs) < 0)
		n_tsms = 0;
	devices_print_tsms(tsms, n_tsms, served);
	if (n)
		devices_print(views, n);
	else
		fprintf(stderr, "There are no TEE-IO functions%s.\n",
			cli->all ? ", nor any others" : "; --all shows the others");
	return CLI_OK;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_free_ char *sysfs = text_format("%s" DEVICES_SYSFS, cli->root ? cli->root : "");
	_cleanup_(pci_survey_freep) PciSurvey *survey = NULL;
	_cleanup_(served_done) Served served = { 0 };
	_cleanup_free_ char *sentence = NULL;
	Bdf bdf = { 0 };
	int r;

	if (arguments[0] && bdf_parse(&bdf, arguments[0]) < 0) {
		cli_error(cli, "'%s' is no address of a function, such as 0000:01:10.0",
			  arguments[0]);
		return CLI_USAGE;
	}
	r = pci_survey_new(&survey, sysfs, true);
	if (r < 0) {
		cli_error(cli, "%s/bus/pci/devices: %s", sysfs, strerror(-r));
		return CLI_REFUSED;
	}
	if (served_load(&served, cli, &sentence) != 0)
		cli_error(cli, "%s. What follows is the host's own view", sentence);
	return arguments[0] ? show_one(cli, survey, &served, bdf)
			    : show_all(cli, survey, &served, sysfs);
}

const Command command_devices = {
	.name = "devices",
	.arguments = "[BDF]",
	.summary = "Show TSMs and the host's TEE-IO functions, or all about one function",
	.help = "Functions that have, or whose physical function has, tsm/connect, TEE-IO or\n"
		"IDE, and those that tdid serves. CONNECT and BOUND are the kernel's\n"
		"tsm/connect and tsm/bound: ? when its lock is not free within 2 s. TEE-IO, IDE\n"
		"and DOE are of the configuration space: - when it cannot be read, which needs\n"
		"root. DSM STATE, HELD BY and TSM are tdid's, which may be away.\n"
		"\n"
		"--json prints an array, [] when there is nothing; with BDF one object of it.\n"
		"What is marked ? is absent when it is not there or not known:\n"
		"  device, id (vendor:device), class, is_virtual_function, physical_function?,\n"
		"  dsm?, driver?, iommu_group?, vfs_enabled?, vfs_total?,\n"
		"  doe_features (array of \"vvvv:tt\")\n"
		"  kernel  connect?, bound?, dsm?: \"\" is not connected, not bound; unknown:\n"
		"          array of those that are there and could not be read\n"
		"  config  readable, tee_io?, ide? (link, selective), doe_mailboxes? (offsets)\n"
		"  tdid?   device?, dsm?, tsm?: Device, Dsm and Tsm of io.tdid.Assignments\n"
		"\n"
		"  --all           every function of the host\n"
		"  --root DIR      look at DIR/sys instead of /sys, and for tdid below DIR\n",
	.options = COMMAND_ALL | COMMAND_ROOT,
	.max_arguments = 1,
	.run = run,
};
