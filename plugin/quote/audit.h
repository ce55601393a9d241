/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line in the log for each request, whatever has become of it. Not for those that are turned
 * away at the door, unread: they are counted, and said once a second, lest whoever is over his
 * limit fills the log.
 */
#pragma once

#include "core/qgs-message.h"
#include "quote/domain.h"

typedef struct AuditEntry {
	const Domain *domain;
	QgsType type;
	const uint8_t *report; /* TDREPORT_SIZE bytes as they came; NULL: not so far */
	QuoteOutcome outcome;
	uint32_t error;	      /* the service's own; 0: none */
	const char *upstream; /* NULL: none was asked */
	const char *why;      /* NULL: nothing to be said */
	size_t quote_size;    /* bytes; 0: none */
	uint64_t usec;	      /* since its connection was taken */
} AuditEntry;

/*
 *   quote: tvm0 UUID ok mrtd=... report-data=sha384:... size=4998 upstream=unix:... ms=4.210
 *
 * MRTD and REPORTDATA are what the guest claims: the quoting service checks them.
 */
void audit_quote(const AuditEntry *entry);
