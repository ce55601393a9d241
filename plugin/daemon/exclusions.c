/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/exclusions.h"

#include "core/refusal.h"

#include <errno.h>
#include <string.h>

#define DSM_PREFIX "dsm="

typedef struct Exclusion {
	const char *text; /* the array's */
	Bdf bdf;
	bool is_dsm, any_bus, any_device, any_function;
} Exclusion;

struct Exclusions {
	json_object *array;
	Exclusion *list;
	size_t n;
};

Exclusions *exclusions_free(Exclusions *exclusions)
{
	if (!exclusions)
		return NULL;
	json_object_put(exclusions->array);
	free(exclusions->list);
	free(exclusions);
	return NULL;
}

static const char *plain(const char *part, bool *ret_any, const char *instead)
{
	*ret_any = strcmp(part, "*") == 0;
	return *ret_any ? instead : part;
}

/* With something in the place of each "*", bdf_parse() judges the rest. */
static int parse_address(Exclusion *e, const char *text)
{
	char copy[BDF_STRING_SIZE], address[4 * BDF_STRING_SIZE];
	char *rest = copy, *segment, *bus, *device;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	segment = strsep(&rest, ":");
	bus = strsep(&rest, ":");
	device = strsep(&rest, ".");
	if (!rest)
		return -EINVAL;
	snprintf(address, sizeof(address), "%s:%s:%s.%s", segment, plain(bus, &e->any_bus, "00"),
		 plain(device, &e->any_device, "00"), plain(rest, &e->any_function, "0"));
	return bdf_parse(&e->bdf, address);
}

static int parse_one(Exclusion *e, const char *text)
{
	e->text = text;
	e->is_dsm = strncmp(text, DSM_PREFIX, strlen(DSM_PREFIX)) == 0;
	return e->is_dsm ? bdf_parse(&e->bdf, text + strlen(DSM_PREFIX)) : parse_address(e, text);
}

int exclusions_parse(Exclusions **ret, json_object *array, char **ret_error)
{
	_cleanup_(exclusions_freep) Exclusions *exclusions = calloc(1, sizeof(*exclusions));
	size_t n = array ? json_object_array_length(array) : 0;

	if (n > EXCLUSIONS_MAX)
		return refuse(ret_error, -EINVAL, "excluded: more than %u entries", EXCLUSIONS_MAX);
	if (!exclusions)
		return -ENOMEM;
	exclusions->array = json_object_get(array);
	exclusions->list = calloc(n ?: 1, sizeof(*exclusions->list));
	if (!exclusions->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);
		const char *text =
			json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;

		if (!text || parse_one(&exclusions->list[i], text) < 0)
			return refuse(ret_error, -EINVAL,
				      "excluded: %s is no address such as 0000:01:10.0 or "
				      "0000:01:*.*, nor dsm=0000:01:00.0",
				      text ? json_shown(text) : "an entry that is no string");
		exclusions->n = i + 1;
	}
	*ret = steal_ptr(exclusions);
	return 0;
}

static bool fits(const Exclusion *e, Bdf function, const Bdf *dsm)
{
	if (e->is_dsm)
		return dsm && bdf_equal(e->bdf, *dsm);
	return e->bdf.segment == function.segment && (e->any_bus || e->bdf.bus == function.bus) &&
	       (e->any_device || e->bdf.device == function.device) &&
	       (e->any_function || e->bdf.function == function.function);
}

const char *exclusions_find(const Exclusions *exclusions, Bdf function, const Bdf *dsm)
{
	for (size_t i = 0; exclusions && i < exclusions->n; i++)
		if (fits(&exclusions->list[i], function, dsm))
			return exclusions->list[i].text;
	return NULL;
}
