/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/tee-io.h"

#include "core/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static inline DIR *dir_close(DIR *dir)
{
	closedir(dir);
	return NULL;
}

DEFINE_CLEANUP(DIR, dir_close);

static bool exists(const char *sysfs, Bdf bdf, const char *name)
{
	char path[PATH_MAX], text[BDF_STRING_SIZE];

	return snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", sysfs,
			bdf_format(bdf, text), name) < (int)sizeof(path) &&
	       faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

bool tee_io_vfio_holds(const char *sysfs, const HostFunction *f)
{
	size_t n = strlen(f->driver);

	/* vfio-dev: Linux 6.1 and later; the name covers variant drivers of those before. */
	if (!f->driver[0])
		return false;
	return exists(sysfs, f->bdf, "vfio-dev") ||
	       (n >= 8 && (strcmp(f->driver + n - 8, "vfio-pci") == 0 ||
			   strcmp(f->driver + n - 8, "vfio_pci") == 0));
}

Bdf tee_io_dsm(const HostFunction *f)
{
	Bdf dsm = f->physical;

	dsm.function = 0;
	return dsm;
}

/* The directory is a symbolic link into the tree of buses: .../UPSTREAM/DOWNSTREAM/FUNCTION. */
static bool upstream_dsm(const char *sysfs, Bdf bdf, Bdf *ret)
{
	char path[PATH_MAX], target[PATH_MAX], text[BDF_STRING_SIZE], *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sysfs, bdf_format(bdf, text));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	for (unsigned int up = 0; up < 2; up++) {
		slash = strrchr(target, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
	slash = strrchr(target, '/');
	return slash && bdf_parse(ret, slash + 1) == 0 && exists(sysfs, *ret, "tsm/connect");
}

/* False: it has nothing to do with a TSM. */
static bool find_dsm(TeeIoFunction *f, const char *sysfs)
{
	Bdf upstream;

	f->dsm = tee_io_dsm(&f->host);
	if (exists(sysfs, f->dsm, "tsm/connect"))
		return true;
	if (!exists(sysfs, f->host.bdf, "tsm/bound"))
		return false;
	f->stray = !upstream_dsm(sysfs, f->host.bdf, &upstream);
	if (!f->stray)
		f->dsm = upstream;
	return true;
}

/* False: it is none, or not there. */
static bool read_function(TeeIoFunction *ret, const char *sysfs, Bdf bdf)
{
	TeeIoFunction f = {};

	if (host_function_read(&f.host, sysfs, bdf, NULL) < 0) {
		/* One that goes away meanwhile is not there. One that stays may be bound. */
		if (!exists(sysfs, bdf, "tsm/connect") && !exists(sysfs, bdf, "tsm/bound"))
			return false;
		f.unreadable = true;
		f.host = (HostFunction){ .bdf = bdf, .physical = bdf };
	}
	if (!find_dsm(&f, sysfs))
		return false;
	f.vfio = tee_io_vfio_holds(sysfs, &f.host);
	*ret = f;
	return true;
}

static int order(const void *a, const void *b)
{
	const TeeIoFunction *x = a, *y = b;
	uint32_t i = bdf_requester_id(x->host.bdf), j = bdf_requester_id(y->host.bdf);

	return (i > j) - (i < j);
}

int tee_io_functions(TeeIoFunction **ret, size_t *ret_n, const char *sysfs)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	_cleanup_free_ TeeIoFunction *list = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0, room = 0;

	if (snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((errno = 0, entry = readdir(dir))) {
		TeeIoFunction f;
		Bdf bdf;

		if (bdf_parse(&bdf, entry->d_name) < 0 || !read_function(&f, sysfs, bdf))
			continue;
		if (n == room) {
			TeeIoFunction *more = reallocarray(list, room * 2 + 16, sizeof(*list));

			if (!more)
				return -ENOMEM;
			list = more;
			room = room * 2 + 16;
		}
		list[n++] = f;
	}
	if (errno)
		return -errno;
	if (n)
		qsort(list, n, sizeof(*list), order);
	*ret = steal_ptr(list);
	*ret_n = n;
	return 0;
}

const TeeIoFunction *tee_io_find(const TeeIoFunction *list, size_t n, Bdf bdf)
{
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(list[i].host.bdf, bdf))
			return &list[i];
	return NULL;
}

static int tsm_number(const char *name, uint32_t *ret)
{
	unsigned long number;
	char *end;

	if (strncmp(name, "tsm", 3) != 0 || name[3] < '0' || name[3] > '9' ||
	    (name[3] == '0' && name[4]))
		return -EINVAL;
	errno = 0;
	number = strtoul(name + 3, &end, 10);
	if (errno || *end || number > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

bool tee_io_tsm_name_valid(const char *name)
{
	uint32_t number;

	return tsm_number(name, &number) == 0;
}

static int tsm_order(const void *a, const void *b)
{
	const TeeIoTsm *x = a, *y = b;
	uint32_t i = 0, j = 0;

	tsm_number(x->name, &i);
	tsm_number(y->name, &j);
	return (i > j) - (i < j);
}

static void read_tsm(TeeIoTsm *tsm, const char *sysfs)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *base;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/class/tsm/%s", sysfs, tsm->name);
	tsm->node = stat(path, &st) < 0 ? 0 : (uint64_t)st.st_ino;

	snprintf(path, sizeof(path), "%s/class/tsm/%s/device/driver", sysfs, tsm->name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	base = strrchr(target, '/');
	snprintf(tsm->driver, sizeof(tsm->driver), "%.*s", (int)sizeof(tsm->driver) - 1,
		 base ? base + 1 : target);
}

int tee_io_tsms(TeeIoTsm **ret, size_t *ret_n, const char *sysfs)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	_cleanup_free_ TeeIoTsm *list = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	uint32_t number;
	size_t n = 0;

	if (snprintf(path, sizeof(path), "%s/class/tsm", sysfs) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir && errno != ENOENT)
		return -errno;
	while (dir && (entry = readdir(dir))) {
		TeeIoTsm *more;

		if (tsm_number(entry->d_name, &number) < 0)
			continue;
		more = reallocarray(list, n + 1, sizeof(*list));
		if (!more)
			return -ENOMEM;
		list = more;
		snprintf(list[n].name, sizeof(list[n].name), "tsm%u", number);
		read_tsm(&list[n++], sysfs);
	}
	if (n)
		qsort(list, n, sizeof(*list), tsm_order);
	*ret = steal_ptr(list);
	*ret_n = n;
	return 0;
}

int tee_io_tsm(TeeIoTsm *ret, const char *name, const char *sysfs)
{
	_cleanup_free_ TeeIoTsm *list = NULL;
	size_t n;
	int r = tee_io_tsms(&list, &n, sysfs);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!name || strcmp(list[i].name, name) == 0) {
			*ret = list[i];
			return 0;
		}
	return -ENOENT;
}
