/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/linux/config.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static Config *config;
static char *error;

static void tear_down(void)
{
	config_free(config);
	free(error);
}

TestSuite(linux_config, .fini = tear_down);

static int parse(const char *text)
{
	config = config_free(config);
	free(error);
	error = NULL;
	return config_parse(&config, text, strlen(text), &error);
}

/* The sentence names the member. */
static void expect_bad(const char *text, const char *word)
{
	cr_assert_lt(parse(text), 0, "%s", text);
	cr_assert_not_null(error, "%s", text);
	cr_assert_not_null(strstr(error, word), "%s: %s", text, error);
}

Test(linux_config, bad)
{
	expect_bad("", "");
	expect_bad("[]", "");
	expect_bad("{\"sockett\": \"/x\"}", "sockett");
	expect_bad("{\"socket\": \"x\"}", "socket");
	expect_bad("{\"socket\": \"/x\", \"socket\": \"/x\"}", "twice");
	expect_bad("{\"root\": \"x\"}", "root");
	expect_bad("{\"state\": 1}", "state");
	expect_bad("{\"tsm\": \"tsm\"}", "tsm");
	expect_bad("{\"binder\": \"best\"}", "binder");
	expect_bad("{\"platform\": \"emulated\"}", "platform");
	expect_bad("{\"unbind_confirms\": 1}", "unbind_confirms");
	expect_bad("{\"allow_uids\": [-1]}", "allow_uids");
	expect_bad("{\"companion\": {}}", "socket");
	expect_bad("{\"companion\": {\"socket\": \"x\"}}", "companion");
	expect_bad("{\"companion\": {\"socket\": \"/x\", \"uid\": 4294967295}}", "uid");
	expect_bad("{\"deadlines\": {\"bind\": 99}}", "bind");
	expect_bad("{\"deadlines\": {\"connect\": 3600001}}", "connect");
	expect_bad("{\"deadlines\": {\"reset\": 99}}", "reset");
	expect_bad("{\"deadlines\": {\"measure\": 1000}}", "measure");
}

Test(linux_config, defaults)
{
	cr_assert_eq(parse("{}"), 0, "%s", error);
	cr_assert_str_eq(config->socket, "/run/tdid/tsm/linux");
	cr_assert_str_empty(config->root);
	cr_assert_null(config->tsm);
	cr_assert_null(config->companion_socket);
	cr_assert_eq(config->binder, CONFIG_BINDER_AUTO);
	cr_assert_not(config->unbind_confirms);
	cr_assert_not(config->reset_unconfirmed);
	cr_assert_eq(config->deadlines.connect, 60000);
	cr_assert_eq(config->deadlines.look, 2000);
	cr_assert_eq(config->deadlines.reset, 10000);
}

Test(linux_config, all)
{
	cr_assert_eq(parse("{\"socket\": \"/s\", \"state\": \"/t\", \"root\": \"/r\","
			   " \"allow_uids\": [5], \"tsm\": \"tsm3\", \"binder\": \"observe\","
			   " \"platform\": \"cca\", \"unbind_confirms\": true,"
			   " \"reset_unconfirmed\": true,"
			   " \"companion\": {\"socket\": \"/c\", \"uid\": 7},"
			   " \"deadlines\": {\"bind\": 100, \"kill\": 300}}"),
		     0, "%s", error);
	cr_assert_str_eq(config->root, "/r");
	cr_assert_str_eq(config->tsm, "tsm3");
	cr_assert_eq(config->binder, CONFIG_BINDER_OBSERVE);
	cr_assert_str_eq(config->platform, "cca");
	cr_assert(config->unbind_confirms);
	cr_assert(config->reset_unconfirmed);
	cr_assert_str_eq(config->companion_socket, "/c");
	cr_assert_eq(config->companion_uid, 7);
	cr_assert(config->deadlines.bind == 100 && config->deadlines.kill == 300);
	cr_assert_eq(config->deadlines.connect, 60000);
	cr_assert(settings_uids_have(&config->allow_uids, 5));
	cr_assert_not(settings_uids_have(&config->allow_uids, 0));
}

Test(linux_config, file)
{
	cr_assert_eq(config_load(&config, "/nonexistent", &error), -ENOENT);
	cr_assert_not_null(strstr(error, "/nonexistent"));
}
