/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The linker's --wrap: tdid's calls come here, each asks whether it is a point that is to fail, and
 * goes on to the real one. close(2) is not among them: what it says is not acted upon. Nor is what
 * goes to standard error, which is the log.
 */
#include "points.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define FDS_MAX	    1024
#define NAME_SIZE   128
#define UUID_LENGTH 36
#define WRAP(name)  __wrap_##name
#define REAL(name)  __real_##name
#define FAILS(e)    ((errno = (e)) != 0)

static char names[FDS_MAX][NAME_SIZE];

void points_name_fd(int fd, const char *name)
{
	if (fd >= 0 && fd < FDS_MAX)
		snprintf(names[fd], NAME_SIZE, "%s", name);
}

/*
 * The last component, without the pid that stands behind a UUID in a record's name, and without
 * what makes the folder of a run (run.py) another one.
 */
static const char *name_of(const char *path, char ret[static NAME_SIZE])
{
	static const char *const kinds[] = { "tvm-", "assignment-", "attach-" };
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dash;
	size_t kind = 0;

	if (strncmp(path, "/proc/", 6) == 0) {
		snprintf(ret, NAME_SIZE, "proc-%s", base);
		return ret;
	}
	if (strncmp(base, "run-", 4) == 0 || strncmp(base, "tdid-sweep-", 11) == 0)
		base = "folder";
	snprintf(ret, NAME_SIZE, "%s", *base ? base : "/");
	for (size_t i = 0; kind == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(base, kinds[i], strlen(kinds[i])) == 0)
			kind = strlen(kinds[i]);
	if (kind == 0 || strlen(base) < kind + UUID_LENGTH + 1)
		return ret;
	dash = base + kind + UUID_LENGTH;
	if (*dash != '-' || !isdigit((unsigned char)dash[1]))
		return ret;
	snprintf(ret, NAME_SIZE, "%.*s-PID%s", (int)(dash - base), base,
		 dash + 1 + strspn(dash + 1, "0123456789"));
	return ret;
}

static const char *fd_name(int fd, char ret[static NAME_SIZE])
{
	char link[32], target[256], *end;
	ssize_t n;

	if (fd >= 0 && fd < FDS_MAX && names[fd][0])
		return names[fd];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return "?";
	target[n] = '\0';
	if ((end = strstr(target, ":[")) || (end = strstr(target, " (")))
		*end = '\0'; /* "socket:[17]", "x (deleted)" */
	return name_of(target, ret);
}

static int remember(int fd, const char *name)
{
	points_name_fd(fd, name);
	return fd;
}

#define PATH_POINT(call, path)                                                                     \
	({                                                                                         \
		char _name[NAME_SIZE];                                                             \
		int _e = point((call), name_of((path), _name));                                    \
		_e;                                                                                \
	})
#define FD_POINT(call, fd)                                                                         \
	({                                                                                         \
		char _name[NAME_SIZE];                                                             \
		int _e = point((call), fd_name((fd), _name));                                      \
		_e;                                                                                \
	})

/* --- files --- */

int REAL(open64)(const char *path, int flags, ...);
int WRAP(open64)(const char *path, int flags, ...);
int WRAP(open64)(const char *path, int flags, ...)
{
	int e = PATH_POINT("open", path);

	return e && FAILS(e) ? -1 : remember(REAL(open64)(path, flags), "");
}

int REAL(openat64)(int directory, const char *path, int flags, ...);
int WRAP(openat64)(int directory, const char *path, int flags, ...);
int WRAP(openat64)(int directory, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int e;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	e = PATH_POINT(flags & O_CREAT ? "openat-new" : "openat", path);
	return e && FAILS(e) ? -1 : remember(REAL(openat64)(directory, path, flags, mode), "");
}

FILE *REAL(fopen64)(const char *path, const char *mode);
FILE *WRAP(fopen64)(const char *path, const char *mode);
FILE *WRAP(fopen64)(const char *path, const char *mode)
{
	int e = PATH_POINT("fopen", path);

	return e && FAILS(e) ? NULL : REAL(fopen64)(path, mode);
}

int REAL(fstat64)(int fd, struct stat *ret);
int WRAP(fstat64)(int fd, struct stat *ret);
int WRAP(fstat64)(int fd, struct stat *ret)
{
	int e = FD_POINT("fstat", fd);

	return e && FAILS(e) ? -1 : REAL(fstat64)(fd, ret);
}

int REAL(access)(const char *path, int mode);
int WRAP(access)(const char *path, int mode);
int WRAP(access)(const char *path, int mode)
{
	int e = PATH_POINT("access", path);

	return e && FAILS(e) ? -1 : REAL(access)(path, mode);
}

int REAL(mkdir)(const char *path, mode_t mode);
int WRAP(mkdir)(const char *path, mode_t mode);
int WRAP(mkdir)(const char *path, mode_t mode)
{
	int e = PATH_POINT("mkdir", path);

	return e && FAILS(e) ? -1 : REAL(mkdir)(path, mode);
}

