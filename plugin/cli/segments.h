/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lies between the marks of a timeline, and a bar chart of it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct SegmentMark {
	uint64_t at_usec;
	const char *name;
} SegmentMark;

typedef struct Segment {
	const char *from, *to; /* the marks' names, borrowed */
	uint64_t start_usec;   /* since the first mark */
	uint64_t duration_usec;
} Segment;

/* Segments of `n` marks. */
static inline size_t segments_count(size_t n)
{
	return n > 0 ? n - 1 : 0;
}

/*
 * Fills segments_count(n) segments; their durations sum up to *ret_total, from the first mark to
 * the last. Returns 0, or -EINVAL when a mark is earlier than the one before it.
 */
int segments_build(Segment *ret, uint64_t *ret_total, const SegmentMark *marks, size_t n);

/* In tenths of a percent, rounded; 0 of a total of 0. */
unsigned segment_share(const Segment *segment, uint64_t total);

/*
 * The segment's place in a bar of `columns` columns that stands for the total: blanks, then '#', at
 * least one; a single '|' for a segment without duration. No blanks behind. `buffer` holds
 * columns + 1 bytes; `columns` is at least 1. Returns `buffer`.
 */
const char *segment_bar(const Segment *segment, uint64_t total, size_t columns, char *buffer);
