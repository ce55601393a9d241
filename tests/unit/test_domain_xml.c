/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/domain-xml.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <libxml/parser.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID		  "11111111-2222-3333-4444-55555555abcd"
#define HEAD		  "<domain type='kvm'>\n<name>tvm0</name>\n<uuid>" UUID "</uuid>\n"
#define TAIL		  "</domain>\n"
#define DOMAIN(devices)	  HEAD "<devices>\n" devices "\n</devices>\n" TAIL
#define METADATA(content) "<metadata xmlns:tdi='urn:tdid:domain:1'>" content "</metadata>\n"

#define ADDRESS(bus) "<address domain='0x0000' bus='" bus "' slot='0x10' function='0x1'/>"
#define HOSTDEV(alias, bus)                                                                        \
	"<hostdev mode='subsystem' type='pci' managed='yes'><source>" ADDRESS(                     \
		bus) "</source><alias name='" alias "'/></hostdev>"

/* As virsh dumpxml prints a running domain. */
static const char live[] =
	"<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
	"  <name>tvm&amp;0</name>\n"
	"  <uuid>" UUID "</uuid>\n"
	"  <metadata>\n"
	"    <libosinfo:libosinfo "
	"xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\n"
	"      <libosinfo:os id='http://debian.org/debian/12'/>\n"
	"      <libosinfo:device alias='ua-not-mine'/>\n"
	"    </libosinfo:libosinfo>\n"
	"    <t:devices xmlns:t='urn:tdid:domain:1'>\n"
	"      <t:device alias='ua-gpu'/>\n"
	"      <t:device alias='ua-later'/>\n"
	"    </t:devices>\n"
	"  </metadata>\n"
	"  <memory unit='KiB'>2097152</memory>\n"
	"  <currentMemory unit='KiB'>2097152</currentMemory>\n"
	"  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>\n"
	"  <vcpu placement='static'>2</vcpu>\n"
	"  <resource><partition>/machine</partition></resource>\n"
	"  <sysinfo type='fwcfg'>\n"
	"    <entry name='opt/com.example/name'>value</entry>\n"
	"    <entry name='opt/io.tdid/tvm-key' file='/run/tdid/tvm/" UUID ".key'/>\n"
	"    <entry name='opt/io.tdid/inline'>value</entry>\n"
	"  </sysinfo>\n"
	"  <os>\n"
	"    <type arch='x86_64' machine='pc-q35-9.2'>hvm</type>\n"
	"    <loader stateless='yes'>/usr/share/ovmf/OVMF.inteltdx.fd</loader>\n"
	"    <boot dev='hd'/>\n"
	"  </os>\n"
	"  <features><acpi/><apic/><ioapic driver='qemu'/></features>\n"
	"  <cpu mode='host-passthrough' check='none' migratable='on'/>\n"
	"  <devices>\n"
	"    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
	"    <disk type='file' device='disk'>\n"
	"      <driver name='qemu' type='qcow2'/>\n"
	"      <source file='/var/lib/libvirt/images/tvm0.qcow2' index='1'/>\n"
	"      <target dev='vda' bus='virtio'/>\n"
	"      <alias name='virtio-disk0'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>\n"
	"    </disk>\n"
	"    <controller type='pci' index='1' model='pcie-root-port'>\n"
	"      <model name='pcie-root-port'/>\n"
	"      <target chassis='1' port='0x10'/>\n"
	"      <alias name='pci.1'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0' "
	"multifunction='on'/>\n"
	"    </controller>\n"
	"    <interface type='network'>\n"
	"      <mac address='52:54:00:00:00:01'/>\n"
	"      <source network='default' portid='1c1c' bridge='virbr0'/>\n"
	"      <target dev='vnet0'/><model type='virtio'/><alias name='net0'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n"
	"    </interface>\n"
	"    <interface type='hostdev' managed='yes'>\n"
	"      <mac address='52:54:00:00:00:02'/>\n"
	"      <driver name='vfio'/>\n"
	"      <source>\n"
	"        <address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x5'/>\n"
	"      </source>\n"
	"      <alias name='ua-tdi-nic0'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>\n"
	"    </interface>\n"
	"    <serial type='pty'>\n"
	"      <source path='/dev/pts/3'/><target type='isa-serial' port='0'/>\n"
	"      <alias name='serial0'/>\n"
	"    </serial>\n"
	"    <channel type='unix'>\n"
	"      <source mode='bind' path='/run/libvirt/qemu/channel/7-tvm0/io.tdid.guest.0'/>\n"
	"      <target type='virtio' name='io.tdid.guest.0' state='connected'/>\n"
	"      <alias name='channel0'/>\n"
	"      <address type='virtio-serial' controller='0' bus='0' port='1'/>\n"
	"    </channel>\n"
	"    <hostdev mode='subsystem' type='pci' managed='no'>\n"
	"      <driver name='vfio'/>\n"
	"      <source><address domain='0x0001' bus='0xe1' slot='0x1f' function='0x7'/></source>\n"
	"      <alias name='ua-gpu'/>\n"
	"      <rom bar='off'/>\n"
	"      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>\n"
	"    </hostdev>\n"
	"    <hostdev mode='subsystem' type='pci' managed='yes'>\n"
	"      <source><address domain='0x0000' bus='0xe2' slot='0x00' function='0x0'/></source>\n"
	"      <alias name='hostdev1'/>\n"
	"    </hostdev>\n"
	"    <hostdev mode='subsystem' type='usb'>\n"
	"      <source><vendor id='0x1234'/><product id='0xbeef'/><address bus='1' "
	"device='3'/></source>\n"
	"      <alias name='hostdev2'/>\n"
	"    </hostdev>\n"
	"    <memballoon model='none'/>\n"
	"  </devices>\n"
	"  <seclabel type='dynamic' model='apparmor' relabel='yes'>\n"
	"    <label>libvirt-" UUID "</label>\n"
	"  </seclabel>\n"
	"  <seclabel type='dynamic' model='dac' "
	"relabel='yes'><label>+64055:+109</label></seclabel>\n"
	"  <launchSecurity type='tdx'>\n"
	"    <policy>0x10000000</policy>\n"
	"    <quoteGenerationService path='/run/tdid/quote/" UUID ".sock'/>\n"
	"  </launchSecurity>\n"
	"  <qemu:commandline><qemu:arg value='-no-user-config'/></qemu:commandline>\n"
	"</domain>\n";

