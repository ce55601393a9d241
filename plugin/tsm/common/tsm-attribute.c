/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/tsm-attribute.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#define ATTRIBUTE_MAX 4096 /* the kernel's bound, a page (fs/sysfs/file.c) */

int tsm_attribute_path(char *buffer, size_t size, const char *sysfs, Bdf bdf, const char *name)
{
	char text[BDF_STRING_SIZE];

	return snprintf(buffer, size, "%s/bus/pci/devices/%s/tsm/%s", sysfs, bdf_format(bdf, text),
			name) >= (int)size
		       ? -ENAMETOOLONG
		       : 0;
}

static int attribute_open(const char *sysfs, Bdf bdf, const char *name)
{
	char path[PATH_MAX];
	int fd = tsm_attribute_path(path, sizeof(path), sysfs, bdf, name);

	if (fd < 0)
		return fd;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int tsm_attribute_read(const char *sysfs, Bdf bdf, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = attribute_open(sysfs, bdf, name);
	char text[ATTRIBUTE_MAX];
	ssize_t n;

	buffer[0] = '\0';
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return errno == ENODEV ? 0 : -errno;
	/* The NUL takes the place of the newline. */
	if (n == 0 || (size_t)n > size || text[n - 1] != '\n')
		return -EBADMSG;
	text[n - 1] = '\0';
	if (strcspn(text, "\n") != (size_t)n - 1)
		return -EBADMSG;
	memcpy(buffer, text, (size_t)n);
	return 0;
}

static void on_alarm(int signal)
{
}

void tsm_attribute_arm(uint32_t ms)
{
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
	/* Without SA_RESTART. */
	struct sigaction action = { .sa_handler = on_alarm };

	/* More than once, in case it comes just before the read. */
	if (ms)
		timer.it_interval.tv_usec = 100000;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}
