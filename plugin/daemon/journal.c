/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/journal.h"

#include "common/state-file.h"
#include "daemon/journal-private.h"
#include "rpc/event-loop.h"
#include "rpc/fd-write.h"
#include "rpc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TEMPORARY ".new"

/* So many bytes may count no more, beside those that do; the sweep's journals are short. */
#ifndef JOURNAL_SPARE
#define JOURNAL_SPARE (4 * 1024 * 1024)
#endif
#define WORTH_IT  (JOURNAL_SPARE / 64)	  /* so much has to be gained when there is no room */
#define FULL_USEC (1000 * UINT64_C(1000)) /* where even that gained none, it is not tried again */

/* Bytes of memory for lines that are to be written; more than that is given back. */
#define PENDING_FIRST 4096
#define PENDING_KEPT  (256 * 1024)

struct Journal {
	int directory, fd; /* -1: there is none yet */
	const char *file, *path, *header;
	off_t size;	  /* of whole lines */
	off_t shortest;	  /* it would have been when it was opened, or was when it was made */
	off_t compact_at; /* size */
	bool torn;	  /* there is more in the file, to be cut off */
	bool unsynced;	  /* the directory may not show the file yet */
	bool doubtful;	  /* what is in it may not be on the disk, and never come there */
	uint64_t full_until_usec; /* no looking for room before that */
	char *pending;		  /* lines that are written next */
	size_t used, capacity;	  /* of it */
	bool gathering;		  /* not until they are committed */
};

static off_t compact_at(size_t live)
{
	return 2 * (off_t)live + JOURNAL_SPARE;
}

static char *temporary_name(const Journal *journal)
{
	char *name;

	return asprintf(&name, "%s%s", journal->file, TEMPORARY) < 0 ? NULL : name;
}

