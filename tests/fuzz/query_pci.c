/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "vmm/query-pci.h"

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(query_pci_freep) QueryPci *q = NULL;
	char *error = NULL;

	if (!fuzz_good(query_pci_parse(&q, (const char *)data, size, &error), error))
		return false;
	CHECK(q->n_functions <= QUERY_PCI_MAX_DEVICES);
	for (size_t i = 0; i < q->n_functions; i++) {
		const GuestPciFunction *f = &q->functions[i];

		CHECK(*f->alias && query_pci_find(q, f->alias) == f);
		CHECK(f->slot < 32 && f->function < 8 && (f->assigned || f->bus == 0));
	}
	return true;
}