static DomainXml *parse(const char *text)
{
	DomainXml *domain = NULL;
	char *error = NULL;
	int r = domain_xml_parse(&domain, text, strlen(text), &error);

	cr_assert_eq(r, 0, "%d: %s", r, error ? error : "refused without a word");
	cr_assert_null(error);
	return domain;
}

static void assert_refused_bytes(const char *text, size_t size, int expected, const char *words)
{
	DomainXml *domain = NULL;
	char *error = NULL;
	int r = domain_xml_parse(&domain, text, size, &error);

	cr_assert_eq(r, expected, "%d instead of %d: %s", r, expected, error ? error : words);
	cr_assert_null(domain);
	cr_assert_not_null(error);
	cr_assert_not_null(strstr(error, words), "'%s' does not say '%s'", error, words);
	free(error);
	cr_assert_eq(domain_xml_parse(&domain, text, size, NULL), expected);
}

static void assert_refused(const char *text, int expected, const char *words)
{
	assert_refused_bytes(text, strlen(text), expected, words);
}

/* One declaration makes no sense; the rest is read. */
static void assert_defect(const char *text, const char *words)
{
	DomainXml *domain = parse(text);

	cr_assert_not_null(domain->defect, "%s", words);
	cr_assert_not_null(strstr(domain->defect, words), "'%s' does not say '%s'", domain->defect,
			   words);
	domain_xml_free(domain);
}

Test(domain_xml, not_well_formed, .init = cr_redirect_stderr)
{
	static const char declared_latin1[] =
		"<?xml version='1.0' encoding='ISO-8859-1'?>" HEAD "<title>\xe9</title>" TAIL;

	assert_refused("", -EBADMSG, "empty");
	assert_refused(" ", -EBADMSG, "not well-formed");
	assert_refused("domain", -EBADMSG, "line 1: not well-formed");
	assert_refused(HEAD, -EBADMSG, "not well-formed");
	assert_refused(HEAD TAIL "x", -EBADMSG, "not well-formed");
	assert_refused(HEAD "<a>\n</b>" TAIL, -EBADMSG, "line 5: not well-formed");
	assert_refused(HEAD "<tdi:device alias='x'/>" TAIL, -EBADMSG, "not well-formed");
	assert_refused(HEAD "&undeclared;" TAIL, -EBADMSG, "not well-formed");
	assert_refused(HEAD "\xff" TAIL, -EBADMSG, "not well-formed");
	assert_refused(declared_latin1, -EBADMSG, "not well-formed");
	assert_refused_bytes(HEAD "\0" TAIL, sizeof(HEAD "\0" TAIL) - 1, -EBADMSG,
			     "not well-formed");
	for (size_t n = 1; n < sizeof(live) - 2; n += 7)
		assert_refused_bytes(live, n, -EBADMSG, "not well-formed");
	cr_assert_stderr_eq_str("");
}

Test(domain_xml, doctype, .init = cr_redirect_stderr)
{
	assert_refused("<!DOCTYPE domain>" HEAD TAIL, -EBADMSG, "DOCTYPE");
	assert_refused("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" HEAD TAIL, -EBADMSG,
		       "DOCTYPE");
	assert_refused("<!DOCTYPE domain [<!ENTITY a 'tvm0'><!ENTITY b '&a;&a;'>]>" HEAD "&b;" TAIL,
		       -EBADMSG, "DOCTYPE");
	assert_refused("<!DOCTYPE domain [<!ENTITY x SYSTEM '/etc/passwd'>]>" HEAD "&x;" TAIL,
		       -EBADMSG, "DOCTYPE");
	cr_assert_stderr_eq_str("");
}

