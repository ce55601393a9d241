/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What domain-xml.c (the domain) and domain-xml-devices.c (its devices) share. */
#pragma once

#include "core/domain-xml.h"
#include "core/xml-tree.h"

/* An alias that the metadata names. */
typedef struct DomainNamed {
	const char *alias;
	bool found;
	Policy policy; /* its own */
} DomainNamed;

/* A PCI device of the host's that is given to the domain, trusted or not. */
typedef struct DomainHost {
	const xmlNode *node;
	const char *alias; /* NULL when it has none */
	Bdf host;
	bool has_host; /* false: a malformed address of an untrusted device, libvirt's business */
	unsigned int mark;
} DomainHost;

typedef struct DomainReader {
	DomainXml *domain;
	char *why; /* of the last refusal */
	DomainNamed named[DOMAIN_XML_MAX_ITEMS];
	size_t n_named;
	DomainHost hosts[DOMAIN_XML_MAX_ITEMS];
	size_t n_hosts;
	Policy policy; /* of the domain */
} DomainReader;

/* Whether this can be the alias of a trusted device, wherever it is said to be one. -EINVAL. */
int domain_reader_check_alias(DomainReader *reader, const xmlNode *node, const char *alias);

/* NULL when the metadata does not name it. */
DomainNamed *domain_reader_named(DomainReader *reader, const char *alias);

int domain_reader_add_missing(DomainReader *reader, const char *alias);

/*
 * Tightens *policy by the attributes of an element of ours; `known` is one that is no policy's, or
 * NULL. Sets the domain's policy_trouble. -ENOMEM.
 */
int domain_reader_policy(DomainReader *reader, const xmlNode *node, const char *known,
			 Policy *policy);

/* Any child element of <devices>, after the metadata. *ret_ours: it is said to be a trusted one. */
int domain_reader_device(DomainReader *reader, const xmlNode *device, bool *ret_ours);

/* At the end: no other device is the host function of a trusted one. */
int domain_reader_compare(DomainReader *reader);
