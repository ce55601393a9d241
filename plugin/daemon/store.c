/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include "core/refusal.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_SIZE_MAX (1024 * 1024)
#define TEMPORARY	".new"
#define UNREADABLE	".unreadable"
#define SUFFIX		".json"

struct Store {
	int directory;
	char *path;
	char *boot_id;
};

Store *store_free(Store *store)
{
	if (!store)
		return NULL;
	if (store->directory >= 0)
		close(store->directory);
	free(store->path);
	free(store->boot_id);
	free(store);
	return NULL;
}

/* mkdir -p; only the last one is ours alone. */
static int make_directories(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, 0700) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int is_temporary(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > strlen(TEMPORARY) &&
	       strcmp(entry->d_name + n - strlen(TEMPORARY), TEMPORARY) == 0;
}

/* What a crash left half-written is nobody's. It is in nobody's way either: failure is no matter.
 */
static void remove_temporaries(const Store *store)
{
	struct dirent **entries = NULL;
	int n = scandirat(store->directory, ".", &entries, is_temporary, NULL);

	for (int i = 0; i < n; i++) {
		if (unlinkat(store->directory, entries[i]->d_name, 0) < 0)
			log_warning("%s/%s: cannot be removed: %s", store->path, entries[i]->d_name,
				    strerror(errno));
		free(entries[i]);
	}
	free(entries);
}

int store_open(Store **ret, const char *directory, const char *boot_id, char **ret_error)
{
	_cleanup_(store_freep) Store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	store->directory = -1;
	store->path = strdup(directory);
	store->boot_id = strdup(boot_id);
	if (!store->path || !store->boot_id)
		return -ENOMEM;
	r = make_directories(directory);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", directory, strerror(-r));
	store->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (store->directory < 0)
		return refuse(ret_error, -errno, "%s: %s", directory, strerror(errno));
	remove_temporaries(store);
	*ret = steal_ptr(store);
	return 0;
}

static int file_name(char **ret, const char *name, const char *suffix)
{
	if (!name[0] || name[0] == '.' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") !=
		    strlen(name) ||
	    strlen(name) > 200)
		return -EINVAL;
	return asprintf(ret, "%s%s", name, suffix) < 0 ? -ENOMEM : 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_directory(const Store *store, const char *file)
{
	if (fsync(store->directory) >= 0)
		return 0;
	log_error("%s/%s: changed, but the directory cannot be synced: %s", store->path, file,
		  strerror(errno));
	return STORE_NOT_SYNCED;
}

static int create(Store *store, const char *file)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(store->directory, file, flags, 0600);

	/* Of a write that failed, when removing it failed as well. */
	if (fd < 0 && errno == EEXIST && unlinkat(store->directory, file, 0) >= 0)
		fd = openat(store->directory, file, flags, 0600);
	return fd < 0 ? -errno : fd;
}

int store_write(Store *store, const char *name, JsonText *record)
{
	_cleanup_free_ char *file = NULL, *temporary = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	r = file_name(&file, name, SUFFIX);
	if (r >= 0)
		r = file_name(&temporary, name, TEMPORARY);
	if (r >= 0 && !record->error && (record->len == 0 || record->text[0] != '{'))
		r = -EINVAL;
	json_text_add(record, J_INT("version", STORE_VERSION), J_STRING("boot", store->boot_id));
	json_text_close(record, '}');
	if (r >= 0)
		r = record->error;
	if (r < 0)
		return r;
	fd = create(store, temporary);
	if (fd < 0)
		return fd;
	r = write_all(fd, record->text, record->len);
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	if (r >= 0 && renameat(store->directory, temporary, store->directory, file) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(store->directory, temporary, 0);
		return r;
	}
	return sync_directory(store, file);
}

