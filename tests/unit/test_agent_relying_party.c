/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole agent with a relying party in its policy: commands that accept, refuse and misbehave,
 * what they are given, and what becomes of them when the device they were asked about is gone.
 */
#include "testing-agent.h"
#include "testing-schema.h"
#include "../scratch-folder.h"

#include <errno.h>
#include <signal.h>

#define ACCEPT "{\\\"verdict\\\":\\\"accept\\\"}"
#define REJECT "{\\\"verdict\\\":\\\"reject\\\",\\\"reason\\\":\\\"not on my watch\\\"}"

static char folder[64];

/*
 * The policy's command is a shell's here, to be many programs: only a test does that. In the
 * script, which is JSON text, $0 is a folder of the test's.
 */
static void start_with(const char *script, unsigned int timeout_ms, const char *more)
{
	_cleanup_free_ char *policy = NULL;

	cr_assert(scratch_folder(folder, sizeof(folder), NULL));
	cr_assert_gt(asprintf(&policy,
			      ",\"relying_party\":{\"command\":[\"/bin/sh\",\"-c\","
			      "\"echo asked >>$0/asked; %s\",\"%s\"],\"timeout_ms\":%u}%s",
			      script, folder, timeout_ms, more),
		     0);
	testing_bed_init(policy);
	testing_offer_when_greeted();
	testing_wait("Ready");
}

static void start(const char *script, unsigned int timeout_ms)
{
	start_with(script, timeout_ms, "");
}

static void done(void)
{
	char command[128];

	testing_bed_done();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (folder[0])
		cr_assert_eq(system(command), 0);
}

/* As tdi-agent does. */
static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	folder[0] = '\0';
}

TestSuite(agent_relying_party, .init = setup, .fini = done, .timeout = 60);

/* What a command has written there; waits for its last line's end. NULL: nothing. */
static char *written(const char *name, unsigned int msec)
{
	const Tree tree = { .root = folder };
	char *text = NULL;
	size_t size;

	for (unsigned int waited = 0;; waited += 5) {
		if (tree_read(&tree, &text, &size, 1 << 20, "/%s", name) == 0 && size &&
		    text[size - 1] == '\n')
			return text;
		free(text);
		text = NULL;
		if (waited >= msec)
			return NULL;
		testing_wait_within(NULL, 5);
	}
}

static unsigned int n_asked(void)
{
	_cleanup_free_ char *text = written("asked", 0);
	unsigned int n = 0;

	for (const char *p = text; p && *p; p++)
		n += *p == '\n';
	return n;
}

static pid_t wait_pid(const char *name)
{
	_cleanup_free_ char *text = written(name, 10000);

	cr_assert_not_null(text, "the command was not run");
	return (pid_t)atoi(text);
}

