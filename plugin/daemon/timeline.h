/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happened to an assignment and when: io.tdid.Assignments.Mark. */
#pragma once

#include "rpc/json-text.h"

#include <stdint.h>

/* A timeline keeps its first half and its latest half when more is marked. */
#define TIMELINE_MARKS_MAX 128
/* Bytes; longer words are cut. */
#define TIMELINE_NAME_MAX   80
#define TIMELINE_DETAIL_MAX 256

typedef struct Mark {
	uint64_t at_usec; /* CLOCK_BOOTTIME */
	char *name;
	char *detail; /* or NULL */
} Mark;

/* All zero is an empty one. Marks never go back in time: an earlier one is moved up to the last. */
typedef struct Timeline {
	Mark *marks;
	size_t n_marks, size;
	JsonText text; /* of the first so many, as records have them: they are written often */
	size_t n_text;
} Timeline;

void timeline_clear(Timeline *timeline);
/* detail may be NULL. -ENOMEM. */
int timeline_mark(Timeline *timeline, uint64_t at_usec, const char *name, const char *detail);
int timeline_to_json(const Timeline *timeline, json_object **ret);
void timeline_to_text(Timeline *timeline, JsonText *text);
/* Replaces what is there. -EBADMSG: not an array of marks. */
int timeline_from_json(Timeline *timeline, json_object *array);
