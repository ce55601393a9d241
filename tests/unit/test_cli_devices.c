/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three views of a function, on a made-up tree and with made-up words of tdid. */
#include "testing-config-space.h"
#include "testing-served.h"

#include "cli/devices/devices.h"
#include "schemas/schemas.h"

#include <criterion/redirect.h>

#include <errno.h>

static PciSurvey *survey;
static Served served;
static Cli cli;
static json_object *json;

static void set_up(void)
{
	testing_host_new();
	cr_assert_eq(idl_parse(&cli.interface, schema_io_tdid_assignments, NULL), 0);
}

static void tear_down(void)
{
	json = json_unref(json);
	served_done(&served);
	survey = pci_survey_free(survey);
	cli.interface = idl_free(cli.interface);
	testing_host_remove();
}

TestSuite(cli_devices, .init = set_up, .fini = tear_down, .timeout = 30);

#define TSM                                                                                        \
	"{\"name\": \"emulated\", \"title\": \"emulated (no protection)\", \"protection\": false," \
	" \"ready\": true}"
#define DSM                                                                                        \
	"{\"dsm\": \"" PF "\", \"tsm\": \"emulated (no protection)\", \"state\": \"connected\","   \
	" \"connected\": true, \"pinned\": true}"
#define DEVICE                                                                                     \
	"{\"device\": \"" VF0 "\", \"dsm\": \"" PF "\", \"tsm\": \"emulated (no protection)\","    \
	" \"is_virtual_function\": true, \"domain\": \"" TVM_A "\", \"domain_name\": \"tvm0\","    \
	" \"name\": \"ua-tdi-nic0\", \"quarantined\": false, \"tdi_state\": \"run\"}"

static void serve(const char *tsms, const char *dsms, const char *devices)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "{\"tsms\": [%s], \"dsms\": [%s], \"devices\": [%s]}",
			 tsms, dsms, devices);

	cr_assert_eq(json_parse(&served.reply, text, (size_t)n, NULL), 0);
	served.tsms = json_get_array(served.reply, "tsms");
	served.dsms = json_get_array(served.reply, "dsms");
	served.devices = json_get_array(served.reply, "devices");
}

static DeviceView view(const char *bdf)
{
	survey = pci_survey_free(survey);
	cr_assert_eq(pci_survey_new(&survey, testing_path("sys"), true), 0);
	return device_view(survey, &served, pci_survey_find(survey, testing_bdf(bdf)));
}

static const char *view_json(const char *bdf)
{
	DeviceView v = view(bdf);

	json = json_unref(json);
	json = device_view_json(&v);
	return json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
							    JSON_C_TO_STRING_NOSLASHESCAPE);
}

static bool relevant(const char *bdf)
{
	DeviceView v = view(bdf);

	return device_view_is_relevant(&v);
}

/* --- tdid away --- */

Test(cli_devices, nobody_answers)
{
	_cleanup_free_ char *sentence = NULL;

	cli.socket = "/nonexistent/socket";
	cr_assert_eq(served_load(&served, &cli, &sentence), -ENOENT);
	cr_assert_not_null(strstr(sentence, "does not answer"));
	cr_assert_null(served_device(&served, testing_bdf(VF0)));
	cr_assert_null(served_tsm(&served, NULL));
}

Test(cli_devices, tdid_is_silent)
{
	_cleanup_free_ char *sentence = NULL;
	char path[64];
	int fd;

	cli.socket = raw_path(path);
	fd = raw_listen(path, 1);
	cr_assert_eq(served_load(&served, &cli, &sentence), -ETIME);
	cr_assert_not_null(strstr(sentence, "in time"));
	cr_assert_null(served.devices);
	close(fd);
	raw_done(path);
}

static int load_from(const char *reply, char **sentence)
{
	char path[64];
	pid_t child;
	int r;

	cli.socket = raw_path(path);
	child = testing_tdid(path, reply);
	served_done(&served);
	r = served_load(&served, &cli, sentence);
	testing_tdid_end(child);
	raw_done(path);
	return r;
}