static void wait_killed(pid_t pid)
{
	cr_assert_gt(pid, 1);
	for (unsigned int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
		testing_wait_within(NULL, 5);
	cr_assert(kill(pid, 0) < 0 && errno == ESRCH, "the command is still there");
}

/* A program may take its time to start on a busy machine. */
static void wait_verdict(const char *verdict)
{
	cr_assert(testing_wait_within(verdict, 30000), "no \"%s\" in:\n%s", verdict, bed.events);
}

static void rejected(const char *words)
{
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict rejected relying-party");
	testing_settle();
	cr_assert(strstr(bed.reason, words), "\"%s\" does not say %s", bed.reason, words);
	cr_assert_null(strstr(bed.events, "accepted"));
	cr_assert_not(testing_probed());
	cr_assert_not(bed.accepted);
	cr_assert_eq(bed.accepts, 0);
	cr_assert_eq(bed.mmios, 0);
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert(testing_wait_file(TESTING_DEVICE "/enable", "0"));
}

/* --- it refuses, or does what counts as that --- */

Test(agent_relying_party, refuses)
{
	start("cat >/dev/null; echo '" REJECT "'", 10000);
	rejected("the relying party refuses the device: not on my watch");
	cr_assert_eq(n_asked(), 1);
}

Test(agent_relying_party, exit_status)
{
	start("echo '" ACCEPT "'; echo broken >&2; exit 1", 10000);
	rejected("ended with status 1");
}

Test(agent_relying_party, dies_by_signal)
{
	start("echo '" ACCEPT "'; kill -SEGV $$", 10000);
	rejected("ended by signal 11");
}

Test(agent_relying_party, hangs)
{
	start("echo '" ACCEPT "'; echo $$ >$0/pid; exec sleep 1000", 1500);
	rejected("had not answered after 1500 ms");
	wait_killed(wait_pid("pid"));
}

Test(agent_relying_party, floods)
{
	start("exec yes", 10000);
	rejected("wrote more than 65536 bytes");
}

Test(agent_relying_party, says_nothing)
{
	start("cat >/dev/null", 10000);
	rejected("is no verdict: JSON");
}

Test(agent_relying_party, says_garbage)
{
	start("head -c 1000 /dev/urandom", 10000);
	rejected("is no verdict: JSON");
}

Test(agent_relying_party, says_too_much)
{
	start("echo '" ACCEPT "'; echo '" ACCEPT "'", 10000);
	rejected("is no verdict: JSON");
}

Test(agent_relying_party, says_two_things)
{
	start("echo '{\\\"verdict\\\":\\\"reject\\\",\\\"verdict\\\":\\\"accept\\\"}'", 10000);
	rejected("twice");
}

Test(agent_relying_party, says_more_than_it_may)
{
	start("echo '{\\\"verdict\\\":\\\"accept\\\",\\\"override\\\":true}'", 10000);
	rejected("\"override\"");
}

static void with_command(const char *program)
{
	_cleanup_free_ char *policy = NULL;

	cr_assert_gt(asprintf(&policy, ",\"relying_party\":{\"command\":[\"%s\"]}", program), 0);
	testing_bed_init(policy);
	testing_offer_when_greeted();
	testing_wait("Ready");
}

Test(agent_relying_party, is_missing)
{
	with_command("/nowhere/verify");
	rejected("/nowhere/verify cannot be started: No such file or directory");
}

Test(agent_relying_party, is_no_program)
{
	with_command("/etc/passwd");
	rejected("/etc/passwd cannot be started: Permission denied");
}

/* --- it may only refuse --- */

static void not_asked(const char *verdict)
{
	testing_locked(TESTING_GENERATION);
	wait_verdict(verdict);
	testing_settle();
	cr_assert_eq(n_asked(), 0);
	cr_assert_eq(bed.accepts, 0);
}

Test(agent_relying_party, not_asked_about_wrong_firmware)
{
	start("echo '" ACCEPT "'", 10000);
	bed.record[7] ^= 1;
	not_asked("Verdict rejected references");
}

Test(agent_relying_party, not_asked_about_swapped_evidence)
{
	start("echo '" ACCEPT "'", 10000);
	bed.fault = FAULT_MEASUREMENTS;
	not_asked("Verdict rejected digests");
}

Test(agent_relying_party, not_asked_about_a_driven_function)
{
	start("echo '" ACCEPT "'", 10000);
	testing_bind_driver(&bed.files, true);
	not_asked("Verdict rejected driver");
}

/* What comes after is still the agent's and the TSM's. */
Test(agent_relying_party, accepts_and_the_tsm_refuses)
{
	start("cat >/dev/null; echo '" ACCEPT "'", 10000);
	bed.fault = FAULT_MMIO;
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict rejected mmio");
	cr_assert_eq(n_asked(), 1);
	cr_assert_eq(bed.accepts, 0);
}

/* --- the rest goes on meanwhile --- */

Test(agent_relying_party, the_agent_goes_on)
{
	start("echo $$ >$0/pid; exec sleep 1000", 60000);
	testing_locked(TESTING_GENERATION);
	wait_pid("pid");
	/* Another function is dealt with, and tdid is answered. */
	testing_put(&bed.files, "/sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n");
	testing_put(&bed.files, "/sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n");
	{
		char path[256];

		snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:02:00.0/driver",
			 bed.files.root);
		cr_assert_eq(symlink("../../../bus/pci/drivers/nvme", path), 0);
	}
	testing_uevent("bind@/devices/x|ACTION=bind|DEVPATH=/devices/x|SUBSYSTEM=pci|"
		       "PCI_SLOT_NAME=0000:02:00.0|DRIVER=nvme|");
	cr_assert(testing_wait_file(TESTING_UNBIND, "0000:02:00.0"));
	testing_say_raw("", 1);
	cr_assert(testing_wait_count(&bed.hellos, 2));
	/* Said again: it is the same bind, about which is asked already. */
	testing_offer();
	testing_locked(TESTING_GENERATION);
	testing_settle();
	cr_assert_eq(n_asked(), 1);
	cr_assert_null(strstr(bed.events, "Verdict"));
}

