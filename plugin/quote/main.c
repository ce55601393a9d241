/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-quoted: between TVMs and the services that turn their TDREPORTs into quotes. */
#include "common/command-line.h"
#include "quote/config.h"
#include "quote/door.h"
#include "quote/records.h"
#include "quote/relay.h"
#include "quote/service.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: tdi-quoted [--config FILE]\n"
		"\n"
		"Relays the TDX quote requests of TVMs to quoting services: a socket for each\n"
		"TVM that libvirt's hook tells of, vsock and TCP for agents, limits for each,\n"
		"and an answer to every request, whatever becomes of the services.\n"
		"\n"
		"  -c, --config FILE   JSON (" CONFIG_PATH_DEFAULT ")\n"
		"  -d, --debug         say more\n"
		"  -h, --help\n"
		"      --version\n"
		"\n"
		"'tdictl quotes' shows what it does. Exit status: 0 success, 1 failure, 2 wrong\n"
		"usage.\n");
}

/* A connection costs two descriptors, its own and one to a service. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int listen_all(Relay *relay, Door **doors, char **ret_error)
{
	for (size_t i = 0; i < relay->config->n_listen; i++) {
		int r = door_of_address(&doors[i], relay, &relay->config->listen[i], ret_error);

		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Nobody is left without an answer. The next of us opens the domains' sockets again: what is at
 * their paths now stays.
 */
static void leave(Relay *relay)
{
	relay->stopping = true;
	for (Domain *domain = relay->domains.first; domain; domain = domain->next)
		domain_stop(domain);
	for (Domain *domain = relay->domains.first; domain; domain = domain->next)
		domain->door = door_leave(domain->door);
}

static int serve(const Config *config)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_(relay_freep) Relay *relay = NULL;
	_cleanup_(records_freep) Records *records = NULL;
	_cleanup_(service_freep) Service *service = NULL;
	_cleanup_free_ char *error = NULL;
	Door *doors[CONFIG_LISTENERS_MAX] = {};
	int r;

	raise_descriptors();
	r = sd_event_default(&event);
	if (r >= 0)
		r = event_end_on_signals(event);
	if (r >= 0)
		r = relay_new(&relay, event, config);
	if (r >= 0)
		r = records_open(&records, config->records, &error);
	if (r >= 0)
		r = records_restore(records, relay, &error);
	if (r >= 0)
		r = listen_all(relay, doors, &error);
	if (r >= 0)
		r = service_new(&service, relay, records, &error);
	if (r >= 0) {
		log_info("%zu quoting services, %zu listeners", config->n_upstreams,
			 config->n_listen);
		sd_notify(0, "READY=1");
		r = sd_event_loop(event);
		sd_notify(0, "STOPPING=1");
	}
	for (size_t i = 0; i < config->n_listen; i++)
		door_free(doors[i]);
	if (relay)
		leave(relay);
	if (r < 0)
		log_error("cannot serve: %s", error ?: strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	const char *path = CONFIG_PATH_DEFAULT;
	int r = command_line_options(argc, argv, "tdi-quoted " TDID_VERSION, usage, &path);

	if (r >= 0)
		return r;
	if (argc != optind) {
		usage(stderr);
		return 2;
	}
	r = config_load(&config, path, &error);
	if (r < 0) {
		log_error("%s", error ?: strerror(-r));
		return EXIT_FAILURE;
	}
	return serve(config);
}
