/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-qe-emulated: a TDX quoting service that protects nothing, for trying and testing. */
#include "common/command-line.h"
#include "config.h"
#include "pck-chain.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"
#include "service.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static void usage(FILE *to)
{
	fprintf(to, "Usage: tdi-qe-emulated --config FILE\n"
		    "       tdi-qe-emulated --config FILE root\n"
		    "\n"
		    "Emulates Intel's TDX quote generation service and the quoting enclave behind\n"
		    "it, for TDREPORTs that tdi-tsm-emulated made. It protects nothing: it is for\n"
		    "trying and testing.\n"
		    "\n"
		    "root prints, in PEM, the root certificate with which its quotes verify.\n"
		    "\n"
		    "  -c, --config FILE   JSON, see examples/qe-emulated.conf\n"
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
	if (r < 0) {
		log_error("cannot serve: %s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	log_info("emulated quoting service at %s; it protects nothing", config->socket);
	sd_notify(0, "READY=1");
	r = sd_event_loop(event);
	sd_notify(0, "STOPPING=1");
	if (r < 0)
		log_error("event loop: %s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_root(const Config *config)
{
	_cleanup_(pck_chain_freep) PckChain *chain = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	r = pck_chain_open(&chain, config->state, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	fputs(pck_chain_root_pem(chain), stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	const char *path = NULL;
	int r = command_line_options(argc, argv, "tdi-qe-emulated " TDID_VERSION, usage, &path);

	if (r >= 0)
		return r;
	if (!path ||
	    !(argc == optind || (argc == optind + 1 && strcmp(argv[optind], "root") == 0))) {
		usage(stderr);
		return 2;
	}
	r = config_load(&config, path, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	return argc == optind ? serve(config) : print_root(config);
}
