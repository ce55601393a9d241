/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/quote-command.h"

#include "agent/configfs-report.h"
#include "agent/output-file.h"
#include "agent/policy.h"
#include "agent/qgs-client.h"
#include "agent/report-call.h"
#include "agent/report-port.h"
#include "agent/tdx-guest.h"
#include "core/cleanup.h"
#include "core/hex.h"
#include "core/refusal.h"
#include "core/tdx-quote.h"
#include "rpc/fd-write.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
};

static const char usage[] =
	"Usage: tdi-agent quote --report-data HEX [OPTION]...\n"
	"Gets a TDX quote over the report data, for whoever wants to know what this VM is.\n"
	"\n"
	"  --report-data HEX    1 to 64 bytes in lower-case digits; what is missing is zero\n"
	"  --out FILE           write the quote to FILE, not to standard output\n"
	"  --via WAY            configfs, vsock or tcp only; else the first of them that works\n"
	"  --vsock CID:PORT     the quoting service over vsock (the policy's, else 2:4050)\n"
	"  --tcp ADDRESS:PORT   the quoting service over TCP (the policy's, else none is asked)\n"
	"  --timeout-ms N       for each way but configfs (the policy's, else 30000)\n"
	"  --policy FILE        read the member \"quote\" of this policy, if the file is there\n"
	"                       (" AGENT_POLICY_PATH ")\n"
	"  --root FOLDER        use FOLDER's /sys, /dev, /run and /etc\n"
	"  --verbose            say more on standard error\n"
	"  --help\n"
	"\n"
	"configfs waits as long as the kernel does, 30 s. Without /dev/tdx_guest, vsock and tcp\n"
	"need the running agent, which has the TDREPORT made by an emulated TSM.\n"
	"Exit status: 0 the quote is written; 1 failure; 2 wrong use.\n";

typedef enum QuoteWay {
	WAY_CONFIGFS,
	WAY_VSOCK,
	WAY_TCP,
	N_WAYS,
} QuoteWay;

static const char *const way_names[N_WAYS] = { "configfs", "vsock", "tcp" };

typedef struct QuoteArguments {
	uint8_t report_data[TDREPORT_DATA_SIZE];
	bool has_report_data;
	const char *out;
	bool has_way;
	QuoteWay way;
	const char *policy, *vsock, *tcp;
	uint32_t timeout_ms; /* 0: the policy's */
	Tree tree;
} QuoteArguments;

/* One run. */
typedef struct Quoting {
	const QuoteArguments *arguments;
	PolicyQuote from;
	bool has_report, no_report;
	uint8_t report[TDREPORT_SIZE];
	const char *report_maker;
	uint8_t *quote;
	size_t quote_size;
	TdxQuote read;
} Quoting;

static int parse_report_data(QuoteArguments *arguments, const char *text, char **ret_error)
{
	size_t n = strlen(text) / 2;

	if (n < 1 || n > TDREPORT_DATA_SIZE || hex_decode(arguments->report_data, n, text) < 0)
		return refuse(
			ret_error, -EINVAL,
			"--report-data: expected 2 to %u lower-case hexadecimal digits, an even "
			"number",
			2 * TDREPORT_DATA_SIZE);
	arguments->has_report_data = true;
	return 0;
}

static int parse_way(QuoteArguments *arguments, const char *text, char **ret_error)
{
	arguments->has_way = true;
	for (arguments->way = 0; arguments->way < N_WAYS; arguments->way++)
		if (strcmp(text, way_names[arguments->way]) == 0)
			return 0;
	return refuse(ret_error, -EINVAL, "--via: \"%s\" is none of configfs, vsock, tcp",
		      json_shown(text));
}

static int parse_timeout(QuoteArguments *arguments, const char *text, char **ret_error)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v < POLICY_QUOTE_MIN_TIMEOUT_MS ||
	    v > POLICY_QUOTE_MAX_TIMEOUT_MS)
		return refuse(ret_error, -EINVAL, "--timeout-ms: expected %u to %u",
			      POLICY_QUOTE_MIN_TIMEOUT_MS, POLICY_QUOTE_MAX_TIMEOUT_MS);
	arguments->timeout_ms = (uint32_t)v;
	return 0;
}

