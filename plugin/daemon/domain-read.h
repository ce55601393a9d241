/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One read of a domain, from the mark that causes it to libvirt's answer, which domains.c compares.
 *
 * A mark that comes while a read of its domain is under way starts another one behind it; all that
 * come meanwhile have that one together. A read that fails with the connection is made up for by
 * the list of the next one, and that of an unreachable domain by the mark that it is reachable.
 * After any other failure, also that too many calls wait already, nothing need follow by itself, so
 * it is tried again, after a second at first and less often then.
 */
#pragma once

#include "daemon/tdid.h"

/* The domain may not be known yet, and may be forgotten before the answer. */
struct DomainRead {
	Tdid *tdid;
	Uuid uuid;
	unsigned int flags;
	uint64_t number;  /* of the domain's, 0: it was not known yet */
	AddedMark *added; /* of those that it is to show */
	/* That failed, and waits to be tried again. */
	uint64_t wait_usec;
	sd_event_source *again;
	DomainRead *next;
};

/* flags: VmmReadFlags. added_alias: of a device that has just been added, at that time; or NULL. */
void domain_read_start(Tdid *tdid, Uuid uuid, unsigned int flags, const char *added_alias,
		       uint64_t added_usec);

/* Asks QEMU, too, about what this read has shown. Takes its marks. */
void domain_read_deepen(DomainRead *read);

/* When the device was added last, by this read's marks and those that wait for the next one; 0: it
 * was not. */
uint64_t domain_read_added(const DomainRead *read, const Domain *domain, const char *alias);

/* Forgets those that wait to be tried again. */
void domain_reads_stop(Tdid *tdid);
