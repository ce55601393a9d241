/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/timeline.h"

#include "daemon/bounded-text.h"

#include <errno.h>
#include <string.h>

#define MARKS_FIRST 8
#define TEXT_FIRST  256 /* bytes */

static void mark_free(Mark *mark)
{
	free(mark->name);
	free(mark->detail);
	*mark = (Mark){};
}

void timeline_clear(Timeline *timeline)
{
	for (size_t i = 0; i < timeline->n_marks; i++)
		mark_free(&timeline->marks[i]);
	free(timeline->marks);
	json_text_clear(&timeline->text);
	*timeline = (Timeline){};
}

static int make_room(Timeline *timeline)
{
	size_t size = timeline->size ? 2 * timeline->size : MARKS_FIRST;
	Mark *marks;

	if (timeline->n_marks < timeline->size || timeline->size == TIMELINE_MARKS_MAX)
		return 0;
	marks = reallocarray(timeline->marks, size, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	timeline->marks = marks;
	timeline->size = size;
	return 0;
}

static void drop_middle(Timeline *timeline)
{
	Mark *middle = &timeline->marks[TIMELINE_MARKS_MAX / 2];

	mark_free(middle);
	memmove(middle, middle + 1, (TIMELINE_MARKS_MAX / 2 - 1) * sizeof(Mark));
	timeline->n_marks--;
	json_text_clear(&timeline->text);
	timeline->n_text = 0;
}

int timeline_mark(Timeline *timeline, uint64_t at_usec, const char *name, const char *detail)
{
	Mark mark = { .at_usec = at_usec };

	if (make_room(timeline) < 0)
		return -ENOMEM;
	mark.name = bounded_text(name, TIMELINE_NAME_MAX);
	mark.detail = detail ? bounded_text(detail, TIMELINE_DETAIL_MAX) : NULL;
	if (!mark.name || (detail && !mark.detail)) {
		mark_free(&mark);
		return -ENOMEM;
	}
	if (timeline->n_marks == TIMELINE_MARKS_MAX)
		drop_middle(timeline);
	if (timeline->n_marks > 0 && timeline->marks[timeline->n_marks - 1].at_usec > at_usec)
		mark.at_usec = timeline->marks[timeline->n_marks - 1].at_usec;
	timeline->marks[timeline->n_marks++] = mark;
	return 0;
}

int timeline_to_json(const Timeline *timeline, json_object **ret)
{
	_cleanup_(json_unrefp) json_object *array = json_object_new_array();

	if (!array)
		return -ENOMEM;
	for (size_t i = 0; i < timeline->n_marks; i++) {
		const Mark *mark = &timeline->marks[i];
		json_object *o;
		int r = json_build(&o, J_INT("at_usec", (int64_t)mark->at_usec),
				   J_STRING("name", mark->name), J_STRING("detail", mark->detail));

		if (r >= 0)
			r = json_append_take(array, o);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(array);
	return 0;
}

static void add_mark(JsonText *text, const Mark *mark)
{
	json_text_open(text, '{');
	json_text_add(text, J_INT("at_usec", (int64_t)mark->at_usec), J_STRING("name", mark->name),
		      J_STRING("detail", mark->detail));
	json_text_close(text, '}');
}

void timeline_to_text(Timeline *timeline, JsonText *text)
{
	JsonText *values = &timeline->text;

	if (!values->text) {
		values->text = malloc(TEXT_FIRST);
		values->size = values->text ? TEXT_FIRST : 0;
	}
	while (timeline->n_text < timeline->n_marks)
		add_mark(values, &timeline->marks[timeline->n_text++]);
	json_text_open(text, '[');
	json_text_values(text, values);
	json_text_close(text, ']');
	if (values->error) {
		json_text_clear(values);
		timeline->n_text = 0;
	}
}

typedef struct RawMark {
	int64_t at_usec;
	const char *name, *detail;
} RawMark;

static const JsonField mark_fields[] = {
	{ "at_usec", JSON_FIELD_INT, JSON_REQUIRED, offsetof(RawMark, at_usec), 0, INT64_MAX },
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(RawMark, name) },
	{ "detail", JSON_FIELD_STRING, 0, offsetof(RawMark, detail) },
	{},
};

int timeline_from_json(Timeline *timeline, json_object *array)
{
	size_t n = json_object_array_length(array);

	timeline_clear(timeline);
	if (n > TIMELINE_MARKS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);
		RawMark raw = {};
		int r;

		if (!json_object_is_type(o, json_type_object) ||
		    json_dispatch(o, mark_fields, &raw, 0, NULL) < 0)
			return -EBADMSG;
		r = timeline_mark(timeline, (uint64_t)raw.at_usec, raw.name, raw.detail);
		if (r < 0)
			return r;
	}
	return 0;
}
