/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cleanup.h"
#include "vmm/device-xml.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static const Bdf host = { .segment = 0, .bus = 1, .device = 0x10, .function = 2 };

static int cut(const char *xml, const char *alias, const char *in_error)
{
	_cleanup_free_ char *device = NULL, *error = NULL;
	int r = device_xml_cut(&device, xml, strlen(xml), alias, host, &error);

	cr_expect_eq(r == 0, device != NULL);
	cr_expect_eq(r == 0, error == NULL);
	if (r != 0 && error)
		cr_expect(strstr(error, in_error) != NULL, "\"%s\" is not in \"%s\"", in_error,
			  error);
	return r;
}

#define DOMAIN(devices)                                                                            \
	"<domain type='kvm' id='3'>\n  <name>a</name>\n  <devices>\n" devices                      \
	"  </devices>\n</domain>\n"
#define ADDRESS(domain, bus, slot, function)                                                       \
	"<address domain='" domain "' bus='" bus "' slot='" slot "' function='" function "'/>"
#define HOSTDEV(alias, address)                                                                    \
	"    <hostdev mode='subsystem' type='pci' managed='yes'>\n      <driver name='vfio'/>\n"   \
	"      <source>\n        " address "\n      </source>\n      <alias name='" alias "'/>\n"  \
	"      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>\n"      \
	"    </hostdev>\n"
#define GOOD ADDRESS("0x0000", "0x01", "0x10", "0x2")

Test(vmm_device_xml, not_a_domain)
{
	cr_expect_eq(cut("", "a", "not a domain"), -EBADMSG);
	cr_expect_eq(cut("<domain>", "a", "not a domain"), -EBADMSG);
	cr_expect_eq(cut("<hostdev/>", "a", "not a domain"), -EBADMSG);
	cr_expect_eq(cut("<domain/><domain/>", "a", "not a domain"), -EBADMSG);
	cr_expect_eq(cut("<!DOCTYPE d [<!ENTITY e 'x'>]><domain/>", "a", "not a domain"), -EBADMSG);
	cr_expect_eq(cut("<x:domain xmlns:x='u'/>", "a", "not a domain"), -EBADMSG);
}

Test(vmm_device_xml, oversize)
{
	_cleanup_free_ char *xml = malloc(DEVICE_XML_MAX_DOMAIN + 2);

	memset(xml, ' ', DEVICE_XML_MAX_DOMAIN + 1);
	memcpy(xml, "<domain/>", 9);
	xml[DEVICE_XML_MAX_DOMAIN + 1] = '\0';
	cr_expect_eq(cut(xml, "a", "bytes"), -E2BIG);
}

Test(vmm_device_xml, gone)
{
	cr_expect_eq(cut("<domain/>", "ua-tdi-a", "no device"), DEVICE_XML_GONE);
	cr_expect_eq(cut(DOMAIN(""), "ua-tdi-a", "no device"), DEVICE_XML_GONE);
	cr_expect_eq(cut(DOMAIN(HOSTDEV("ua-tdi-ab", GOOD)), "ua-tdi-a", "no device"),
		     DEVICE_XML_GONE);
	/* An alias elsewhere is none of a device. */
	cr_expect_eq(cut("<domain><metadata><alias name='ua-tdi-a'/></metadata></domain>",
			 "ua-tdi-a", "no device"),
		     DEVICE_XML_GONE);
	cr_expect_eq(cut(DOMAIN("<hostdev><source><alias name='ua-tdi-a'/></source></hostdev>"),
			 "ua-tdi-a", "no device"),
		     DEVICE_XML_GONE);
}

Test(vmm_device_xml, mismatch)
{
	static const char *const others[] = {
		ADDRESS("0x0001", "0x01", "0x10", "0x2"),
		ADDRESS("0x0000", "0x02", "0x10", "0x2"),
		ADDRESS("0x0000", "0x01", "0x11", "0x2"),
		ADDRESS("0x0000", "0x01", "0x10", "0x3"),
	};

	for (unsigned i = 0; i < ELEMENTSOF(others); i++) {
		_cleanup_free_ char *xml = NULL;

		cr_assert_gt(asprintf(&xml,
				      DOMAIN("<hostdev mode='subsystem' type='pci'><source>%s"
					     "</source><alias name='ua-tdi-a'/></hostdev>"),
				      others[i]),
			     0);
		cr_expect_eq(cut(xml, "ua-tdi-a", "not 0000:01:10.2"), DEVICE_XML_MISMATCH, "%s",
			     others[i]);
	}
	cr_expect_eq(cut(DOMAIN("<disk><alias name='ua-tdi-a'/></disk>"), "ua-tdi-a", "<disk>"),
		     DEVICE_XML_MISMATCH);
	cr_expect_eq(cut(DOMAIN("<hostdev mode='subsystem' type='usb'><source>" GOOD
				"</source><alias name='ua-tdi-a'/></hostdev>"),
			 "ua-tdi-a", "<hostdev>"),
		     DEVICE_XML_MISMATCH);
	cr_expect_eq(cut(DOMAIN("<interface type='network'><alias name='ua-tdi-a'/></interface>"),
			 "ua-tdi-a", "<interface>"),
		     DEVICE_XML_MISMATCH);
}