/* A domain in which `unit` stands `n` times. */
static char *repeat(const char *head, const char *unit, size_t n, const char *tail, size_t *ret)
{
	size_t length = strlen(unit);
	char *text = malloc(strlen(head) + n * length + strlen(tail) + 1), *at = text;

	cr_assert_not_null(text);
	at = stpcpy(at, head);
	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, unit);
	at = stpcpy(at, tail);
	*ret = (size_t)(at - text);
	return text;
}

Test(domain_xml, bounds)
{
	DomainXml *domain;
	size_t size;
	char *text;

	text = repeat(HEAD "<!--", "x", 4 << 20, "-->" TAIL, &size);
	assert_refused_bytes(text, size, -E2BIG, "at most 4194304");
	free(text);
	text = repeat(HEAD, "<a>", 64, "", &size);
	assert_refused_bytes(text, size, -E2BIG, "deeper than 64");
	free(text);
	text = repeat(HEAD, "<a>", 1000000, "", &size);
	assert_refused_bytes(text, size, -E2BIG, "deeper than 64");
	free(text);
	text = repeat(HEAD "<devices>", "<hostdev mode='subsystem' type='pci'/>\n", 257,
		      "</devices>" TAIL, &size);
	assert_defect(text, "line 260: the domain has more than 256 PCI");
	free(text);
	text = repeat(HEAD "<devices>", "<hostdev mode='subsystem' type='pci'/>\n", 256,
		      "</devices>" TAIL, &size);
	domain = parse(text);
	cr_assert_eq(domain->markers, 0);
	domain = domain_xml_free(domain);
	free(text);
	/* 63 below <domain> */
	text = repeat(HEAD, "<a>", 63, "", &size);
	assert_refused_bytes(text, size, -EBADMSG, "not well-formed");
	free(text);
}

Test(domain_xml, too_many_items)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	f = open_memstream(&text, &size);
	fputs(HEAD "<metadata xmlns:tdi='urn:tdid:domain:1'>", f);
	for (int i = 0; i < 257; i++)
		fprintf(f, "<tdi:device alias='ua-%d'/>", i);
	fputs("</metadata>" TAIL, f);
	fclose(f);
	assert_defect(text, "more than 256 devices");
	free(text);
	f = open_memstream(&text, &size);
	fputs(HEAD "<sysinfo type='fwcfg'>", f);
	for (int i = 0; i < 257; i++)
		fprintf(f, "<entry name='opt/io.tdid/%d'/>", i);
	fputs("</sysinfo>" TAIL, f);
	fclose(f);
	assert_defect(text, "more than 256 fw_cfg");
	free(text);
	f = open_memstream(&text, &size);
	fputs(HEAD "<devices>", f);
	for (int i = 0; i < 257; i++)
		fprintf(f, "<interface type='network'><alias name='ua-tdi-%d'/></interface>", i);
	fputs("</devices>" TAIL, f);
	fclose(f);
	assert_defect(text, "more than 256 trusted interfaces");
	free(text);
}

Test(domain_xml, not_a_domain)
{
	assert_refused("<network/>", -EBADMSG, "<network> instead of <domain>");
	assert_refused("<domain xmlns='urn:x' type='kvm'/>", -EBADMSG, "instead of");
	assert_refused("<domain/>", -EBADMSG, "no type");
	assert_refused("<domain type=''/>", -EBADMSG, "no type");
	assert_refused("<domain type='kvm'><name>x</name></domain>", -EINVAL, "no <uuid>");
	assert_refused("<domain type='kvm'><uuid>" UUID "</uuid></domain>", -EINVAL, "no <name>");
	assert_refused("<domain type='kvm'><name>x</name><uuid/></domain>", -EINVAL,
		       "<uuid> has to hold a text");
	assert_refused("<domain type='kvm'><name>x</name><uuid>1</uuid></domain>", -EBADMSG,
		       "'1' is not a UUID");
	assert_refused("<domain type='kvm'><name>x</name><uuid> " UUID "</uuid></domain>", -EBADMSG,
		       "is not a UUID");
	assert_refused(HEAD "<uuid>" UUID "</uuid>" TAIL, -EINVAL, "line 4: a second <uuid>");
	assert_refused(HEAD "<name>y</name>" TAIL, -EINVAL, "a second <name>");
	assert_refused("<domain type='kvm'><uuid>" UUID "</uuid><name>x<b/></name></domain>",
		       -EINVAL, "<name> has to hold a text");
}