ssize_t REAL(read)(int fd, void *data, size_t size);
ssize_t WRAP(read)(int fd, void *data, size_t size);
ssize_t WRAP(read)(int fd, void *data, size_t size)
{
	int e = FD_POINT("read", fd);

	return e && FAILS(e) ? -1 : REAL(read)(fd, data, size);
}

ssize_t REAL(pread64)(int fd, void *data, size_t size, off_t at);
ssize_t WRAP(pread64)(int fd, void *data, size_t size, off_t at);
ssize_t WRAP(pread64)(int fd, void *data, size_t size, off_t at)
{
	int e = FD_POINT("pread", fd);

	return e && FAILS(e) ? -1 : REAL(pread64)(fd, data, size, at);
}

/* A line of the journal goes by its record's. */
static const char *written_name(int fd, const char *data, size_t size, char ret[static NAME_SIZE])
{
	char file[NAME_SIZE], record[NAME_SIZE];
	const char *space = memchr(data, ' ', size);

	if (strcmp(fd_name(fd, file), "journal") != 0 || !space || data[0] == '{')
		return fd_name(fd, ret);
	snprintf(record, sizeof(record), "%.*s", (int)(space - data), data);
	return name_of(record, ret);
}

ssize_t REAL(write)(int fd, const void *data, size_t size);
ssize_t WRAP(write)(int fd, const void *data, size_t size);
ssize_t WRAP(write)(int fd, const void *data, size_t size)
{
	char name[NAME_SIZE];
	int e = fd == STDERR_FILENO ? 0 : point("write", written_name(fd, data, size, name));

	return e && FAILS(e) ? -1 : REAL(write)(fd, data, size);
}

int REAL(ftruncate64)(int fd, off_t size);
int WRAP(ftruncate64)(int fd, off_t size);
int WRAP(ftruncate64)(int fd, off_t size)
{
	int e = FD_POINT("ftruncate", fd);

	return e && FAILS(e) ? -1 : REAL(ftruncate64)(fd, size);
}

int REAL(fsync)(int fd);
int WRAP(fsync)(int fd);
int WRAP(fsync)(int fd)
{
	int e = FD_POINT("fsync", fd);

	return e && FAILS(e) ? -1 : REAL(fsync)(fd);
}

int REAL(renameat)(int from_directory, const char *from, int to_directory, const char *to);
int WRAP(renameat)(int from_directory, const char *from, int to_directory, const char *to);
int WRAP(renameat)(int from_directory, const char *from, int to_directory, const char *to)
{
	int e = PATH_POINT("renameat", to);

	return e && FAILS(e) ? -1 : REAL(renameat)(from_directory, from, to_directory, to);
}

int REAL(unlinkat)(int directory, const char *path, int flags);
int WRAP(unlinkat)(int directory, const char *path, int flags);
int WRAP(unlinkat)(int directory, const char *path, int flags)
{
	int e = PATH_POINT("unlinkat", path);

	return e && FAILS(e) ? -1 : REAL(unlinkat)(directory, path, flags);
}

int REAL(scandirat64)(int directory, const char *path, struct dirent ***ret,
		      int (*filter)(const struct dirent *),
		      int (*compare)(const struct dirent **, const struct dirent **));
int WRAP(scandirat64)(int directory, const char *path, struct dirent ***ret,
		      int (*filter)(const struct dirent *),
		      int (*compare)(const struct dirent **, const struct dirent **));
int WRAP(scandirat64)(int directory, const char *path, struct dirent ***ret,
		      int (*filter)(const struct dirent *),
		      int (*compare)(const struct dirent **, const struct dirent **))
{
	int e = FD_POINT("scandirat", directory);

	return e && FAILS(e) ? -1 : REAL(scandirat64)(directory, path, ret, filter, compare);
}

/* --- sockets --- */

int REAL(socket)(int domain, int type, int protocol);
int WRAP(socket)(int domain, int type, int protocol);
int WRAP(socket)(int domain, int type, int protocol)
{
	int e = point("socket", "unix");

	return e && FAILS(e) ? -1 : remember(REAL(socket)(domain, type, protocol), "");
}

int REAL(connect)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size)
{
	char name[NAME_SIZE];
	int e;

	name_of(((const struct sockaddr_un *)(const void *)address)->sun_path, name);
	e = point("connect", name);
	points_name_fd(fd, name);
	return e && FAILS(e) ? -1 : REAL(connect)(fd, address, size);
}

int REAL(bind)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(bind)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(bind)(int fd, const struct sockaddr *address, socklen_t size)
{
	char name[NAME_SIZE];
	int e;

	name_of(((const struct sockaddr_un *)(const void *)address)->sun_path, name);
	e = point("bind", name);
	points_name_fd(fd, name);
	return e && FAILS(e) ? -1 : REAL(bind)(fd, address, size);
}

int REAL(listen)(int fd, int n);
int WRAP(listen)(int fd, int n);
int WRAP(listen)(int fd, int n)
{
	int e = FD_POINT("listen", fd);

	return e && FAILS(e) ? -1 : REAL(listen)(fd, n);
}

