/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A made-up kernel for tests of tdi-tsm-linux, below testing_root: /sys with tsm/ directories that
 * a connect fills, /proc, /run/libvirt, and how the kernel is to behave. It runs in the worker that
 * would be in the real one.
 */
#pragma once

#include "kmod/tsm-proxy.h"
#include "testing-host.h"
#include "tsm/linux/kernel.h"

#include <errno.h>
#include <poll.h>

#define DISTANT_PF "0000:05:00.0" /* has a DSM of its own */

/* Whoever watches the file hears that it was written; what is in it stays. */
static inline void testing_touch(int fd)
{
	char first;

	if (pread(fd, &first, 1, 0) == 1)
		cr_assert_eq(pwrite(fd, &first, 1, 0), 1);
}

/*
 * At once, as the kernel's values change: a provider's child that reads meanwhile finds the old
 * value or the new one, never an empty file, which is one that cannot be read.
 */
static inline void testing_tsm_attribute(const char *bdf, const char *name, const char *value)
{
	char path[PATH_MAX], next[PATH_MAX];
	_cleanup_close_ int old = -1;
	struct stat st;

	mkdir(testing_path("sys/bus/pci/devices/%s/tsm", bdf), 0755);
	snprintf(path, sizeof(path), "%s",
		 testing_path("sys/bus/pci/devices/%s/tsm/%s", bdf, name));
	snprintf(next, sizeof(next), "%s", testing_path("next-value-%d", (int)getpid()));
	/* Watches end with the file, and that not before it is closed. */
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		old = open(path, O_RDWR | O_CLOEXEC);
	testing_write(next, value, strlen(value));
	cr_assert_eq(rename(next, path), 0);
	if (old >= 0)
		testing_touch(old);
}

static inline void testing_tsm_read(const char *bdf, const char *name, char value[static 64])
{
	FILE *f = fopen(testing_path("sys/bus/pci/devices/%s/tsm/%s", bdf, name), "r");

	value[0] = '\0';
	if (!f)
		return;
	if (!fgets(value, 64, f))
		value[0] = '\0';
	value[strcspn(value, "\n")] = '\0';
	fclose(f);
}

static inline void testing_tsm_pf(const char *bdf)
{
	testing_tsm_attribute(bdf, "connect", "\n");
	testing_tsm_attribute(bdf, "disconnect", "");
	testing_tsm_attribute(bdf, "dsm", "\n");
	testing_tsm_attribute(bdf, "bound", "\n");
}

/* The TSM of this name goes, and one of the same name comes. */
static inline void testing_tsm_again(const char *name)
{
	char fresh[PATH_MAX];

	snprintf(fresh, sizeof(fresh), "%s", testing_path("sys/class/tsm/new"));
	cr_assert_eq(mkdir(fresh, 0755), 0);
	remove(testing_path("sys/class/tsm/%s/device/driver", name));
	rmdir(testing_path("sys/class/tsm/%s/device", name));
	cr_assert_eq(rmdir(testing_path("sys/class/tsm/%s", name)), 0);
	cr_assert_eq(rename(fresh, testing_path("sys/class/tsm/%s", name)), 0);
}

