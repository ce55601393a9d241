/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/domain-xml-private.h"

#include <errno.h>
#include <string.h>

#define ALIAS_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

bool domain_xml_alias_valid(const char *alias)
{
	size_t n = strlen(alias);

	return n > 0 && n <= DOMAIN_XML_MAX_ALIAS && strspn(alias, ALIAS_CHARACTERS) == n;
}

int domain_reader_check_alias(DomainReader *reader, const xmlNode *node, const char *alias)
{
	if (!domain_xml_alias_valid(alias))
		return xml_refuse(&reader->why, node, -EINVAL,
				  "alias '%s' is not 1 to %u of the characters a-z, A-Z, 0-9, "
				  "hyphen, underscore",
				  xml_shown(alias), DOMAIN_XML_MAX_ALIAS);
	return 0;
}

DomainNamed *domain_reader_named(DomainReader *reader, const char *alias)
{
	for (size_t i = 0; i < reader->n_named; i++)
		if (strcmp(reader->named[i].alias, alias) == 0)
			return &reader->named[i];
	return NULL;
}

/*
 * A number as libvirt writes it, "0x06", or a decimal one. libvirt takes a leading 0 for octal,
 * people do not: refused.
 */
static int parse_number(unsigned int *ret, const char *text, unsigned int max)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	size_t n = strlen(digits);

	if (n == 0 || n > 8 || (!hex && digits[0] == '0' && n > 1) ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != n)
		return -EINVAL;
	*ret = (unsigned int)strtoul(digits, NULL, hex ? 16 : 10);
	return *ret <= max ? 0 : -ERANGE;
}

/* The host's side of a PCI device: <source><address domain= bus= slot= function=/></source>. */
static int read_host_address(Bdf *ret, const xmlNode *device, char **ret_error)
{
	static const struct {
		const char *name;
		unsigned int max;
	} parts[] = { { "domain", 0xffff }, { "bus", 0xff }, { "slot", 0x1f }, { "function", 7 } };
	const xmlNode *source, *address = NULL;
	unsigned int values[ELEMENTSOF(parts)] = {};
	const char *type;
	int r;

	r = xml_only_child(&source, device, "source", ret_error);
	if (r < 0)
		return r;
	if (source) {
		r = xml_only_child(&address, source, "address", ret_error);
		if (r < 0)
			return r;
	}
	if (!address)
		return xml_refuse(ret_error, device, -EINVAL,
				  "<%s> has no address of a host device in its <source>",
				  (const char *)device->name);
	type = xml_attribute(address, "type");
	if (type && strcmp(type, "pci") != 0)
		return xml_refuse(ret_error, address, -EINVAL,
				  "address of type '%s' is not a PCI one", xml_shown(type));
	for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
		const char *text = xml_attribute(address, parts[i].name);

		if (!text && i == 0)
			continue; /* domain 0 need not be written */
		if (!text)
			return xml_refuse(ret_error, address, -EINVAL, "host address has no %s",
					  parts[i].name);
		if (parse_number(&values[i], text, parts[i].max) < 0)
			return xml_refuse(ret_error, address, -EINVAL,
					  "host address: %s '%s' is not 0x0 to 0x%x", parts[i].name,
					  xml_shown(text), parts[i].max);
	}
	*ret = (Bdf){ .segment = (uint16_t)values[0],
		      .bus = (uint8_t)values[1],
		      .device = (uint8_t)values[2],
		      .function = (uint8_t)values[3] };
	return 0;
}

static bool is_interface_of_host(const xmlNode *node)
{
	return xml_is_element(node, "interface") && xml_attribute_is(node, "type", "hostdev");
}

static bool is_pci_of_host(const xmlNode *node)
{
	const char *mode = xml_attribute(node, "mode");

	if (!xml_is_element(node, "hostdev"))
		return is_interface_of_host(node);
	return (!mode || strcmp(mode, "subsystem") == 0) && xml_attribute_is(node, "type", "pci");
}