/* 1: go on; 0: done; -EINVAL: wrong use, with a sentence unless getopt has said it. */
static int parse_arguments(QuoteArguments *ret, int argc, char **argv, char **ret_error)
{
	enum { REPORT_DATA = 256, OUT, VIA, VSOCK, TCP, TIMEOUT, POLICY, ROOT, VERBOSE, HELP };
	static const struct option options[] = {
		{ "report-data", required_argument, NULL, REPORT_DATA },
		{ "out", required_argument, NULL, OUT },
		{ "via", required_argument, NULL, VIA },
		{ "vsock", required_argument, NULL, VSOCK },
		{ "tcp", required_argument, NULL, TCP },
		{ "timeout-ms", required_argument, NULL, TIMEOUT },
		{ "policy", required_argument, NULL, POLICY },
		{ "root", required_argument, NULL, ROOT },
		{ "verbose", no_argument, NULL, VERBOSE },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int c, r = 0;

	*ret = (QuoteArguments){ .tree = { .root = "" } };
	/* A unit test calls this more than once. */
	optind = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case REPORT_DATA: r = parse_report_data(ret, optarg, ret_error); break;
		case OUT: ret->out = optarg; break;
		case VIA: r = parse_way(ret, optarg, ret_error); break;
		case VSOCK: ret->vsock = optarg; break;
		case TCP: ret->tcp = optarg; break;
		case TIMEOUT: r = parse_timeout(ret, optarg, ret_error); break;
		case POLICY: ret->policy = optarg; break;
		case ROOT: ret->tree.root = optarg; break;
		case VERBOSE: log_set_level(LOG_LEVEL_DEBUG); break;
		case HELP: fputs(usage, stdout); return 0;
		default: return -EINVAL;
		}
	}
	if (r < 0)
		return r;
	if (optind != argc)
		return refuse(ret_error, -EINVAL, "there are no arguments besides options: %s",
			      json_shown(argv[optind]));
	if (!ret->has_report_data)
		return refuse(
			ret_error, -EINVAL,
			"--report-data is missing: what the quote is to vouch for, as a rule a "
			"verifier's nonce or a digest of it");
	if (!ret->out && isatty(STDOUT_FILENO))
		return refuse(ret_error, -EINVAL,
			      "a quote is not for a terminal to show: --out FILE, or redirect");
	return 1;
}

/* The policy's, overruled by what was given. */
static int read_addresses(Quoting *q, bool *ret_usage, char **ret_error)
{
	const QuoteArguments *a = q->arguments;
	_cleanup_(agent_policy_freep) AgentPolicy *policy = NULL;
	_cleanup_free_ char *cause = NULL;
	int r;

	policy_quote_init(&q->from);
	r = agent_policy_load(&policy, &a->tree, a->policy ? a->policy : AGENT_POLICY_PATH, &cause);
	/* A VM without trusted devices needs no policy for a quote. */
	if (r < 0 && (r != -ENOENT || a->policy))
		return refuse(ret_error, r, "%s", cause ? cause : strerror(-r));
	if (policy)
		q->from = policy->quote;
	*ret_usage = true;
	if (a->timeout_ms)
		q->from.timeout_ms = a->timeout_ms;
	free(cause);
	cause = NULL;
	if (a->vsock && (r = stream_address_vsock(&q->from.vsock, a->vsock, &cause)) < 0)
		return refuse(ret_error, r, "--vsock: %s", cause ? cause : strerror(-r));
	if (a->tcp && (r = stream_address_tcp(&q->from.tcp, a->tcp, &cause)) < 0)
		return refuse(ret_error, r, "--tcp: %s", cause ? cause : strerror(-r));
	if (a->has_way && a->way == WAY_TCP && !q->from.tcp.size)
		return refuse(
			ret_error, -EINVAL,
			"--via tcp: no address: --tcp ADDRESS:PORT, or \"quote\": {\"tcp\": ...} "
			"in the policy");
	return 0;
}

/* Once, for all ways that need it; -ENOENT without a sentence: it has been tried. */
static int get_report(Quoting *q, char **ret_error)
{
	const QuoteArguments *a = q->arguments;
	const char *why = NULL;
	Tdreport report;
	int r;

	if (q->has_report)
		return 0;
	if (q->no_report)
		return -ENOENT;
	q->no_report = true;
	q->report_maker = TDX_GUEST_DEVICE;
	r = tdx_guest_report(q->report, &a->tree, a->report_data, ret_error);
	if (r == -ENOENT) {
		q->report_maker = "the TSM, emulated";
		r = report_call(q->report, &a->tree, a->report_data,
				REPORT_PORT_ANSWER_USEC + 5 * USEC_PER_SEC, ret_error);
	}
	if (r < 0)
		return r;
	r = tdreport_parse(&report, q->report, sizeof(q->report), &why);
	if (r < 0)
		return refuse(ret_error, r, "the TDREPORT from %s is none: %s", q->report_maker,
			      why);
	if (memcmp(report.report_data, a->report_data, TDREPORT_DATA_SIZE) != 0)
		return refuse(ret_error, -EBADMSG,
			      "the TDREPORT from %s is over other report data than was asked",
			      q->report_maker);
	q->has_report = true;
	return 0;
}

