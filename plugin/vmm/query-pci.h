/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where QEMU's guest sees its PCI functions: the answer to QMP query-pci, parsed strictly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cleanup.h"

/* Bounds of what is read; a larger or deeper answer is refused. */
#define QUERY_PCI_MAX_BYTES   (4u << 20)
#define QUERY_PCI_MAX_DEVICES 4096u
#define QUERY_PCI_MAX_DEPTH   8u /* bridges behind bridges */

/*
 * One function that has a qdev id: libvirt's alias is the id QEMU was given. The numbers are the
 * guest's own: bridges are programmed by its firmware or kernel, so they are the guest's claim and
 * good for that guest only. QEMU knows no PCI segment here.
 *
 * `assigned` is false as long as the bridge above has no secondary bus number (before firmware
 * has run): `bus` is 0 then and means nothing. QEMU >= 7 leaves such functions out of the answer
 * altogether, so "not listed" and "not assigned" are the same thing to a caller.
 */
typedef struct GuestPciFunction {
	char *alias;
	uint8_t bus;	  /* 0-255 */
	uint8_t slot;	  /* 0-31 */
	uint8_t function; /* 0-7 */
	bool assigned;
} GuestPciFunction;

typedef struct QueryPci {
	GuestPciFunction *functions; /* in the order of the answer, bridges before what is behind */
	size_t n_functions;
} QueryPci;

/*
 * `text` is the whole reply as virDomainQemuMonitorCommand gives it: {"return": [...], "id": ...}.
 * Returns 0, -EBADMSG (not JSON, a field missing, of the wrong type or out of range, a bus that
 * contradicts its bridge, an alias listed twice), -E2BIG (larger than the bounds), -EREMOTEIO (QEMU
 * answered with an error) or -ENOMEM; `ret_error` (may be NULL) gets a sentence.
 */
int query_pci_parse(QueryPci **ret, const char *text, size_t len, char **ret_error);
QueryPci *query_pci_free(QueryPci *q);
DEFINE_CLEANUP(QueryPci, query_pci_free);

/* NULL when no function has that alias. */
const GuestPciFunction *query_pci_find(const QueryPci *q, const char *alias);
