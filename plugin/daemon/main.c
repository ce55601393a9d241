/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid: options, signals, and the loop in which tdid.c's parts run. */
#include "daemon/tdid.h"
#include "rpc/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define FILES_MAX 8192

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: tdid [--config FILE] [--debug]\n"
		"Hot-plugs trusted PCIe devices into the confidential VMs that libvirt runs.\n\n"
		"  --config FILE  default " CONFIG_PATH_DEFAULT "\n"
		"  --check        read the configuration, say what is wrong with it, and exit\n"
		"  --debug        log more\n"
		"  --version\n"
		"Exit: 0 ended by a signal, 1 cannot start, 2 usage.\n");
}

/* The soft limit is what select(2) can bear, which nothing here uses. */
static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		log_warning("the limit of open files stays as it is: %m");
}

static int prepare_loop(Tdid *tdid)
{
	static const int ends[] = { SIGTERM, SIGINT };
	sigset_t mask;
	int r;

	/* Before any thread is made: libvirt's must not get them. */
	sigemptyset(&mask);
	for (size_t i = 0; i < ELEMENTSOF(ends); i++)
		sigaddset(&mask, ends[i]);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&tdid->event);
	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(ends); i++)
		r = sd_event_add_signal(tdid->event, NULL, ends[i], NULL, NULL);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "debug", no_argument, NULL, 'd' },	    { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },	    {},
	};
	const char *path = CONFIG_PATH_DEFAULT;
	_cleanup_free_ char *error = NULL;
	Tdid tdid = {};
	bool check = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "c:dh", options, NULL)) >= 0)
		switch (c) {
		case 'c': path = optarg; break;
		case 'k': check = true; break;
		case 'd': log_set_level(LOG_LEVEL_DEBUG); break;
		case 'h': usage(stdout); return 0;
		case 'v': puts("tdid " TDID_VERSION); return 0;
		default: usage(stderr); return 2;
		}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}

	r = config_load(&tdid.config, path, &error);
	if (r >= 0 && check) {
		config_free(tdid.config);
		return 0;
	}
	raise_file_limit();
	if (r >= 0)
		r = prepare_loop(&tdid);
	if (r >= 0)
		r = tdid_start(&tdid, &error);
	if (r >= 0) {
		log_info("tdid " TDID_VERSION " listening in %s", tdid.config->sockets);
		sd_notify(0, "READY=1");
		r = sd_event_loop(tdid.event);
	}
	if (r < 0)
		log_error("cannot run: %s", error ?: strerror(-r));
	tdid_stop(&tdid);
	return r < 0 ? 1 : 0;
}
