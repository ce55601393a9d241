/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose request it is that came over vsock or TCP. */
#include "quote/domains.h"

#include "core/cleanup.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <linux/vm_sockets.h>

static const ConfigLimits limits = { .rate_per_second = 20, .burst = 40, .in_flight = 16 };
static Domains domains;

static void set_up(void)
{
	domains = (Domains){ .limits = &limits };
}

static void tear_down(void)
{
	domains_remove_all(&domains);
}

TestSuite(quote_peers, .init = set_up, .fini = tear_down);

/* An address in either notation; whose label it gets. */
static const char *label_of(const char *text)
{
	struct sockaddr_storage peer = { .ss_family = strchr(text, ':') ? AF_INET6 : AF_INET };
	void *to = peer.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&peer)->sin6_addr
					      : (void *)&((struct sockaddr_in *)&peer)->sin_addr;
	Domain *domain;

	cr_assert_eq(inet_pton(peer.ss_family, text, to), 1);
	cr_assert_eq(domains_of_peer(&domains, &peer, &domain), 0);
	cr_assert_eq(domain->kind, DOMAIN_HOST);
	return domain->label;
}

Test(quote_peers, hosts)
{
	static const struct {
		const char *address, *label;
	} cases[] = {
		{ "10.0.0.3", "10.0.0.3" },
		{ "10.0.0.4", "10.0.0.4" },
		{ "127.0.0.1", "127.0.0.1" },
		{ "127.9.9.9", "127.0.0.1" },
		{ "::1", "::1" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64" },
		{ "2001:db8:1:2::1", "2001:db8:1:2::/64" },
		{ "2001:db8:1:3::1", "2001:db8:1:3::/64" },
		/* As IPv4 peers come to tcp:[::]:PORT: each is itself. */
		{ "::ffff:10.0.0.3", "10.0.0.3" },
		{ "::ffff:10.0.0.5", "10.0.0.5" },
		{ "::ffff:127.0.0.1", "127.0.0.1" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		cr_assert_str_eq(label_of(cases[i].address), cases[i].label);
	cr_assert_eq(domains.n_strangers[DOMAIN_HOST], 7);
}

static Domain *domain_of_cid(uint32_t cid)
{
	struct sockaddr_storage peer = {};
	Domain *domain;

	*(struct sockaddr_vm *)&peer =
		(struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = 1024 };
	cr_assert_eq(domains_of_peer(&domains, &peer, &domain), 0);
	return domain;
}

static Domain *tvm(uint8_t number, pid_t pid, uint32_t cid)
{
	Domain *domain;

	cr_assert_eq(domains_tvm(&domains, (Uuid){ .bytes = { number } }, &domain), 1);
	domain->pid = pid;
	domain->cid = cid;
	return domain;
}

/* A CID is a TVM's while its QEMU runs. */
Test(quote_peers, cids)
{
	Domain *first = tvm(1, 1001, 7), *second = tvm(2, 1002, 8), *none = tvm(3, 1003, 0);
	Domain *stranger = domain_of_cid(9);

	cr_assert_eq(domain_of_cid(7), first);
	cr_assert_eq(domain_of_cid(8), second);
	cr_assert_neq(domain_of_cid(0), none, "it has no vsock device");
	cr_assert_eq(stranger->kind, DOMAIN_CID);
	cr_assert_str_eq(stranger->label, "vsock CID 9");
	cr_assert_eq(domain_of_cid(9), stranger);
	/* It has ended, and another has its CID. */
	domain_forget_qemu(first);
	cr_assert_eq(domain_of_cid(7)->kind, DOMAIN_CID);
	second->cid = 7;
	cr_assert_eq(domain_of_cid(7), second);
	cr_assert_eq(domain_of_cid(8)->kind, DOMAIN_CID);
}
