/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whoever asks for quotes, with limits and counters of its own: a TVM, which libvirt's hook has
 * told us of; or a peer that came over vsock or TCP and belongs to none we know.
 */
#pragma once

#include "common/expiry.h"
#include "core/uuid.h"
#include "quote/config.h"
#include "quote/token-bucket.h"
#include "rpc/open-metrics.h"

#include <systemd/sd-event.h>

typedef struct Asker Asker;
typedef struct Door Door;
typedef struct Domain Domain;
typedef struct Domains Domains;
typedef struct Request Request;

typedef enum DomainKind {
	DOMAIN_TVM,
	DOMAIN_CID,  /* a vsock peer */
	DOMAIN_HOST, /* TCP peers: of one IPv4 address, or of one IPv6 /64; this host's are one */
	DOMAIN_KINDS,
} DomainKind;

typedef enum QuoteOutcome {
	QUOTE_OK,
	QUOTE_ERROR,	   /* the service's own error */
	QUOTE_UNAVAILABLE, /* no service could be asked */
	QUOTE_LATE,	   /* the deadline */
	QUOTE_LIMITED,	   /* more than it may */
	QUOTE_BAD,	   /* what came is no request */
	QUOTE_GONE,	   /* whoever asked has not waited */
	QUOTE_OUTCOMES,
} QuoteOutcome;

/* "ok", "error" ...: of the schema, and a metric's label */
const char *quote_outcome_name(QuoteOutcome outcome);

/*
 * By which way somebody comes, with limits of its own: what any process in a guest may do over
 * vsock must not cost its kernel the hypercall, which is QEMU at the domain's socket.
 */
typedef enum LaneWay {
	LANE_SOCKET,
	LANE_NETWORK,
	LANES,
} LaneWay;

typedef struct Lane {
	TokenBucket bucket;
	unsigned n_askers; /* connections that are open */
} Lane;

/* Which process it is, and its vsock device's CID. */
typedef struct DomainQemu {
	pid_t pid; /* 0: none */
	uint64_t start_time;
	uint32_t cid; /* 0: none */
} DomainQemu;

struct Domain {
	Domains *domains;
	DomainKind kind;
	char label[64]; /* for messages: its name, cut if need be; "vsock CID 7", "10.0.0.3" */
	Domain *next;
	uint64_t heard_usec;

	/* A TVM's. */
	Uuid uuid;
	char *name;
	char *socket; /* NULL: it has none, its agent comes over vsock */
	Door *door;
	pid_t pid; /* 0: QEMU has not started yet, or has ended */
	uint64_t start_time;
	sd_event_source *exit; /* its pidfd */
	uint32_t cid;	       /* 0: none */
	Expiry forsaken;       /* runs while pid is 0: domains.h */
	DomainQemu unheld;     /* by the record, and to be held as soon as that can be done */

	Lane lanes[LANES];
	Asker *askers;

	/* The relay's: requests that wait for a service, and its turn. */
	Request *first, *last;
	Domain *turn_next;
	bool in_turn;

	uint64_t counts[QUOTE_OUTCOMES]; /* of requests for quotes */
	uint64_t n_other;  /* requests for something else, whatever has become of them */
	Histogram latency; /* of all that got an answer, since their connection was taken */
	uint64_t n_held;   /* times that its socket was shut, with somebody before it */
};

/* For messages. -ENOMEM. */
int domain_set_name(Domain *domain, const char *name);

/* Ends every connection that it has: nothing of its requests is left. */
void domain_drop(Domain *domain);
/* Answers every request that it has with an error: tdi-quoted ends. */
void domain_stop(Domain *domain);

/* Told: QEMU runs as this process. -ESRCH when it does not. -errno. */
int domain_begin(Domain *domain, sd_event *event, pid_t pid, uint64_t start_time);
/*
 * The same by its record: what fails for a want is tried again (domains.h), and the domain is not
 * forsaken meanwhile. -ESRCH: it has ended, and is waited for. Another -errno: tried again.
 */
int domain_resume(Domain *domain, sd_event *event, const DomainQemu *qemu);

/* It has ended, or another is about to start: its connections end, too. */
void domain_forget_qemu(Domain *domain);
/* It has no QEMU, and is forsaken when that is so for as long as `expiries` says (domains.h). */
void domain_await(Domain *domain, Expiries *expiries);

static inline unsigned domain_askers(const Domain *domain)
{
	return domain->lanes[LANE_SOCKET].n_askers + domain->lanes[LANE_NETWORK].n_askers;
}

void domain_count(Domain *domain, QuoteOutcome outcome, uint64_t usec);
