/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "quote/emulated/config.h"

#include <arpa/inet.h>

static int parse(const char *text, Config **ret, char **ret_error)
{
	*ret = NULL;
	*ret_error = NULL;
	return config_parse(ret, text, strlen(text), ret_error);
}

Test(qe_config, refuses_and_names_the_member)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "" },
		{ "{", "" },
		{ "[]", "" },
		{ "{\"socket\": \"/a\", \"socket\": \"/b\"}", "twice" },
		{ "{\"soket\": \"/a\"}", "soket" },
		{ "{\"socket\": \"relative\"}", "socket" },
		{ "{\"socket\": null}", "socket" },
		{ "{\"vsock_port\": -1}", "vsock_port" },
		{ "{\"vsock_port\": 4294967295}", "vsock_port" },
		{ "{\"tcp_port\": 65536}", "tcp_port" },
		{ "{\"tcp_port\": \"4050\"}", "tcp_port" },
		{ "{\"tcp_address\": \"localhost\"}", "tcp_address" },
		{ "{\"tcp_address\": \"127.0.0.1:4050\"}", "tcp_address" },
		{ "{\"tcp_address\": \"\"}", "tcp_address" },
		{ "{\"state\": \"x\"}", "state" },
		{ "{\"platform_key\": \"key\"}", "platform_key" },
		{ "{\"control\": \"\"}", "control" },
		{ "{\"allow_uids\": [-1]}", "allow_uids[0]" },
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

Test(qe_config, has_defaults)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(parse("{}", &config, &error), 0, "%s", error);
	cr_assert_str_eq(config->socket, "/run/tdi-qe-emulated/qgs.socket");
	cr_assert_str_eq(config->state, "/var/lib/tdi-qe-emulated");
	cr_assert_str_eq(config->platform_key, "/var/lib/tdid-emulated-platform/key");
	cr_assert_eq(config->vsock_port, 0);
	cr_assert_eq(config->tcp_port, 0);
	cr_assert_null(config->control, "nobody makes it misbehave unless told");
	cr_assert_eq(config->allow_uids.n, 2);
}

Test(qe_config, reads_every_member)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(parse("{\"socket\": \"/a\", \"state\": \"/b\", \"platform_key\": \"/c\","
			   " \"control\": \"/d\", \"vsock_port\": 4050, \"tcp_port\": 4051,"
			   " \"tcp_address\": \"::1\", \"allow_uids\": [7]}",
			   &config, &error),
		     0, "%s", error);
	cr_assert_str_eq(config->socket, "/a");
	cr_assert_str_eq(config->state, "/b");
	cr_assert_str_eq(config->platform_key, "/c");
	cr_assert_str_eq(config->control, "/d");
	cr_assert_eq(config->vsock_port, 4050);
	cr_assert_eq(config->tcp.v6.sin6_family, AF_INET6);
	cr_assert_eq(ntohs(config->tcp.v6.sin6_port), 4051);
	cr_assert(config->allow_uids.n == 1 && config->allow_uids.list[0] == 7);
}

Test(qe_config, the_example_is_right)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(config_load(&config, TESTING_REPOSITORY "/examples/qe-emulated.conf", &error),
		     0, "%s", error);
	cr_assert_eq(config->tcp.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}