static int try_stream(Quoting *q, const StreamAddress *address, char **ret_error)
{
	int r = get_report(q, ret_error);

	if (r < 0)
		return r;
	log_debug("%s: asking, with a TDREPORT from %s", address->text, q->report_maker);
	return qgs_client_quote(&q->quote, &q->quote_size, address, q->report,
				q->from.timeout_ms * USEC_PER_MS, ret_error);
}

/* Whether what came is a quote over what was asked. */
static int check_quote(Quoting *q, char **ret_error)
{
	const uint8_t *asked = q->arguments->report_data;
	const char *why = NULL;
	int r;

	r = tdx_quote_parse(&q->read, q->quote, q->quote_size, &why);
	if (r < 0)
		return refuse(ret_error, r, "the %zu bytes that came are no TDX quote: %s",
			      q->quote_size, why);
	if (memcmp(q->read.report_data, asked, TDREPORT_DATA_SIZE) != 0)
		return refuse(ret_error, -EBADMSG,
			      "the quote is over other report data than was asked (an answer to "
			      "somebody else's request?)");
	return 0;
}

/* 0; -ENOENT without a sentence: this VM does not have this way. */
static int try_way(Quoting *q, QuoteWay way, char **ret_error)
{
	_cleanup_free_ char *cause = NULL;
	int r = -ENOENT;

	switch (way) {
	case WAY_CONFIGFS:
		r = configfs_report_quote(&q->quote, &q->quote_size, &q->arguments->tree,
					  q->arguments->report_data, ret_error);
		break;
	case WAY_VSOCK: r = try_stream(q, &q->from.vsock, ret_error); break;
	case WAY_TCP:
		if (q->from.tcp.size)
			r = try_stream(q, &q->from.tcp, ret_error);
		break;
	case N_WAYS: break;
	}
	if (r < 0)
		return r;
	r = check_quote(q, &cause);
	if (r == 0)
		return 0;
	free(q->quote);
	q->quote = NULL;
	return refuse(ret_error, r, "%s: %s", way_names[way], cause ? cause : strerror(-r));
}

/* Where it came from, for the log's line. */
static const char *way_text(const Quoting *q, QuoteWay way)
{
	if (way == WAY_VSOCK)
		return q->from.vsock.text;
	return way == WAY_TCP ? q->from.tcp.text : way_names[way];
}

static int get_quote(Quoting *q)
{
	const QuoteArguments *a = q->arguments;

	for (QuoteWay way = 0; way < N_WAYS; way++) {
		_cleanup_free_ char *error = NULL;
		int r;

		if (a->has_way && way != a->way)
			continue;
		r = try_way(q, way, &error);
		if (r == 0) {
			log_info("quote of %zu bytes, version %u, by way of %s%s", q->quote_size,
				 q->read.version, way_text(q, way),
				 q->read.attributes & TDX_QUOTE_ATTRIBUTE_DEBUG
					 ? "; the host can look into this VM (debug)"
					 : "");
			return 0;
		}
		if (r != -ENOENT || error)
			log_warning("no quote: %s", error ? error : strerror(-r));
		else if (a->has_way)
			log_warning("no quote: " CONFIGFS_REPORTS
				    ": this kernel offers none (TDX guest? configfs mounted? "
				    "module tdx_guest loaded?)");
	}
	log_error("no way gave a quote");
	return -EIO;
}

static int write_quote(const Quoting *q)
{
	const char *out = q->arguments->out;
	int r = out ? output_file_write(out, q->quote, q->quote_size)
		    : fd_write_all(STDOUT_FILENO, q->quote, q->quote_size);

	if (r < 0)
		log_error("%s: the quote could not be written: %s",
			  out ? json_shown(out) : "standard output", strerror(-r));
	return r;
}

int quote_command(int argc, char **argv)
{
	_cleanup_free_ char *error = NULL;
	QuoteArguments arguments;
	Quoting quoting = { .arguments = &arguments };
	bool is_usage = false;
	int r;

	r = parse_arguments(&arguments, argc, argv, &error);
	if (r <= 0) {
		if (error)
			log_error("quote: %s", error);
		return r < 0 ? STATUS_USAGE : STATUS_DONE;
	}
	r = read_addresses(&quoting, &is_usage, &error);
	if (r < 0) {
		log_error("quote: %s", error ? error : strerror(-r));
		return is_usage ? STATUS_USAGE : STATUS_FAILED;
	}
	r = get_quote(&quoting);
	if (r == 0)
		r = write_quote(&quoting);
	free(quoting.quote);
	return r < 0 ? STATUS_FAILED : STATUS_DONE;
}
