/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-view.h"

#include <criterion/criterion.h>

#include <errno.h>

static ProviderView view;

static void tear_down(void)
{
	provider_view_clear(&view);
}

TestSuite(daemon_provider_view, .fini = tear_down);

#define DEVICE(function, driver)                                                                   \
	"{\"device\":\"0000:01:00." function "\",\"dsm\":\"0000:01:00.0\",\"driver\":\"" driver    \
	"\"}"

static int list(const char *devices)
{
	char text[1024];
	json_object *o = NULL;
	int n = snprintf(text, sizeof(text), "{\"devices\":[%s]}", devices), r;

	cr_assert_eq(json_parse(&o, text, (size_t)n, NULL), 0);
	r = provider_view_list(&view, json_get_array(o, "devices"));
	json_object_put(o);
	return r;
}

static const char *driver_of(uint8_t function)
{
	const ProviderDevice *device =
		provider_view_device(&view, (Bdf){ .bus = 1, .function = function });

	return device ? device->driver : NULL;
}

static int read_tdi(ProviderTdi *ret, const char *members)
{
	_cleanup_free_ char *error = NULL;
	json_object *o = NULL;
	char text[512];
	int n, r;

	n = snprintf(text, sizeof(text),
		     "{\"device\":\"0000:01:00.1\",\"dsm\":\"0000:01:00.0\","
		     "\"accepted\":false,%s}",
		     members);
	cr_assert_eq(json_parse(&o, text, (size_t)n, NULL), 0, "%s", text);
	r = provider_tdi_read(ret, o, &error);
	cr_assert_eq(r < 0, error != NULL);
	json_object_put(o);
	return r;
}

#define REQUEST(what, id) "\"request\":{\"what\":\"" what "\",\"id\":" id "}"

Test(daemon_provider_view, requests_that_cannot_be)
{
	static const char *const bad[] = {
		"\"state\":\"config_locked\",\"generation\":1," REQUEST("start", "0"),
		"\"state\":\"config_locked\",\"generation\":1," REQUEST("start", "-1"),
		"\"state\":\"config_locked\",\"generation\":1," REQUEST("start",
									"-9223372036854775808"),
		"\"state\":\"config_locked\"," REQUEST("start", "1"),
		"\"state\":\"config_locked\",\"generation\":0," REQUEST("start", "1"),
		"\"state\":\"config_unlocked\",\"generation\":1," REQUEST("start", "1"),
		"\"state\":\"config_locked\",\"generation\":1," REQUEST("lock", "1"),
		"\"state\":\"run\",\"generation\":1," REQUEST("start", "1"),
		"\"state\":\"error\",\"generation\":1," REQUEST("lock", "1"),
		"\"state\":\"none\"",
	};
	ProviderTdi tdi;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert_eq(read_tdi(&tdi, bad[i]), -EBADMSG, "%s", bad[i]);
}

Test(daemon_provider_view, requests)
{
	ProviderTdi tdi;

	cr_assert_eq(read_tdi(&tdi, "\"state\":\"config_locked\",\"generation\":7"), 0);
	cr_assert(tdi.asks == REQUEST_NONE && tdi.request == 0 && tdi.generation == 7);
	cr_assert_eq(read_tdi(&tdi, "\"state\":\"config_locked\",\"generation\":7," REQUEST(
					    "start", "9223372036854775807")),
		     0);
	cr_assert(tdi.asks == REQUEST_START && tdi.request == INT64_MAX);
	cr_assert_eq(read_tdi(&tdi, "\"state\":\"config_unlocked\",\"generation\":7," REQUEST(
					    "lock", "3")),
		     0);
	cr_assert(tdi.asks == REQUEST_LOCK && tdi.request == 3 && tdi.bound);
}

Test(daemon_provider_view, nothing_listed)
{
	cr_assert_null(driver_of(1));
	cr_assert_eq(list(""), 0);
	cr_assert_null(driver_of(1));
}

Test(daemon_provider_view, another_list)
{
	cr_assert_eq(list(DEVICE("2", "b") "," DEVICE("1", "a")), 0);
	cr_assert_str_eq(driver_of(1), "a");
	cr_assert_str_eq(driver_of(2), "b");
	cr_assert_eq(list(DEVICE("2", "c")), 0);
	cr_assert_null(driver_of(1));
	cr_assert_str_eq(driver_of(2), "c");
}

Test(daemon_provider_view, refused_list)
{
	cr_assert_eq(list(DEVICE("2", "b") "," DEVICE("1", "a")), 0);
	cr_assert_eq(list(DEVICE("3", "c") ",{\"device\":\"nowhere\"}"), -EBADMSG);
	cr_assert_str_eq(driver_of(1), "a");
	cr_assert_str_eq(driver_of(2), "b");
	cr_assert_null(driver_of(3));
}

Test(daemon_provider_view, device_that_is_listed_twice)
{
	ProviderTdi said = { .device = { .bus = 1, .function = 1 }, .state = TDISP_RUN };

	cr_assert_eq(list(DEVICE("1", "a") "," DEVICE("2", "b") "," DEVICE("1", "a")), 0);
	cr_assert_str_eq(driver_of(1), "a");
	cr_assert_str_eq(driver_of(2), "b");
	cr_assert_eq(view.n_devices, 2);
	provider_view_said(&view, &said, 1, NULL, 0);
	cr_assert(view.devices[0].state_known);
}
