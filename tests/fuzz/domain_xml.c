/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain's XML, and that the hook's search misses nothing of what is found in it. */
#include "core/domain-xml.h"
#include "core/xml-tree.h"
#include "fuzz.h"
#include "hooks/scan.h"

#include <string.h>

static void check_devices(const DomainXml *domain)
{
	for (size_t i = 0; i < domain->n_devices; i++) {
		const DomainDevice *device = &domain->devices[i];

		CHECK(device->mark &&
		      !(device->mark & ~(DOMAIN_MARK_ALIAS | DOMAIN_MARK_METADATA)));
		CHECK(strlen(device->alias) <= DOMAIN_XML_MAX_ALIAS);
		CHECK(device->host.device < 32 && device->host.function < 8);
		CHECK(domain_xml_device(domain, device->alias) == device);
		for (size_t k = 0; k < i; k++)
			CHECK(!bdf_equal(device->host, domain->devices[k].host));
	}
	for (size_t i = 0; i < domain->n_missing; i++)
		CHECK(!domain_xml_device(domain, domain->missing[i]));
}

static void check_markers(const DomainXml *domain)
{
	CHECK(!(domain->markers & DOMAIN_MARKER_DEVICE) == (domain->n_devices == 0));
	CHECK(!(domain->markers & DOMAIN_MARKER_MISSING) == (domain->n_missing == 0));
	CHECK(!(domain->markers & DOMAIN_MARKER_FWCFG) == (domain->n_fwcfg == 0));
	CHECK(!(domain->markers & DOMAIN_MARKER_GUEST_PORT) == !domain->has_guest_port);
	CHECK(!(domain->markers & DOMAIN_MARKER_DEFECT) || domain->defect);
	CHECK(!(domain->markers & DOMAIN_MARKER_QUOTE_SOCKET) || domain->quote_socket);
	CHECK((domain->launch_security == LAUNCH_SECURITY_NONE) == !domain->launch_security_type);
	CHECK(domain->launch_security < LAUNCH_SECURITY_N);
	for (size_t i = 0; i < domain->n_fwcfg; i++)
		CHECK(strncmp(domain->fwcfg[i].name, DOMAIN_XML_FWCFG_PREFIX,
			      strlen(DOMAIN_XML_FWCFG_PREFIX)) == 0);
}

/* libvirt hands out its own serialisation, which is libxml2's as far as this goes. */
static void check_scan(const DomainXml *domain, const uint8_t *data, size_t size)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	xmlChar *text = NULL;
	Scan scan = {};
	int n = 0;

	CHECK(xml_tree_parse(&doc, (const char *)data, size, NULL) == 0);
	xmlDocDumpMemoryEnc(doc, &text, &n, "UTF-8");
	CHECK(text);
	scan_feed(&scan, (const char *)text, (size_t)n);
	xmlFree(text);
	CHECK(!domain->markers || scan.found);
	CHECK(!domain->has_guest_port || (scan.found & SCAN_GUEST_PORT));
	CHECK(domain->n_fwcfg == 0 || (scan.found & SCAN_FW_CFG));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
	char *error = NULL;

	if (!fuzz_good(domain_xml_parse(&domain, (const char *)data, size, &error), error))
		return false;
	check_devices(domain);
	check_markers(domain);
	check_scan(domain, data, size);
	return !domain->defect;
}
