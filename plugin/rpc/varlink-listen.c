/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listening half of varlink-server.h: sockets made here or passed by systemd. */
#include "rpc/error.h"
#include "rpc/log.h"
#include "rpc/varlink-server-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

struct Listener {
	VarlinkServer *server;
	sd_event_source *source;
	int fd;
	char *path; /* to be removed; NULL for systemd's sockets */
	dev_t device;
	ino_t inode;
	Listener *next;
};

static Listener *listener_free(Listener *listener)
{
	struct stat st;

	sd_event_source_disable_unref(listener->source);
	if (listener->fd >= 0)
		close(listener->fd);
	/* Only if it is still ours: a successor may have put its own there. */
	if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->device &&
	    st.st_ino == listener->inode)
		(void)unlink(listener->path);
	free(listener->path);
	free(listener);
	return NULL;
}

DEFINE_CLEANUP(Listener, listener_free);

Listener *listeners_free(Listener *first)
{
	while (first) {
		Listener *next = first->next;

		listener_free(first);
		first = next;
	}
	return NULL;
}

/*
 * With no fd left accept(2) fails and the listener stays readable: the loop would spin. The spare
 * fd is given up to accept the connection and refuse it, so that its client learns of it.
 */
static void refuse_without_fd(VarlinkServer *server, int listening)
{
	int fd;

	log_warning("varlink: out of file descriptors, a connection is refused");
	if (server->spare_fd >= 0)
		close(steal_fd(&server->spare_fd));
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_connect(sd_event_source *source, int listening, uint32_t events, void *userdata)
{
	Listener *listener = userdata;
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		server_accept(listener->server, fd);
	else if (errno == EMFILE || errno == ENFILE)
		refuse_without_fd(listener->server, listening);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		log_warning("varlink: accepting a connection: %m");
	return 0;
}

static int listener_new(Listener **ret, VarlinkServer *server, int fd)
{
	_cleanup_(listener_freep) Listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->fd = fd;
	listener->server = server;
	r = sd_event_add_io(server->event, &listener->source, fd, EPOLLIN, on_connect, listener);
	if (r < 0)
		return r;
	*ret = steal_ptr(listener);
	return 0;
}

int varlink_server_listen_fd(VarlinkServer *server, int fd, char **ret_error)
{
	_cleanup_close_ int owned = fd;
	Listener *listener = NULL;
	int r, flags;

	r = server_check_complete(server, ret_error);
	if (r < 0)
		return r;
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
		return error_set(ret_error, -ENOTSOCK,
				 "varlink: fd %d is not a listening AF_UNIX stream socket", fd);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_set(ret_error, -errno, "varlink: fd %d: %m", fd);
	r = listener_new(&listener, server, steal_fd(&owned));
	if (r < 0)
		return error_set(ret_error, r, "varlink: no event source for fd %d", fd);
	listener->next = server->listeners;
	server->listeners = listener;
	return 0;
}

/* Takes away what a server that died has left; refuses to touch anything else. */
static int remove_stale(const struct sockaddr_un *address, char **ret_error)
{
	_cleanup_close_ int probe = -1;
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : error_set(ret_error, -errno, "varlink: %s: %m", address->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(ret_error, -EEXIST,
				 "varlink: %s exists and is not a socket; remove it",
				 address->sun_path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return error_set(ret_error, -errno, "varlink: socket: %m");
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		return error_set(ret_error, -EADDRINUSE,
				 "varlink: another process already listens on %s",
				 address->sun_path);
	if (errno != ECONNREFUSED)
		return error_set(ret_error, -errno, "varlink: %s: %m", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return error_set(ret_error, -errno, "varlink: removing the stale socket %s: %m",
				 address->sun_path);
	return 0;
}

/*
 * The file appears with `mode` less the umask (the kernel takes an unbound socket's mode for it)
 * and gets the rest by chmod; until listen(2) nobody can connect.
 */
static int bind_path(int fd, const struct sockaddr_un *address, mode_t mode, char **ret_error)
{
	const char *step = NULL;

	if (fchmod(fd, mode) < 0)
		step = "fchmod";
	else if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		step = "bind";
	else if (chmod(address->sun_path, mode) < 0)
		step = "chmod";
	else if (listen(fd, SOMAXCONN) < 0)
		step = "listen";
	return step ? error_set(ret_error, -errno, "varlink: %s: %s: %m", address->sun_path, step)
		    : 0;
}

int varlink_server_listen(VarlinkServer *server, const char *path, mode_t mode, char **ret_error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	Listener *listener;
	struct stat st;
	int r;

	r = server_check_complete(server, ret_error);
	if (r < 0)
		return r;
	if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path))
		return error_set(
			ret_error, -ENAMETOOLONG,
			"varlink: %s: a socket's path is absolute and has at most %zu bytes", path,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	r = remove_stale(&address, ret_error);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(ret_error, -errno, "varlink: socket: %m");
	r = bind_path(fd, &address, mode, ret_error);
	if (r < 0)
		return r;
	r = varlink_server_listen_fd(server, steal_fd(&fd), ret_error);
	if (r < 0)
		return r;
	listener = server->listeners;
	if (lstat(path, &st) < 0)
		return error_set(ret_error, -errno, "varlink: %s: %m", path);
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
	listener->path = strdup(path);
	return listener->path ? 0 : -ENOMEM;
}

static bool listens_on(int fd, const char *path)
{
	return path && sd_is_socket_unix(fd, SOCK_STREAM, 1, path, 0) > 0;
}

int varlink_activation_fd(const char *name, const char *path)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), found = -ENOENT;

	for (int i = 0; name && i < n && found < 0; i++)
		if (strcmp(names[i], name) == 0)
			found = SD_LISTEN_FDS_START + i;
	for (int i = 0; i < n && found < 0; i++)
		if (listens_on(SD_LISTEN_FDS_START + i, path))
			found = SD_LISTEN_FDS_START + i;
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return found;
}