/* --- nobody wants to know any more --- */

/* It answers late, and to the letter. */
#define SLOW "trap '' TERM; echo $$ >$0/pid; sleep 3; echo '" ACCEPT "'; echo late >$0/late"

static void gone(void)
{
	wait_killed(wait_pid("pid"));
	testing_settle();
	cr_assert_null(strstr(bed.events, "Verdict accepted"));
	cr_assert_null(strstr(bed.events, "relying-party"));
	cr_assert_eq(bed.accepts, 0);
	cr_assert_null(written("late", 0));
	cr_assert_not(testing_probed());
}

Test(agent_relying_party, withdrawn)
{
	start(SLOW, 60000);
	testing_locked(TESTING_GENERATION);
	wait_pid("pid");
	testing_withdraw(TESTING_GENERATION);
	gone();
	cr_assert(testing_wait_count(&bed.revokes, 1));
}

Test(agent_relying_party, removed)
{
	start(SLOW, 60000);
	testing_locked(TESTING_GENERATION);
	wait_pid("pid");
	testing_pci_uevent("remove");
	gone();
}

Test(agent_relying_party, bound_anew)
{
	/* The first time it hangs. */
	start("[ -e $0/pid ] || { echo $$ >$0/pid; exec sleep 1000; }; echo '" ACCEPT "'", 60000);
	testing_locked(TESTING_GENERATION);
	wait_pid("pid");
	bed.generation = TESTING_GENERATION + 1;
	testing_locked(bed.generation);
	wait_verdict("Verdict accepted");
	wait_killed(wait_pid("pid"));
	cr_assert_eq(n_asked(), 2);
	cr_assert_eq(bed.accepts, 1);
}

Test(agent_relying_party, agent_ends_and_starts_over)
{
	start("[ -e $0/pid ] || { echo $$ >$0/pid; exec sleep 1000; }; echo '" ACCEPT "'", 60000);
	testing_locked(TESTING_GENERATION);
	wait_pid("pid");
	testing_agent_stop();
	wait_killed(wait_pid("pid"));
	cr_assert_eq(bed.accepts, 0);
	testing_agent_start();
	cr_assert(testing_wait_count(&bed.hellos, 2));
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	cr_assert_eq(n_asked(), 2);
}

/* --- it accepts --- */

Test(agent_relying_party, accepts)
{
	static const char order[] = "Ready\nProgress ready\nProgress info\nProgress checked\n"
				    "Progress relying-party\nProgress mmio\nProgress validated\n"
				    "Progress confirmed\nVerdict accepted confirmed\n";

	start("cat >/dev/null; echo looks good >&2; echo '" ACCEPT "'", 10000);
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	cr_assert_str_eq(bed.events, order);
	cr_assert_eq(bed.accepts, 1);
	cr_assert_eq(n_asked(), 1);
	/* The same bind again: no evidence, no question. */
	testing_locked(TESTING_GENERATION);
	testing_settle();
	cr_assert_eq(bed.infos, 1);
	cr_assert_eq(n_asked(), 1);
}

Test(agent_relying_party, asked_anew_about_new_evidence)
{
	start("cat >/dev/null; echo '" ACCEPT "'", 10000);
	bed.fault = FAULT_STALE;
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	cr_assert_eq(bed.infos, 2);
	cr_assert_eq(n_asked(), 2);
}

