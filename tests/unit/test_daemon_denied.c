/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid.conf's access, held against real peers: a denied call never reaches its handler. */
#include "testing-assignments.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SOMEBODY 64321 /* a uid, gid and supplementary group that nobody has */
#define DENIED	 "io.tdid.Assignments.PermissionDenied "

static const char *socket_called = "io.tdid.Assignments";

static void set_up_denied(void)
{
	set_up();
	if (geteuid() != 0)
		cr_skip_test("only root can call as somebody else");
}

TestSuite(daemon_denied, .init = set_up_denied, .fini = tear_down);

static void start(const char *access)
{
	char path[128];

	d.config = access;
	testing_daemon_start(&d);
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	cr_assert_eq(chmod(path, 0666), 0);
	cr_assert_eq(chmod(d.directory, 0755), 0);
}

static void become(uid_t uid, gid_t gid, gid_t supplementary)
{
	if (setgroups(1, &supplementary) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		_exit(3);
}

/* What a process of these ids is answered: "ok PARAMETERS" or "NAME PARAMETERS". */
static const char *as(uid_t uid, gid_t gid, gid_t supplementary, const char *method,
		      const char *arguments)
{
	static char text[65536];
	size_t used = 0;
	ssize_t n;
	int fds[2], status;
	pid_t child;

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		_cleanup_(json_unrefp) json_object *o = NULL, *reply = NULL;
		_cleanup_free_ char *error = NULL, *why = NULL;
		char path[128];
		int r;

		become(uid, gid, supplementary);
		snprintf(path, sizeof(path), "%s/%s", d.directory, socket_called);
		json_parse(&o, arguments, strlen(arguments), NULL);
		r = varlink_call_blocking(path, NULL, method, o, 5000000, &reply, &error, &why);
		dprintf(fds[1], "%s %s",
			r < 0	? why
			: r > 0 ? error
				: "ok",
			r < 0 ? ""
			      : json_object_to_json_string_ext(
					reply,
					JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		_exit(0);
	}
	close(fds[1]);
	while (waitpid(child, &status, WNOHANG) == 0)
		sd_event_run(d.event, 10000);
	cr_assert_eq(status, 0);
	while ((n = read(fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(fds[0]);
	return text;
}

static void answered(const char *answer, const char *text)
{
	cr_assert_eq(strncmp(answer, text, strlen(text)), 0, "%s: %s", text, answer);
}

#define LIST   "io.tdid.Assignments.List"
#define CLEAR  "io.tdid.Assignments.Clear"
#define DEVICE "{\"device\":\"0000:41:00.1\"}"

Test(daemon_denied, open_by_default)
{
	start(NULL);
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, CLEAR, DEVICE), "ok ");
}

Test(daemon_denied, who_may_not_act)
{
	static const char *const methods[][2] = {
		{ "Connect", "{\"dsm\":\"" FAKE_TSM_DSM "\"}" },
		{ "Reclaim", "{\"dsm\":\"" FAKE_TSM_DSM "\"}" },
		{ "Drain", "{\"dsm\":\"" FAKE_TSM_DSM "\"}" },
		{ "Undrain", "{\"dsm\":\"" FAKE_TSM_DSM "\"}" },
		{ "Clear", DEVICE },
		{ "Attach", "{\"domain\":\"tvm0\",\"device\":\"0000:41:00.1\"}" },
		{ "Detach", "{\"domain\":\"tvm0\",\"name\":\"a\"}" },
	};

	start("\"access\":{\"act\":{}},");
	for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
		char method[64];
		const char *answer;

		snprintf(method, sizeof(method), "io.tdid.Assignments.%s", methods[i][0]);
		answer = as(SOMEBODY, SOMEBODY, SOMEBODY, method, methods[i][1]);
		answered(answer, DENIED "{\"method\":\"io.tdid.Assignments.");
		cr_assert(strstr(answer,
				 "tdid.conf's access.act does not let uid 64321 (gid 64321) "
				 "call it"),
			  "%s", answer);
		/* Whether the parameters are any good is not told either. */
		answered(as(SOMEBODY, SOMEBODY, SOMEBODY, method, "{\"x\":1}"), DENIED);
	}
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, LIST, "{}"), "ok ");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	cr_assert_eq(testing_records(&d, "drain", NULL), 0);
}

Test(daemon_denied, who_may_not_even_read)
{
	start("\"access\":{\"act\":{},\"read\":{}},");
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, LIST, "{}"), DENIED);
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, "io.tdid.Assignments.Monitor", "{}"), DENIED);
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, "org.varlink.service.GetInfo", "{}"), "ok ");
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, "io.tdid.Assignments.Nothing", "{}"),
		 "org.varlink.service.MethodNotFound ");
	answered(as(0, 0, 0, LIST, "{}"), "ok ");
	answered(as(0, 0, 0, CLEAR, DEVICE), "ok ");
}

Test(daemon_denied, by_user_by_group_and_by_supplementary_group)
{
	start("\"access\":{\"act\":{\"users\":[64322],\"groups\":[64323]},\"read\":{\"users\":["
	      "64324]}},");
	answered(as(64322, SOMEBODY, SOMEBODY, CLEAR, DEVICE), "ok ");
	answered(as(SOMEBODY, 64323, SOMEBODY, CLEAR, DEVICE), "ok ");
	answered(as(SOMEBODY, SOMEBODY, 64323, CLEAR, DEVICE), "ok ");
	answered(as(64324, SOMEBODY, SOMEBODY, CLEAR, DEVICE), DENIED);
	answered(as(64324, SOMEBODY, SOMEBODY, LIST, "{}"), "ok ");
	answered(as(64322, SOMEBODY, SOMEBODY, LIST, "{}"), "ok ");
	answered(as(SOMEBODY, SOMEBODY, SOMEBODY, LIST, "{}"), DENIED);
}

/* Beside the mode of its socket: who stands at its other end must be libvirtd. */
Test(daemon_denied, hook_is_roots)
{
	static const char arguments[] =
		"{\"domain\":\"plain\",\"operation\":\"stopped\",\"sub_operation\":\"end\","
		"\"extra\":\"-\",\"xml\":\"<domain><name>plain</name></domain>\"}";
	char path[128];

	start(NULL);
	socket_called = "io.tdid.Hook";
	snprintf(path, sizeof(path), "%s/io.tdid.Hook", d.directory);
	cr_assert_eq(chmod(path, 0666), 0);
	answered(as(0, 0, 0, "io.tdid.Hook.Run", arguments), "ok ");
	cr_assert_neq(strncmp(as(SOMEBODY, 0, 0, "io.tdid.Hook.Run", arguments), "ok", 2), 0);
	cr_assert_neq(
		strncmp(as(SOMEBODY, SOMEBODY, SOMEBODY, "io.tdid.Hook.Run", arguments), "ok", 2),
		0);
}
