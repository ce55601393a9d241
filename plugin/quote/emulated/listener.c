/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As QGS does it: when accept(2) fails for want of a file descriptor, nothing is accepted any more,
 * whatever becomes free later.
 */
#include "listener.h"

#include "core/refusal.h"
#include "rpc/log.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SOCKETS 3

struct Listener {
	ListenerOptions options;
	int fds[SOCKETS];
	sd_event_source *sources[SOCKETS];
	size_t n;
	bool stopped;
	const char *path; /* to be removed; the configuration's */
};

static void stop(Listener *listener)
{
	listener->stopped = true;
	for (size_t i = 0; i < listener->n; i++)
		sd_event_source_set_enabled(listener->sources[i], SD_EVENT_OFF);
	log_warning("out of file descriptors: nothing is accepted any more");
}

void listener_resume(Listener *listener)
{
	listener->stopped = false;
	for (size_t i = 0; i < listener->n; i++)
		sd_event_source_set_enabled(listener->sources[i], SD_EVENT_ON);
}

bool listener_accepts(const Listener *listener)
{
	return !listener->stopped;
}

static int on_connect(sd_event_source *source, int listening, uint32_t events, void *userdata)
{
	Listener *listener = userdata;
	int fd;

	if (listener->stopped)
		return 0;
	if (!listener->options.accept(listener->options.userdata)) {
		stop(listener);
		return 0;
	}
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		listener->options.connected(fd, listener->options.userdata);
	else if (errno == EMFILE || errno == ENFILE)
		stop(listener);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		log_warning("accepting a connection: %m");
	return 0;
}

static int add(Listener *listener, sd_event *event, int fd, const char *what, char **ret_error)
{
	sd_event_source **source = &listener->sources[listener->n];
	int r;

	if (listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		close(fd);
		return refuse(ret_error, r, "%s: listen: %s", what, strerror(-r));
	}
	listener->fds[listener->n] = fd;
	r = sd_event_add_io(event, source, fd, EPOLLIN, on_connect, listener);
	listener->n++;
	return r < 0 ? r : 0;
}

static int open_and_bind(int *ret, const struct sockaddr *address, socklen_t size, const char *what,
			 char **ret_error)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r = -errno;
		return refuse(ret_error, r, "%s: socket: %s", what, strerror(-r));
	}
	if (address->sa_family == AF_INET || address->sa_family == AF_INET6)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	else if (address->sa_family == AF_UNIX)
		(void)fchmod(fd, 0666); /* the kernel takes it for the file's, less the umask */
	if (bind(fd, address, size) < 0) {
		r = -errno;
		return refuse(ret_error, r, "%s: bind: %s", what, strerror(-r));
	}
	*ret = steal_fd(&fd);
	return 0;
}

/* Takes away what a service that died has left; refuses to touch anything else. */
static int remove_stale(const struct sockaddr_un *address, char **ret_error)
{
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (probe < 0)
		return -errno;
	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return refuse(ret_error, -EEXIST, "%s: is not a socket; remove it",
			      address->sun_path);
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		return refuse(ret_error, -EADDRINUSE, "%s: another process listens there",
			      address->sun_path);
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int listen_unix(Listener *listener, sd_event *event, const char *path, char **ret_error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = -1, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(ret_error, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
			      path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	r = remove_stale(&address, ret_error);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", path, strerror(-r));
	r = open_and_bind(&fd, (const struct sockaddr *)&address, sizeof(address), path, ret_error);
	if (r < 0)
		return r;
	listener->path = path;
	/* Until listen(2) nobody can connect. */
	if (chmod(path, 0666) < 0) {
		r = -errno;
		close(fd);
		return refuse(ret_error, r, "%s: chmod: %s", path, strerror(-r));
	}
	return add(listener, event, fd, path, ret_error);
}

static int listen_vsock(Listener *listener, sd_event *event, uint32_t port, char **ret_error)
{
	const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
					     .svm_cid = VMADDR_CID_ANY,
					     .svm_port = port };
	char what[sizeof("vsock port 4294967295")];
	int fd = -1, r;

	snprintf(what, sizeof(what), "vsock port %u", port);
	r = open_and_bind(&fd, (const struct sockaddr *)&address, sizeof(address), what, ret_error);
	return r < 0 ? r : add(listener, event, fd, what, ret_error);
}

static int listen_tcp(Listener *listener, sd_event *event, const Config *config, char **ret_error)
{
	socklen_t size = config->tcp.any.sa_family == AF_INET ? sizeof(config->tcp.v4)
							      : sizeof(config->tcp.v6);
	char what[sizeof("TCP port 65535")];
	int fd = -1, r;

	snprintf(what, sizeof(what), "TCP port %u", config->tcp_port);
	r = open_and_bind(&fd, &config->tcp.any, size, what, ret_error);
	return r < 0 ? r : add(listener, event, fd, what, ret_error);
}

int listener_new(Listener **ret, sd_event *event, const Config *config,
		 const ListenerOptions *options, char **ret_error)
{
	_cleanup_(listener_freep) Listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return -ENOMEM;
	listener->options = *options;
	r = listen_unix(listener, event, config->socket, ret_error);
	if (r == 0 && config->vsock_port)
		r = listen_vsock(listener, event, config->vsock_port, ret_error);
	if (r == 0 && config->tcp_port)
		r = listen_tcp(listener, event, config, ret_error);
	if (r < 0)
		return r;
	*ret = steal_ptr(listener);
	return 0;
}

Listener *listener_free(Listener *listener)
{
	if (!listener)
		return NULL;
	for (size_t i = 0; i < listener->n; i++) {
		sd_event_source_disable_unref(listener->sources[i]);
		close(listener->fds[i]);
	}
	if (listener->path)
		(void)unlink(listener->path);
	free(listener);
	return NULL;
}
