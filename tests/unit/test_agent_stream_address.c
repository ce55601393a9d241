/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of quoting services, and the policy's "quote", about which the schema agrees. */
#include "agent/policy.h"
#include "core/cleanup.h"
#include "testing-schema.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>

Test(agent_stream_address, no_vsock_address)
{
	static const char *const bad[] = {
		"",
		":",
		"2",
		"2:",
		":4050",
		"2:4050:",
		"2:4050 ",
		" 2:4050",
		"-1:4050",
		"2:-1",
		"4294967295:1",
		"2:4294967295",
		"2:99999999999999999999",
		"host:4050",
		"0x2:4050",
	};
	StreamAddress address;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;

		cr_assert_eq(stream_address_vsock(&address, bad[i], &error), -EINVAL, "%s", bad[i]);
		cr_assert_eq(address.size, 0);
		cr_assert(strstr(error, "2:4050"), "%s", error);
	}
}

Test(agent_stream_address, no_tcp_address)
{
	static const char *const bad[] = {
		"",
		":",
		"10.0.2.2",
		"10.0.2.2:",
		":4050",
		"10.0.2.2:0",
		"10.0.2.2:65536",
		"10.0.2.2:4050x",
		"10.0.2:4050",
		"10.0.2.256:4050",
		"fd00::1:4050",
		"[fd00::1]",
		"[fd00::1:4050",
		"fd00::1]:4050",
		"[10.0.2.2]:4050",
		"[]:4050",
		"[:4050",
		"]:4050",
		"localhost:4050",
		"[fd00:1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:4050",
	};
	StreamAddress address;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;

		cr_assert_eq(stream_address_tcp(&address, bad[i], &error), -EINVAL, "%s", bad[i]);
		cr_assert_eq(address.size, 0);
		cr_assert(strstr(error, "10.0.2.2:4050"), "%s", error);
	}
}

Test(agent_stream_address, good)
{
	const struct sockaddr_in6 *v6;
	const struct sockaddr_in *v4;
	const struct sockaddr_vm *vm;
	StreamAddress a;

	cr_assert_eq(stream_address_vsock(&a, "2:4050", NULL), 0);
	vm = (const struct sockaddr_vm *)&a.address;
	cr_assert(vm->svm_family == AF_VSOCK && vm->svm_cid == 2 && vm->svm_port == 4050);
	cr_assert_eq(a.size, sizeof(*vm));
	cr_assert_str_eq(a.text, "vsock 2:4050");

	cr_assert_eq(stream_address_tcp(&a, "10.0.2.2:65535", NULL), 0);
	v4 = (const struct sockaddr_in *)&a.address;
	cr_assert(v4->sin_family == AF_INET && v4->sin_port == htons(65535));
	cr_assert_eq(v4->sin_addr.s_addr, htonl(0x0a000202));
	cr_assert_str_eq(a.text, "tcp 10.0.2.2:65535");

	cr_assert_eq(stream_address_tcp(&a, "[fd00::1]:1", NULL), 0);
	v6 = (const struct sockaddr_in6 *)&a.address;
	cr_assert(v6->sin6_family == AF_INET6 && v6->sin6_port == htons(1));
	cr_assert_eq(v6->sin6_addr.s6_addr[15], 1);
	cr_assert_eq(a.size, sizeof(*v6));
	cr_assert_str_eq(a.text, "tcp [fd00::1]:1");
}

/* words: NULL: good. The policy is the caller's then. */
static AgentPolicy *both(const char *quote, const char *words)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	AgentPolicy *policy = NULL;
	char why[256];
	bool allowed;

	cr_assert_gt(asprintf(&text, "{\"version\":1,\"quote\":%s}", quote), 0);
	agent_policy_parse(&policy, text, strlen(text), &error);
	allowed = testing_schema_allows("agent-policy", text, why);
	cr_assert_eq(allowed, !words, "%s: the schema says %s", text, why);
	cr_assert_eq(policy != NULL, !words, "%s: %s", text, error);
	if (words)
		cr_assert(error && strstr(error, words), "\"%s\" does not say %s", error, words);
	return policy;
}

Test(agent_stream_address, policy)
{
	_cleanup_(agent_policy_freep) AgentPolicy *empty = NULL, *whole = NULL;

	both("[]", "\"quote\"");
	both("null", "\"quote\"");
	both("{\"port\":4050}", "\"port\"");
	both("{\"vsock\":4050}", "\"vsock\"");
	both("{\"vsock\":\"host:4050\"}", "quote: vsock: ");
	both("{\"tcp\":\"host:4050\"}", "quote: tcp: ");
	both("{\"tcp\":\"\"}", "quote: tcp: ");
	both("{\"timeout_ms\":99}", "\"timeout_ms\"");
	both("{\"timeout_ms\":600001}", "\"timeout_ms\"");

	empty = both("{}", NULL);
	cr_assert_str_eq(empty->quote.vsock.text, "vsock 2:4050");
	cr_assert_eq(empty->quote.tcp.size, 0);
	cr_assert_eq(empty->quote.timeout_ms, 30000);
	whole = both("{\"vsock\":\"3:1\",\"tcp\":\"[::1]:5\",\"timeout_ms\":100}", NULL);
	cr_assert_str_eq(whole->quote.vsock.text, "vsock 3:1");
	cr_assert_str_eq(whole->quote.tcp.text, "tcp [::1]:5");
	cr_assert_eq(whole->quote.timeout_ms, 100);
}