Test(cli_devices, answers_that_break_the_interface)
{
	static const char *const bad[] = {
		"{|",
		"{\"parameters\":{}}|",
		"{\"parameters\":{\"tsms\":[],\"dsms\":[{}],\"devices\":[]}}|",
		"{\"parameters\":{\"tsms\":[],\"dsms\":[],\"devices\":[{\"device\":1}]}}|",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *sentence = NULL;

		cr_assert_eq(load_from(bad[i], &sentence), -EBADMSG, "%s", bad[i]);
		cr_assert_not_null(sentence);
		cr_assert_null(served.tsms);
	}
}

Test(cli_devices, tdid_of_another_version)
{
	_cleanup_free_ char *sentence = NULL;

	cr_assert_eq(load_from("{\"error\":\"org.varlink.service.MethodNotFound\","
			       "\"parameters\":{\"method\":\"Devices\"}}|",
			       &sentence),
		     1);
	cr_assert_not_null(strstr(sentence, "same version"), "%s", sentence);
}

Test(cli_devices, tdid_answers)
{
	_cleanup_free_ char *sentence = NULL;

	cr_assert_eq(load_from("{\"parameters\":{\"tsms\":[" TSM "],\"dsms\":[" DSM "],"
			       "\"devices\":[" DEVICE "]}}|",
			       &sentence),
		     0, "%s", sentence);
	cr_assert_not_null(served_device(&served, testing_bdf(VF0)));
	cr_assert_not_null(served_tsm(&served, "emulated (no protection)"));
}

/* The whole command, with tdid away. */
Test(cli_devices, command)
{
	char *none[] = { NULL }, *malformed[] = { (char *)"01:00.0", NULL };
	char *absent[] = { (char *)ABSENT, NULL };

	cr_redirect_stdout();
	cr_redirect_stderr();
	cli.socket = "/nonexistent/socket";
	cli.command = &command_devices;
	cli.root = "/nonexistent";
	cr_assert_eq(command_devices.run(&cli, none), CLI_REFUSED);
	cli.root = testing_root;
	cli.json = true;
	cr_assert_eq(command_devices.run(&cli, malformed), CLI_USAGE);
	cr_assert_eq(command_devices.run(&cli, absent), CLI_REFUSED);
	cr_assert_eq(command_devices.run(&cli, none), CLI_OK);
	cr_assert_stdout_eq_str("[]\n");
}

Test(cli_devices, served_but_not_there)
{
	serve(TSM, DSM, "");
	cr_assert_not_null(served_dsm(&served, testing_bdf(PF)));
	cr_assert_null(served_dsm(&served, testing_bdf(ABSENT)));
	cr_assert_null(served_tsm(&served, "emul"));
}

/* --- views --- */

Test(cli_devices, unknown_function)
{
	testing_attribute(PF, "vendor", "x\n");
	cr_assert_not(relevant(PF));
}

Test(cli_devices, driver_that_is_no_utf8)
{
	testing_link(OTHER_PF, "driver", "../drivers/e1000\xff");
	cr_assert_not_null(strstr(view_json(OTHER_PF), "\"driver\":\"e1000?\""));
}

Test(cli_devices, relevant)
{
	cr_assert_not(relevant(PF));
	cr_assert_not(relevant(VF0));
	testing_config_new(TESTING_TEE_IO);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert(relevant(PF));
	cr_assert(relevant(VF0), "its PF has the TEE-IO bit");
	testing_config_new(0);
	testing_config_extended(0x100, 0x30, 0);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert(relevant(VF0), "its PF has IDE");
	testing_config_new(0);
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	cr_assert_not(relevant(VF0));
	mkdir(testing_path("sys/bus/pci/devices/" PF "/tsm"), 0755);
	testing_attribute(PF, "tsm/connect", "\n");
	cr_assert(relevant(PF));
	cr_assert(relevant(VF1), "its PF has a DSM");
	cr_assert_not(relevant(OTHER_PF));
}