Test(vmm_device_xml, alias_twice)
{
	cr_expect_eq(cut(DOMAIN(HOSTDEV("ua-tdi-a", GOOD) HOSTDEV("ua-tdi-a", GOOD)), "ua-tdi-a",
			 "2 devices"),
		     -EBADMSG);
}

Test(vmm_device_xml, bad_addresses)
{
	static const char *const bad[] = {
		"",
		"<address/>",
		"<address domain='0x0000' bus='0x01' slot='0x10'/>",
		ADDRESS("0x10000", "0x01", "0x10", "0x2"),
		ADDRESS("0x0000", "0x100", "0x10", "0x2"),
		ADDRESS("0x0000", "0x01", "0x20", "0x2"),
		ADDRESS("0x0000", "0x01", "0x10", "0x8"),
		ADDRESS("0x0000", "0x01", "0x10", ""),
		ADDRESS("0x0000", "0x01", "0x10", "-1"),
		ADDRESS("0x0000", "0x01", "0x10", " 2"),
		ADDRESS("0x0000", "0x01", "0x10", "0x2x"),
		ADDRESS("0x0000", "99999999999999999999999", "0x10", "0x2"),
	};

	for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *xml = NULL;

		cr_assert_gt(asprintf(&xml,
				      DOMAIN("<hostdev mode='subsystem' type='pci'><source>%s"
					     "</source><alias name='ua-tdi-a'/></hostdev>"),
				      bad[i]),
			     0);
		cr_expect_eq(cut(xml, "ua-tdi-a", "host address"), -EBADMSG, "%s", bad[i]);
	}
}

/* As core/domain-xml.h reads it: what was seen there has to be found here. */
Test(vmm_device_xml, what_need_not_be_written)
{
	static const char *const bare[] = {
		DOMAIN(HOSTDEV("ua-tdi-a", "<address bus='0x01' slot='0x10' function='0x2'/>")),
		DOMAIN("<hostdev type='pci'><source>" GOOD
		       "</source><alias name='ua-tdi-a'/></hostdev>"),
		DOMAIN("<interface type='hostdev'><source>" GOOD
		       "</source><alias name='ua-tdi-a'/></interface>"),
	};

	for (size_t i = 0; i < ELEMENTSOF(bare); i++)
		cr_expect_eq(cut(bare[i], "ua-tdi-a", ""), 0, "%s", bare[i]);
}

Test(vmm_device_xml, too_deep)
{
	char xml[4096] = "<domain>";

	for (unsigned i = 0; i < 200; i++)
		strcat(xml, "<a>");
	cr_expect_eq(cut(xml, "a", "deeper"), -E2BIG);
}

Test(vmm_device_xml, hostdev)
{
	const char *xml = DOMAIN(HOSTDEV("ua-tdi-x", ADDRESS("0x0000", "0x01", "0x10", "0x0"))
					 HOSTDEV("ua-tdi-a", GOOD));
	_cleanup_free_ char *device = NULL, *error = NULL;

	cr_assert_eq(device_xml_cut(&device, xml, strlen(xml), "ua-tdi-a", host, &error), 0);
	cr_expect(strncmp(device, "<hostdev mode=\"subsystem\"", 25) == 0, "%s", device);
	cr_expect(strstr(device, "<alias name=\"ua-tdi-a\"/>") != NULL, "%s", device);
	cr_expect(strstr(device, "slot=\"0x10\" function=\"0x2\"") != NULL, "%s", device);
	cr_expect_null(strstr(device, "ua-tdi-x"));
	cr_expect_str_eq(strstr(device, "</hostdev>"), "</hostdev>");
}

Test(vmm_device_xml, interface)
{
	const char *xml = DOMAIN(
		"<interface type='hostdev' managed='yes'><mac address='52:54:00:6d:90:02'/><source>"
		"<address type='pci' domain='0x0000' bus='0x01' slot='0x10' "
		"function='0x2'/></source>"
		"<alias name='ua-tdi-nic0'/></interface>");
	_cleanup_free_ char *device = NULL;

	cr_assert_eq(device_xml_cut(&device, xml, strlen(xml), "ua-tdi-nic0", host, NULL), 0);
	cr_expect(strncmp(device, "<interface type=\"hostdev\"", 25) == 0, "%s", device);
	cr_expect(strstr(device, "52:54:00:6d:90:02") != NULL, "%s", device);
}
