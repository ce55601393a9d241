/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include <errno.h>

static int parse(const char *text, Config **ret, char **ret_error)
{
	*ret = NULL;
	*ret_error = NULL;
	return config_parse(ret, text, strlen(text), ret_error);
}

Test(emulated_config, refuses_and_names_the_member)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "" },
		{ "{", "" },
		{ "[]", "" },
		{ "{} {}", "" },
		{ "{\"socket\": \"/a\", \"socket\": \"/b\"}", "twice" },
		{ "{\"soket\": \"/a\"}", "soket" },
		{ "{\"socket\": \"relative\"}", "socket" },
		{ "{\"socket\": 1}", "socket" },
		{ "{\"state\": \"\"}", "state" },
		{ "{\"keys\": \"x\"}", "keys" },
		{ "{\"sysfs\": \"x\"}", "sysfs" },
		{ "{\"faults\": 1}", "faults" },
		{ "{\"platform_key\": \"key\"}", "platform_key" },
		{ "{\"platform_key\": true}", "platform_key" },
		{ "{\"lock_by\": \"guest\"}", "lock_by" },
		{ "{\"lock_by\": true}", "lock_by" },
		{ "{\"start_by\": \"host\"}", "start_by" },
		{ "{\"start_by\": \"\"}", "start_by" },
		{ "{\"proxy\": \"/dev/x\", \"lock_by\": \"tvm\"}", "lock_by" },
		{ "{\"proxy\": \"/dev/x\", \"start_by\": \"host_on_request\"}", "start_by" },
		{ "{\"group\": \"no-such-group-here\"}", "no-such-group-here" },
		{ "{\"group\": \"4294967295\"}", "group" },
		{ "{\"allow_uids\": [-1]}", "allow_uids[0]" },
		{ "{\"allow_uids\": [0, 4294967295]}", "allow_uids[1]" },
		{ "{\"allow_uids\": [\"no such user\"]}", "allow_uids[0]" },
		{ "{\"allow_uids\": [true]}", "allow_uids[0]" },
		{ "{\"allow_uids\": 0}", "allow_uids" },
		{ "{\"latencies\": {\"conect\": 1}}", "conect" },
		{ "{\"latencies\": {\"connect\": -1}}", "connect" },
		{ "{\"latencies\": {\"connect\": 600001}}", "connect" },
		{ "{\"latencies\": {\"connect\": 1.5}}", "connect" },
		{ "{\"devices\": {}}", "devices" },
		{ "{\"devices\": [1]}", "devices[0]" },
		{ "{\"devices\": [{}]}", "device" },
		{ "{\"devices\": [{\"device\": \"01:00.0\"}]}", "01:00.0" },
		{ "{\"devices\": [{\"device\": \"0000:01:00.1\"}]}", "function 0" },
		{ "{\"devices\": [{\"device\": \"0000:01:00.0\", \"teeio\": true}]}", "teeio" },
		{ "{\"devices\": [{\"device\": \"0000:01:00.0\", \"svn\": -1}]}", "svn" },
		{ "{\"devices\": [{\"device\": \"0000:01:00.0\"},"
		  " {\"device\": \"0000:01:00.0\"}]}",
		  "twice" },
		{ "{\"devices\": [{\"device\": \"0000:01:00.0\", \"latencies\": {\"x\": 1}}]}",
		  "devices[0]" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;
		Config *config;

		cr_assert_lt(parse(bad[i].text, &config, &error), 0, "%s", bad[i].text);
		cr_assert_null(config);
		cr_assert_not_null(error, "%s", bad[i].text);
		cr_assert(strstr(error, bad[i].word), "%s: %s", bad[i].text, error);
	}
}

Test(emulated_config, has_defaults)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(parse("{}", &config, &error), 0, "%s", error);
	cr_assert_str_eq(config->socket, "/run/tdid/tsm/emulated");
	cr_assert_str_eq(config->state, "/var/lib/tdi-tsm-emulated");
	cr_assert_str_eq(config->keys, "/run/tdi-tsm-emulated");
	cr_assert_str_eq(config->sysfs, "/sys");
	cr_assert_not(config->has_group);
	cr_assert_not(config->faults);
	cr_assert_null(config->platform_key);
	cr_assert_eq(config->allow_uids.n, 2);
	cr_assert_eq(config->allow_uids.list[0], 0);
	cr_assert_eq(config->allow_uids.list[1], geteuid());
	cr_assert_eq(config->n_devices, 0);
}

Test(emulated_config, reads_every_member)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	const ConfigDevice *d;

	cr_assert_eq(parse("{\"socket\": \"/a\", \"state\": \"/b\", \"keys\": \"/c\","
			   " \"sysfs\": \"/d\", \"group\": \"7\", \"allow_uids\": [3, \"root\", 5],"
			   " \"lock_by\": \"tvm\", \"start_by\": \"host_on_request\","
			   " \"faults\": true, \"latencies\": {\"connect\": 10, \"measure\": 3},"
			   " \"devices\": [{\"device\": \"0000:01:00.0\", \"tee_io\": true,"
			   " \"firmware\": \"2\", \"svn\": 9, \"debug\": true,"
			   " \"latencies\": {\"connect\": 20, \"bind\": 1, \"unbind\": 2,"
			   " \"reclaim\": 4}}, {\"device\": \"0001:ab:1f.0\"}]}",
			   &config, &error),
		     0, "%s", error);
	cr_assert_str_eq(config->socket, "/a");
	cr_assert_str_eq(config->sysfs, "/d");
	cr_assert(config->has_group && config->group == 7);
	cr_assert(config->allow_uids.n == 3 && config->allow_uids.list[1] == 0 &&
		  config->allow_uids.list[2] == 5);
	cr_assert(config->faults && config->tvm_asks_lock && config->tvm_asks_start);
	d = config_find(config, testing_bdf(PF));
	cr_assert_not_null(d);
	cr_assert(d->tee_io && d->debug && d->svn == 9);
	cr_assert_str_eq(d->firmware, "2");
	cr_assert_eq(d->latencies.connect, 20);
	cr_assert_eq(d->latencies.bind, 1);
	cr_assert_eq(d->latencies.unbind, 2);
	cr_assert_eq(d->latencies.reclaim, 4);
	/* Not given for the device: as for all. */
	cr_assert_eq(d->latencies.measure, 3);
	d = config_find(config, testing_bdf("0001:ab:1f.0"));
	cr_assert(d && !d->tee_io && d->latencies.connect == 10);
	cr_assert_str_eq(d->firmware, "1.0");
	cr_assert_null(config_find(config, testing_bdf(ABSENT)));
}

Test(emulated_config, file_is_named)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL, *other = NULL, *third = NULL;
	const char *path;

	testing_host_new();
	path = testing_path("conf");
	cr_assert_lt(config_load(&config, path, &error), 0);
	cr_assert(strstr(error, path), "%s", error);
	testing_write(path, "{\"x\": 1}", 8);
	cr_assert_lt(config_load(&config, path, &other), 0);
	cr_assert(strstr(other, path) && strstr(other, "x"), "%s", other);
	testing_write(path, "{}", 2);
	cr_assert_eq(config_load(&config, path, &third), 0, "%s", third);
	testing_host_remove();
}
