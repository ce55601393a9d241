/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All who ask. */
#pragma once

#include "quote/domain.h"

#include <sys/socket.h>

/*
 * Peers of no known TVM, which are remembered for their limits: the longest silent one goes first.
 * So many that came over vsock, and as many over TCP.
 */
#define DOMAINS_STRANGERS_MAX 256u

/* What became of the requests of peers that are forgotten. */
typedef struct Forgotten {
	uint64_t counts[QUOTE_OUTCOMES];
	uint64_t n_other;
	Histogram latency;
} Forgotten;

/*
 * A TVM goes when libvirt's release is told of. That may get lost, with tdid for one; so it goes by
 * itself when it has no QEMU for longer than libvirt lets it wait: a minute after one has ended,
 * since the next start begins with another Prepare; an hour after Prepare, because a QEMU with much
 * memory takes its time, but not that long. Both times begin anew with each of our own starts. A
 * QEMU that by its record there is, but cannot be held for want of a descriptor, say, is neither:
 * that is tried each second, until it can be or has ended.
 */
#define DOMAINS_ENDED_USEC     UINT64_C(60000000)
#define DOMAINS_UNSTARTED_USEC UINT64_C(3600000000)
#define DOMAINS_UNHELD_USEC    UINT64_C(1000000)

/* It is to be removed, and what else is kept of it. */
typedef void (*DomainForsaken)(Domain *domain, void *userdata);

struct Domains {
	Expiries ended, unstarted, unheld;
	DomainForsaken forsaken;
	void *userdata;
	const ConfigLimits *limits;
	Domain *first;
	unsigned n_strangers[DOMAIN_KINDS];
	Forgotten forgotten;
};

/* 1: made just now. 0: known. -ENOMEM. */
int domains_tvm(Domains *domains, Uuid uuid, Domain **ret);
Domain *domains_find(const Domains *domains, Uuid uuid);

/* By the peer's address; made when nothing is known of it. -EUSERS when there are too many. */
int domains_of_peer(Domains *domains, const struct sockaddr_storage *peer, Domain **ret);

/* Drops it, removes its socket, and forgets it. */
void domains_remove(Domains *domains, Domain *domain);
void domains_remove_all(Domains *domains);
