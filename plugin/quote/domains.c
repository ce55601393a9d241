/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/domains.h"

#include "quote/door.h"
#include "quote/monotonic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <linux/vm_sockets.h>

static Domain *add(Domains *domains, DomainKind kind)
{
	Domain *domain = calloc(1, sizeof(*domain));

	if (!domain)
		return NULL;
	domain->domains = domains;
	domain->kind = kind;
	domain->next = domains->first;
	domains->first = domain;
	domain->heard_usec = monotonic_usec();
	for (int i = 0; i < LANES; i++)
		token_bucket_init(&domain->lanes[i].bucket, domains->limits->rate_per_second,
				  domains->limits->burst, domain->heard_usec);
	return domain;
}

Domain *domains_find(const Domains *domains, Uuid uuid)
{
	for (Domain *domain = domains->first; domain; domain = domain->next)
		if (domain->kind == DOMAIN_TVM && uuid_equal(domain->uuid, uuid))
			return domain;
	return NULL;
}

int domains_tvm(Domains *domains, Uuid uuid, Domain **ret)
{
	Domain *domain = domains_find(domains, uuid);

	*ret = domain;
	if (domain)
		return 0;
	domain = add(domains, DOMAIN_TVM);
	if (!domain)
		return -ENOMEM;
	domain->uuid = uuid;
	uuid_format(uuid, domain->label);
	*ret = domain;
	return 1;
}

/* Makes room for one more. */
static int forget_a_stranger(Domains *domains, DomainKind kind)
{
	Domain *oldest = NULL;

	for (Domain *domain = domains->first; domain; domain = domain->next)
		if (domain->kind == kind && domain_askers(domain) == 0 &&
		    (!oldest || domain->heard_usec < oldest->heard_usec))
			oldest = domain;
	if (!oldest)
		return -EUSERS;
	domains_remove(domains, oldest);
	return 0;
}

static int stranger(Domains *domains, DomainKind kind, uint32_t cid, const char *label,
		    Domain **ret)
{
	Domain *domain;
	int r;

	for (domain = domains->first; domain; domain = domain->next)
		if (domain->kind == kind && strcmp(domain->label, label) == 0) {
			domain->heard_usec = monotonic_usec();
			*ret = domain;
			return 0;
		}
	if (domains->n_strangers[kind] == DOMAINS_STRANGERS_MAX) {
		r = forget_a_stranger(domains, kind);
		if (r < 0)
			return r;
	}
	domain = add(domains, kind);
	if (!domain)
		return -ENOMEM;
	domains->n_strangers[kind]++;
	domain->cid = cid;
	snprintf(domain->label, sizeof(domain->label), "%s", label);
	*ret = domain;
	return 0;
}

/* All of 127.0.0.0/8 is this host. */
static void put_host(char label[static INET_ADDRSTRLEN], struct in_addr host)
{
	if (ntohl(host.s_addr) >> 24 == 127)
		host.s_addr = htonl(INADDR_LOOPBACK);
	inet_ntop(AF_INET, &host, label, INET_ADDRSTRLEN);
}

int domains_of_peer(Domains *domains, const struct sockaddr_storage *peer, Domain **ret)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
	const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
	uint32_t cid = ((const struct sockaddr_vm *)peer)->svm_cid;
	char label[64] = "?";

	if (peer->ss_family == AF_VSOCK) {
		for (Domain *domain = domains->first; domain; domain = domain->next)
			if (domain->kind == DOMAIN_TVM && domain->pid && cid &&
			    domain->cid == cid) {
				*ret = domain;
				return 0;
			}
		snprintf(label, sizeof(label), "vsock CID %u", cid);
		return stranger(domains, DOMAIN_CID, cid, label, ret);
	}
	/* At an IPv6 address for all, IPv4 peers come as ::ffff:a.b.c.d. */
	if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		struct in_addr host;

		memcpy(&host, &in6->sin6_addr.s6_addr[12], sizeof(host));
		put_host(label, host);
	} else if (peer->ss_family == AF_INET6) {
		/* Whoever has one address of these has as many as he likes. */
		struct in6_addr net = in6->sin6_addr;

		if (!IN6_IS_ADDR_LOOPBACK(&net))
			memset(&net.s6_addr[8], 0, 8);
		inet_ntop(AF_INET6, &net, label, sizeof(label));
		if (!IN6_IS_ADDR_LOOPBACK(&net))
			strcat(label, "/64");
	} else if (peer->ss_family == AF_INET) {
		put_host(label, in->sin_addr);
	}
	return stranger(domains, DOMAIN_HOST, 0, label, ret);
}

static void remember(Forgotten *forgotten, const Domain *domain)
{
	for (int i = 0; i < QUOTE_OUTCOMES; i++)
		forgotten->counts[i] += domain->counts[i];
	forgotten->n_other += domain->n_other;
	histogram_add(&forgotten->latency, &domain->latency);
}

void domains_remove(Domains *domains, Domain *domain)
{
	Domain **link = &domains->first;

	while (*link != domain)
		link = &(*link)->next;
	*link = domain->next;
	domain_drop(domain);
	if (domain->kind != DOMAIN_TVM) {
		domains->n_strangers[domain->kind]--;
		remember(&domains->forgotten, domain);
	}
	door_free(domain->door);
	sd_event_source_disable_unref(domain->exit);
	expiry_end(&domain->forsaken);
	free(domain->name);
	free(domain->socket);
	free(domain);
}

void domains_remove_all(Domains *domains)
{
	while (domains->first)
		domains_remove(domains, domains->first);
}
