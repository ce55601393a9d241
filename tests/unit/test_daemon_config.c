/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

#include "testing-schema.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#define TSM "{\"name\":\"emulated\",\"socket\":\"/run/tdid/tsm/emulated\",\"uid\":42}"

static Config *config;
static char *why;

static int parse(const char *text)
{
	config = config_free(config);
	free(why);
	why = NULL;
	return config_parse(&config, text, strlen(text), "tdid.conf", &why);
}

static void drop(void)
{
	config = config_free(config);
	free(why);
}

TestSuite(daemon_config, .fini = drop);

static void expect_refused(const char *text, const char *about)
{
	cr_assert_lt(parse(text), 0, "accepted: %s", text);
	cr_assert_null(config);
	cr_assert_not_null(why, "%s", text);
	cr_assert_eq(strncmp(why, "tdid.conf: ", 11), 0, "%s", why);
	cr_assert(strstr(why, about), "'%s' does not speak of '%s'", why, about);
}

Test(daemon_config, refuses)
{
	expect_refused("", "");
	expect_refused("[]", "");
	expect_refused("{\"tsms\":[" TSM "]", "");
	expect_refused("{\"tsms\":[" TSM "]} x", "");
	expect_refused("{\"tsms\":[" TSM "],\"tsms\":[]}", "twice");
	expect_refused("{}", "tsms");
	expect_refused("{\"tsms\":{}}", "tsms");
	expect_refused("{\"tsms\":[1]}", "tsms[0]: has to be an object, and is 1");
	expect_refused("{\"tsms\":[{\"name\":\"a\"}]}", "socket");
	expect_refused("{\"tsms\":[{\"socket\":\"/a\"}]}", "name");
	expect_refused("{\"tsms\":[{\"name\":\"\",\"socket\":\"/a\"}]}", "name");
	expect_refused("{\"tsms\":[" TSM ",{\"name\":\"a\",\"socket\":\"b\"}]}",
		       "tsms[1] (a): socket has to be an absolute path, and is 'b'");
	expect_refused("{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"uid\":-1}]}", "uid");
	expect_refused("{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"uid\":4294967296}]}", "uid");
	expect_refused("{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"colour\":1}]}", "colour");
	expect_refused("{\"tsms\":[" TSM "," TSM "]}",
		       "tsms[1] (emulated): tsms[0] has the same name");
	expect_refused("{\"tsms\":[" TSM "],\"colour\":1}", "colour");
	expect_refused("{\"tsms\":[" TSM "],\"idle_grace_ms\":-1}", "idle_grace_ms");
	expect_refused("{\"tsms\":[" TSM "],\"idle_grace_ms\":86400001}", "idle_grace_ms");
	expect_refused("{\"tsms\":[" TSM "],\"idle_grace_ms\":1.5}", "idle_grace_ms");
	expect_refused("{\"tsms\":[" TSM "],\"guest_timeout_ms\":0}", "guest_timeout_ms");
	expect_refused("{\"tsms\":[" TSM "],\"boot_timeout_ms\":0}", "boot_timeout_ms");
	expect_refused("{\"tsms\":[" TSM "],\"on_reject\":\"\"}", "on_reject");
	expect_refused("{\"tsms\":[" TSM "],\"on_timeout\":\"retry\"}", "on_timeout");
	expect_refused("{\"tsms\":[" TSM "],\"on_error\":1}", "on_error");
	expect_refused("{\"tsms\":[" TSM "],\"rebinds\":-1}", "rebinds");
	expect_refused("{\"tsms\":[" TSM "],\"rebind_backoff_ms\":0}", "rebind_backoff_ms");
	expect_refused("{\"tsms\":[" TSM "],\"rebind_steady_ms\":86400001}", "rebind_steady_ms");
	expect_refused("{\"tsms\":[" TSM "],\"operation_deadline_ms\":0}", "operation_deadline_ms");
	expect_refused("{\"tsms\":[" TSM "],\"stop_timeout_ms\":60001}", "stop_timeout_ms");
	expect_refused("{\"tsms\":[" TSM "],\"records\":\"records\"}", "absolute");
	expect_refused("{\"tsms\":[" TSM "],\"sockets\":\"\"}", "absolute");
	expect_refused("{\"tsms\":[" TSM "],\"sysfs\":\"sys\"}", "absolute");
	expect_refused("{\"tsms\":[" TSM "],\"require_tvm\":\"\"}", "require_tvm");
	expect_refused("{\"tsms\":[" TSM "],\"require_tvm\":true}", "require_tvm");
	expect_refused("{\"tsms\":[" TSM "],\"excluded\":\"0000:01:10.0\"}", "excluded");
	expect_refused("{\"tsms\":[" TSM "],\"excluded\":[\"01:10.0\"]}", "excluded: 01:10.0 is");
	expect_refused("{\"tsms\":[" TSM "],\"access\":[]}", "access");
	expect_refused("{\"tsms\":[" TSM "],\"access\":{\"write\":{}}}", "access: ");
}

