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
