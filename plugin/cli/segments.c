/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/segments.h"

#include <errno.h>
#include <string.h>

int segments_build(Segment *ret, uint64_t *ret_total, const SegmentMark *marks, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (marks[i].at_usec < marks[i - 1].at_usec)
			return -EINVAL;
		ret[i - 1] = (Segment){
			.from = marks[i - 1].name,
			.to = marks[i].name,
			.start_usec = marks[i - 1].at_usec - marks[0].at_usec,
			.duration_usec = marks[i].at_usec - marks[i - 1].at_usec,
		};
	}
	*ret_total = n > 0 ? marks[n - 1].at_usec - marks[0].at_usec : 0;
	return 0;
}

/* a * b / c rounded to the nearest, for a <= c and a small b: microseconds may fill 64 bits. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)(((unsigned __int128)a * b + c / 2) / c);
}

unsigned segment_share(const Segment *segment, uint64_t total)
{
	return total ? (unsigned)scale(segment->duration_usec, 1000, total) : 0;
}

const char *segment_bar(const Segment *segment, uint64_t total, size_t columns, char *buffer)
{
	size_t begin = total ? (size_t)scale(segment->start_usec, columns, total) : 0;
	size_t end =
		total ? (size_t)scale(segment->start_usec + segment->duration_usec, columns, total)
		      : 0;

	if (begin == columns)
		begin--;
	if (end <= begin)
		end = begin + 1;
	memset(buffer, ' ', begin);
	memset(buffer + begin, segment->duration_usec ? '#' : '|', end - begin);
	buffer[end] = '\0';
	return buffer;
}
