/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/segments.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

Test(cli_segments, no_marks)
{
	uint64_t total = 7;

	cr_expect_eq(segments_count(0), 0);
	cr_expect_eq(segments_build(NULL, &total, NULL, 0), 0);
	cr_expect_eq(total, 0);
}

Test(cli_segments, one_mark)
{
	SegmentMark mark = { 1000, "a" };
	uint64_t total = 7;

	cr_expect_eq(segments_count(1), 0);
	cr_expect_eq(segments_build(NULL, &total, &mark, 1), 0);
	cr_expect_eq(total, 0);
}

Test(cli_segments, marks_out_of_order)
{
	SegmentMark marks[] = { { 5, "a" }, { 9, "b" }, { 8, "c" } };
	Segment segments[2];
	uint64_t total;

	cr_expect_eq(segments_build(segments, &total, marks, 3), -EINVAL);
}

Test(cli_segments, no_time_at_all)
{
	SegmentMark marks[] = { { 5, "a" }, { 5, "b" }, { 5, "c" } };
	Segment segments[2];
	uint64_t total;
	char bar[5];

	cr_expect_eq(segments_build(segments, &total, marks, 3), 0);
	cr_expect_eq(total, 0);
	cr_expect_eq(segment_share(&segments[1], total), 0);
	cr_expect_str_eq(segment_bar(&segments[1], total, 4, bar), "|");
}

Test(cli_segments, add_up_to_the_total)
{
	SegmentMark marks[] = {
		{ 1000, "a" }, { 1001, "b" }, { 1001, "c" }, { 8765, "d" }, { 10000000, "e" }
	};
	uint64_t total, sum = 0;
	Segment segments[4];

	cr_expect_eq(segments_build(segments, &total, marks, 5), 0);
	cr_expect_eq(total, 10000000 - 1000);
	for (size_t i = 0; i < segments_count(5); i++) {
		cr_expect_eq(segments[i].start_usec, sum);
		cr_expect_str_eq(segments[i].from, marks[i].name);
		cr_expect_str_eq(segments[i].to, marks[i + 1].name);
		sum += segments[i].duration_usec;
	}
	cr_expect_eq(sum, total);
}

Test(cli_segments, share)
{
	cr_expect_eq(segment_share(&(Segment){ .duration_usec = 1 }, 3), 333);
	cr_expect_eq(segment_share(&(Segment){ .duration_usec = 2 }, 3), 667);
	cr_expect_eq(segment_share(&(Segment){ .duration_usec = 3 }, 3), 1000);
	cr_expect_eq(segment_share(&(Segment){ .duration_usec = UINT64_MAX }, UINT64_MAX), 1000);
}

Test(cli_segments, bars)
{
	char bar[11];

	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 0, .duration_usec = 50 }, 100, 10, bar),
		"#####");
	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 50, .duration_usec = 50 }, 100, 10, bar),
		"     #####");
	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 50, .duration_usec = 1 }, 100, 10, bar),
		"     #");
	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 99, .duration_usec = 1 }, 100, 10, bar),
		"         #");
	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 100, .duration_usec = 0 }, 100, 10, bar),
		"         |");
	cr_expect_str_eq(
		segment_bar(&(Segment){ .start_usec = 0, .duration_usec = 100 }, 100, 1, bar), "#");
}

/* Of times that fill 64 bits, every bar stays inside its columns. */
Test(cli_segments, extremes)
{
	SegmentMark marks[] = {
		{ 0, "a" }, { 1, "b" }, { UINT64_MAX - 1, "c" }, { UINT64_MAX, "d" }
	};
	Segment segments[3];
	uint64_t total;
	char bar[41];

	cr_expect_eq(segments_build(segments, &total, marks, 4), 0);
	for (size_t i = 0; i < 3; i++)
		cr_expect_leq(strlen(segment_bar(&segments[i], total, 40, bar)), 40);
	cr_expect_str_eq(segment_bar(&segments[0], total, 40, bar), "#");
	cr_expect_eq(strlen(segment_bar(&segments[1], total, 40, bar)), 40);
}
