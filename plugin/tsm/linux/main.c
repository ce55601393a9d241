/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-tsm-linux: the platform's TSM by way of the kernel's PCI/TSM. */
#include "common/command-line.h"
#include "rpc/log.h"
#include "service.h"
#include "uevent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: tdi-tsm-linux [--config FILE]\n"
		"\n"
		"Serves io.tdid.Tsm from the kernel's PCI/TSM (Linux 6.19 or later).\n"
		"\n"
		"  -c, --config FILE   JSON, see examples/tsm-linux.conf; without it, defaults\n"
		"  -d, --debug         say more\n"
		"  -h, --help\n"
		"      --version\n"
		"\n"
		"Exit status: 0 success, 1 failure, 2 wrong usage.\n");
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	sd_notify(0, "STOPPING=1");
	service_stop(userdata);
	return 0;
}

static int serve(const Config *config)
{
	_cleanup_(service_freep) Service *service = NULL;
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_free_ char *error = NULL;
	ServiceOptions options = { .config = config };
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	options.uevents = uevent_open();
	if (options.uevents < 0) {
		log_error("the kernel's uevents cannot be read: %s", strerror(-options.uevents));
		return EXIT_FAILURE;
	}
	r = sd_event_default(&event);
	if (r >= 0)
		r = service_new(&service, event, &options, &error);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGTERM, on_signal, service);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_signal, service);
	if (r >= 0)
		r = service_listen(service, &error);
	if (r < 0) {
		log_error("cannot serve: %s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	log_info("serving the kernel's PCI/TSM");
	sd_notify(0, "READY=1");
	r = sd_event_loop(event);
	if (r < 0)
		log_error("event loop: %s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	const char *path = NULL;
	int r = command_line_options(argc, argv, "tdi-tsm-linux " TDID_VERSION, usage, &path);

	if (r >= 0)
		return r;
	if (argc != optind) {
		usage(stderr);
		return 2;
	}
	r = path ? config_load(&config, path, &error) : config_parse(&config, "{}", 2, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	return serve(config);
}
