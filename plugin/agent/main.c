/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-agent: verifies trusted devices inside a TVM. */
#include "agent/agent.h"
#include "agent/quote-command.h"
#include "agent/uevent.h"
#include "rpc/log.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

static const char usage[] =
	"Usage: tdi-agent [OPTION]...\n"
	"       tdi-agent quote --report-data HEX [OPTION]...\n"
	"Verifies the trusted devices of this confidential VM and lets their drivers bind.\n"
	"quote gets a TDX quote of this VM; tdi-agent quote --help says how.\n"
	"\n"
	"  --policy FILE        read the policy from FILE (" AGENT_POLICY_PATH ")\n"
	"  --check-policy FILE  say what a policy means, or what is wrong with it, and exit\n"
	"  --root FOLDER        use FOLDER's /sys, /dev, /proc, /run and /etc\n"
	"  --verbose            say more on standard error\n"
	"  --version\n"
	"  --help\n"
	"\n"
	"Exit status: 0 ended by SIGTERM or SIGINT, or the policy is good; 1 failure, or the "
	"policy\n"
	"is not good; 2 wrong use.\n";

typedef struct Arguments {
	const char *policy;
	const char *check;
	Tree tree;
} Arguments;

/* 1: go on; 0: done; negative: wrong use. */
static int arguments_parse(Arguments *ret, int argc, char **argv)
{
	enum { POLICY = 256, CHECK, ROOT, VERBOSE, VERSION, HELP };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, POLICY },
		{ "check-policy", required_argument, NULL, CHECK },
		{ "root", required_argument, NULL, ROOT },
		{ "verbose", no_argument, NULL, VERBOSE },
		{ "version", no_argument, NULL, VERSION },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int c;

	*ret = (Arguments){ .policy = AGENT_POLICY_PATH, .tree = { .root = "" } };
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case POLICY: ret->policy = optarg; break;
		case CHECK: ret->check = optarg; break;
		case ROOT: ret->tree.root = optarg; break;
		case VERBOSE: log_set_level(LOG_LEVEL_DEBUG); break;
		case VERSION: puts("tdi-agent " TDID_VERSION); return 0;
		case HELP: fputs(usage, stdout); return 0;
		default: return -EINVAL;
		}
	}
	if (optind == argc)
		return 1;
	fprintf(stderr, "tdi-agent: there are no arguments besides options: %s\n", argv[optind]);
	return -EINVAL;
}

static int check_policy(const char *path)
{
	_cleanup_(agent_policy_freep) AgentPolicy *policy = NULL;
	_cleanup_free_ char *error = NULL;
	const Tree here = { .root = "" };

	if (agent_policy_load(&policy, &here, path, &error) < 0) {
		log_error("%s", error ? error : "out of memory");
		return EXIT_FAILED;
	}
	agent_policy_describe(policy, stdout);
	return EXIT_OK;
}

/* The key must not reach a swap device or a core dump. */
static void memory_protect(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("memory cannot be locked: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		log_warning("core dumps cannot be turned off: %s", strerror(errno));
}

static void on_signal(void *userdata, short revents)
{
	log_info("asked to end");
	loop_exit(userdata);
}

static int signals_open(void)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int agent_serve(const Arguments *arguments, const AgentPolicy *policy, const TvmKey *key)
{
	_cleanup_close_ int signal_fd = -1;
	_cleanup_(loop_freep) Loop *loop = NULL;
	_cleanup_(agent_freep) Agent *agent = NULL;
	AgentOptions options = { .tree = &arguments->tree, .policy = policy, .key = key };
	LoopFd signal_source = { 0 };
	int r;

	r = loop_new(&loop);
	if (r == 0) {
		signal_fd = r = signals_open();
		if (r >= 0)
			r = loop_fd_on(loop, &signal_source, signal_fd, POLLIN, on_signal, loop);
	}
	if (r < 0) {
		log_error("the event loop could not be set up: %s", strerror(-r));
		return r;
	}
	options.loop = loop;
	options.uevent_fd = uevent_open();
	if (options.uevent_fd < 0) {
		log_error("uevents: %s", strerror(-options.uevent_fd));
		return options.uevent_fd;
	}
	r = agent_new(&agent, &options);
	if (r < 0) {
		log_error("the agent could not be set up: %s", strerror(-r));
		return r;
	}
	r = agent_start(agent);
	if (r < 0) {
		log_error("/sys/bus/pci/drivers_autoprobe: %s (drivers would bind without "
			  "evidence; the agent needs root and a mounted /sys)",
			  strerror(-r));
		return r;
	}
	r = loop_run(loop);
	loop_fd_off(&signal_source);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_(agent_policy_freep) AgentPolicy *policy = NULL;
	_cleanup_free_ char *error = NULL;
	Arguments arguments;
	TvmKey key;
	int r;

	if (argc > 1 && strcmp(argv[1], "quote") == 0)
		return quote_command(argc - 1, argv + 1);
	r = arguments_parse(&arguments, argc, argv);
	if (r <= 0)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (arguments.check)
		return check_policy(arguments.check);

	memory_protect();
	/* A static program must not load engines or providers that some file names. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	r = agent_policy_load(&policy, &arguments.tree, arguments.policy, &error);
	if (r == 0)
		r = tvm_key_read(&key, &arguments.tree, &error);
	if (r < 0) {
		log_error("%s", error ? error : "out of memory");
		return EXIT_FAILED;
	}
	r = agent_serve(&arguments, policy, &key);
	tvm_key_wipe(&key);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