Test(cli_devices, relevant_because_served)
{
	serve(TSM, DSM, DEVICE);
	cr_assert(relevant(VF0));
	cr_assert(relevant(PF), "its DSM");
	cr_assert_not(relevant(OTHER_PF));
}

Test(cli_devices, json_of_the_host_alone)
{
	const char *text = view_json(VF0);

	cr_assert_str_eq(text,
			 "{\"device\":\"" VF0 "\",\"id\":\"8086:10ca\",\"class\":\"020000\","
			 "\"is_virtual_function\":true,\"physical_function\":\"" PF "\","
			 "\"driver\":\"vfio-pci\",\"iommu_group\":17,\"doe_features\":[],"
			 "\"kernel\":{\"unknown\":[]},\"config\":{\"readable\":true,"
			 "\"tee_io\":false,\"ide\":{\"link\":false,\"selective\":false},"
			 "\"doe_mailboxes\":[]}}",
			 "%s", text);
}

Test(cli_devices, json_of_all_three)
{
	const char *text;

	serve(TSM, DSM, DEVICE);
	testing_config_full();
	testing_config_write(PF, TESTING_CONFIG_SIZE);
	mkdir(testing_path("sys/bus/pci/devices/" PF "/tsm"), 0755);
	testing_attribute(PF, "tsm/connect", "tsm0\n");
	testing_attribute(PF, "tsm/bound", "nonsense\n");
	text = view_json(PF);
	cr_assert_str_eq(text,
			 "{\"device\":\"" PF "\",\"id\":\"8086:10c9\",\"class\":\"020000\","
			 "\"is_virtual_function\":false,\"dsm\":\"" PF "\",\"vfs_enabled\":2,"
			 "\"vfs_total\":7,\"doe_features\":[],\"kernel\":{\"connect\":\"tsm0\","
			 "\"unknown\":[\"bound\"]},\"config\":{\"readable\":true,\"tee_io\":true,"
			 "\"ide\":{\"link\":true,\"selective\":true},\"doe_mailboxes\":[320,352]},"
			 "\"tdid\":{\"dsm\":{\"dsm\":\"" PF
			 "\",\"tsm\":\"emulated (no protection)\","
			 "\"state\":\"connected\",\"connected\":true,\"pinned\":true},"
			 "\"tsm\":{\"name\":\"emulated\",\"title\":\"emulated (no protection)\","
			 "\"protection\":false,\"ready\":true}}}",
			 "%s", text);
	text = view_json(VF0);
	cr_assert_not_null(strstr(text, "\"domain_name\":\"tvm0\""), "%s", text);
	cr_assert_not_null(strstr(text, "\"pinned\":true"), "its DSM: %s", text);
}

Test(cli_devices, without_privilege)
{
	const char *text;

	testing_config_full();
	testing_config_write(PF, 64);
	text = view_json(PF);
	cr_assert_not_null(strstr(text, "\"config\":{\"readable\":false}"), "%s", text);
	cr_assert_null(strstr(text, "vfs_total"));
	testing_attribute(PF, "sriov_totalvfs", "7\n");
	text = view_json(PF);
	cr_assert_not_null(strstr(text, "\"vfs_total\":7"), "%s", text);
}

