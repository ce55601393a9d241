/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include "core/refusal.h"
#include "daemon/journal.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME  "journal"
#define UNREADABLE "journal.unreadable"

_Static_assert(STORE_NOT_SYNCED == JOURNAL_NOT_SYNCED, "one is handed on as the other");

struct Store {
	int directory;
	char *path;	    /* the directory's */
	char *journal_path; /* for messages */
	char *header;
	Journal *journal;
};

Store *store_free(Store *store)
{
	if (!store)
		return NULL;
	journal_free(store->journal);
	if (store->directory >= 0)
		close(store->directory);
	free(store->path);
	free(store->journal_path);
	free(store->header);
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

/* 1: it is of this boot; 0: of another one; -EBADMSG; -EPROTO: of a newer tdid. */
static int judge_header(const char *header, const char *boot_id)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	const char *boot;
	int64_t version;
	int r;

	r = json_parse(&o, header, strlen(header), NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	version = json_get_int(o, "version", 0);
	boot = json_get_string(o, "boot");
	if (version > STORE_VERSION)
		return -EPROTO;
	if (version < STORE_OLDEST_VERSION || !boot)
		return -EBADMSG;
	return strcmp(boot, boot_id) == 0;
}

/* Beside what was set aside before. */
static int free_name(const Store *store, char ret[static 64])
{
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(ret, 64, i ? UNREADABLE ".%u" : UNREADABLE, i);
		if (faccessat(store->directory, ret, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

static int set_all_aside(const Store *store, char **ret_error)
{
	char aside[64];
	int r = free_name(store, aside);

	if (r >= 0 && renameat(store->directory, FILE_NAME, store->directory, aside) < 0)
		r = -errno;
	if (r < 0)
		return refuse(ret_error, r, "%s: no journal of tdid's, and cannot be set aside: %s",
			      store->journal_path, strerror(-r));
	log_error("%s: no journal of tdid's; set aside as %s. What it was about is learned anew "
		  "from the TSM and from libvirt",
		  store->journal_path, aside);
	return 0;
}

static int is_old_record(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

/* They would say what is bound, and to whom. */
static int refuse_old_records(const Store *store, char **ret_error)
{
	struct dirent **entries = NULL;
	int n = scandirat(store->directory, ".", &entries, is_old_record, NULL);
	int r = n < 0 ? refuse(ret_error, -errno, "%s: %s", store->path, strerror(errno)) : 0;

	if (n > 0)
		r = refuse(ret_error, -EPROTO,
			   "%s/%s: a record of a tdid from before its journal. Go back to that "
			   "version, or remove it and those beside it when no trusted device is in "
			   "use",
			   store->path, entries[0]->d_name);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return r;
}

static int open_journal(Store *store, const char *boot_id, char **ret_error)
{
	_cleanup_(journal_image_done) JournalImage image = {};
	int r = journal_read(&image, store->directory, FILE_NAME);
	bool is_ours;

	if (r < 0 && r != -ENOENT && r != -EBADMSG)
		return refuse(ret_error, r,
			      "%s: cannot be read: %s. If that stays so, remove it "
			      "when no trusted device is in use",
			      store->journal_path, strerror(-r));
	if (r >= 0)
		r = judge_header(image.header, boot_id);
	else if (r == -ENOENT)
		r = 0;
	if (r == -EPROTO)
		return refuse(ret_error, r,
			      "%s: written by a newer tdid. Go back to that version, or remove "
			      "the file when no trusted device is in use",
			      store->journal_path);
	if (r == -EBADMSG)
		r = set_all_aside(store, ret_error);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", store->journal_path, strerror(-r));
	is_ours = r > 0;
	r = refuse_old_records(store, ret_error);
	if (r < 0)
		return r;
	r = journal_open(&store->journal, store->directory, FILE_NAME, store->journal_path,
			 store->header, is_ours ? &image : NULL);
	return r >= 0 ? 0 : refuse(ret_error, r, "%s: %s", store->journal_path, strerror(-r));
}

int store_open(Store **ret, const char *directory, const char *boot_id, char **ret_error)
{
	_cleanup_(store_freep) Store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	store->directory = -1;
	store->path = strdup(directory);
	if (!store->path || asprintf(&store->journal_path, "%s/" FILE_NAME, directory) < 0 ||
	    asprintf(&store->header, "{\"version\":%d,\"boot\":\"%s\"}", STORE_VERSION, boot_id) <
		    0)
		return -ENOMEM;
	r = make_directories(directory);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", directory, strerror(-r));
	store->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (store->directory < 0)
		return refuse(ret_error, -errno, "%s: %s", directory, strerror(errno));
	r = open_journal(store, boot_id, ret_error);
	if (r < 0)
		return r;
	*ret = steal_ptr(store);
	return 0;
}

int store_write(Store *store, const char *name, JsonText *record)
{
	if (!record->error && (record->len == 0 || record->text[0] != '{'))
		return -EINVAL;
	json_text_close(record, '}');
	if (record->error)
		return record->error;
	return journal_append(store->journal, name, record->text, record->len);
}

int store_remove(Store *store, const char *name)
{
	return journal_append(store->journal, name, "", 0);
}

void store_gather(Store *store)
{
	journal_gather(store->journal);
}

int store_commit(Store *store)
{
	return journal_commit(store->journal);
}

void store_discard(Store *store)
{
	journal_discard(store->journal);
}

/* A folder or a link may have been set aside under that name. */
static int open_aside(const Store *store)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(store->directory, UNREADABLE, flags, 0600), r;
	char name[64];

	if (fd >= 0 || (errno != EISDIR && errno != ELOOP))
		return fd < 0 ? -errno : fd;
	r = free_name(store, name);
	if (r < 0)
		return r;
	fd = openat(store->directory, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* The whole line, as it was, to those that were set aside before. */
static int keep_aside(const Store *store, const JournalLine *line)
{
	_cleanup_close_ int fd = open_aside(store);
	size_t name = line->name ? strlen(line->name) + 1 : 0, size = name + line->len + 1;
	_cleanup_free_ char *text = malloc(size);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!text)
		return -ENOMEM;
	if (name > 0)
		snprintf(text, size, "%s ", line->name);
	memcpy(text + name, line->text, line->len);
	text[size - 1] = '\n';
	n = write(fd, text, size);
	if (n != (ssize_t)size)
		return n < 0 ? -errno : -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

static int set_aside(Store *store, const JournalLine *line, const char *why)
{
	int r = keep_aside(store, line);

	if (r >= 0 && line->name)
		r = store_remove(store, line->name);
	log_error("%s: byte %zu: %s%s%s; %s%s. What it was about is learned anew from the TSM "
		  "and from libvirt",
		  store->journal_path, line->at, line->name ?: "", line->name ? ": " : "", why,
		  r < 0 ? "it cannot be set aside: " : "set aside in " UNREADABLE,
		  r < 0 ? strerror(-r) : "");
	return r;
}

static int walk_one(Store *store, const JournalLine *line, StoreRecordFn fn, void *userdata)
{
	_cleanup_(json_unrefp) json_object *record = NULL;
	_cleanup_free_ char *why = NULL;
	int r = json_parse(&record, line->text, line->len, &why);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		set_aside(store, line, why ?: strerror(-r));
		return 0;
	}
	r = fn(line->name, record, userdata);
	if (r == -EBADMSG) {
		set_aside(store, line, "its contents make no sense");
		return 0;
	}
	return r;
}

/* Those of this prefix, each once. */
static int walk_some(Store *store, JournalImage *image, const char *prefix, StoreRecordFn fn,
		     void *userdata)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < image->n_lines; i++) {
		JournalLine line = image->lines[i];

		if (!line.name || strncmp(line.name, prefix, strlen(prefix)) != 0)
			continue;
		image->lines[i].name = NULL;
		r = walk_one(store, &line, fn, userdata);
	}
	return r;
}

/* Those without a name, which no later line can call off. */
static void drop_nameless(Store *store, const JournalImage *image)
{
	size_t n = 0;
	int r = 0;

	for (; r >= 0 && n < image->n_lines && !image->lines[n].name; n++)
		r = set_aside(store, &image->lines[n], "no line of tdid's");
	if (r >= 0 && n > 0)
		r = journal_compact(store->journal);
	if (r < 0)
		log_error("%s: is not written anew: %s", store->journal_path, strerror(-r));
}

int store_each(Store *store, const char *const order[], bool rest, StoreRecordFn fn, void *userdata,
	       char **ret_error)
{
	_cleanup_(journal_image_done) JournalImage image = {};
	int r = 0;

	if (!journal_is_new(store->journal))
		r = journal_read(&image, store->directory, FILE_NAME);
	if (r < 0)
		return refuse(ret_error, r,
			      "%s: cannot be read: %s. If that stays so, remove it "
			      "when no trusted device is in use",
			      store->journal_path, strerror(-r));
	if (rest)
		drop_nameless(store, &image);
	for (size_t i = 0; r >= 0 && order[i]; i++)
		r = walk_some(store, &image, order[i], fn, userdata);
	if (r >= 0 && rest)
		r = walk_some(store, &image, "", fn, userdata);
	return r >= 0 ? 0 : refuse(ret_error, r, "%s: %s", store->journal_path, strerror(-r));
}