Test(daemon_config, refuses_more_than_sixteen_providers)
{
	char text[4096] = "{\"tsms\":[";

	for (int i = 0; i < 17; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s{\"name\":\"t%d\",\"socket\":\"/s\"}", i ? "," : "", i);
	strcat(text, "]}");
	expect_refused(text, "16");
}

Test(daemon_config, unreadable_files)
{
	cr_assert_eq(config_load(&config, "/nonexistent/tdid.conf", &why), -ENOENT);
	cr_assert(strstr(why, "/nonexistent/tdid.conf"));
	free(why);
	why = NULL;
	cr_assert_eq(config_load(&config, "/tmp", &why), -EISDIR);
	free(why);
	why = NULL;
	cr_assert_eq(config_load(&config, "/dev/zero", &why), -E2BIG);
}

Test(daemon_config, defaults)
{
	cr_assert_eq(parse("{\"tsms\":[" TSM "]}"), 0, "%s", why);
	cr_assert_str_eq(config->records, "/run/tdid/records");
	cr_assert_str_eq(config->sockets, "/run/tdid");
	cr_assert_str_eq(config->libvirt, "qemu:///system");
	cr_assert_str_eq(config->sysfs, "/sys");
	cr_assert_eq(config->require_tvm, CONFIG_REQUIRE_TVM_PROTECTED);
	cr_assert_eq(config->stop_timeout_usec, 10000000);
	cr_assert_eq(config->boot_timeout_usec, 300000000);
	cr_assert_eq(config->policy.on_reject, POLICY_DETACH);
	cr_assert_eq(config->policy.on_timeout, POLICY_DETACH);
	cr_assert_eq(config->policy.on_error, POLICY_DETACH);
	cr_assert_eq(config->policy.guest_timeout_usec, 60000000);
	cr_assert_not(config->policy.require_tvm);
	cr_assert_eq(config->n_tsms, 1);
	cr_assert_str_eq(config->tsms[0].name, "emulated");
	cr_assert_eq(config->tsms[0].uid, 42);
}

Test(daemon_config, everything_given)
{
	cr_assert_eq(parse("{\"records\":\"/r\",\"sockets\":\"/s\",\"libvirt\":\"test:///default\","
			   "\"sysfs\":\"/y\",\"require_tvm\":\"never\","
			   "\"idle_grace_ms\":0,\"guest_timeout_ms\":1,\"operation_deadline_ms\":2,"
			   "\"on_reject\":\"hold\",\"on_timeout\":\"rebind\","
			   "\"on_error\":\"detach\",\"rebinds\":7,\"rebind_backoff_ms\":4,"
			   "\"rebind_steady_ms\":5,"
			   "\"stop_timeout_ms\":3,\"tsms\":[" TSM
			   ",{\"name\":\"b\",\"socket\":\"/b\"}]}"),
		     0, "%s", why);
	cr_assert_str_eq(config->sysfs, "/y");
	cr_assert_eq(config->require_tvm, CONFIG_REQUIRE_TVM_NEVER);
	cr_assert_eq(config->idle_grace_usec, 0);
	cr_assert_eq(config->policy.guest_timeout_usec, 1000);
	cr_assert_eq(config->operation_deadline_usec, 2000);
	cr_assert_eq(config->policy.on_reject, POLICY_HOLD);
	cr_assert_eq(config->policy.on_timeout, POLICY_REBIND);
	cr_assert_eq(config->policy.on_error, POLICY_DETACH);
	cr_assert_eq(config->policy.rebinds, 7);
	cr_assert_eq(config->rebind_backoff_usec, 4000);
	cr_assert_eq(config->rebind_steady_usec, 5000);
	cr_assert_eq(config->stop_timeout_usec, 3000);
	cr_assert_eq(config->n_tsms, 2);
	cr_assert_eq(config->tsms[1].uid, 0);
	/* For quotes alone it takes none. */
	cr_assert_eq(parse("{\"tsms\":[]}"), 0, "%s", why);
	cr_assert_eq(config->n_tsms, 0);
}

#define WITH(members) "{\"tsms\":[" TSM "]," members "}"

static const char *const documents[] = {
	/* What both take */
	"{\"tsms\":[" TSM "]}",
	"{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"uid\":4294967295}]}",
	WITH("\"records\":\"/r\",\"sockets\":\"/s\",\"sysfs\":\"/y\",\"libvirt\":\"test:///\""),
	WITH("\"require_tvm\":\"never\",\"on_reject\":\"hold\",\"on_timeout\":\"rebind\""),
	WITH("\"on_error\":\"detach\",\"rebinds\":0,\"rebind_backoff_ms\":1,\"rebind_steady_ms\":"
	     "1"),
	WITH("\"rebinds\":1000000,\"rebind_backoff_ms\":3600000,\"rebind_steady_ms\":86400000"),
	WITH("\"idle_grace_ms\":0,\"guest_timeout_ms\":1,\"boot_timeout_ms\":1"),
	WITH("\"idle_grace_ms\":86400000,\"guest_timeout_ms\":86400000,\"boot_timeout_ms\":"
	     "86400000"),
	WITH("\"operation_deadline_ms\":3600000,\"stop_timeout_ms\":60000"),
	WITH("\"excluded\":[\"0000:01:10.0\",\"0000:*:*.*\",\"dsm=0000:01:00.0\",\"ffff:FF:1f."
	     "7\"]"),
	WITH("\"access\":{}"),
	WITH("\"access\":{\"read\":{},\"act\":{\"users\":[\"root\",0],\"groups\":[4294967294]}}"),
	"{\"tsms\":[]}",
	/* What neither takes */
	"{}",
	"[]",
	"{\"tsms\":{}}",
	"{\"tsms\":[{\"name\":\"a\"}]}",
	"{\"tsms\":[{\"name\":\"\",\"socket\":\"/a\"}]}",
	"{\"tsms\":[{\"name\":\"a\",\"socket\":\"a\"}]}",
	"{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"uid\":-1}]}",
	"{\"tsms\":[{\"name\":\"a\",\"socket\":\"/a\",\"colour\":1}]}",
	WITH("\"colour\":1"),
	WITH("\"records\":\"r\""),
	WITH("\"sockets\":1"),
	WITH("\"sysfs\":\"\""),
	WITH("\"libvirt\":null"),
	WITH("\"require_tvm\":\"yes\""),
	WITH("\"on_reject\":\"Hold\""),
	WITH("\"on_timeout\":true"),
	WITH("\"on_error\":\"\""),
	WITH("\"rebinds\":1000001"),
	WITH("\"rebinds\":-1"),
	WITH("\"rebinds\":1.5"),
	WITH("\"rebind_backoff_ms\":0"),
	WITH("\"rebind_backoff_ms\":3600001"),
	WITH("\"rebind_steady_ms\":86400001"),
	WITH("\"idle_grace_ms\":86400001"),
	WITH("\"guest_timeout_ms\":0"),
	WITH("\"boot_timeout_ms\":86400001"),
	WITH("\"operation_deadline_ms\":3600001"),
	WITH("\"stop_timeout_ms\":60001"),
	WITH("\"excluded\":\"0000:01:10.0\""),
	WITH("\"excluded\":[\"*:01:10.0\"]"),
	WITH("\"excluded\":[\"0000:01:10\"]"),
	WITH("\"excluded\":[\"0000:01:20.0\"]"),
	WITH("\"excluded\":[\"dsm=0000:01:*.0\"]"),
	WITH("\"excluded\":[7]"),
	WITH("\"access\":[]"),
	WITH("\"access\":{\"write\":{}}"),
	WITH("\"access\":{\"read\":[]}"),
	WITH("\"access\":{\"read\":{\"uids\":[]}}"),
	WITH("\"access\":{\"act\":{\"users\":0}}"),
	WITH("\"access\":{\"act\":{\"users\":[-1]}}"),
	WITH("\"access\":{\"act\":{\"groups\":[4294967295]}}"),
	WITH("\"access\":{\"act\":{\"groups\":[true]}}"),
};

/* schemas/tdid-conf.schema.json and the parser are of one mind. */
Test(daemon_config, schema)
{
	static char said[ELEMENTSOF(documents)][256];
	bool allowed[ELEMENTSOF(documents)];
	size_t taken = 0;

	testing_schema_judge("tdid-conf", documents, ELEMENTSOF(documents), allowed, said);
	for (size_t i = 0; i < ELEMENTSOF(documents); i++) {
		bool good = parse(documents[i]) == 0;

		cr_expect_eq(allowed[i], good, "%s: the schema says %s; the parser %s",
			     documents[i], said[i], good ? "takes it" : why);
		taken += good;
		config = config_free(config);
		free(why);
		why = NULL;
	}
	cr_assert_eq(taken, 13);
}
