/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/quote-relay.c: what libvirt's hook makes tdid say to tdi-quoted, and what comes of it. */
#include "testing-hook.h"

#include "rpc/varlink-server.h"
#include "schemas/schemas.h"

#define SOCKET "/run/tdid/quote/" TVM0 ".sock"
#define QUOTES                                                                                     \
	"<launchSecurity type='tdx'><quoteGenerationService path='" SOCKET "'/></launchSecurity>"
#define HEAD	       "<domain type='kvm'><name>tvm0</name><uuid>" TVM0 "</uuid>"
#define WITH	       HEAD QUOTES "<devices/></domain>"
#define VSOCK	       "<vsock model='virtio'><cid auto='yes' address='7'/></vsock>"
#define PORT_AND_VSOCK HEAD "<devices>" TESTING_PORT VSOCK "</devices></domain>"
#define OTHER_VSOCK    TESTING_DOMAIN(TVM1, TESTING_PORT VSOCK)
#define ELSEWHERE                                                                                  \
	HEAD "<launchSecurity type='tdx'><quoteGenerationService "                                 \
	     "path='/var/run/tdx-qgs/qgs.socket'/></launchSecurity><devices>" TESTING_PORT         \
	     "</devices></domain>"

static VarlinkServer *quoted;
static char told[1024]; /* what came last */
static unsigned int n_told;
static bool refuse, hang, not_now;
static VarlinkCall *hanging;

static void set_up(void)
{
	if (getuid() != 0)
		cr_skip_test("only root may call the hook");
	testing_daemon_init(&d);
	d.stop_timeout_ms = 500;
}

static void tear_down(void)
{
	client = varlink_client_free(client);
	quoted = varlink_server_free(quoted);
	if (hanging)
		hanging = varlink_call_unref(hanging);
	if (d.event)
		testing_daemon_done(&d);
}

TestSuite(daemon_quote_relay, .init = set_up, .fini = tear_down);

static int on_told(VarlinkCall *call, json_object *parameters, void *userdata)
{
	n_told++;
	snprintf(told, sizeof(told), "%s %s", strrchr(varlink_call_method(call), '.') + 1,
		 json_object_to_json_string_ext(
			 parameters, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	if (hang) {
		hanging = varlink_call_ref(call);
		return 0;
	}
	if (refuse)
		return varlink_call_errorb(call, "Refused",
					   J_STRING("message", "tvm0: no room; tidy up"));
	if (not_now)
		return varlink_call_errorb(call, "NotNow",
					   J_STRING("message", "tvm0: Too many open files"));
	return varlink_call_reply(call, NULL);
}

static int on_shown(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return varlink_call_error(call, "NotPermitted", NULL);
}

static void start_quoted(void)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Quote.Prepare", 0, on_told },  { "io.tdid.Quote.Started", 0, on_told },
		{ "io.tdid.Quote.Release", 0, on_told },  { "io.tdid.Quote.List", 0, on_shown },
		{ "io.tdid.Quote.Metrics", 0, on_shown },
	};
	char path[128];

	snprintf(path, sizeof(path), "%s/io.tdid.Quote", d.directory);
	cr_assert_eq(varlink_server_new(&quoted, d.event, NULL), 0);
	cr_assert_eq(varlink_server_add_interface(quoted, schema_io_tdid_quote, NULL), 0);
	cr_assert_eq(varlink_server_bind_all(quoted, methods, ELEMENTSOF(methods), NULL), 0);
	cr_assert_eq(varlink_server_listen(quoted, path, 0600, NULL), 0);
}

static void expect_told(const char *method, const char *about)
{
	UNTIL(d.event, n_told > 0);
	cr_assert(strncmp(told, method, strlen(method)) == 0 && strstr(told, about), "%s", told);
	cr_assert_eq(n_told, 1);
	n_told = 0;
}

Test(daemon_quote_relay, start_with_a_quote_socket)
{
	testing_daemon_start(&d);
	start_quoted();
	call("prepare", WITH, 0);
	expect("");
	expect_told("Prepare ",
		    "\"domain\":\"" TVM0 "\",\"name\":\"tvm0\",\"socket\":\"" SOCKET "\"");
	/* It is no TSM's business. */
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);
	call("started", WITH, getpid());
	expect("");
	expect_told("Started ", "\"qemu_pid\":");
	cr_assert_null(strstr(told, "cid"), "%s", told);
	call("reconnect", WITH, getpid());
	expect("");
	expect_told("Started ", "\"domain\":\"" TVM0 "\"");
	call("release", WITH, 0);
	expect("");
	expect_told("Release ", "\"domain\":\"" TVM0 "\"");
}

Test(daemon_quote_relay, start_that_it_refuses)
{
	testing_daemon_start(&d);
	start_quoted();
	refuse = true;
	call("prepare", WITH, 0);
	expect("its quote socket " SOCKET ": tvm0: no room; tidy up");
	/* Everything else goes on. */
	call("started", WITH, getpid());
	expect("");
	call("stopped", WITH, 0);
	expect("");
	call("release", WITH, 0);
	expect("");
}

Test(daemon_quote_relay, start_while_there_is_none)
{
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("tdi-quoted does not serve ");
	cr_assert(strstr(answer, "Start tdi-quoted.socket"), "%s", answer);
	call("started", WITH, getpid());
	expect("");
	call("release", WITH, 0);
	expect("");
	/* Once it is there, it goes. */
	start_quoted();
	call("prepare", WITH, 0);
	expect("");
}

