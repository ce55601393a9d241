/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include "rpc/log.h"
#include "uevent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

struct Watch {
	sd_event *event;
	char *sysfs, *proxy;
	void (*changed)(void *userdata);
	void *userdata;
	int uevents, inotify, module;
	sd_event_source *on_uevents, *on_inotify, *on_module;
};

Watch *watch_free(Watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->on_uevents);
	sd_event_source_disable_unref(watch->on_inotify);
	sd_event_source_disable_unref(watch->on_module);
	if (watch->uevents >= 0)
		close(watch->uevents);
	if (watch->inotify >= 0)
		close(watch->inotify);
	if (watch->module >= 0)
		close(watch->module);
	sd_event_unref(watch->event);
	free(watch->sysfs);
	free(watch->proxy);
	free(watch);
	return NULL;
}

static int on_uevents(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Watch *watch = userdata;
	int r = uevent_drain(fd);

	if (r < 0) {
		log_error("the kernel's uevents cannot be read any more: %s", strerror(-r));
		watch->on_uevents = sd_event_source_disable_unref(watch->on_uevents);
		return 0;
	}
	if (r > 0)
		watch->changed(watch->userdata);
	return 0;
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char buffer[4096];
	Watch *watch = userdata;
	bool written = false;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buffer + at);

			written = written || e->mask & (IN_MODIFY | IN_Q_OVERFLOW);
			at += (ssize_t)sizeof(*e) + e->len;
		}
	if (written)
		watch->changed(watch->userdata);
	return 0;
}

static int on_module(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Watch *watch = userdata;
	uint64_t counter;

	if (read(fd, &counter, sizeof(counter)) < 0 && errno != EAGAIN && errno != EINTR) {
		watch->on_module = sd_event_source_disable_unref(watch->on_module);
		close(watch->module);
		watch->module = -1;
	}
	watch->changed(watch->userdata);
	return 0;
}

static void watch_module(Watch *watch)
{
	_cleanup_close_ int fd = -1;

	if (watch->module >= 0)
		return;
	fd = open(watch->proxy, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	/* A regular file, as in a made-up tree, cannot be waited for. */
	if (fd < 0 ||
	    sd_event_add_io(watch->event, &watch->on_module, fd, EPOLLIN, on_module, watch) < 0)
		return;
	watch->module = steal_fd(&fd);
}

int watch_new(Watch **ret, sd_event *event, const WatchOptions *options)
{
	_cleanup_(watch_freep) Watch *watch = calloc(1, sizeof(*watch));
	int r = 0;

	if (!watch) {
		if (options->uevents >= 0)
			close(options->uevents);
		return -ENOMEM;
	}
	watch->inotify = watch->module = -1;
	watch->uevents = options->uevents;
	watch->event = sd_event_ref(event);
	watch->changed = options->changed;
	watch->userdata = options->userdata;
	watch->sysfs = strdup(options->sysfs);
	watch->proxy = strdup(options->proxy);
	if (!watch->sysfs || !watch->proxy)
		return -ENOMEM;
	watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->inotify < 0)
		return -errno;
	if (watch->uevents >= 0)
		r = sd_event_add_io(event, &watch->on_uevents, watch->uevents, EPOLLIN, on_uevents,
				    watch);
	if (r >= 0)
		r = sd_event_add_io(event, &watch->on_inotify, watch->inotify, EPOLLIN, on_inotify,
				    watch);
	if (r < 0)
		return r;
	watch_module(watch);
	*ret = steal_ptr(watch);
	return 0;
}

void watch_functions(Watch *watch, const TeeIoFunction *list, size_t n)
{
	static const char *const names[] = { "connect", "disconnect" };

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0;
		     k < ELEMENTSOF(names) && bdf_equal(list[i].dsm, list[i].host.bdf); k++) {
			char path[PATH_MAX], text[BDF_STRING_SIZE];

			/* Adding what is watched already changes nothing; the kernel takes a
			 * watch away with its file. */
			if (snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/tsm/%s",
				     watch->sysfs, bdf_format(list[i].dsm, text),
				     names[k]) < (int)sizeof(path))
				inotify_add_watch(watch->inotify, path, IN_MODIFY);
		}
	watch_module(watch);
}
