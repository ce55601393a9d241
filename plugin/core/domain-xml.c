/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pass per part: metadata first, since it says which aliases count; then devices
 * (domain-xml-devices.c), which are held against each other at the end.
 */
#include "core/domain-xml-private.h"

#include <errno.h>
#include <string.h>

const char *launch_security_name(LaunchSecurity security)
{
	static const char *const names[LAUNCH_SECURITY_N] = { "none", "sev",	 "sev-snp",
							      "tdx",  "s390-pv", "other" };

	return (unsigned int)security < LAUNCH_SECURITY_N ? names[security] : "?";
}

static bool is_ours(const xmlNode *node)
{
	return node->ns && node->ns->href &&
	       strcmp((const char *)node->ns->href, DOMAIN_XML_NAMESPACE) == 0;
}

/* A copy, or -ENOMEM. */
static int copy_text(char **ret, const char *text)
{
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int read_identity(DomainReader *reader, const xmlNode *root)
{
	DomainXml *domain = reader->domain;
	const char *text, *type = xml_attribute(root, "type");
	int r;

	if (!xml_is_element(root, "domain"))
		return xml_refuse(&reader->why, root, -EBADMSG, "<%s> instead of <domain>",
				  xml_shown((const char *)root->name));
	if (!type || !*type)
		return xml_refuse(&reader->why, root, -EBADMSG, "<domain> has no type");
	r = copy_text(&domain->type, type);
	if (r < 0)
		return r;
	r = xml_child_text(&text, root, "uuid", &reader->why);
	if (r < 0)
		return r;
	if (uuid_from_string(&domain->uuid, text) < 0)
		return xml_refuse(&reader->why, root, -EBADMSG, "'%s' is not a UUID",
				  xml_shown(text));
	r = xml_child_text(&text, root, "name", &reader->why);
	if (r < 0)
		return r;
	return copy_text(&domain->name, text);
}

/* What concerns one declaration only, when it has been read: the others count all the same. */
static int note(DomainReader *reader, int r)
{
	DomainXml *domain = reader->domain;

	if (r != -EINVAL && r != -E2BIG)
		return r;
	if (!domain->defect)
		domain->defect = steal_ptr(reader->why);
	free(reader->why);
	reader->why = NULL;
	return domain->defect ? 0 : -ENOMEM;
}

static int note_ours(DomainReader *reader, int r)
{
	if (r == -EINVAL || r == -E2BIG)
		reader->domain->markers |= DOMAIN_MARKER_DEFECT;
	return note(reader, r);
}

/* Whichever device it is meant for, its policy tightens that one's. */
static int read_named(DomainReader *reader, const xmlNode *node)
{
	const char *alias = xml_attribute(node, "alias");
	DomainNamed *named = alias ? domain_reader_named(reader, alias) : NULL;
	bool valid = alias && domain_xml_alias_valid(alias);
	bool twice = named != NULL;
	Policy *policy;
	int r;

	if (valid && !named && reader->n_named < DOMAIN_XML_MAX_ITEMS) {
		named = &reader->named[reader->n_named++];
		*named = (DomainNamed){ .alias = alias, .policy = policy_lenient };
	}
	policy = named ? &named->policy : &reader->policy;
	r = domain_reader_policy(reader, node, "alias", policy);
	if (r < 0)
		return r;
	if (!alias)
		return xml_refuse(&reader->why, node, -EINVAL,
				  "<device> of " DOMAIN_XML_NAMESPACE " has no alias");
	if (!valid)
		return domain_reader_check_alias(reader, node, alias);
	if (twice)
		return xml_refuse(&reader->why, node, -EINVAL,
				  "the metadata names alias '%s' twice", alias);
	if (!named)
		return xml_refuse(&reader->why, node, -E2BIG,
				  "the metadata names more than %u devices", DOMAIN_XML_MAX_ITEMS);
	return 0;
}

/* Goes down through elements of our namespace only; xml_tree_parse() has bounded the depth. */
static int read_metadata(DomainReader *reader, const xmlNode *parent)
{
	int r;

	for (const xmlNode *child = xml_first_child(parent); child; child = xml_next(child)) {
		if (!is_ours(child))
			continue;
		if (strcmp((const char *)child->name, "policy") == 0) {
			r = domain_reader_policy(reader, child, NULL, &reader->policy);
			if (r < 0)
				return r;
			continue;
		}
		if (strcmp((const char *)child->name, "device") != 0) {
			r = read_metadata(reader, child);
			if (r < 0)
				return r;
			continue;
		}
		r = note_ours(reader, read_named(reader, child));
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_guest_port(DomainReader *reader, const xmlNode *channel)
{
	const xmlNode *target;
	int r;

	r = xml_only_child(&target, channel, "target", &reader->why);
	if (r < 0 || !target || !xml_attribute_is(target, "type", "virtio") ||
	    !xml_attribute_is(target, "name", DOMAIN_XML_GUEST_PORT))
		return r;
	if (reader->domain->has_guest_port)
		return xml_refuse(&reader->why, channel, -EINVAL,
				  "a second channel " DOMAIN_XML_GUEST_PORT);
	reader->domain->has_guest_port = true;
	return 0;
}

/* libvirt has judged it already; what is no guest's CID is none to us. */
static int read_vsock(DomainReader *reader, const xmlNode *vsock)
{
	const char *text;
	const xmlNode *cid;
	unsigned long long v;
	char *end;
	int r = xml_only_child(&cid, vsock, "cid", &reader->why);

	text = r < 0 || !cid ? NULL : xml_attribute(cid, "address");
	if (!text || *text < '0' || *text > '9')
		return r;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (!errno && !*end && v >= 3 && v < UINT32_MAX)
		reader->domain->vsock_cid = (uint32_t)v;
	return 0;
}

static int read_devices(DomainReader *reader, const xmlNode *devices)
{
	bool ours;
	int r;

	for (const xmlNode *child = xml_first_child(devices); child; child = xml_next(child)) {
		if (child->ns)
			continue;
		r = domain_reader_device(reader, child, &ours);
		r = ours ? note_ours(reader, r) : note(reader, r);
		if (r < 0)
			return r;
		if (xml_is_element(child, "channel"))
			r = note(reader, read_guest_port(reader, child));
		else if (xml_is_element(child, "vsock"))
			r = note(reader, read_vsock(reader, child));
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_fwcfg_entry(DomainReader *reader, const xmlNode *entry, const char *name)
{
	DomainXml *domain = reader->domain;
	const char *file = xml_attribute(entry, "file");
	_cleanup_free_ char *name_copy = NULL, *file_copy = NULL;
	DomainFwcfg *more;

	for (size_t i = 0; i < domain->n_fwcfg; i++)
		if (strcmp(domain->fwcfg[i].name, name) == 0)
			return xml_refuse(&reader->why, entry, -EINVAL,
					  "a second fw_cfg entry '%s'", xml_shown(name));
	if (domain->n_fwcfg == DOMAIN_XML_MAX_ITEMS)
		return xml_refuse(&reader->why, entry, -E2BIG,
				  "more than %u fw_cfg entries below " DOMAIN_XML_FWCFG_PREFIX,
				  DOMAIN_XML_MAX_ITEMS);
	if (copy_text(&name_copy, name) < 0 || (file && copy_text(&file_copy, file) < 0))
		return -ENOMEM;
	more = reallocarray(domain->fwcfg, domain->n_fwcfg + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	domain->fwcfg = more;
	more[domain->n_fwcfg++] =
		(DomainFwcfg){ .name = steal_ptr(name_copy), .file = steal_ptr(file_copy) };
	return 0;
}

static int read_sysinfo(DomainReader *reader, const xmlNode *sysinfo)
{
	int r;

	if (!xml_attribute_is(sysinfo, "type", "fwcfg"))
		return 0;
	for (const xmlNode *child = xml_first_child(sysinfo); child; child = xml_next(child)) {
		const char *name = xml_attribute(child, "name");

		if (!xml_is_element(child, "entry") || !name ||
		    strncmp(name, DOMAIN_XML_FWCFG_PREFIX, strlen(DOMAIN_XML_FWCFG_PREFIX)) != 0)
			continue;
		r = note(reader, read_fwcfg_entry(reader, child, name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_launch_security(DomainReader *reader, const xmlNode *node)
{
	DomainXml *domain = reader->domain;
	const char *type = xml_attribute(node, "type"), *path;
	const xmlNode *quote;
	int r;

	if (domain->launch_security != LAUNCH_SECURITY_NONE)
		return xml_refuse(&reader->why, node, -EINVAL, "a second <launchSecurity>");
	if (!type || !*type)
		return xml_refuse(&reader->why, node, -EINVAL, "<launchSecurity> has no type");
	domain->launch_security = LAUNCH_SECURITY_OTHER;
	for (LaunchSecurity i = LAUNCH_SECURITY_SEV; i < LAUNCH_SECURITY_OTHER; i++)
		if (strcmp(type, launch_security_name(i)) == 0)
			domain->launch_security = i;
	r = copy_text(&domain->launch_security_type, type);
	if (r < 0)
		return r;
	r = xml_only_child(&quote, node, "quoteGenerationService", &reader->why);
	if (r < 0 || !quote)
		return r;
	path = xml_attribute(quote, "path");
	return path && *path ? copy_text(&domain->quote_socket, path) : 0;
}

static int read_domain(DomainReader *reader, const xmlNode *root)
{
	DomainXml *domain = reader->domain;
	int r;

	r = read_identity(reader, root);
	if (r < 0)
		return r;
	for (const xmlNode *child = xml_first_child(root); child; child = xml_next(child)) {
		r = xml_is_element(child, "metadata") ? read_metadata(reader, child) : 0;
		if (r < 0)
			return r;
	}
	for (const xmlNode *child = xml_first_child(root); child; child = xml_next(child)) {
		r = 0;
		if (xml_is_element(child, "devices"))
			r = read_devices(reader, child);
		else if (xml_is_element(child, "sysinfo"))
			r = read_sysinfo(reader, child);
		else if (xml_is_element(child, "launchSecurity"))
			r = note(reader, read_launch_security(reader, child));
		if (r < 0)
			return r;
	}
	r = note_ours(reader, domain_reader_compare(reader));
	for (size_t i = 0; i < reader->n_named && r >= 0; i++)
		if (!reader->named[i].found)
			r = domain_reader_add_missing(reader, reader->named[i].alias);
	if (r < 0)
		return r;

	domain->markers |=
		(domain->n_devices ? DOMAIN_MARKER_DEVICE : 0) |
		(domain->n_missing ? DOMAIN_MARKER_MISSING : 0) |
		(domain->has_guest_port ? DOMAIN_MARKER_GUEST_PORT : 0) |
		(domain->n_fwcfg ? DOMAIN_MARKER_FWCFG : 0) |
		(domain->quote_socket && strstr(domain->quote_socket, DOMAIN_XML_QUOTE_FOLDER)
			 ? DOMAIN_MARKER_QUOTE_SOCKET
			 : 0);
	return 0;
}

int domain_xml_parse(DomainXml **ret, const char *text, size_t size, char **ret_error)
{
	_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	_cleanup_free_ DomainReader *reader = NULL;
	int r;

	r = xml_tree_parse(&doc, text, size, ret_error);
	if (r < 0)
		return r;
	domain = calloc(1, sizeof(*domain));
	reader = calloc(1, sizeof(*reader));
	if (!domain || !reader)
		return -ENOMEM;
	reader->domain = domain;
	reader->policy = policy_lenient;
	r = read_domain(reader, xmlDocGetRootElement(doc));
	if (r < 0) {
		if (ret_error)
			*ret_error = steal_ptr(reader->why);
		free(reader->why);
		return r;
	}
	*ret = steal_ptr(domain);
	return 0;
}

/* Of libvirt's XML only the domain's name comes before its UUID, and in that '<' is escaped. */
int domain_xml_identify(DomainXml **ret, const char *text)
{
	static const char tag[] = "<uuid>";
	const char *found = strstr(text, tag);
	char uuid[UUID_STRING_SIZE];
	DomainXml *domain;

	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return -ENOMEM;
	if (found)
		snprintf(uuid, sizeof(uuid), "%s", found + strlen(tag));
	if (!found || uuid_from_string(&domain->uuid, uuid) < 0) {
		domain_xml_free(domain);
		return -EBADMSG;
	}
	*ret = domain;
	return 0;
}

int domain_xml_trust(DomainXml *domain, const char *alias, Bdf host)
{
	for (size_t i = 0; i < domain->n_others; i++) {
		DomainDevice *other = &domain->others[i], *more;

		if (strcmp(other->alias, alias) != 0 || !bdf_equal(other->host, host))
			continue;
		more = reallocarray(domain->devices, domain->n_devices + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		domain->devices = more;
		more[domain->n_devices++] = *other;
		*other = domain->others[--domain->n_others];
		domain->markers |= DOMAIN_MARKER_DEVICE;
		return 0;
	}
	return 0;
}

DomainXml *domain_xml_free(DomainXml *domain)
{
	if (!domain)
		return NULL;
	for (size_t i = 0; i < domain->n_devices; i++)
		free(domain->devices[i].alias);
	for (size_t i = 0; i < domain->n_others; i++)
		free(domain->others[i].alias);
	for (size_t i = 0; i < domain->n_missing; i++)
		free(domain->missing[i]);
	for (size_t i = 0; i < domain->n_fwcfg; i++) {
		free(domain->fwcfg[i].name);
		free(domain->fwcfg[i].file);
	}
	free(domain->devices);
	free(domain->others);
	free(domain->missing);
	free(domain->fwcfg);
	free(domain->policy_trouble);
	free(domain->defect);
	free(domain->quote_socket);
	free(domain->launch_security_type);
	free(domain->name);
	free(domain->type);
	free(domain);
	return NULL;
}

const DomainDevice *domain_xml_device(const DomainXml *domain, const char *alias)
{
	for (size_t i = 0; i < domain->n_devices; i++)
		if (strcmp(domain->devices[i].alias, alias) == 0)
			return &domain->devices[i];
	return NULL;
}