Test(daemon_quote_relay, it_hangs)
{
	testing_daemon_start(&d);
	start_quoted();
	hang = true;
	call("prepare", WITH, 0);
	UNTIL(d.event, n_told == 1);
	expect("tdi-quoted does not answer in time");
}

Test(daemon_quote_relay, it_dies_in_the_middle)
{
	testing_daemon_start(&d);
	start_quoted();
	hang = true;
	call("prepare", WITH, 0);
	UNTIL(d.event, n_told == 1);
	quoted = varlink_server_free(quoted);
	expect("tdi-quoted has hung up");
}

Test(daemon_quote_relay, caller_goes_away)
{
	testing_daemon_start(&d);
	start_quoted();
	hang = true;
	call("prepare", WITH, 0);
	UNTIL(d.event, n_told == 1);
	client = varlink_client_free(client);
	testing_idle(d.event);
	quoted = varlink_server_free(quoted);
	testing_idle(d.event);
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT), 0);
	expect("");
}

Test(daemon_quote_relay, domain_with_a_vsock)
{
	testing_daemon_start(&d);
	start_quoted();
	call("prepare", PORT_AND_VSOCK, 0);
	expect("");
	cr_assert_eq(n_told, 0);
	call("started", PORT_AND_VSOCK, getpid());
	expect("");
	expect_told("Started ", "\"cid\":7");
	call("release", PORT_AND_VSOCK, 0);
	expect("");
	expect_told("Release ", TVM0);
}

/* Where no tdi-quoted is installed nobody misses it. */
Test(daemon_quote_relay, domains_that_it_is_not_needed_for)
{
	testing_daemon_start(&d);
	call("prepare", PORT_AND_VSOCK, 0);
	expect("");
	call("started", PORT_AND_VSOCK, getpid());
	expect("");
	call("release", PORT_AND_VSOCK, 0);
	expect("");
	start_quoted();
	call("prepare", ELSEWHERE, 0);
	expect("");
	call("started", ELSEWHERE, getpid());
	expect("");
	call("release", ELSEWHERE, 0);
	expect("");
	cr_assert_eq(n_told, 0);
}

/* Which QEMU it is must not get lost: told again until it is taken. */
Test(daemon_quote_relay, started_while_there_is_none)
{
	testing_daemon_start(&d);
	call("started", WITH, getpid());
	expect("");
	cr_assert_eq(n_told, 0);
	start_quoted();
	for (int turns = 0; n_told == 0 && turns < 60; turns++)
		testing_turn(d.event); /* half a second at most, each */
	expect_told("Started ", "\"qemu_pid\":");
	testing_idle(d.event);
	cr_assert_eq(n_told, 0);
}

/* Nor by what tdi-quoted lacks for a while. */
Test(daemon_quote_relay, started_while_it_lacks_something)
{
	testing_daemon_start(&d);
	start_quoted();
	not_now = true;
	call("started", WITH, getpid());
	expect("");
	UNTIL(d.event, n_told == 1);
	/* Another's does not wait for its time. */
	call("started", OTHER_VSOCK, getpid());
	expect("");
	UNTIL(d.event, strstr(told, TVM1));
	not_now = false;
	n_told = 0;
	for (int turns = 0; n_told < 2 && turns < 60; turns++)
		testing_turn(d.event);
	cr_assert_eq(n_told, 2);
	testing_idle(d.event);
	cr_assert_eq(n_told, 2, "one that was taken is not told again");
}

/* Nor that it has ended, or its socket would stay. */
Test(daemon_quote_relay, released_while_there_is_none)
{
	testing_daemon_start(&d);
	call("release", WITH, 0);
	expect("");
	start_quoted();
	for (int turns = 0; n_told == 0 && turns < 60; turns++)
		testing_turn(d.event);
	expect_told("Release ", TVM0);
	testing_idle(d.event);
	cr_assert_eq(n_told, 0);
}

/* Where there is a tdi-quoted, one that is restarted hears of a domain with a vsock device, too. */
Test(daemon_quote_relay, domain_with_a_vsock_while_it_is_restarted)
{
	testing_daemon_start(&d);
	start_quoted();
	hang = true;
	call("started", PORT_AND_VSOCK, getpid());
	expect("");
	UNTIL(d.event, n_told == 1);
	quoted = varlink_server_free(quoted);
	hanging = varlink_call_unref(hanging);
	testing_idle(d.event);
	n_told = 0;
	hang = false;
	start_quoted();
	for (int turns = 0; n_told == 0 && turns < 60; turns++)
		testing_turn(d.event);
	expect_told("Started ", "\"cid\":7");
}

/* What is newer makes it void; and calls come in their order. */
Test(daemon_quote_relay, released_before_it_could_be_told)
{
	testing_daemon_start(&d);
	call("started", WITH, getpid());
	expect("");
	call("release", WITH, 0);
	expect("");
	start_quoted();
	call("prepare", WITH, 0);
	expect("");
	expect_told("Prepare ", TVM0);
	testing_idle(d.event);
	cr_assert_eq(n_told, 0);
}

/* tdid was not there when the hook told, or has been restarted: the domain's read tells. */
Test(daemon_quote_relay, told_by_what_libvirt_says)
{
	testing_daemon_start(&d);
	start_quoted();
	testing_daemon_run(&d, 0, PORT_AND_VSOCK);
	expect_told("Started ", "\"cid\":7");
}
