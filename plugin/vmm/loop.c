/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's loop is global to the process and cannot be unregistered, so it is registered once and
 * lives on idle between two LibvirtLoops. The thread ends at the first iteration that sees `stop`;
 * an eventfd in libvirt's own loop makes that iteration come.
 */
#include "vmm/loop.h"

#include "vmm/thread.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>

struct LibvirtLoop {
	pthread_t thread;
	bool started;
	int wake;
	int watch;
	atomic_bool stop;
};

static atomic_bool in_use;

static void no_error_print(void *userdata, virErrorPtr error)
{
}

static int initialize_libvirt(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool done;
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!done) {
		if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
			r = -ENOTRECOVERABLE;
		else
			virSetErrorFunc(NULL, no_error_print);
		done = r == 0;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void on_wake(int watch, int fd, int events, void *opaque)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

static void *loop_main(void *userdata)
{
	LibvirtLoop *loop = userdata;

	/* A failed iteration is a failed poll(), which can only be for lack of memory: go on. */
	while (!atomic_load(&loop->stop))
		(void)virEventRunDefaultImpl();
	return NULL;
}

int libvirt_loop_new(LibvirtLoop **ret)
{
	_cleanup_(libvirt_loop_freep) LibvirtLoop *loop = NULL;
	int r;

	if (atomic_exchange(&in_use, true))
		return -EBUSY;
	loop = calloc(1, sizeof(*loop));
	if (!loop) {
		atomic_store(&in_use, false);
		return -ENOMEM;
	}
	loop->watch = -1;
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake < 0)
		return -errno;
	r = initialize_libvirt();
	if (r < 0)
		return r;
	loop->watch = virEventAddHandle(loop->wake, VIR_EVENT_HANDLE_READABLE, on_wake, NULL, NULL);
	if (loop->watch < 0)
		return -ENOMEM;
	r = thread_start(&loop->thread, "vmm-loop", loop_main, loop);
	if (r < 0)
		return r;
	loop->started = true;
	*ret = steal_ptr(loop);
	return 0;
}

LibvirtLoop *libvirt_loop_free(LibvirtLoop *loop)
{
	const uint64_t one = 1;

	if (!loop)
		return NULL;
	if (loop->started) {
		atomic_store(&loop->stop, true);
		(void)!write(loop->wake, &one, sizeof(one));
		pthread_join(loop->thread, NULL);
	}
	if (loop->watch >= 0)
		virEventRemoveHandle(loop->watch);
	if (loop->wake >= 0)
		close(loop->wake);
	free(loop);
	atomic_store(&in_use, false);
	return NULL;
}
