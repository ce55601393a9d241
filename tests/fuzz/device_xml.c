/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device that is cut out of a domain's XML is the one that domain_xml_parse() saw there. */
#include "vmm/device-xml.h"
#include "core/domain-xml.h"
#include "fuzz.h"

#include <string.h>

#define ALIAS "ua-tdi-nic0"

static const Bdf host = { .bus = 0x41, .function = 1 };

/* What was cut can be found again in a domain that has nothing else. */
static void check_cut(const char *cut, const char *alias, Bdf bdf)
{
	_cleanup_free_ char *domain = NULL, *again = NULL, *error = NULL;
	int n = asprintf(&domain, "<domain><devices>%s</devices></domain>", cut);

	CHECK(n > 0);
	CHECK(device_xml_cut(&again, domain, (size_t)n, alias, bdf, &error) == 0);
	CHECK(strcmp(again, cut) == 0);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
	_cleanup_free_ char *cut = NULL;
	char *error = NULL;
	int r;

	domain_xml_parse(&domain, (const char *)data, size, NULL);
	if (domain && !domain->defect && domain->n_devices > 0) {
		const DomainDevice *device = &domain->devices[0];

		r = device_xml_cut(&cut, (const char *)data, size, device->alias, device->host,
				   &error);
		CHECK(fuzz_good(r, error));
		check_cut(cut, device->alias, device->host);
		return true;
	}
	r = device_xml_cut(&cut, (const char *)data, size, ALIAS, host, &error);
	if (!fuzz_good(r, error))
		return false;
	check_cut(cut, ALIAS, host);
	return true;
}
