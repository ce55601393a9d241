/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/hostdev-xml.h"

#include "core/domain-xml.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static const Bdf host = { .segment = 0, .bus = 1, .device = 0x10, .function = 2 };

Test(hostdev_xml, made_for_nothing_but_a_trusted_device)
{
	static const char *const aliases[] = {
		"",
		"nic0",
		"ua-nic0",
		"ua-td",
		"ua-tdi-a b",
		"ua-tdi-a'",
		"ua-tdi-a\"",
		"ua-tdi-<a>",
		"ua-tdi-&#39;",
		"ua-tdi-a\n",
		"ua-tdi-\xc3\xa4",
		"ua-tdi-'/><qemu:commandline/>",
	};
	char long_one[DOMAIN_XML_MAX_ALIAS + 2] = "ua-tdi-";
	char *device = NULL;

	memset(long_one + 7, 'a', sizeof(long_one) - 8);
	long_one[sizeof(long_one) - 1] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
		cr_expect_eq(hostdev_xml_make(&device, aliases[i], host), -EINVAL, "%s",
			     aliases[i]);
	cr_expect_eq(hostdev_xml_make(&device, long_one, host), -EINVAL);
	cr_expect_null(device);
}

/* What is attached is what domain_xml_parse() reads. */
Test(hostdev_xml, made_and_read)
{
	_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
	_cleanup_free_ char *device = NULL, *text = NULL;
	const Bdf all_ones = { 0xffff, 0xff, 0x1f, 7 };
	int n;

	cr_assert_eq(hostdev_xml_make(&device, "ua-tdi-nic_0-A", all_ones), 0);
	n = asprintf(&text,
		     "<domain type='kvm'><name>a</name><uuid>"
		     "11111111-2222-3333-4444-555555555555</uuid><devices>%s</devices></domain>",
		     device);
	cr_assert_eq(domain_xml_parse(&domain, text, (size_t)n, NULL), 0);
	cr_assert_eq(domain->n_devices, 1);
	cr_expect_str_eq(domain->devices[0].alias, "ua-tdi-nic_0-A");
	cr_expect(bdf_equal(domain->devices[0].host, all_ones));
	cr_expect(domain->devices[0].managed);
}
