/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file of lines that only grows: a header, then "NAME TEXT" for what is so from there on, "NAME"
 * and a space for what is no longer. The last line of a name counts. When the file is twice as
 * long as what counted when it was made, and 4 MiB more, what counts now is written to a new one,
 * which takes its place by rename.
 *
 * Lines are written by one write(2); each is there whole or not at all: what a crash or a full file
 * system has left of one, without its newline, is cut off.
 */
#pragma once

#include "core/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; it grows no further, and what is longer is not read. */
#define JOURNAL_SIZE_MAX (1024 * 1024 * 1024)

typedef struct Journal Journal;

/* What a file said when it was read. */
typedef struct JournalLine {
	const char *name; /* NUL-terminated; NULL: this line has none that could be one */
	const char *text; /* what follows it, or the whole line; NUL-terminated */
	size_t len;	  /* of `text` */
	size_t at;	  /* the line's first byte in the file */
} JournalLine;

typedef struct JournalImage {
	char *bytes;
	const char *header;
	size_t size;	    /* to the last newline */
	bool torn;	    /* and something behind it */
	size_t live;	    /* bytes of those lines that count and have a name */
	JournalLine *lines; /* that count, by name; those without one first */
	size_t n_lines;
} JournalImage;

void journal_image_done(JournalImage *image);

/*
 * Reads `file` of the directory. -EBADMSG: it is a link, or no regular file, or has no header;
 * -ENOENT; -EFBIG; -errno: nothing is known about what is in it.
 */
int journal_read(JournalImage *ret, int directory, const char *file);

/*
 * Appends to `file` of the directory; `path` is what messages call it. All of them, the header too,
 * have to outlive the journal. With `image`, what that shows is kept; without, the first line
 * begins a new file, whatever there was. -errno.
 */
int journal_open(Journal **ret, int directory, const char *file, const char *path,
		 const char *header, const JournalImage *image);
Journal *journal_free(Journal *journal);
DEFINE_CLEANUP(Journal, journal_free);

/* Nothing has been written, and what `file` says counts no more. */
bool journal_is_new(const Journal *journal);

/* It is written, and whoever reads next sees it; but it could not be synced. See store.h. */
#define JOURNAL_NOT_SYNCED 1

/*
 * One line more; an empty `text`: the name is no longer. 0, JOURNAL_NOT_SYNCED, or -errno: then the
 * file is what it was. -EINVAL: a name that cannot be one ([a-zA-Z0-9_.:-], at most 200, not with a
 * dot first), or a newline in `text`.
 */
int journal_append(Journal *journal, const char *name, const char *text, size_t len);

/*
 * Lines that are appended from here on wait for journal_commit, which writes them together: it
 * returns as journal_append, for all of them. A crash may leave the first of them without the
 * others, never the other way round. journal_discard: they are not written.
 */
void journal_gather(Journal *journal);
int journal_commit(Journal *journal);
void journal_discard(Journal *journal);

/* Writes what counts to a new file. As journal_append; after -errno the old one goes on. */
int journal_compact(Journal *journal);