Test(domain_xml, aliases)
{
	char *text = NULL;
	char longest[DOMAIN_XML_MAX_ALIAS + 2];

	assert_defect(DOMAIN("\n<disk><alias/></disk>"), "line 6: <disk> has an empty alias");
	assert_defect(DOMAIN(HOSTDEV("", "0x06")), "<hostdev> has an empty alias");
	assert_defect(DOMAIN("<hostdev><alias name='a'/><alias name='b'/></hostdev>"),
		      "a second <alias>");
	assert_defect(DOMAIN(HOSTDEV("ua-tdi-a.b", "0x06")), "alias 'ua-tdi-a.b' is not");
	assert_defect(DOMAIN(HOSTDEV("ua-tdi-&#10;x", "0x06")), "(not printable)");
	assert_defect(DOMAIN(HOSTDEV("ua-tdi-x", "0x06") HOSTDEV("ua-tdi-x", "0x07")),
		      "two devices have the alias 'ua-tdi-x'");
	assert_defect(DOMAIN("<interface type='network'><alias name='ua-tdi-x'/></interface>"
			     "<interface type='network'><alias name='ua-tdi-x'/></interface>"),
		      "two devices have the alias 'ua-tdi-x'");
	assert_defect(
		DOMAIN("<interface type='network'><alias name='ua-tdi-x'/></interface>" HOSTDEV(
			"ua-tdi-x", "0x07")),
		"two devices have the alias 'ua-tdi-x'");

	memset(longest, 'x', sizeof(longest));
	memcpy(longest, DOMAIN_XML_ALIAS_PREFIX, strlen(DOMAIN_XML_ALIAS_PREFIX));
	longest[sizeof(longest) - 1] = '\0';
	cr_assert_gt(asprintf(&text, "%s<devices><hostdev><alias name='%s'/></hostdev></devices>%s",
			      HEAD, longest, TAIL),
		     0);
	assert_defect(text, "is not 1 to 127");
	free(text);
}

Test(domain_xml, trusted_but_not_pci)
{
	assert_defect(DOMAIN("<hostdev mode='subsystem' type='usb'><source/>"
			     "<alias name='ua-tdi-x'/></hostdev>"),
		      "a <hostdev> of type 'usb' is no PCI device of the host's");
	assert_defect(DOMAIN("<hostdev mode='subsystem' type='mdev'><alias name='ua-tdi-x'/>"
			     "</hostdev>"),
		      "of type 'mdev'");
	assert_defect(DOMAIN("<hostdev mode='capabilities' type='pci'><alias name='ua-tdi-x'/>"
			     "</hostdev>"),
		      "no PCI device");
	assert_defect(DOMAIN("<interface type='bridge'><alias name='ua-tdi-x'/></interface>"),
		      "<interface> of type 'bridge'");
	assert_defect(DOMAIN("<rng><alias name='ua-tdi-x'/></rng>"), "<rng> of type 'none'");
	assert_defect(HEAD METADATA("<tdi:device alias='ua-d'/>") "<devices><disk type='file'>"
								  "<alias name='ua-d'/></disk>"
								  "</devices>" TAIL,
		      "alias 'ua-d' says that this is a trusted device, but a <disk>");
}

#define SOURCE(source)                                                                             \
	DOMAIN("<hostdev mode='subsystem' type='pci'>" source "<alias name='ua-tdi-x'/>"           \
	       "<address type='pci' domain='0' bus='1' slot='0' function='0'/></hostdev>")
#define PARTS(parts) SOURCE("<source><address " parts "/></source>")

Test(domain_xml, malformed_addresses)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ SOURCE(""), "no address of a host device" },
		{ SOURCE("<source/>"), "no address of a host device" },
		{ SOURCE("<source dev='eth0'/>"), "no address of a host device" },
		{ SOURCE("<source>" ADDRESS("1") ADDRESS("2") "</source>"), "a second <address>" },
		{ SOURCE("<source>" ADDRESS("1") "</source><source/>"), "a second <source>" },
		{ PARTS("slot='0' function='0'"), "has no bus" },
		{ PARTS("bus='0' function='0'"), "has no slot" },
		{ PARTS("bus='0' slot='0'"), "has no function" },
		{ PARTS("type='usb' bus='0' slot='0' function='0'"), "type 'usb'" },
		{ PARTS("bus='' slot='0' function='0'"), "bus '' is not 0x0 to 0xff" },
		{ PARTS("bus='0x' slot='0' function='0'"), "bus '0x'" },
		{ PARTS("bus='-1' slot='0' function='0'"), "bus '-1'" },
		{ PARTS("bus=' 1' slot='0' function='0'"), "bus ' 1'" },
		{ PARTS("bus='1a' slot='0' function='0'"), "bus '1a'" },
		{ PARTS("bus='010' slot='0' function='0'"), "bus '010'" },
		{ PARTS("bus='256' slot='0' function='0'"), "bus '256'" },
		{ PARTS("bus='0x100' slot='0' function='0'"), "bus '0x100'" },
		{ PARTS("bus='0x100000001' slot='0' function='0'"), "bus '0x100000001'" },
		{ PARTS("bus='0' slot='32' function='0'"), "slot '32' is not 0x0 to 0x1f" },
		{ PARTS("bus='0' slot='0' function='8'"), "function '8' is not 0x0 to 0x7" },
		{ PARTS("domain='0x10000' bus='0' slot='0' function='0'"), "domain '0x10000'" },
		{ DOMAIN("<hostdev mode='subsystem' type='pci' managed='maybe'><source>" ADDRESS(
			  "1") "</source><alias name='ua-tdi-x'/></hostdev>"),
		  "managed='maybe'" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_defect(bad[i].text, bad[i].words);
}