/* As where the kernel sees no DSM, or no TSM is there to serve it. */
static inline void testing_tsm_pf_gone(const char *bdf)
{
	static const char *const names[] = { "connect", "disconnect", "dsm", "bound" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		remove(testing_path("sys/bus/pci/devices/%s/tsm/%s", bdf, names[i]));
}

static inline void testing_linux_new(void)
{
	static const char *const folders[] = {
		"sys/class",
		"sys/class/tsm",
		"sys/class/tsm/tsm0",
		"proc",
		"proc/sys",
		"proc/sys/kernel",
		"proc/sys/kernel/random",
		"run",
		"run/libvirt",
		"run/libvirt/qemu",
		"dev",
	};
	static const char boot_id[] = "01234567-89ab-cdef-0123-456789abcdef\n";

	testing_host_new();
	for (size_t i = 0; i < ELEMENTSOF(folders); i++)
		cr_assert_eq(mkdir(testing_path("%s", folders[i]), 0755), 0);
	testing_write(testing_path("proc/sys/kernel/random/boot_id"), boot_id, sizeof(boot_id) - 1);
	testing_function(DISTANT_PF, "0x10c9\n", TESTING_PF_RESOURCE);
	testing_tsm_pf(PF);
	testing_tsm_pf(DISTANT_PF);
}

/* What the made-up kernel answers: "" success, "errno N", "hang", "silent" (success that does
 * nothing), "late" (does it, then hangs). */
static inline void testing_behave(const char *how)
{
	/* Before the child is there: a test that lets it go waits for it. */
	if (strcmp(how, "hang") == 0)
		mkfifo(testing_path("release"), 0600);
	testing_write(testing_path("behave"), how, strlen(how));
}

static inline void testing_hang(void)
{
	int fd;

	/* Until the test opens it for writing. */
	fd = open(testing_path("release"), O_RDONLY);
	if (fd >= 0)
		close(fd);
}

static inline void testing_release(void)
{
	int fd = open(testing_path("release"), O_WRONLY);

	cr_assert_geq(fd, 0);
	close(fd);
}

/* As `file` says it. 0: do it; 1: say success; negative errno. */
static inline int testing_behaviour(const char *file)
{
	char how[64] = "";
	FILE *f = fopen(testing_path("%s", file), "r");
	int number;

	if (f) {
		if (!fgets(how, sizeof(how), f))
			how[0] = '\0';
		fclose(f);
	}
	if (strcmp(how, "hang") == 0)
		testing_hang();
	if (sscanf(how, "errno %d", &number) == 1)
		return -number;
	return strcmp(how, "silent") == 0;
}

/* Of a function that the made-up kernel can reset: `methods` as reset_method has them. */
static inline void testing_resettable(const char *bdf, const char *methods)
{
	char text[64];

	snprintf(text, sizeof(text), "%s\n", methods);
	testing_attribute(bdf, "reset", "");
	testing_attribute(bdf, "reset_method", text);
}

/* How a reset goes, as testing_behave() has it for the rest. */
static inline void testing_reset_behave(const char *how)
{
	if (strcmp(how, "hang") == 0)
		mkfifo(testing_path("release"), 0600);
	testing_write(testing_path("behave-reset"), how, strlen(how));
}

/* The function, and by what it may be reset, of each reset that has begun: "BDF flr;BDF flr;" */
static inline const char *testing_resets(void)
{
	static char text[512];
	FILE *f = fopen(testing_path("resets"), "r");

	text[0] = '\0';
	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		fclose(f);
	return text;
}

static inline int testing_kernel_reset(const char *bdf, const char *text)
{
	char methods[64] = "";
	FILE *f;

	if (strcmp(text, "1") != 0)
		return -EINVAL;
	f = fopen(testing_path("sys/bus/pci/devices/%s/reset_method", bdf), "r");
	if (!f || !fgets(methods, sizeof(methods), f))
		return -EIO;
	fclose(f);
	methods[strcspn(methods, "\n")] = '\0';
	f = fopen(testing_path("resets"), "a");
	fprintf(f, "%s %s;", bdf, methods);
	fclose(f);
	return testing_behaviour("behave-reset");
}

static inline int testing_kernel_write(const char *path, const char *text)
{
	const char *name = strrchr(path, '/') + 1;
	char bdf[13], value[32];
	int r;

	memcpy(bdf, name - 13, 12);
	bdf[12] = '\0';
	if (strcmp(name, "reset") == 0)
		return testing_kernel_reset(bdf, text);
	if (strcmp(name, "reset_method") == 0) {
		snprintf(value, sizeof(value), "%s\n", text);
		testing_attribute(bdf, name, value);
		return 0;
	}
	r = testing_behaviour("behave");
	if (r != 0)
		return r < 0 ? r : 0;
	memcpy(bdf, name - 4 - 13, 12);
	bdf[12] = '\0';
	if (strcmp(name, "connect") == 0) {
		snprintf(value, sizeof(value), "%s\n", text);
		testing_tsm_attribute(bdf, "connect", value);
		if (strcmp(bdf, PF) == 0) {
			testing_tsm_attribute(VF0, "bound", "\n");
			testing_tsm_attribute(VF0, "dsm", PF "\n");
			testing_tsm_attribute(VF1, "bound", "\n");
			testing_tsm_attribute(VF1, "dsm", PF "\n");
		}
		return 0;
	}
	testing_tsm_attribute(bdf, "connect", "\n");
	return 0;
}

static inline void testing_take_driver(const char *bdf)
{
	cr_assert_eq(remove(testing_path("sys/bus/pci/devices/%s/driver", bdf)), 0);
}

/* Another driver than before gets the function. */
static inline void testing_give(const char *bdf, const char *driver)
{
	char target[64];

	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", driver);
	testing_take_driver(bdf);
	testing_link(bdf, "driver", target);
}

static inline int testing_kernel_ioctl(const char *path, unsigned long request, void *argument)
{
	struct tsm_proxy_bind *bind = argument;
	struct tsm_proxy_guest_req *guest = argument;
	struct tsm_proxy_unbind *unbind = argument;
	char bdf[BDF_STRING_SIZE];
	int r = testing_behaviour("behave");

	if (r != 0)
		return r < 0 ? r : 0;
	/* All three begin with the function. */
	bdf_format(bdf_from_requester_id(bind->function), bdf);
	switch (request) {
	case TSM_PROXY_VMM_IOCTL_BIND:
		testing_tsm_attribute(bdf, "bound", "tsm0\n");
		testing_write(testing_path("bind"), bind, sizeof(*bind));
		return 0;
	case TSM_PROXY_VMM_IOCTL_UNBIND:
		testing_tsm_attribute(bdf, "bound", "\n");
		if (access(testing_path("given_back"), F_OK) == 0)
			testing_give(bdf, "igbvf");
		if (access(testing_path("unreadable"), F_OK) == 0)
			testing_tsm_attribute(bdf, "bound", "rubbish without an end");
		unbind->error = access(testing_path("unconfirmed"), F_OK) == 0 ? -EPROTO
				: access(testing_path("too_late"), F_OK) == 0  ? -ENXIO
									       : 0;
		return 0;
	case TSM_PROXY_VMM_IOCTL_GUEST_REQ: {
		char text[256];
		int n = snprintf(text, sizeof(text), "{\"message\": \"%.*s\"}",
				 (int)guest->request_len, (const char *)(uintptr_t)guest->request);

		if (guest->request_len == 4 &&
		    memcmp((const char *)(uintptr_t)guest->request, "junk", 4) == 0)
			n = snprintf(text, sizeof(text), "no JSON");
		memcpy((char *)(uintptr_t)guest->reply, text, (size_t)n);
		guest->reply_len = (uint32_t)n;
		return 0;
	}
	default: return -ENOTTY;
	}
}

/* A VMM that binds the function by itself, once a child of the provider waits for it. */
static inline void testing_vmm_binds(const char *bdf)
{
	testing_write(testing_path("vmm"), bdf, strlen(bdf));
}

static inline bool testing_vmm_has_bound(void)
{
	return access(testing_path("vmm"), F_OK) < 0;
}

static inline void testing_kernel_pause(uint32_t ms)
{
	char bdf[BDF_STRING_SIZE] = "";
	FILE *f = fopen(testing_path("vmm"), "r");

	if (!f) {
		poll(NULL, 0, (int)ms);
		return;
	}
	cr_assert_not_null(fgets(bdf, sizeof(bdf), f));
	fclose(f);
	testing_tsm_attribute(bdf, "bound", "tsm0\n");
	remove(testing_path("vmm"));
}

static const KernelIo testing_kernel = { testing_kernel_write, testing_kernel_ioctl,
					 testing_kernel_pause };