/* Its word counts as long as evidence is collected: an accepted device goes, driver and all. */
Test(agent_relying_party, refuses_later)
{
	start_with("cat >/dev/null; if [ $(wc -l <$0/asked) = 1 ]; then echo '" ACCEPT
		   "'; else echo '" REJECT "'; fi",
		   10000, ",\"reattest_interval_sec\":1");
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	testing_driver_binds();
	wait_verdict("Verdict rejected relying-party");
	cr_assert_eq(n_asked(), 2);
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert(testing_wait_file(TESTING_UNBIND, TESTING_BDF));
}

/* Nobody hears of it then, nor when the TSM has been told; it is said when tdid is back. */
Test(agent_relying_party, refuses_while_tdid_is_away)
{
	_cleanup_free_ char *asked = NULL, *said = NULL;
	char path[80];
	int fd;

	start("cat >/dev/null; while ! [ -e $0/away ]; do sleep 0.01; done; echo '" REJECT
	      "'; echo >$0/said",
	      30000);
	testing_locked(TESTING_GENERATION);
	asked = written("asked", 10000);
	bed.away = true;
	testing_say_raw("", 1);
	testing_settle();
	snprintf(path, sizeof(path), "%s/away", folder);
	fd = creat(path, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	said = written("said", 10000);
	cr_assert_not_null(said);
	testing_settle();
	cr_assert_null(strstr(bed.events, "Verdict"), "%s", bed.events);
	bed.away = false;
	testing_say_raw("", 1);
	wait_verdict("Verdict rejected relying-party");
	cr_assert(strstr(bed.reason, "not on my watch"));
	cr_assert(testing_wait_count(&bed.revokes, 1));
	cr_assert_eq(n_asked(), 1);
}

/* --- the example --- */

static void start_with_example(void)
{
	char digest[DIGEST_STRING_SIZE], path[128];
	_cleanup_free_ char *policy = NULL;
	FILE *file;

	cr_assert(scratch_folder(folder, sizeof(folder), NULL));
	cr_assert_gt(asprintf(&policy,
			      ",\"relying_party\":{\"command\":[\"" TESTING_REPOSITORY
			      "/examples/relying-party/verify\",\"--root\",\"%s/root\","
			      "\"--references\",\"%s/references\"],\"timeout_ms\":30000}",
			      folder, folder),
		     0);
	testing_bed_init(policy);
	snprintf(path, sizeof(path), "%s/root", folder);
	file = fopen(path, "w");
	PEM_write_X509(file, bed.chain.certs[TESTING_ROOT]);
	fclose(file);
	snprintf(path, sizeof(path), "%s/references", folder);
	file = fopen(path, "w");
	hex_encode(digest, bed.record + 7, DIGEST_SIZE);
	/* Stricter than the agent's policy, which takes version 7. */
	fprintf(file,
		"{\"devices\":[{\"vendor\":\"1b36\",\"device\":\"0010\",\"measurements\":"
		"[{\"index\":1,\"digest\":\"%s\"},{\"index\":2,\"minimum_svn\":8}]}]}",
		digest);
	fclose(file);
	testing_offer_when_greeted();
	testing_wait("Ready");
}

Test(agent_relying_party, the_example_refuses)
{
	start_with_example();
	rejected("the relying party refuses the device: measurement 0x02 is version 7, expected "
		 "version 8 or later");
}

Test(agent_relying_party, the_example_accepts)
{
	start_with_example();
	/* Its security version number: after the first block of 7 + 48 bytes. */
	bed.record[55 + 7] = 8;
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	cr_assert_eq(bed.accepts, 1);
}

/* --- what it is told --- */

static void member_is_bytes(json_object *object, const char *name, struct iovec expected)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	cr_assert_eq(base64_decode(&bytes, &size, json_get_string(object, name), 1 << 20), 0);
	cr_assert_eq(size, expected.iov_len, "%s", name);
	cr_assert_arr_eq(bytes, expected.iov_base, size, "%s", name);
}