Test(domain_xml, host_function_twice)
{
	assert_defect(DOMAIN(HOSTDEV("ua-tdi-a", "0x06") "\n" HOSTDEV("ua-tdi-b", "6")),
		      "line 6: 'ua-tdi-b' is host device 0000:06:10.1, and so is the device in "
		      "line 5");
	/* The untrusted one first, or last */
	assert_defect(DOMAIN(HOSTDEV("hostdev0", "6") "\n" HOSTDEV("ua-tdi-b", "6")),
		      "line 6: 'ua-tdi-b' is host device 0000:06:10.1");
	assert_defect(DOMAIN(HOSTDEV("ua-tdi-b", "6") "\n" HOSTDEV("hostdev0", "6")),
		      "line 5: 'ua-tdi-b' is host device 0000:06:10.1");
	/* What does not concern us is libvirt's business. */
	domain_xml_free(parse(DOMAIN(HOSTDEV("hostdev0", "6") HOSTDEV("hostdev1", "6")
					     HOSTDEV("hostdev2", "666"))));
}

Test(domain_xml, malformed_metadata)
{
	assert_defect(HEAD METADATA("<tdi:device/>") TAIL, "line 4: <device> of "
							   "urn:tdid:domain:1 has no "
							   "alias");
	assert_defect(HEAD METADATA("<tdi:device tdi:alias='x'/>") TAIL, "has no alias");
	assert_defect(HEAD METADATA("<tdi:device alias=''/>") TAIL, "alias '' is not");
	assert_defect(HEAD METADATA("<tdi:device alias='a b'/>") TAIL, "'a b' is not");
	assert_defect(HEAD METADATA("<tdi:device alias='x'/><tdi:d><tdi:device alias='x'/>"
				    "</tdi:d>") TAIL,
		      "names alias 'x' twice");
}

/* Whatever it was meant to say: no device is lost for it, and none is looser. */
Test(domain_xml, malformed_declaration_leaves_the_others)
{
	static const char *const bad[] = {
		"<tdi:device on-error='hold'/>",
		"<tdi:device alias='u x' on-error='hold'/>",
		"<tdi:device alias='ua-x' on-error='hold'/>",
	};
	_cleanup_free_ char *text = NULL;
	DomainXml *domain;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		free(text);
		cr_assert_gt(
			asprintf(&text,
				 HEAD METADATA(
					 "<tdi:device alias='ua-x' rebinds='3'/>"
					 "%s<tdi:device alias='ua-y'/>") "<devices>" HOSTDEV("ua-x",
											     "0x06")
					 HOSTDEV("ua-y", "0x07")
						 HOSTDEV("ua-z", "0x08") "</devices>" TAIL,
				 bad[i]),
			0);
		domain = parse(text);
		cr_assert_not_null(domain->defect);
		cr_assert_eq(domain->markers, DOMAIN_MARKER_DEVICE | DOMAIN_MARKER_DEFECT);
		cr_assert_eq(domain->n_devices, 2);
		cr_assert_eq(domain->devices[0].policy.on_error, POLICY_HOLD);
		cr_assert_eq(domain->devices[0].policy.rebinds, 3);
		cr_assert_eq(domain->devices[1].policy.on_error,
			     i < 2 ? POLICY_HOLD : POLICY_REBIND);
		cr_assert_eq(domain->n_others, 1);
		cr_assert_eq(domain_xml_trust(domain, "ua-z", (Bdf){ 0, 6, 16, 1 }), 0);
		cr_assert_eq(domain->n_devices, 2);
		cr_assert_eq(domain_xml_trust(domain, "ua-z", (Bdf){ 0, 8, 16, 1 }), 0);
		cr_assert_eq(domain->n_devices, 3);
		cr_assert_eq(domain->n_others, 0);
		cr_assert_not_null(domain_xml_device(domain, "ua-z"));
		domain_xml_free(domain);
	}
}

/* Where nothing else can be read. */
Test(domain_xml, uuid_alone)
{
	static const char *const bad[] = { "", "<domain", "<uuid>", "<uuid>1</uuid>" };
	char text[UUID_STRING_SIZE];
	DomainXml *domain = NULL;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert_eq(domain_xml_identify(&domain, bad[i]), -EBADMSG, "%s", bad[i]);
	cr_assert_eq(domain_xml_identify(&domain, HEAD "<a><b"), 0);
	cr_assert_str_eq(uuid_format(domain->uuid, text), UUID);
	cr_assert_eq(domain->markers, 0);
	domain_xml_free(domain);
}

Test(domain_xml, duplicates)
{
#define PORT "<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>"
	assert_defect(DOMAIN(PORT PORT), "a second channel io.tdid.guest.0");
	assert_defect(HEAD "<sysinfo type='fwcfg'><entry name='opt/io.tdid/k' file='/a'/>"
			   "<entry name='opt/io.tdid/k' file='/b'/></sysinfo>" TAIL,
		      "a second fw_cfg entry 'opt/io.tdid/k'");
	assert_defect(HEAD "<launchSecurity type='tdx'/><launchSecurity type='sev'/>" TAIL,
		      "a second <launchSecurity>");
	assert_defect(HEAD "<launchSecurity/>" TAIL, "<launchSecurity> has no type");
}