int journal_open(Journal **ret, int directory, const char *file, const char *path,
		 const char *header, const JournalImage *image)
{
	_cleanup_(journal_freep) Journal *journal = calloc(1, sizeof(*journal));
	_cleanup_free_ char *temporary = NULL;

	if (!journal)
		return -ENOMEM;
	*journal = (Journal){
		.directory = directory, .fd = -1, .file = file, .path = path, .header = header
	};
	temporary = temporary_name(journal);
	if (!temporary)
		return -ENOMEM;
	/* Of a crash; and in nobody's way if it stays. */
	unlinkat(directory, temporary, 0);
	if (image) {
		journal->fd = openat(directory, file, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
		if (journal->fd < 0)
			return -errno;
		journal->size = (off_t)image->size;
		journal->torn = image->torn;
		journal->shortest = (off_t)image->live;
		/* One of an older version is written anew, with this one's header. */
		journal->compact_at =
			strcmp(image->header, header) == 0 ? compact_at(image->live) : 0;
		journal->unsynced = true; /* as far as is known */
	}
	*ret = steal_ptr(journal);
	return 0;
}

Journal *journal_free(Journal *journal)
{
	if (journal && journal->fd >= 0)
		close(journal->fd);
	if (journal)
		free(journal->pending);
	free(journal);
	return NULL;
}

bool journal_is_new(const Journal *journal)
{
	return journal->fd < 0;
}

static int cut(Journal *journal)
{
	journal->torn = true;
	if (ftruncate(journal->fd, journal->size) < 0) {
		log_error("%s: half a line cannot be cut off: %s; nothing is written, and nothing "
			  "new connected or bound, until it can. See whether its disk fails",
			  journal->path, strerror(errno));
		return -errno;
	}
	journal->torn = false;
	return 0;
}

static int sync_directory(Journal *journal)
{
	journal->unsynced = fsync(journal->directory) < 0;
	if (!journal->unsynced)
		return 0;
	log_error("%s: its directory cannot be synced: %s. See whether its disk fails",
		  journal->path, strerror(errno));
	return JOURNAL_NOT_SYNCED;
}

static int create(int directory, const char *file)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(directory, file, flags, 0600);

	/* Of a crash, or of a write that failed when removing it failed as well. */
	if (fd < 0 && errno == EEXIST && unlinkat(directory, file, 0) >= 0)
		fd = openat(directory, file, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static char *add(char *to, const char *text, size_t len, char end)
{
	to = mempcpy(to, text, len);
	*to = end;
	return to + 1;
}

/* The header and these lines as they stand in a file: *ret_size bytes. -ENOMEM. */
static int compose(char **ret, size_t *ret_size, const char *header, const JournalImage *image)
{
	char *to;

	*ret_size = strlen(header) + 1 + image->live;
	*ret = to = malloc(*ret_size);
	if (!to)
		return -ENOMEM;
	to = add(to, header, strlen(header), '\n');
	for (size_t i = 0; i < image->n_lines; i++) {
		const JournalLine *line = &image->lines[i];

		if (!line->name)
			continue;
		to = add(to, line->name, strlen(line->name), ' ');
		to = add(to, line->text, line->len, '\n');
	}
	return 0;
}

static int replace(Journal *journal, const JournalImage *image)
{
	_cleanup_free_ char *temporary = temporary_name(journal), *text = NULL;
	_cleanup_close_ int fd = -1;
	size_t size;
	int r = temporary ? compose(&text, &size, journal->header, image) : -ENOMEM;

	if (r < 0)
		return r;
	fd = create(journal->directory, temporary);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, text, size);
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	if (r >= 0 &&
	    renameat(journal->directory, temporary, journal->directory, journal->file) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(journal->directory, temporary, 0);
		return r;
	}
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = fd;
	fd = -1;
	journal->size = journal->shortest = (off_t)size;
	journal->torn = journal->doubtful = false;
	journal->compact_at = compact_at(image->live);
	return sync_directory(journal);
}

int journal_compact(Journal *journal)
{
	_cleanup_(journal_image_done) JournalImage image = {};
	int r = journal->fd < 0 ? 0 : journal_read_image(&image, journal->fd);

	return r < 0 ? r : replace(journal, &image);
}

/* Where that fails the long one serves as well. */
static void shorten(Journal *journal)
{
	int r = journal_compact(journal);

	if (r >= 0)
		return;
	log_warning("%s: cannot be written anew: %s; it is %lld bytes long and grows on. Make room "
		    "in its file system",
		    journal->path, strerror(-r), (long long)journal->size);
	journal->compact_at = journal->size + JOURNAL_SPARE;
}

static int write_pending(Journal *journal)
{
	ssize_t n = write(journal->fd, journal->pending, journal->used);
	int r;

	if (n == (ssize_t)journal->used) {
		journal->size += n;
		return 0;
	}
	r = n < 0 ? -errno : -ENOSPC;
	cut(journal);
	return r;
}

/* There was no room (r); without what counts no more there may be. Not looked for all the time. */
static int write_pending_anew(Journal *journal, int r)
{
	if (journal->size < journal->shortest + WORTH_IT ||
	    boottime_usec() < journal->full_until_usec)
		return r;
	if (journal_compact(journal) < 0) {
		journal->full_until_usec = boottime_usec() + FULL_USEC;
		return r;
	}
	return write_pending(journal);
}

/*
 * A file that failed to be synced once says afterwards that it is, whatever has come of its pages:
 * only another one is beyond doubt.
 */
static int sync_file(Journal *journal)
{
	int r = fsync(journal->fd) < 0 ? -errno : 0;

	if (r < 0) {
		journal->doubtful = true;
		log_error("%s: written, but cannot be synced: %s. See whether its disk fails",
			  journal->path, strerror(-r));
		return JOURNAL_NOT_SYNCED;
	}
	if (journal->doubtful) {
		r = journal_compact(journal);
		if (r < 0)
			log_error("%s: could not be synced, and cannot be written anew: %s. Until "
				  "it can, nothing new is connected or bound",
				  journal->path, strerror(-r));
		return r < 0 ? JOURNAL_NOT_SYNCED : r;
	}
	return journal->unsynced ? sync_directory(journal) : 0;
}

static int write_all(Journal *journal)
{
	int r = 0;

	if (journal->fd < 0)
		r = journal_compact(journal);
	if (r >= 0 && journal->torn)
		r = cut(journal);
	if (r < 0)
		return r;
	if (journal->size > journal->compact_at)
		shorten(journal);
	if (journal->size + (off_t)journal->used > JOURNAL_SIZE_MAX)
		return -EFBIG;
	r = write_pending(journal);
	if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
		r = write_pending_anew(journal, r);
	return r < 0 ? r : sync_file(journal);
}

/* What has been gathered, and is no longer. */
static int commit(Journal *journal)
{
	int r = journal->used == 0 ? 0 : write_all(journal);

	journal->used = 0;
	if (journal->capacity > PENDING_KEPT) {
		free(journal->pending);
		journal->pending = NULL;
		journal->capacity = 0;
	}
	return r;
}

static int reserve(Journal *journal, size_t more)
{
	size_t needed = journal->used + more, capacity = journal->capacity ?: PENDING_FIRST;
	char *pending;

	while (capacity < needed)
		capacity *= 2;
	if (capacity == journal->capacity)
		return 0;
	pending = realloc(journal->pending, capacity);
	if (!pending)
		return -ENOMEM;
	journal->pending = pending;
	journal->capacity = capacity;
	return 0;
}

int journal_append(Journal *journal, const char *name, const char *text, size_t len)
{
	size_t n = strlen(name);
	char *end;
	int r;

	if (!journal_name_valid(name) || memchr(text, '\n', len))
		return -EINVAL;
	if (journal->fd < 0 && journal->used == 0 && len == 0)
		return 0;
	r = reserve(journal, n + len + 2);
	if (r < 0)
		return r;
	end = add(add(journal->pending + journal->used, name, n, ' '), text, len, '\n');
	journal->used = (size_t)(end - journal->pending);
	return journal->gathering ? 0 : commit(journal);
}

void journal_gather(Journal *journal)
{
	journal->gathering = true;
}

int journal_commit(Journal *journal)
{
	journal->gathering = false;
	return commit(journal);
}

void journal_discard(Journal *journal)
{
	journal->gathering = false;
	journal->used = 0;
}