int domain_reader_add_missing(DomainReader *reader, const char *alias)
{
	DomainXml *domain = reader->domain;
	char **more;

	more = reallocarray(domain->missing, domain->n_missing + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	domain->missing = more;
	more[domain->n_missing] = strdup(alias);
	if (!more[domain->n_missing])
		return -ENOMEM;
	domain->n_missing++;
	return 0;
}

static Policy policy_of(DomainReader *reader, const char *alias)
{
	const DomainNamed *named = domain_reader_named(reader, alias);

	return named ? policy_tighten(&reader->policy, &named->policy) : reader->policy;
}

/* To the trusted ones, or to the others. */
static int add_device(DomainReader *reader, const DomainHost *host, DomainDevice **list, size_t *n)
{
	const char *managed = xml_attribute(host->node, "managed");
	DomainDevice *more;

	more = reallocarray(*list, *n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*list = more;
	more[*n] = (DomainDevice){
		.alias = strdup(host->alias),
		.host = host->host,
		.kind = is_interface_of_host(host->node) ? DOMAIN_DEVICE_INTERFACE
							 : DOMAIN_DEVICE_HOSTDEV,
		.managed = managed && strcmp(managed, "yes") == 0,
		.mark = host->mark,
		.policy = policy_of(reader, host->alias),
		.line = xmlGetLineNo((xmlNode *)host->node),
	};
	if (!more[*n].alias)
		return -ENOMEM;
	(*n)++;
	return 0;
}

/* Sets *ret_alias to NULL for a device without one. */
static int read_alias(const char **ret_alias, unsigned int *ret_mark, DomainReader *reader,
		      const xmlNode *device)
{
	const xmlNode *child;
	const char *alias;
	int r;

	*ret_alias = NULL;
	*ret_mark = 0;
	r = xml_only_child(&child, device, "alias", &reader->why);
	if (r < 0 || !child)
		return r;
	alias = xml_attribute(child, "name");
	if (!alias || !*alias)
		return xml_refuse(&reader->why, child, -EINVAL, "<%s> has an empty alias",
				  xml_shown((const char *)device->name));
	if (strncmp(alias, DOMAIN_XML_ALIAS_PREFIX, strlen(DOMAIN_XML_ALIAS_PREFIX)) == 0)
		*ret_mark |= DOMAIN_MARK_ALIAS;
	if (domain_reader_named(reader, alias))
		*ret_mark |= DOMAIN_MARK_METADATA;
	*ret_alias = alias;
	return *ret_mark ? domain_reader_check_alias(reader, child, alias) : 0;
}

static bool is_missing(const DomainXml *domain, const char *alias)
{
	for (size_t i = 0; i < domain->n_missing; i++)
		if (strcmp(domain->missing[i], alias) == 0)
			return true;
	return false;
}

static int refuse_same_alias(DomainReader *reader, const xmlNode *device, const char *alias,
			     const xmlNode *other)
{
	return xml_refuse(&reader->why, device, -EINVAL,
			  "two devices have the alias '%s' (the other is in line %ld)", alias,
			  xmlGetLineNo((xmlNode *)other));
}

/* A device that is no PCI device of the host's, or not yet. */
static int read_other_device(DomainReader *reader, const xmlNode *device, const char *alias)
{
	DomainNamed *named = domain_reader_named(reader, alias);

	if (!xml_is_element(device, "interface") || !xml_attribute_is(device, "type", "network"))
		return xml_refuse(&reader->why, device, -EINVAL,
				  "alias '%s' says that this is a trusted device, but a <%s> of "
				  "type '%s' is no PCI device of the host's",
				  alias, xml_shown((const char *)device->name),
				  xml_attribute(device, "type")
					  ? xml_shown(xml_attribute(device, "type"))
					  : "none");
	if (is_missing(reader->domain, alias))
		return xml_refuse(&reader->why, device, -EINVAL, "two devices have the alias '%s'",
				  alias);
	for (size_t i = 0; i < reader->n_hosts; i++)
		if (reader->hosts[i].mark && strcmp(reader->hosts[i].alias, alias) == 0)
			return refuse_same_alias(reader, device, alias, reader->hosts[i].node);
	if (reader->domain->n_missing == DOMAIN_XML_MAX_ITEMS)
		return xml_refuse(&reader->why, device, -E2BIG,
				  "more than %u trusted interfaces wait for their function",
				  DOMAIN_XML_MAX_ITEMS);
	if (named)
		named->found = true;
	return domain_reader_add_missing(reader, alias);
}

static int refuse_same_function(DomainReader *reader, const DomainHost *host,
				const DomainHost *other)
{
	char text[BDF_STRING_SIZE];

	return xml_refuse(&reader->why, host->node, -EINVAL,
			  "'%s' is host device %s, and so is the device in line %ld", host->alias,
			  bdf_format(host->host, text), xmlGetLineNo((xmlNode *)other->node));
}

/* A trusted one, whose alias and function have to be its own among those before it. */
static int add_trusted(DomainReader *reader, const DomainHost *host)
{
	const char *managed = xml_attribute(host->node, "managed");
	DomainXml *domain = reader->domain;

	if (managed && strcmp(managed, "yes") != 0 && strcmp(managed, "no") != 0)
		return xml_refuse(&reader->why, host->node, -EINVAL,
				  "managed='%s' is neither yes nor no", xml_shown(managed));
	if (is_missing(domain, host->alias))
		return xml_refuse(&reader->why, host->node, -EINVAL,
				  "two devices have the alias '%s'", host->alias);
	for (const DomainHost *other = reader->hosts; other < host; other++) {
		if (other->mark && strcmp(other->alias, host->alias) == 0)
			return refuse_same_alias(reader, host->node, host->alias, other->node);
		if (other->mark && bdf_equal(other->host, host->host))
			return refuse_same_function(reader, host, other);
	}
	return add_device(reader, host, &domain->devices, &domain->n_devices);
}

int domain_reader_device(DomainReader *reader, const xmlNode *device, bool *ret_ours)
{
	DomainXml *domain = reader->domain;
	DomainHost *host;
	unsigned int mark;
	const char *alias;
	DomainNamed *named;
	int r;

	r = read_alias(&alias, &mark, reader, device);
	*ret_ours = mark != 0;
	if (r < 0)
		return r;
	if (!is_pci_of_host(device))
		return mark ? read_other_device(reader, device, alias) : 0;
	if (reader->n_hosts == DOMAIN_XML_MAX_ITEMS)
		return xml_refuse(&reader->why, device, -E2BIG,
				  "the domain has more than %u PCI devices of the host's",
				  DOMAIN_XML_MAX_ITEMS);
	host = &reader->hosts[reader->n_hosts];
	*host = (DomainHost){ .node = device, .alias = alias, .mark = mark };
	if (!mark) {
		reader->n_hosts++;
		host->has_host = read_host_address(&host->host, device, NULL) == 0;
		return host->has_host && alias && domain_xml_alias_valid(alias)
			       ? add_device(reader, host, &domain->others, &domain->n_others)
			       : 0;
	}
	r = read_host_address(&host->host, device, &reader->why);
	if (r < 0)
		return r;
	host->has_host = true;
	r = add_trusted(reader, host);
	if (r < 0)
		return r;
	reader->n_hosts++;
	named = domain_reader_named(reader, alias);
	if (named)
		named->found = true;
	return 0;
}

int domain_reader_compare(DomainReader *reader)
{
	for (size_t i = 0; i < reader->n_hosts; i++)
		for (size_t k = 0; reader->hosts[i].mark && k < reader->n_hosts; k++) {
			const DomainHost *host = &reader->hosts[i], *other = &reader->hosts[k];

			if (!other->mark && other->has_host && bdf_equal(other->host, host->host))
				return refuse_same_function(reader, host, other);
		}
	return 0;
}
