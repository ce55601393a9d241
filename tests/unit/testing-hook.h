/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of libvirt's hook to a tdid under test (`d`, the test's own), and what it answers. */
#pragma once

#include "testing-daemon.h"

#include "common/process.h"

static TestingDaemon d;
static VarlinkClient *client;
static unsigned int n_answers;
static char answer[1024]; /* "", or the refusal */

static inline void on_answer(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	n_answers++;
	snprintf(answer, sizeof(answer), "%s",
		 reply->status < 0 ? "lost"
		 : reply->error	   ? json_get_string(reply->parameters, "message")
				   : "");
}

static inline void call(const char *operation, const char *xml, pid_t pid)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	uint64_t start_time = 0;
	char path[128];

	if (!client) {
		snprintf(path, sizeof(path), "%s/io.tdid.Hook", d.directory);
		cr_assert_eq(varlink_client_connect(&client, d.event, path, NULL, NULL), 0);
	}
	if (pid > 0)
		process_start_time(&start_time, "", pid);
	cr_assert_eq(json_build(&o, J_STRING("domain", "tvm0"), J_STRING("operation", operation),
				J_STRING("sub_operation", "begin"), J_STRING("extra", "-"),
				J_STRING("xml", xml), J_INT_IF(pid != 0, "qemu_pid", pid),
				J_INT_IF(pid > 0, "qemu_start_time", (int64_t)start_time)),
		     0);
	n_answers = 0;
	cr_assert_eq(varlink_client_call(client, "io.tdid.Hook.Run", o, 0, 0, on_answer, NULL), 0);
}

static inline void expect(const char *about)
{
	UNTIL(d.event, n_answers > 0);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 1);
	cr_assert(*about ? strstr(answer, about) != NULL : answer[0] == '\0', "'%s'", answer);
}
