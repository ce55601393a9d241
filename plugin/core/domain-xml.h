/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tdid reads of a libvirt domain's XML, as libvirt writes it for `dumpxml` and hooks.
 *
 * Only the host's side of a device is read: the bus numbers in a device's own <address> are not
 * those that the guest sees.
 */
#pragma once

#include "core/bdf.h"
#include "core/cleanup.h"
#include "core/policy.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_XML_NAMESPACE	"urn:tdid:domain:1"
#define DOMAIN_XML_ALIAS_PREFIX "ua-tdi-"
#define DOMAIN_XML_GUEST_PORT	"io.tdid.guest.0"
#define DOMAIN_XML_FWCFG_PREFIX "opt/io.tdid/"
#define DOMAIN_XML_QUOTE_FOLDER "/run/tdid/" /* in the path of a quote socket that is ours */

/* Bounds, with those of xml-tree.h: what exceeds them is refused. */
#define DOMAIN_XML_MAX_ITEMS 256u /* host devices, metadata entries, fw_cfg entries: of each */
#define DOMAIN_XML_MAX_ALIAS 127u /* characters of a trusted device's alias */

typedef enum LaunchSecurity {
	LAUNCH_SECURITY_NONE,
	LAUNCH_SECURITY_SEV,
	LAUNCH_SECURITY_SEV_SNP,
	LAUNCH_SECURITY_TDX,
	LAUNCH_SECURITY_S390_PV,
	LAUNCH_SECURITY_OTHER,
	LAUNCH_SECURITY_N,
} LaunchSecurity;

typedef enum DomainDeviceKind {
	DOMAIN_DEVICE_HOSTDEV,	 /* <hostdev mode='subsystem' type='pci'> */
	DOMAIN_DEVICE_INTERFACE, /* <interface type='hostdev'> */
} DomainDeviceKind;

/* Who says that a device is a trusted one. */
typedef enum DomainMark {
	DOMAIN_MARK_ALIAS = 1 << 0,    /* its alias starts with DOMAIN_XML_ALIAS_PREFIX */
	DOMAIN_MARK_METADATA = 1 << 1, /* a device element of our namespace in <metadata> */
} DomainMark;

/* What makes a domain one that tdid has to do with. */
enum {
	DOMAIN_MARKER_DEVICE = 1 << 0,	/* n_devices > 0 */
	DOMAIN_MARKER_MISSING = 1 << 1, /* n_missing > 0 */
	DOMAIN_MARKER_GUEST_PORT = 1 << 2,
	DOMAIN_MARKER_FWCFG = 1 << 3,
	DOMAIN_MARKER_QUOTE_SOCKET = 1 << 4, /* its path has DOMAIN_XML_QUOTE_FOLDER in it */
	DOMAIN_MARKER_DEFECT = 1 << 5,	     /* a declaration of a trusted device makes no sense */
};

typedef struct DomainDevice {
	char *alias;
	Bdf host;
	DomainDeviceKind kind;
	bool managed;	   /* libvirt takes it from the host's driver and gives it back */
	unsigned int mark; /* DomainMark */
	Policy policy;	   /* of the metadata: the domain's and the device's own */
	long line;	   /* in the XML, for messages */
} DomainDevice;

typedef struct DomainFwcfg {
	char *name;
	char *file; /* NULL when the entry has its value inline */
} DomainFwcfg;

typedef struct DomainXml {
	Uuid uuid;
	char *name;
	char *type; /* "kvm", "qemu" ... */
	LaunchSecurity launch_security;
	char *launch_security_type; /* as written; NULL when there is none */
	char *quote_socket; /* path of <quoteGenerationService>, of whomever; NULL when not given */
	uint32_t vsock_cid; /* of its <vsock>; 0: none, or libvirt has not chosen one yet */
	bool has_guest_port;
	unsigned int markers; /* DOMAIN_MARKER_* */

	DomainDevice *devices; /* trusted ones only, in the order of the XML */
	size_t n_devices;
	DomainDevice *others; /* PCI devices of the host's that have an alias, but no mark */
	size_t n_others;
	/*
	 * Aliases that are said to be trusted but that no PCI host device carries: to be attached
	 * later, or an <interface type='network'> that has not been given its function yet.
	 */
	char **missing;
	size_t n_missing;
	/*
	 * What is wrong with the metadata's policy, or NULL. One that makes no sense counts as the
	 * strictest, because it was meant to tighten, and the devices have to be looked after all
	 * the same.
	 */
	char *policy_trouble;
	/*
	 * The first declaration that makes no sense or is beyond a bound, with its line, or NULL.
	 * It is left out, the others are here: no domain is to start with it, but one that runs has
	 * to be looked after. Whatever device it is meant for, its policy tightens that one's.
	 */
	char *defect;
	DomainFwcfg *fwcfg; /* entries below DOMAIN_XML_FWCFG_PREFIX */
	size_t n_fwcfg;
} DomainXml;

/*
 * `text` of `size` bytes is UTF-8 and needs no NUL. Anything with a DOCTYPE is refused; nothing is
 * loaded from elsewhere and nothing is printed. From any thread, after xmlInitParser when there are
 * several.
 * 0, also with a defect; -EBADMSG (not well-formed, not a domain), -EINVAL (no name or UUID) or
 * -E2BIG (beyond a bound of xml-tree.h), each with a sentence in *ret_error (may be NULL), where
 * possible with the line; -ENOMEM.
 */
int domain_xml_parse(DomainXml **ret, const char *text, size_t size, char **ret_error);
DomainXml *domain_xml_free(DomainXml *domain);
DEFINE_CLEANUP(DomainXml, domain_xml_free);

/*
 * What is to be known of a domain whose XML cannot be parsed: its UUID, as libvirt writes it, and
 * nothing else (name and type are NULL). -EBADMSG: not even that. -ENOMEM.
 */
int domain_xml_identify(DomainXml **ret, const char *text);

/* One of the others is trusted all the same: known to be so from before a defect. -ENOMEM. */
int domain_xml_trust(DomainXml *domain, const char *alias, Bdf host);

/* The trusted device of this alias, or NULL. */
const DomainDevice *domain_xml_device(const DomainXml *domain, const char *alias);

/* 1 to DOMAIN_XML_MAX_ALIAS of a-z, A-Z, 0-9, hyphen, underscore: what a trusted device may have.
 */
bool domain_xml_alias_valid(const char *alias);

/* "none", "sev", "sev-snp", "tdx", "s390-pv", "other" */
const char *launch_security_name(LaunchSecurity security);