int store_remove(Store *store, const char *name)
{
	_cleanup_free_ char *file = NULL;
	int r = file_name(&file, name, SUFFIX);

	if (r < 0)
		return r;
	if (unlinkat(store->directory, file, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_directory(store, file);
}

static int read_record(Store *store, const char *file, json_object **ret, char **ret_error)
{
	_cleanup_close_ int fd = openat(store->directory, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > RECORD_SIZE_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	return json_parse(ret, text, (size_t)n, ret_error);
}

/* A failure of the system's, now, from which nothing follows about what is in the record. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO;
}

static void set_aside(Store *store, const char *file, const char *why)
{
	_cleanup_free_ char *aside = NULL;

	log_error("%s/%s: %s; set aside as %s%s. What it was about is learned anew from the TSM "
		  "and from libvirt",
		  store->path, file, why, file, UNREADABLE);
	if (asprintf(&aside, "%s%s", file, UNREADABLE) < 0 ||
	    renameat(store->directory, file, store->directory, aside) < 0)
		log_error("%s/%s: cannot be set aside: %s", store->path, file, strerror(errno));
}

static int walk_one(Store *store, const char *file, StoreRecordFn fn, void *userdata,
		    char **ret_error)
{
	_cleanup_(json_unrefp) json_object *record = NULL;
	_cleanup_free_ char *why = NULL, *name = NULL;
	const char *boot;
	int64_t version;
	int r;

	r = read_record(store, file, &record, &why);
	if (is_passing(r))
		return refuse(ret_error, r, "%s: %s", file,
			      r == -EIO ? "cannot be read: an I/O error. If it stays so, remove "
					  "the record when no trusted device is in use"
					: strerror(-r));
	version = r < 0 ? 0 : json_get_int(record, "version", 0);
	boot = r < 0 ? NULL : json_get_string(record, "boot");
	if (version > STORE_VERSION)
		return refuse(ret_error, -EPROTO,
			      "%s: written by a newer tdid. Go back to that version, or remove the "
			      "record when no trusted device is in use",
			      file);
	if (r < 0 || version < 1 || !boot) {
		set_aside(store, file, why ?: r < 0 ? strerror(-r) : "has no version or boot");
		return 0;
	}
	if (strcmp(boot, store->boot_id) != 0) {
		unlinkat(store->directory, file, 0);
		return 0;
	}
	name = strndup(file, strlen(file) - strlen(SUFFIX));
	if (!name)
		return -ENOMEM;
	r = fn(name, record, userdata);
	if (r == -EBADMSG) {
		set_aside(store, file, "its contents make no sense");
		return 0;
	}
	return r;
}

static int is_record(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > strlen(SUFFIX) &&
	       strcmp(entry->d_name + n - strlen(SUFFIX), SUFFIX) == 0;
}

/* Those of this prefix, each once. */
static int walk_some(Store *store, struct dirent **entries, int n, const char *prefix,
		     StoreRecordFn fn, void *userdata, char **ret_error)
{
	int r = 0;

	for (int i = 0; r >= 0 && i < n; i++) {
		if (!entries[i] || strncmp(entries[i]->d_name, prefix, strlen(prefix)) != 0)
			continue;
		r = walk_one(store, entries[i]->d_name, fn, userdata, ret_error);
		free(entries[i]);
		entries[i] = NULL;
	}
	return r;
}

int store_each(Store *store, const char *const order[], bool rest, StoreRecordFn fn, void *userdata,
	       char **ret_error)
{
	struct dirent **entries = NULL;
	int n = scandirat(store->directory, ".", &entries, is_record, alphasort), r = 0;

	if (n < 0)
		return refuse(ret_error, -errno, "%s: %s", store->path, strerror(errno));
	for (size_t i = 0; r >= 0 && order[i]; i++)
		r = walk_some(store, entries, n, order[i], fn, userdata, ret_error);
	if (r >= 0 && rest)
		r = walk_some(store, entries, n, "", fn, userdata, ret_error);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return r < 0 ? r : 0;
}
