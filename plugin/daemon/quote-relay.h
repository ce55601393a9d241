/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tdid tells tdi-quoted (io.tdid.Quote) of domains: a start, which QEMU it is, an end.
 *
 * One call at a time, so that they come in order. Which QEMU it is, and that it has ended, is told
 * until it has been taken or refused for good, as long as nothing newer is to be told of the domain. A domain
 * without a quote socket, which has to do with it by its vsock device only, is told of where there
 * is a tdi-quoted: one that has been reached before, or whose socket is there. tdi-quoted has
 * records of its own; a call that finds it restarting waits in its socket's queue.
 */
#pragma once

#include "core/cleanup.h"
#include "core/domain-xml.h"

#include <sys/types.h>

#include <systemd/sd-event.h>

typedef struct QuoteRelay QuoteRelay;
typedef struct QuoteCall QuoteCall;

/* Connects when there is something to be told. */
int quote_relay_new(QuoteRelay **ret, sd_event *event, const char *sockets);
QuoteRelay *quote_relay_free(QuoteRelay *relay);
DEFINE_CLEANUP(QuoteRelay, quote_relay_free);

/* Whether it has to do with the domain: a quote socket of ours, or a vsock device. */
bool quote_relay_concerns(const DomainXml *xml);

/* `why`, when it was refused or could not be asked: cause and way out. NULL: its socket listens. */
typedef void (*QuotePrepared)(const char *why, void *userdata);

/* For a domain with a quote socket; `prepared` does not run in here. -errno: no memory. */
int quote_relay_prepare(QuoteRelay *relay, const DomainXml *xml, const char *name,
			QuotePrepared prepared, void *userdata, QuoteCall **ret);
/* `prepared` will not run any more. NULL-safe, returns NULL. */
QuoteCall *quote_call_forget(QuoteCall *call);

/* What goes wrong with these is said in the log. */
void quote_relay_started(QuoteRelay *relay, const DomainXml *xml, const char *name, pid_t pid,
			 uint64_t start_time);
void quote_relay_release(QuoteRelay *relay, const DomainXml *xml, const char *name);