Test(cli_devices, table)
{
	static char text[8192];
	TeeIoTsm tsm = { "tsm0", "ccp" };
	DeviceView views[2];
	size_t n;
	FILE *out;

	cr_redirect_stdout();
	serve(TSM, DSM, DEVICE);
	mkdir(testing_path("sys/bus/pci/devices/" PF "/tsm"), 0755);
	testing_attribute(PF, "tsm/connect", "tsm0\n");
	testing_attribute(PF, "tsm/bound", "nonsense\n");
	views[0] = view(PF);
	views[1] = device_view(survey, &served, pci_survey_find(survey, testing_bdf(VF0)));
	devices_print_tsms(&tsm, 1, &served);
	devices_print(views, 2);
	device_view_print(&views[1]);
	fflush(stdout);
	out = cr_get_redirected_stdout();
	n = fread(text, 1, sizeof(text) - 1, out);
	cr_assert_gt(n, 0);
	cr_assert_not_null(strstr(text, "tsm0                      kernel    registered by ccp\n"),
			   "%s", text);
	cr_assert_not_null(strstr(text, "emulated (no protection)  tdid      ready\n"));
	cr_assert_not_null(strstr(text, PF "  " PF "  tsm0     ?      connected, pinned  -"));
	cr_assert_not_null(strstr(text, "tvm0/ua-tdi-nic0  emulated (no protection)"));
	cr_assert_not_null(strstr(text, "\n     function: virtual, of " PF "\n"));
	cr_assert_not_null(strstr(text, "\n      held by: tvm0/ua-tdi-nic0\n"));
	cr_assert_not_null(strstr(text, "\n    tdi state: run\n"));
}

static const char *printed_dsm(const char *members)
{
	static char text[8192];
	_cleanup_free_ char *dsm = NULL;
	DeviceView one;
	FILE *out;

	cr_assert_geq(asprintf(&dsm,
			       "{\"dsm\": \"" PF
			       "\", \"tsm\": \"emulated (no protection)\", \"state\": "
			       "\"connected\", \"connected\": true, %s}",
			       members),
		      0);
	cr_redirect_stdout();
	serve(TSM, dsm, "");
	one = view(PF);
	device_view_print(&one);
	fflush(stdout);
	out = cr_get_redirected_stdout();
	text[fread(text, 1, sizeof(text) - 1, out)] = '\0';
	return text;
}

Test(cli_devices, who_had_it_connected)
{
	const char *text = printed_dsm("\"pinned\": true, \"pinned_by\": 4294967294, "
				       "\"connected_by\": {\"uid\": 0}");

	cr_assert_not_null(strstr(text, "\n connected by: root (uid 0), by request\n"), "%s", text);
	cr_assert_not_null(strstr(text, "\n    pinned by: uid 4294967294\n"), "%s", text);
}

Test(cli_devices, what_had_it_connected)
{
	const char *text = printed_dsm("\"pinned\": false, \"connected_by\": {\"domain\": \"" TVM_A
				       "\", \"domain_name\": \"tvm0\", \"name\": \"ua-tdi-nic0\"}");

	cr_assert_not_null(strstr(text, "\n connected by: tvm0/ua-tdi-nic0, which needs it or "
					"did\n"),
			   "%s", text);
	cr_assert_null(strstr(text, "pinned by"));
}

Test(cli_devices, what_nobody_gets)
{
	static char text[8192];
	DeviceView views[2];
	size_t n;
	FILE *out;

	cr_redirect_stdout();
	serve(TSM,
	      "{\"dsm\": \"" PF "\", \"tsm\": \"emulated (no protection)\", \"state\": \"idle\","
	      " \"connected\": false, \"pinned\": false, \"drained\": true}",
	      "{\"device\": \"" VF0 "\", \"dsm\": \"" PF
	      "\", \"tsm\": \"emulated (no protection)\","
	      " \"is_virtual_function\": true, \"quarantined\": false, \"excluded\": "
	      "\"0000:*:*.*\"}");
	views[0] = view(PF);
	views[1] = device_view(survey, &served, pci_survey_find(survey, testing_bdf(VF0)));
	devices_print(views, 2);
	device_view_print(&views[1]);
	fflush(stdout);
	out = cr_get_redirected_stdout();
	n = fread(text, 1, sizeof(text) - 1, out);
	text[n] = '\0';
	cr_assert_not_null(strstr(text, "idle, drained"), "%s", text);
	cr_assert_not_null(strstr(text, "  excluded  "), "%s", text);
	cr_assert_not_null(
		strstr(text, "\n     excluded: by '0000:*:*.*' in tdid.conf: nobody gets it\n"),
		"%s", text);
}