static void member_is_digest(json_object *object, const char *name, const Digest *expected)
{
	char text[DIGEST_STRING_SIZE];

	cr_assert_str_eq(json_get_string(object, name), digest_format(expected, text), "%s", name);
}

static void check_function(json_object *function)
{
	json_object *bar = json_object_array_get_idx(json_get_array(function, "bars"), 0);

	cr_assert_str_eq(json_get_string(function, "address"), TESTING_BDF);
	cr_assert_str_eq(json_get_string(function, "vendor"), "1b36");
	cr_assert_str_eq(json_get_string(function, "device"), "0010");
	cr_assert_str_eq(json_get_string(function, "class"), "010802");
	cr_assert_str_eq(json_get_string(function, "revision"), "02");
	cr_assert_str_eq(json_get_string(function, "subsystem_vendor"), "1af4");
	cr_assert_str_eq(json_get_string(function, "subsystem"), "1100");
	cr_assert_null(json_get_string(function, "serial"));
	cr_assert_eq(json_object_array_length(json_get_array(function, "bars")), 1);
	cr_assert_eq(json_get_int(bar, "bar", -1), 0);
	cr_assert(json_get_bool(bar, "is_64bit", false));
	cr_assert_eq(json_get_int(bar, "address", -1), TESTING_BAR0);
	cr_assert_eq(json_get_int(bar, "size", -1), TESTING_BAR0_SIZE);
}

Test(agent_relying_party, told_all)
{
	static const char *const names[] = { "certificates", "vca", "measurements", "report" };
	_cleanup_free_ char *text = NULL, *error = NULL;
	_cleanup_free_ uint8_t *statement = NULL;
	json_object *document, *quote;
	char why[256], nonce[HEX_STRING_SIZE(32)];
	Statement s;
	size_t size;

	start("{ cat; echo; } >$0/document; echo '" ACCEPT "'", 10000);
	testing_locked(TESTING_GENERATION);
	wait_verdict("Verdict accepted");
	text = written("document", 0);
	cr_assert_not_null(text);
	text[strlen(text) - 1] = '\0';
	cr_assert(testing_schema_allows("relying-party-evidence", text, why), "%s", why);
	cr_assert_eq(json_parse(&document, text, strlen(text), &error), 0, "%s", error);

	cr_assert_eq(json_get_int(document, "version", 0), 1);
	cr_assert_str_eq(json_get_string(document, "tvm"), TESTING_TVM);
	cr_assert_eq(json_get_int(document, "generation", 0), TESTING_GENERATION);
	cr_assert(json_get_bool(document, "protected", false));
	check_function(json_get_object(document, "function"));
	for (unsigned int i = 0; i < 4; i++)
		member_is_bytes(document, names[i], bed.blobs[i]);

	cr_assert_eq(base64_decode(&statement, &size, json_get_string(document, "statement"), 1024),
		     0);
	cr_assert_eq(statement_parse(&s, statement, size), 0);
	cr_assert_str_eq(json_get_string(document, "nonce"), hex_encode(nonce, s.nonce, 32));
	cr_assert_arr_eq(s.nonce, bed.transcript + 4, 32);

	/* What the TSM was quoted in the end: it has compared it. */
	quote = json_get_object(document, "quote");
	member_is_digest(quote, "certificates", &bed.stated.certificates);
	member_is_digest(quote, "vca", &bed.stated.vca);
	member_is_digest(quote, "measurements", &bed.stated.measurements);
	member_is_digest(quote, "report", &bed.stated.report);
	cr_assert_eq(json_get_int(quote, "identity_sequence", -1), 1);
	cr_assert_eq(json_get_int(quote, "measurements_sequence", -1), 1);
	cr_assert_eq(json_get_int(quote, "report_sequence", -1), 1);
	json_object_put(document);
}

/* A number that does not fit is no number that is wrong. */
Test(agent_relying_party, told_nothing_wrong)
{
	start("echo '" ACCEPT "'", 10000);
	bed.sequence = INT64_MAX;
	rejected("\"measurements_sequence\" is 9223372036854775808");
	cr_assert_eq(n_asked(), 0);
}
