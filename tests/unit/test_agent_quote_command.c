/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-agent quote: its options, the ways it goes, and what it takes for a quote. */
#include "agent/quote-command.h"
#include "agent/report-port.h"
#include "core/hex.h"
#include "testing-quoting-service.h"
#include "testing-tree.h"

#include <criterion/redirect.h>
#include <glob.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>

#define HEX "0102030405060708090a"

static TestingTree t;
static char out[128];

/* Plays the agent: answers one asker with a TDREPORT over what it asked for, but one bit. */
typedef struct Agent {
	int fd;
	pthread_t thread;
	bool other_data;
} Agent;

static void *agent_serve(void *userdata)
{
	static const uint8_t key[TDREPORT_KEY_SIZE] = { 1 };
	uint8_t packet[REPORT_PORT_ANSWER_MAX] = { REPORT_PORT_OK };
	TdreportFields fields = {};
	Agent *agent = userdata;
	int fd = accept(agent->fd, NULL, NULL);

	cr_assert_eq(recv(fd, fields.report_data, sizeof(fields.report_data), 0),
		     (ssize_t)sizeof(fields.report_data));
	fields.report_data[63] ^= agent->other_data;
	cr_assert_eq(tdreport_make(packet + 1, &fields, key), 0);
	send(fd, packet, sizeof(packet), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void agent_start(Agent *agent)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	testing_put(&t, REPORT_PORT_FOLDER "/.keep", "%s", "");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s" REPORT_PORT_PATH, t.root);
	agent->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(agent->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(agent->fd, 4), 0);
	cr_assert_eq(pthread_create(&agent->thread, NULL, agent_serve, agent), 0);
}

static void agent_stop(Agent *agent)
{
	pthread_join(agent->thread, NULL);
	close(agent->fd);
}

static void set_up(void)
{
	testing_tree_init(&t);
	snprintf(out, sizeof(out), "%s/quote", t.root);
	cr_redirect_stderr();
	cr_redirect_stdout();
}

static void tear_down(void)
{
	testing_tree_done(&t);
}

TestSuite(agent_quote_command, .init = set_up, .fini = tear_down, .timeout = 30);

/* `more`: up to the first NULL. */
static int quote(const char *data, const char *const *more)
{
	const char *argv[20] = { "quote", "--root", t.root, "--out", out };
	int argc = 5;

	if (data) {
		argv[argc++] = "--report-data";
		argv[argc++] = data;
	}
	while (*more)
		argv[argc++] = *more++;
	return quote_command(argc, (char **)argv);
}

#define QUOTE(data, ...) quote(data, (const char *const[]){ __VA_ARGS__, NULL })

static void said(const char *words)
{
	static char text[8192];
	FILE *f = cr_get_redirected_stderr();
	size_t n;

	fflush(stderr);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	cr_assert(strstr(text, words), "\"%s\" does not say %s", text, words);
}

static void wrote(const char *hex, uint16_t version)
{
	uint8_t data[TDREPORT_DATA_SIZE] = {}, wanted[TESTING_QUOTE_ROOM];
	_cleanup_free_ char *got = NULL;
	const Tree here = { .root = "" };
	size_t size;

	cr_assert_eq(hex_decode(data, strlen(hex) / 2, hex), 0);
	cr_assert_eq(tree_read(&here, &got, &size, 65536, "%s", out), 0);
	cr_assert_eq(size, testing_quote_make(wanted, version, data));
	cr_assert_arr_eq(got, wanted, size);
}

static void wrote_nothing(void)
{
	cr_assert_lt(access(out, F_OK), 0);
}

Test(agent_quote_command, wrong_use)
{
	char long_one[2 * TDREPORT_DATA_SIZE + 3];

	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	cr_assert_eq(QUOTE(NULL, NULL), 2, "no report data");
	cr_assert_eq(QUOTE("", NULL), 2);
	cr_assert_eq(QUOTE("a", NULL), 2);
	cr_assert_eq(QUOTE("abc", NULL), 2);
	cr_assert_eq(QUOTE("AB", NULL), 2, "upper case");
	cr_assert_eq(QUOTE("0x", NULL), 2);
	cr_assert_eq(QUOTE(long_one, NULL), 2, "65 bytes");
	cr_assert_eq(QUOTE(HEX, "more"), 2);
	cr_assert_eq(QUOTE(HEX, "--unknown"), 2);
	cr_assert_eq(QUOTE(HEX, "--via", "unix"), 2);
	cr_assert_eq(QUOTE(HEX, "--via", "tcp"), 2, "no address");
	cr_assert_eq(QUOTE(HEX, "--tcp", "host:1"), 2);
	cr_assert_eq(QUOTE(HEX, "--vsock", "host:1"), 2);
	cr_assert_eq(QUOTE(HEX, "--timeout-ms", "0"), 2);
	cr_assert_eq(QUOTE(HEX, "--timeout-ms", "1s"), 2);
	wrote_nothing();
}

Test(agent_quote_command, help)
{
	char *argv[] = { (char[]){ "quote" }, (char[]){ "--help" }, NULL };

	cr_assert_eq(quote_command(2, argv), 0);
}

Test(agent_quote_command, policies)
{
	cr_assert_eq(QUOTE(HEX, "--policy", "/etc/none.json"), 1, "one that was named");
	said("/etc/none.json");
	testing_put(&t, "/etc/tdi-agent/policy.json", "{\"version\":2}");
	cr_assert_eq(QUOTE(HEX, NULL), 1);
}

Test(agent_quote_command, kernel_offers_none)
{
	cr_assert_eq(QUOTE(HEX, "--via", "configfs"), 1);
	said("this kernel offers none");
	wrote_nothing();
}

Test(agent_quote_command, nobody_makes_a_report)
{
	/* Said once, though two ways would need it. */
	cr_assert_eq(QUOTE(HEX, "--tcp", "127.0.0.1:1"), 1);
	said("is tdi-agent running");
	wrote_nothing();
}

Test(agent_quote_command, device_that_is_none)
{
	testing_put(&t, "/dev/tdx_guest", "%s", "");
	cr_assert_eq(QUOTE(HEX, "--tcp", "127.0.0.1:1"), 1);
	said("/dev/tdx_guest: TDREPORT: ");
}

Test(agent_quote_command, report_over_other_data)
{
	Agent agent = { .other_data = true };

	agent_start(&agent);
	cr_assert_eq(QUOTE(HEX, "--tcp", "127.0.0.1:1"), 1);
	agent_stop(&agent);
	said("over other report data");
}

static void refused(TestingQgsWay way, const char *words)
{
	Agent agent = {};
	TestingQgs qgs;

	agent_start(&agent);
	testing_qgs_start(&qgs, way);
	cr_assert_eq(QUOTE(HEX, "--via", "tcp", "--tcp", qgs.address, "--timeout-ms", "200"), 1);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	said(words);
	wrote_nothing();
}

Test(agent_quote_command, service_is_silent)
{
	refused(QGS_SILENT, "no quote: tcp 127.0.0.1:");
}

Test(agent_quote_command, quote_over_other_data)
{
	refused(QGS_OTHER_DATA, "no quote: tcp: the quote is over other report data");
}

Test(agent_quote_command, no_tdx_quote)
{
	refused(QGS_NO_TDX_QUOTE, "are no TDX quote");
}

static void got(const char *data, uint16_t version, const char *const *more)
{
	const char *arguments[8] = { "--tcp" };
	Agent agent = {};
	TestingQgs qgs;

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	qgs.quote_version = version;
	arguments[1] = qgs.address;
	for (size_t i = 2; *more; i++)
		arguments[i] = *more++;
	cr_assert_eq(quote(data, arguments), 0);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	wrote(data, version);
}

Test(agent_quote_command, over_tcp)
{
	got(HEX, 4, (const char *const[]){ "--via", "tcp", NULL });
	said("by way of tcp 127.0.0.1:");
}

Test(agent_quote_command, version_5)
{
	got("ff", 5, (const char *const[]){ "--via", "tcp", NULL });
}

/* vsock port 1 is nobody's, on a machine with vsock and on one without. */
Test(agent_quote_command, falls_back)
{
	got(HEX, 4, (const char *const[]){ "--vsock", "1:1", NULL });
	said("no quote: vsock 1:1: connect: ");
}

Test(agent_quote_command, addresses_of_the_policy)
{
	Agent agent = {};
	TestingQgs qgs;

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	testing_put(&t, "/etc/tdi-agent/policy.json",
		    "{\"version\":1,\"quote\":{\"vsock\":\"1:1\",\"tcp\":\"%s\"}}", qgs.address);
	cr_assert_eq(QUOTE(HEX, NULL), 0);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	wrote(HEX, 4);
}

Test(agent_quote_command, not_writable)
{
	Agent agent = {};
	TestingQgs qgs;

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	cr_assert_eq(QUOTE(HEX, "--tcp", qgs.address, "--via", "tcp", "--out", "/dev/full"), 1);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	said("/dev/full: the quote could not be written");
}

static void has_old(const char *path)
{
	const Tree here = { .root = "" };
	_cleanup_free_ char *got = NULL;
	size_t size;

	cr_assert_eq(tree_read(&here, &got, &size, 64, "%s", path), 0);
	cr_assert_eq(size, 3);
	cr_assert_arr_eq(got, "old", 3);
}

/* Half a quote is not left behind, nor is what was there before lost. */
Test(agent_quote_command, no_room_for_all_of_it)
{
	struct rlimit limit, little;
	Agent agent = {};
	TestingQgs qgs;
	glob_t found;
	char pattern[160];

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	testing_put(&t, "/quote", "old");
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	little = (struct rlimit){ 100, limit.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
	cr_assert_eq(QUOTE(HEX, "--tcp", qgs.address, "--via", "tcp"), 1);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	said("the quote could not be written: File too large");
	has_old(out);
	snprintf(pattern, sizeof(pattern), "%s?*", out);
	cr_assert_eq(glob(pattern, 0, NULL, &found), GLOB_NOMATCH);
}

/* What a symbolic link leads to, and a longer file: the quote alone is there, and the link. */
Test(agent_quote_command, over_a_file)
{
	Agent agent = {};
	TestingQgs qgs;
	struct stat st;
	char link[160];

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	testing_put(&t, "/quote", "%020000d", 0);
	cr_assert_eq(chmod(out, 0600), 0);
	snprintf(link, sizeof(link), "%s-link", out);
	cr_assert_eq(symlink(out, link), 0);
	cr_assert_eq(QUOTE(HEX, "--tcp", qgs.address, "--via", "tcp", "--out", link), 0);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
	wrote(HEX, 4);
	cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	cr_assert(stat(out, &st) == 0 && (st.st_mode & 07777) == 0600);
}

static void got_out(const char *path, int status)
{
	Agent agent = {};
	TestingQgs qgs;

	agent_start(&agent);
	testing_qgs_start(&qgs, QGS_GOOD);
	cr_assert_eq(QUOTE(HEX, "--tcp", qgs.address, "--via", "tcp", "--out", path), status);
	testing_qgs_stop(&qgs);
	agent_stop(&agent);
}

/* As /dev/stdout of a pipeline: a link to what has no name. The link stays, here by another link.
 */
Test(agent_quote_command, into_a_pipe)
{
	uint8_t data[TDREPORT_DATA_SIZE] = {}, wanted[TESTING_QUOTE_ROOM], got[TESTING_QUOTE_ROOM];
	char link[160], to[64];
	struct stat st;
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", ends[1]);
	snprintf(link, sizeof(link), "%s-link", out);
	cr_assert_eq(symlink(to, link), 0);
	got_out(link, 0);
	close(ends[1]);
	cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	cr_assert_eq(hex_decode(data, strlen(HEX) / 2, HEX), 0);
	cr_assert_eq(read(ends[0], got, sizeof(got)), (ssize_t)testing_quote_make(wanted, 4, data));
	cr_assert_arr_eq(got, wanted, TESTING_QUOTE_SIZE);
	close(ends[0]);
}

Test(agent_quote_command, over_a_link_to_nothing)
{
	struct stat st;
	char link[160];

	snprintf(link, sizeof(link), "%s-link", out);
	cr_assert_eq(symlink(out, link), 0);
	got_out(link, 1);
	said("this symbolic link leads to no file");
	cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	wrote_nothing();
}