int REAL(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	char name[NAME_SIZE];
	int e = point("accept4", fd_name(fd, name));

	return e && FAILS(e) ? -1
			     : remember(REAL(accept4)(fd, address, size, flags), fd_name(fd, name));
}

int REAL(getsockopt)(int fd, int level, int option, void *value, socklen_t *size);
int WRAP(getsockopt)(int fd, int level, int option, void *value, socklen_t *size);
int WRAP(getsockopt)(int fd, int level, int option, void *value, socklen_t *size)
{
	int e = FD_POINT("getsockopt", fd);

	return e && FAILS(e) ? -1 : REAL(getsockopt)(fd, level, option, value, size);
}

ssize_t REAL(recv)(int fd, void *data, size_t size, int flags);
ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags);
ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags)
{
	int e = FD_POINT("recv", fd);

	return e && FAILS(e) ? -1 : REAL(recv)(fd, data, size, flags);
}

ssize_t REAL(send)(int fd, const void *data, size_t size, int flags);
ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags);
ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags)
{
	int e = FD_POINT("send", fd);

	return e && FAILS(e) ? -1 : REAL(send)(fd, data, size, flags);
}

/* --- the rest --- */

/* tdid's only one is pidfd_open. */
long REAL(syscall)(long number, ...);
long WRAP(syscall)(long number, ...);
long WRAP(syscall)(long number, ...)
{
	unsigned int flags;
	va_list ap;
	pid_t pid;
	int e;

	if (number != SYS_pidfd_open)
		abort();
	va_start(ap, number);
	pid = va_arg(ap, pid_t);
	flags = va_arg(ap, unsigned int);
	va_end(ap);
	e = point("pidfd_open", "QEMU");
	return e && FAILS(e) ? -1 : remember((int)REAL(syscall)(number, pid, flags), "pidfd");
}

ssize_t REAL(getrandom)(void *data, size_t size, unsigned int flags);
ssize_t WRAP(getrandom)(void *data, size_t size, unsigned int flags);
ssize_t WRAP(getrandom)(void *data, size_t size, unsigned int flags)
{
	int e = point("getrandom", "-");

	return e && FAILS(e) ? -1 : REAL(getrandom)(data, size, flags);
}

int REAL(sd_event_add_io)(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
			  sd_event_io_handler_t handler, void *userdata);
int WRAP(sd_event_add_io)(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
			  sd_event_io_handler_t handler, void *userdata);
int WRAP(sd_event_add_io)(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
			  sd_event_io_handler_t handler, void *userdata)
{
	int e = FD_POINT("sd_event_add_io", fd);

	return e ? -e : REAL(sd_event_add_io)(event, ret, fd, events, handler, userdata);
}

#define CLOCK_NAME(clock) ((clock) == CLOCK_BOOTTIME ? "boottime" : "monotonic")

int REAL(sd_event_add_time)(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t usec,
			    uint64_t accuracy, sd_event_time_handler_t handler, void *userdata);
int WRAP(sd_event_add_time)(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t usec,
			    uint64_t accuracy, sd_event_time_handler_t handler, void *userdata);
int WRAP(sd_event_add_time)(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t usec,
			    uint64_t accuracy, sd_event_time_handler_t handler, void *userdata)
{
	int e = point("sd_event_add_time", CLOCK_NAME(clock));

	return e ? -e
		 : REAL(sd_event_add_time)(event, ret, clock, usec, accuracy, handler, userdata);
}

int REAL(sd_event_add_time_relative)(sd_event *event, sd_event_source **ret, clockid_t clock,
				     uint64_t usec, uint64_t accuracy,
				     sd_event_time_handler_t handler, void *userdata);
int WRAP(sd_event_add_time_relative)(sd_event *event, sd_event_source **ret, clockid_t clock,
				     uint64_t usec, uint64_t accuracy,
				     sd_event_time_handler_t handler, void *userdata);
int WRAP(sd_event_add_time_relative)(sd_event *event, sd_event_source **ret, clockid_t clock,
				     uint64_t usec, uint64_t accuracy,
				     sd_event_time_handler_t handler, void *userdata)
{
	int e = point("sd_event_add_time", CLOCK_NAME(clock));

	return e ? -e
		 : REAL(sd_event_add_time_relative)(event, ret, clock, usec, accuracy, handler,
						    userdata);
}

int REAL(sd_event_add_defer)(sd_event *event, sd_event_source **ret, sd_event_handler_t handler,
			     void *userdata);
int WRAP(sd_event_add_defer)(sd_event *event, sd_event_source **ret, sd_event_handler_t handler,
			     void *userdata);
int WRAP(sd_event_add_defer)(sd_event *event, sd_event_source **ret, sd_event_handler_t handler,
			     void *userdata)
{
	int e = point("sd_event_add_defer", "-");

	return e ? -e : REAL(sd_event_add_defer)(event, ret, handler, userdata);
}
