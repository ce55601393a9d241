/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An assignment's marks as its record holds them. Input: an object with the array "timeline". */
#include "daemon/timeline.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static void check_marks(const Timeline *timeline)
{
	CHECK(timeline->n_marks <= TIMELINE_MARKS_MAX);
	for (size_t i = 0; i < timeline->n_marks; i++) {
		const Mark *mark = &timeline->marks[i];

		CHECK(strlen(mark->name) <= TIMELINE_NAME_MAX);
		CHECK(!mark->detail || strlen(mark->detail) <= TIMELINE_DETAIL_MAX);
		CHECK(i == 0 || mark->at_usec >= mark[-1].at_usec);
	}
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(json_unrefp) json_object *object = NULL, *array = NULL, *array_again = NULL;
	Timeline timeline = {}, again = {};
	json_object *marks;
	int r;

	if (json_parse(&object, (const char *)data, size, NULL) < 0)
		return false;
	marks = json_get_array(object, "timeline");
	if (!marks)
		return false;
	r = timeline_from_json(&timeline, marks);
	CHECK(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check_marks(&timeline);
		CHECK(timeline_to_json(&timeline, &array) == 0);
		CHECK(timeline_from_json(&again, array) == 0);
		CHECK(timeline_to_json(&again, &array_again) == 0);
		CHECK(json_object_equal(array, array_again));
	}
	timeline_clear(&timeline);
	timeline_clear(&again);
	return r == 0;
}
