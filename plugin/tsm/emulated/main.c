/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-tsm-emulated: a TSM and devices that protect nothing, for trying and testing. */
#include "common/command-line.h"
#include "config.h"
#include "reference.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"
#include "service.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: tdi-tsm-emulated --config FILE\n"
		"       tdi-tsm-emulated --config FILE reference DEVICE\n"
		"\n"
		"Emulates a platform's TEE security manager and the security managers of PCI\n"
		"devices. It protects nothing: it is for trying and testing.\n"
		"\n"
		"reference prints, as JSON for an agent's policy, what the device's vendor would\n"
		"publish: root certificates, names and reference measurements.\n"
		"\n"
		"  -c, --config FILE   JSON, see examples/tsm-emulated.conf\n"
		"  -d, --debug         say more\n"
		"  -h, --help\n"
		"      --version\n"
		"\n"
		"Exit status: 0 success, 1 failure, 2 wrong usage.\n");
}

static int serve(const Config *config)
{
	_cleanup_(service_freep) Service *service = NULL;
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	r = sd_event_default(&event);
	if (r >= 0)
		r = event_end_on_signals(event);
	if (r >= 0)
		r = service_new(&service, event, config, &error);
	if (r >= 0)
		r = service_listen(service, &error);
	if (r < 0) {
		log_error("cannot serve: %s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	log_info("emulated TSM for %zu configured devices; it protects nothing", config->n_devices);
	sd_notify(0, "READY=1");
	r = sd_event_loop(event);
	sd_notify(0, "STOPPING=1");
	if (r < 0)
		log_error("event loop: %s", strerror(-r));
	/* What ended the loop, if not a signal, gave the status. */
	return r < 0 ? EXIT_FAILURE : r;
}

static int print_reference(const Config *config, const char *device)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *error = NULL;
	Bdf bdf;
	int r;

	if (bdf_parse(&bdf, device) < 0) {
		log_error("\"%s\" is not an address such as 0000:01:00.0", device);
		return 2;
	}
	r = reference_make(&object, config, bdf, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	const char *path = NULL;
	int r = command_line_options(argc, argv, "tdi-tsm-emulated " TDID_VERSION, usage, &path);

	if (r >= 0)
		return r;
	if (!path ||
	    !(argc == optind || (argc == optind + 2 && strcmp(argv[optind], "reference") == 0))) {
		usage(stderr);
		return 2;
	}
	r = config_load(&config, path, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	return argc == optind ? serve(config) : print_reference(config, argv[optind + 1]);
}