Test(domain_xml, nothing_of_ours)
{
	/* Close, but other namespaces, other places, other types */
	DomainXml *domain = parse(
		HEAD
		"<metadata xmlns:x='urn:tdid:domain:2' xmlns:tdi='urn:tdid:domain:1'>"
		"<x:device alias='ua-a'/><x:all><tdi:device alias='ua-a'/></x:all>"
		"<device alias='ua-a'/></metadata>"
		"<tdi:device xmlns:tdi='urn:tdid:domain:1' alias='ua-a'/>"
		"<sysinfo type='smbios'><entry name='opt/io.tdid/k'>x</entry></sysinfo>"
		"<sysinfo type='fwcfg'><entry name='opt/io.tdidx/k' file='/a'/></sysinfo>"
		"<launchSecurity type='tdx'><quoteGenerationService "
		"path='/var/run/tdx-qgs/qgs.socket'/></launchSecurity>"
		"<devices xmlns:o='urn:o'>" HOSTDEV("ua-a", "6") HOSTDEV(
			"ua-td",
			"7") "<o:hostdev mode='subsystem' type='pci'><alias "
			     "name='ua-tdi-x'/></o:hostdev>"
			     "<channel type='unix'><target type='virtio' "
			     "name='io.tdid.guest.1'/></channel>"
			     "<channel type='unix'/>"
			     "<channel type='unix'><target type='guestfwd' name='io.tdid.guest.0'/>"
			     "</channel></devices>"
			     "<!-- ua-tdi-comment opt/io.tdid/ io.tdid.guest.0 -->" TAIL);

	cr_assert_eq(domain->markers, 0);
	cr_assert_eq(domain->n_devices, 0);
	cr_assert_eq(domain->n_missing, 0);
	cr_assert_eq(domain->n_fwcfg, 0);
	cr_assert_not(domain->has_guest_port);
	cr_assert_str_eq(domain->quote_socket, "/var/run/tdx-qgs/qgs.socket");
	domain = domain_xml_free(domain);
	cr_assert_null(domain);
}

