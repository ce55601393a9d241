/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/device-xml.h"

#include "core/cleanup.h"
#include "core/xml-tree.h"
#include "vmm/sentence.h"

#include <libxml/tree.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static inline xmlBuffer *buffer_free(xmlBuffer *buffer)
{
	xmlBufferFree(buffer);
	return NULL;
}
DEFINE_CLEANUP(xmlBuffer, buffer_free);

static bool is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !node->ns &&
	       strcmp((const char *)node->name, name) == 0;
}

static xmlNode *child(xmlNode *parent, const char *name)
{
	for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
		if (is_element(node, name))
			return node;
	return NULL;
}

/* True when the attribute is there and is `value`. */
static bool attribute_is(xmlNode *node, const char *name, const char *value)
{
	xmlChar *text = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
	bool same = text && strcmp((const char *)text, value) == 0;

	xmlFree(text);
	return same;
}

/* libvirt writes "0x01"; decimal is what its schema also allows. */
static int attribute_number(xmlNode *node, const char *name, unsigned long max, unsigned long *ret)
{
	xmlChar *text = xmlGetNoNsProp(node, (const xmlChar *)name);
	char *end = NULL;
	unsigned long value = 0;
	bool good;

	good = text && text[0] >= '0' && text[0] <= '9';
	if (good) {
		bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

		errno = 0;
		value = strtoul((const char *)text, &end, hex ? 16 : 10);
		good = errno == 0 && *end == '\0' && value <= max;
	}
	xmlFree(text);
	if (!good)
		return -EBADMSG;
	*ret = value;
	return 0;
}

/* What need not be written is taken to be so; see core/domain-xml-devices.c. */
static bool attribute_may_be(xmlNode *node, const char *name, const char *value)
{
	return node && (!xmlHasNsProp(node, (const xmlChar *)name, NULL) ||
			attribute_is(node, name, value));
}

static bool is_pci_hostdev(xmlNode *device)
{
	if (is_element(device, "hostdev"))
		return attribute_may_be(device, "mode", "subsystem") &&
		       attribute_is(device, "type", "pci");
	return is_element(device, "interface") && attribute_is(device, "type", "hostdev") &&
	       attribute_may_be(child(child(device, "source"), "address"), "type", "pci");
}

static int read_host(Bdf *ret, xmlNode *device)
{
	xmlNode *address = child(child(device, "source"), "address");
	unsigned long segment = 0, bus, slot, function;

	/* Domain 0 need not be written. */
	if (!address ||
	    (xmlHasNsProp(address, (const xmlChar *)"domain", NULL) &&
	     attribute_number(address, "domain", 0xffff, &segment) < 0) ||
	    attribute_number(address, "bus", 0xff, &bus) < 0 ||
	    attribute_number(address, "slot", 0x1f, &slot) < 0 ||
	    attribute_number(address, "function", 7, &function) < 0)
		return -EBADMSG;
	*ret = (Bdf){ .segment = (uint16_t)segment,
		      .bus = (uint8_t)bus,
		      .device = (uint8_t)slot,
		      .function = (uint8_t)function };
	return 0;
}

/* Returns how many devices have the alias, *ret the first. */
static unsigned find_alias(xmlNode **ret, xmlNode *devices, const char *alias)
{
	unsigned n = 0;

	for (xmlNode *node = devices->children; node; node = node->next) {
		if (node->type != XML_ELEMENT_NODE ||
		    !attribute_is(child(node, "alias"), "name", alias))
			continue;
		if (n++ == 0)
			*ret = node;
	}
	return n;
}

static int print(char **ret, xmlDoc *doc, xmlNode *node)
{
	_cleanup_(buffer_freep) xmlBuffer *buffer = xmlBufferCreate();
	char *text;

	if (!buffer || xmlNodeDump(buffer, doc, node, 0, 0) < 0)
		return -ENOMEM;
	text = strdup((const char *)xmlBufferContent(buffer));
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

int device_xml_cut(char **ret, const char *xml, size_t len, const char *alias, Bdf host,
		   char **ret_error)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	_cleanup_free_ char *why = NULL;
	char wanted[BDF_STRING_SIZE], found[BDF_STRING_SIZE];
	xmlNode *root, *devices, *device = NULL;
	unsigned n;
	Bdf is;
	int r;

	if (len > DEVICE_XML_MAX_DOMAIN)
		return sentence(ret_error, -E2BIG, "the domain's XML has %zu bytes", len);
	r = xml_tree_parse(&doc, xml, len, &why);
	if (r == -ENOMEM)
		return r;
	root = doc ? xmlDocGetRootElement(doc) : NULL;
	if (!root || !is_element(root, "domain"))
		return sentence(ret_error, r < 0 ? r : -EBADMSG,
				"what libvirt gave is not a domain's XML%s%s", why ? ": " : "",
				why ?: "");
	devices = child(root, "devices");
	n = devices ? find_alias(&device, devices, alias) : 0;
	if (n == 0)
		return sentence(ret_error, DEVICE_XML_GONE, "no device has the alias %s", alias);
	if (n > 1)
		return sentence(ret_error, -EBADMSG, "%u devices have the alias %s", n, alias);
	if (!is_pci_hostdev(device))
		return sentence(ret_error, DEVICE_XML_MISMATCH,
				"%s is a <%s> that is no PCI device of the host", alias,
				(const char *)device->name);
	if (read_host(&is, device) < 0)
		return sentence(ret_error, -EBADMSG, "%s has a host address that is none", alias);
	if (!bdf_equal(is, host))
		return sentence(ret_error, DEVICE_XML_MISMATCH, "%s is %s now, not %s", alias,
				bdf_format(is, found), bdf_format(host, wanted));
	return print(ret, doc, device);
}
