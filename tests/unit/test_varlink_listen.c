/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A varlink server before it serves, and its socket's file. */
#include "rpc/log.h"
#include "rpc/varlink-server.h"

#include "raw-peer.h"

#include <fcntl.h>
#include <sys/wait.h>

static int handle(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return varlink_call_reply(call, NULL);
}

typedef struct Setup {
	sd_event *event;
	VarlinkServer *server;
	char path[64];
} Setup;

static void setup_new(Setup *s)
{
	log_set_level(0);
	raw_path(s->path);
	cr_assert_eq(sd_event_new(&s->event), 0);
	cr_assert_eq(varlink_server_new(&s->server, s->event, NULL), 0);
}

static void setup_done(Setup *s)
{
	varlink_server_free(s->server);
	sd_event_unref(s->event);
	raw_done(s->path);
}

Test(varlink_listen, refuses)
{
	_cleanup_free_ char *error = NULL;
	Setup s;

	setup_new(&s);
	cr_assert_eq(varlink_server_add_interface(s.server, "rubbish", NULL), -EBADMSG);
	cr_assert_eq(varlink_server_add_interface(s.server, SAMPLE_INTERFACE, NULL), 0);
	cr_assert_eq(varlink_server_add_interface(s.server, SAMPLE_INTERFACE, NULL), -EEXIST);
	cr_assert_eq(varlink_server_bind(s.server, "io.example.Sample.No", 0, handle, NULL),
		     -ENOENT);
	cr_assert_eq(varlink_server_bind(s.server, "io.example.Sample.Add", 0, handle, NULL), 0);
	cr_assert_eq(varlink_server_bind(s.server, "io.example.Sample.Add", 0, handle, NULL),
		     -EEXIST);
	cr_assert_eq(varlink_server_bind(s.server, "org.varlink.service.GetInfo", 0, handle, NULL),
		     -EEXIST);
	cr_assert_eq(varlink_server_listen(s.server, s.path, 0600, &error), -ENOSYS);
	cr_assert_not_null(strstr(error, "io.example.Sample.Wait"), "%s", error);
	cr_assert_eq(access(s.path, F_OK), -1);
	setup_done(&s);
}

Test(varlink_listen, refuses_paths)
{
	char longer[200];
	Setup s;
	int fd;

	setup_new(&s);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(varlink_server_listen(s.server, longer, 0600, NULL), -ENAMETOOLONG);
	cr_assert_eq(varlink_server_listen(s.server, "relative", 0600, NULL), -ENAMETOOLONG);

	close(open(s.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert_eq(varlink_server_listen(s.server, s.path, 0600, NULL), -EEXIST);
	cr_assert_eq(unlink(s.path), 0, "a file that is no socket was removed");

	fd = raw_listen(s.path, 1);
	cr_assert_eq(varlink_server_listen(s.server, s.path, 0600, NULL), -EADDRINUSE);
	cr_assert_eq(access(s.path, F_OK), 0, "another server's socket was removed");
	close(fd);
	setup_done(&s);
}

Test(varlink_listen, replaces_a_stale_socket_and_sets_the_mode)
{
	struct stat st;
	Setup s;

	setup_new(&s);
	close(raw_listen(s.path, 1));
	umask(0777);
	cr_assert_eq(varlink_server_listen(s.server, s.path, 0660, NULL), 0);
	umask(022);
	cr_assert_eq(stat(s.path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0660);
	cr_assert_eq(varlink_server_add_interface(s.server, SAMPLE_INTERFACE, NULL), -EBUSY);
	close(raw_connect(s.path));
	setup_done(&s);
}

Test(varlink_listen, leaves_its_successors_socket_alone)
{
	Setup s;
	int fd;

	setup_new(&s);
	cr_assert_eq(varlink_server_listen(s.server, s.path, 0600, NULL), 0);
	cr_assert_eq(unlink(s.path), 0);
	fd = raw_listen(s.path, 1);
	s.server = varlink_server_free(s.server);
	cr_assert_eq(access(s.path, F_OK), 0);
	close(fd);
	setup_done(&s);
}

Test(varlink_listen, refuses_fds_that_do_not_listen)
{
	int pair[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	Setup s;

	setup_new(&s);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(varlink_server_listen_fd(s.server, pair[0], NULL), -ENOTSOCK);
	cr_assert_eq(varlink_server_listen_fd(s.server, file, NULL), -ENOTSOCK);
	cr_assert_eq(fcntl(pair[0], F_GETFD), -1, "the refused fd stays open");
	close(pair[1]);
	setup_done(&s);
}

/* In a child: fd 3 and the environment of this process are Criterion's. */
static int activated_child(const char *path)
{
	char pid[32];
	int fd = raw_listen(path, 1);

	if (varlink_activation_fd("hook", path) != -ENOENT)
		return 1;
	dup2(open("/dev/null", O_RDONLY), 3);
	dup2(fd, 4);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "other:hook", 1);
	if (varlink_activation_fd("hook", NULL) != 4 || varlink_activation_fd(NULL, path) != 4 ||
	    varlink_activation_fd("none", path) != 4)
		return 2;
	if (varlink_activation_fd("none", "/nowhere") != -ENOENT)
		return 3;
	return 0;
}

Test(varlink_listen, finds_the_socket_that_systemd_passed)
{
	char path[64];
	int status;
	pid_t pid;

	raw_path(path);
	pid = fork();
	if (pid == 0)
		_exit(activated_child(path));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
	raw_done(path);
}