Test(domain_xml, launch_security)
{
	static const struct {
		const char *text;
		LaunchSecurity security;
		const char *type;
	} cases[] = {
		{ HEAD TAIL, LAUNCH_SECURITY_NONE, NULL },
		{ HEAD "<launchSecurity type='sev'/>" TAIL, LAUNCH_SECURITY_SEV, "sev" },
		{ HEAD "<launchSecurity type='sev-snp'/>" TAIL, LAUNCH_SECURITY_SEV_SNP,
		  "sev-snp" },
		{ HEAD "<launchSecurity type='tdx'/>" TAIL, LAUNCH_SECURITY_TDX, "tdx" },
		{ HEAD "<launchSecurity type='s390-pv'/>" TAIL, LAUNCH_SECURITY_S390_PV,
		  "s390-pv" },
		{ HEAD "<launchSecurity type='tdx'><quoteGenerationService/></launchSecurity>" TAIL,
		  LAUNCH_SECURITY_TDX, "tdx" },
		{ HEAD "<launchSecurity type='cca'/>" TAIL, LAUNCH_SECURITY_OTHER, "cca" },
		{ HEAD "<launchSecurity type='none'/>" TAIL, LAUNCH_SECURITY_OTHER, "none" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		DomainXml *domain = parse(cases[i].text);

		cr_assert_eq(domain->launch_security, cases[i].security);
		if (cases[i].type)
			cr_assert_str_eq(domain->launch_security_type, cases[i].type);
		else
			cr_assert_null(domain->launch_security_type);
		cr_assert_null(domain->quote_socket);
		domain_xml_free(domain);
	}
	cr_assert_str_eq(launch_security_name(LAUNCH_SECURITY_NONE), "none");
	cr_assert_str_eq(launch_security_name(LAUNCH_SECURITY_OTHER), "other");
	cr_assert_str_eq(launch_security_name(LAUNCH_SECURITY_N), "?");
}

Test(domain_xml, metadata_forms)
{
	static const char *const forms[] = {
		METADATA("<tdi:device alias='ua-x'/>"),
		METADATA("<tdi:devices><tdi:device alias='ua-x'/></tdi:devices>"),
		METADATA("<tdi:a><tdi:b><tdi:device alias='ua-x'/></tdi:b></tdi:a>"),
		"<metadata><device xmlns='urn:tdid:domain:1' alias='ua-x'/></metadata>",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		DomainXml *domain;
		char *text = NULL;

		cr_assert_gt(asprintf(&text, "%s%s<devices>%s</devices>%s", HEAD, forms[i],
				      HOSTDEV("ua-x", "0x06"), TAIL),
			     0);
		domain = parse(text);
		cr_assert_eq(domain->markers, DOMAIN_MARKER_DEVICE, "form %zu", i);
		cr_assert_eq(domain->n_devices, 1);
		cr_assert_eq(domain->devices[0].mark, DOMAIN_MARK_METADATA);
		domain_xml_free(domain);
		free(text);
	}
}

#define WITH_POLICY(policy, more)                                                                  \
	HEAD METADATA("<tdi:domain><tdi:policy " policy "/>"                                       \
		      "<tdi:device alias='ua-x' " more                                             \
		      "/></tdi:domain>") "<devices>" HOSTDEV("ua-x", "0x06")                       \
		HOSTDEV("ua-tdi-y", "0x07") "</devices>" TAIL

/* One that makes no sense was meant to tighten; and the devices are there all the same. */
Test(domain_xml, policies_that_make_no_sense)
{
	static const struct {
		const char *text, *trouble;
	} bad[] = {
		{ WITH_POLICY("on-error='stop'", ""), "on-error='stop' is no value" },
		{ WITH_POLICY("on-eror='hold'", ""), "has no attribute 'on-eror'" },
		{ WITH_POLICY("on-error=''", ""), "on-error='' is no value" },
		{ WITH_POLICY("on-error='hold' rebinds='-1'", ""), "rebinds='-1'" },
		{ WITH_POLICY("rebinds='01'", ""), "rebinds='01'" },
		{ WITH_POLICY("rebinds='1000001'", ""), "rebinds='1000001'" },
		{ WITH_POLICY("accept-timeout='0'", ""), "accept-timeout='0'" },
		{ WITH_POLICY("accept-timeout='86401'", ""), "accept-timeout='86401'" },
		{ WITH_POLICY("accept-timeout='1s'", ""), "accept-timeout='1s'" },
		{ WITH_POLICY("require-tvm='true'", ""), "require-tvm='true'" },
		{ WITH_POLICY("alias='ua-x'", ""), "<policy> of urn:tdid:domain:1 has no" },
		{ WITH_POLICY("", "colour='red'"), "<device> of urn:tdid:domain:1 has no" },
		{ WITH_POLICY("", "on-reject='Hold'"), "line 4: on-reject='Hold'" },
		{ WITH_POLICY("on-error='dettach' on-error2='' rebinds='5'", ""), "'dettach'" },
		{ WITH_POLICY("on-reject='rebind' rebinds='5' on-error='?'", ""), "on-error='?'" },
		{ WITH_POLICY("tdi:on-reject='hold'", ""), "has no attribute 'on-reject'" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		DomainXml *domain = parse(bad[i].text);

		cr_assert_not_null(domain->policy_trouble, "%s", bad[i].text);
		cr_assert(strstr(domain->policy_trouble, bad[i].trouble), "%s",
			  domain->policy_trouble);
		cr_assert_eq(domain->n_devices, 2);
		cr_assert_eq(domain->devices[0].policy.on_error, POLICY_DETACH);
		cr_assert_eq(domain->devices[0].policy.on_reject, POLICY_DETACH);
		cr_assert_eq(domain->devices[0].policy.rebinds, 0);
		cr_assert(domain->devices[0].policy.require_tvm);
		domain_xml_free(domain);
	}
}

Test(domain_xml, policies)
{
	DomainXml *domain = parse(WITH_POLICY("on-error='hold' rebinds='5' accept-timeout='60'",
					      "on-error='rebind' on-reject='hold' rebinds='2' "
					      "require-tvm='yes' accept-timeout='86400'"));
	const Policy *x = &domain->devices[0].policy, *y = &domain->devices[1].policy;

	cr_assert_null(domain->policy_trouble);
	cr_assert_eq(x->on_error, POLICY_HOLD);
	cr_assert_eq(x->on_reject, POLICY_HOLD);
	cr_assert_eq(x->on_timeout, POLICY_REBIND);
	cr_assert_eq(x->rebinds, 2);
	cr_assert_eq(x->guest_timeout_usec, 60000000);
	cr_assert(x->require_tvm);
	cr_assert_eq(y->on_error, POLICY_HOLD);
	cr_assert_eq(y->on_reject, POLICY_REBIND);
	cr_assert_eq(y->rebinds, 5);
	cr_assert_not(y->require_tvm);
	domain_xml_free(domain);
	domain = parse(DOMAIN(HOSTDEV("ua-tdi-a", "0x06")));
	cr_assert(policy_equal(&domain->devices[0].policy, &policy_lenient));
	domain_xml_free(domain);
}

Test(domain_xml, interface_that_waits_for_its_function)
{
	DomainXml *domain =
		parse(HEAD METADATA("<tdi:device alias='ua-tdi-a'/><tdi:device "
				    "alias='ua-b'/>") "<devices><interface "
						      "type='network'><source "
						      "network='vfs'/>"
						      "<alias "
						      "name='ua-tdi-a'/></"
						      "interface><interface type='network'>"
						      "<alias "
						      "name='ua-b'/></interface></"
						      "devices>" TAIL);

	cr_assert_eq(domain->markers, DOMAIN_MARKER_MISSING);
	cr_assert_eq(domain->n_missing, 2);
	cr_assert_str_eq(domain->missing[0], "ua-tdi-a");
	cr_assert_str_eq(domain->missing[1], "ua-b");
	domain_xml_free(domain);
}

Test(domain_xml, numbers)
{
	DomainXml *domain = parse(DOMAIN(
		"<hostdev type='pci'><source><address bus='255' slot='31' function='7'/></source>"
		"<alias name='ua-tdi-a'/></hostdev>"
		"<interface type='hostdev'><source><address type='pci' domain='0XFFFF' bus='0x0a' "
		"slot='0x1F' function='0'/></source><alias name='ua-tdi-b'/></interface>"));

	cr_assert_eq(domain->n_devices, 2);
	cr_assert(bdf_equal(domain->devices[0].host, (Bdf){ 0, 255, 31, 7 }));
	cr_assert(bdf_equal(domain->devices[1].host, (Bdf){ 0xffff, 10, 31, 0 }));
	cr_assert_not(domain->devices[0].managed);
	cr_assert_eq(domain->devices[1].kind, DOMAIN_DEVICE_INTERFACE);
	domain_xml_free(domain);
}

Test(domain_xml, live_domain, .init = cr_redirect_stderr)
{
	DomainXml *domain = parse(live);
	char text[UUID_STRING_SIZE];
	const DomainDevice *device;

	cr_assert_str_eq(uuid_format(domain->uuid, text), UUID);
	cr_assert_str_eq(domain->name, "tvm&0");
	cr_assert_str_eq(domain->type, "kvm");
	cr_assert_eq(domain->launch_security, LAUNCH_SECURITY_TDX);
	cr_assert_str_eq(domain->quote_socket, "/run/tdid/quote/" UUID ".sock");
	cr_assert(domain->has_guest_port);
	cr_assert_eq(domain->markers, DOMAIN_MARKER_DEVICE | DOMAIN_MARKER_MISSING |
					      DOMAIN_MARKER_GUEST_PORT | DOMAIN_MARKER_FWCFG |
					      DOMAIN_MARKER_QUOTE_SOCKET);

	cr_assert_eq(domain->n_devices, 2);
	device = &domain->devices[0];
	cr_assert_str_eq(device->alias, "ua-tdi-nic0");
	cr_assert(bdf_equal(device->host, (Bdf){ 0, 0x3b, 2, 5 }));
	cr_assert_eq(device->kind, DOMAIN_DEVICE_INTERFACE);
	cr_assert_eq(device->mark, DOMAIN_MARK_ALIAS);
	cr_assert(device->managed);
	device = domain_xml_device(domain, "ua-gpu");
	cr_assert_eq(device, &domain->devices[1]);
	cr_assert(bdf_equal(device->host, (Bdf){ 1, 0xe1, 0x1f, 7 }));
	cr_assert_eq(device->kind, DOMAIN_DEVICE_HOSTDEV);
	cr_assert_eq(device->mark, DOMAIN_MARK_METADATA);
	cr_assert_not(device->managed);
	cr_assert_gt(device->line, domain->devices[0].line);
	cr_assert_null(domain_xml_device(domain, "hostdev1"));

	cr_assert_eq(domain->n_missing, 1);
	cr_assert_str_eq(domain->missing[0], "ua-later");
	cr_assert_eq(domain->n_fwcfg, 2);
	cr_assert_str_eq(domain->fwcfg[0].name, "opt/io.tdid/tvm-key");
	cr_assert_str_eq(domain->fwcfg[0].file, "/run/tdid/tvm/" UUID ".key");
	cr_assert_str_eq(domain->fwcfg[1].name, "opt/io.tdid/inline");
	cr_assert_null(domain->fwcfg[1].file);
	domain_xml_free(domain);
	cr_assert_stderr_eq_str("");
}

typedef struct Reader {
	pthread_t thread;
	const char *text, *sentence; /* NULL: there is nothing wrong with it */
	unsigned int as_expected;
} Reader;

enum { READS = 200 };

static void *read_often(void *userdata)
{
	Reader *reader = userdata;

	for (int i = 0; i < READS; i++) {
		_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
		_cleanup_free_ char *error = NULL;
		int r = domain_xml_parse(&domain, reader->text, strlen(reader->text), &error);

		reader->as_expected += reader->sentence
					       ? strstr(error			?: domain->defect ?: "",
							reader->sentence) != NULL
					       : r == 0 && domain->n_devices == 1;
	}
	return NULL;
}

/* libvirt's threads read as many at a time; each gets what is wrong with its own. */
Test(domain_xml, several_threads_at_once)
{
	Reader readers[] = {
		{ .text = DOMAIN(HOSTDEV("ua-tdi-a", "0x01")) },
		{ .text = "<domain><name", .sentence = "not well-formed" },
		{ .text = "<!DOCTYPE domain><domain/>", .sentence = "DOCTYPE" },
		{ .text = DOMAIN(HOSTDEV("ua-tdi-a", "0x01") HOSTDEV("ua-tdi-a", "0x02")),
		  .sentence = "two devices have the alias" },
	};

	xmlInitParser();
	for (size_t i = 0; i < ELEMENTSOF(readers); i++)
		cr_assert_eq(pthread_create(&readers[i].thread, NULL, read_often, &readers[i]), 0);
	for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
		pthread_join(readers[i].thread, NULL);
		cr_expect_eq(readers[i].as_expected, READS, "%s", readers[i].text);
	}
}
