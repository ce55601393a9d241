/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/domain-calls.h"

#include "core/hostdev-xml.h"
#include "vmm/device-xml.h"
#include "vmm/sentence.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include <errno.h>
#include <string.h>

static inline virDomain *domain_free(virDomain *domain)
{
	virDomainFree(domain);
	return NULL;
}
DEFINE_CLEANUP(virDomain, domain_free);

static int domain_error(virConnectPtr conn, char **ret_error, const char *uuid, const char *step)
{
	char object[VMM_UUID_MAX + 8];

	snprintf(object, sizeof(object), "domain %s", uuid);
	return connection_error(conn, ret_error, object, step);
}

static const char *paused_reason(int reason)
{
	switch (reason) {
	case VIR_DOMAIN_PAUSED_USER: return "by request";
	case VIR_DOMAIN_PAUSED_MIGRATION: return "migration";
	case VIR_DOMAIN_PAUSED_SAVE: return "save";
	case VIR_DOMAIN_PAUSED_DUMP: return "dump";
	case VIR_DOMAIN_PAUSED_IOERROR: return "i/o error";
	case VIR_DOMAIN_PAUSED_WATCHDOG: return "watchdog";
	case VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: return "from snapshot";
	case VIR_DOMAIN_PAUSED_SHUTTING_DOWN: return "shutting down";
	case VIR_DOMAIN_PAUSED_SNAPSHOT: return "snapshot";
	case VIR_DOMAIN_PAUSED_CRASHED: return "crashed";
	case VIR_DOMAIN_PAUSED_STARTING_UP: return "starting up";
	case VIR_DOMAIN_PAUSED_POSTCOPY: return "post-copy migration";
	case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: return "failed post-copy migration";
	default: return NULL;
	}
}

static const char *off_reason(int reason)
{
	switch (reason) {
	case VIR_DOMAIN_SHUTOFF_SHUTDOWN: return "shut down";
	case VIR_DOMAIN_SHUTOFF_DESTROYED: return "destroyed";
	case VIR_DOMAIN_SHUTOFF_CRASHED: return "crashed";
	case VIR_DOMAIN_SHUTOFF_MIGRATED: return "migrated";
	case VIR_DOMAIN_SHUTOFF_SAVED: return "saved";
	case VIR_DOMAIN_SHUTOFF_FAILED: return "failed to start";
	case VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: return "from snapshot";
	case VIR_DOMAIN_SHUTOFF_DAEMON: return "libvirtd took it for ended";
	default: return NULL;
	}
}

static void set_state(VmmDomain *d, int state, int reason)
{
	/* A crashed domain that is preserved, or one that waits for a wake-up, has its QEMU. */
	d->active = state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_NOSTATE;
	d->paused = state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_CRASHED ||
		    state == VIR_DOMAIN_PMSUSPENDED;
	if (state == VIR_DOMAIN_PAUSED)
		d->reason = paused_reason(reason);
	else if (state == VIR_DOMAIN_CRASHED)
		d->reason = "crashed";
	else if (state == VIR_DOMAIN_PMSUSPENDED)
		d->reason = "suspended by the guest";
	else if (!d->active)
		d->reason = off_reason(reason);
}

/* What goes wrong here is for pci_error: the rest of the domain is still good to know. */
static void read_guest_pci(virDomainPtr domain, const char *uuid, VmmDomain *d)
{
	char *reply = NULL;

	if (virDomainQemuMonitorCommand(domain, "{\"execute\":\"query-pci\"}", &reply, 0) < 0) {
		sentence(&d->pci_error, 0, "domain %s: cannot ask QEMU for query-pci: %s", uuid,
			 virGetLastErrorMessage());
		return;
	}
	(void)query_pci_parse(&d->pci, reply, strlen(reply), &d->pci_error);
	free(reply);
}

/* A transient domain can end between two steps: then it is not there, which is no error. */
static int step_error(virConnectPtr conn, char **ret_error, const char *uuid, const char *step)
{
	if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		return 0;
	return domain_error(conn, ret_error, uuid, step);
}

/* Taken apart here: the loop has others to serve. What is wrong with it is for xml_error. */
static int read_xml(const char *text, VmmDomain *d)
{
	int r = domain_xml_parse(&d->xml, text, strlen(text), &d->xml_error);

	return r == -ENOMEM || (r < 0 && !d->xml_error) ? -ENOMEM : 0;
}

static int read_found(virConnectPtr conn, virDomainPtr domain, const char *uuid, unsigned flags,
		      VmmDomain *d, char **ret_error)
{
	const char *name = virDomainGetName(domain);
	_cleanup_free_ char *text = NULL;
	int state, reason, persistent;

	if (virDomainGetState(domain, &state, &reason, 0) < 0)
		return step_error(conn, ret_error, uuid, "cannot read its state");
	persistent = virDomainIsPersistent(domain);
	if (persistent < 0)
		return step_error(conn, ret_error, uuid, "cannot read whether it is persistent");
	text = virDomainGetXMLDesc(domain, 0);
	if (!text)
		return step_error(conn, ret_error, uuid, "cannot read its XML");
	d->name = name ? strdup(name) : NULL;
	if (!d->name)
		return -ENOMEM;
	set_state(d, state, reason);
	if (d->active && read_xml(text, d) < 0)
		return -ENOMEM;
	d->id = d->active ? (int)virDomainGetID(domain) : -1;
	d->persistent = persistent > 0;
	d->present = true;
	if (d->active && (flags & VMM_READ_GUEST_PCI))
		read_guest_pci(domain, uuid, d);
	return 0;
}

int domain_read(virConnectPtr conn, const char *uuid, unsigned flags, VmmDomain *d,
		char **ret_error)
{
	_cleanup_(domain_freep) virDomain *domain = NULL;

	snprintf(d->uuid, sizeof(d->uuid), "%s", uuid);
	d->id = -1;
	domain = virDomainLookupByUUIDString(conn, uuid);
	if (!domain)
		return step_error(conn, ret_error, uuid, "cannot look it up");
	return read_found(conn, domain, uuid, flags, d, ret_error);
}

void domain_clear(VmmDomain *d)
{
	free(d->name);
	domain_xml_free(d->xml);
	free(d->xml_error);
	free(d->pci_error);
	query_pci_free(d->pci);
	*d = (VmmDomain){ .id = -1 };
}

/* libvirt has no code of its own for QEMU's refusals: they come as internal errors with QEMU's
 * words (hw/pci/pcie.c, qdev-monitor.c). */
static bool guest_is_busy(const char *words)
{
	static const char *const phrases[] = {
		"guest is busy",		    /* power indicator blinking */
		"already in the process of unplug", /* an earlier request is under way */
		"unplug of device was rejected",    /* by the guest, this time */
	};

	for (size_t i = 0; i < ELEMENTSOF(phrases); i++)
		if (strstr(words, phrases[i]))
			return true;
	return false;
}

static int detach_error(virConnectPtr conn, char **ret_error, const char *uuid, const char *alias)
{
	int code = virGetLastErrorCode(), r;
	bool busy = guest_is_busy(virGetLastErrorMessage());
	char step[256];

	snprintf(step, sizeof(step), "cannot detach %s", alias);
	r = domain_error(conn, ret_error, uuid, step);
	if (r == -ENOTCONN)
		return r;
	if (busy)
		return VMM_DETACH_BUSY;
	switch (code) {
	case VIR_ERR_NO_DOMAIN:
	case VIR_ERR_OPERATION_INVALID: /* not active */
	case VIR_ERR_DEVICE_MISSING: return VMM_DETACH_GONE;
	case VIR_ERR_OPERATION_TIMEOUT: /* another job has the domain */
	case VIR_ERR_RESOURCE_BUSY: return VMM_DETACH_BUSY;
	default: return VMM_DETACH_REFUSED;
	}
}

static int cut_device(char **ret, const char *xml, const char *uuid, const char *alias, Bdf host,
		      char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	int r = device_xml_cut(ret, xml, strlen(xml), alias, host, &error);

	if (r == 0)
		return 0;
	sentence(ret_error, r, "domain %s: detach %s: %s", uuid, alias, error ?: "no memory");
	return r == DEVICE_XML_GONE	  ? VMM_DETACH_GONE
	       : r == DEVICE_XML_MISMATCH ? VMM_DETACH_MISMATCH
					  : r;
}

int domain_detach(virConnectPtr conn, const char *uuid, const char *alias, Bdf host,
		  char **ret_error)
{
	_cleanup_(domain_freep) virDomain *domain = NULL;
	_cleanup_free_ char *xml = NULL, *device = NULL;
	int active, r;

	domain = virDomainLookupByUUIDString(conn, uuid);
	if (!domain)
		return detach_error(conn, ret_error, uuid, alias);
	active = virDomainIsActive(domain);
	if (active < 0)
		return detach_error(conn, ret_error, uuid, alias);
	if (active == 0)
		return sentence(ret_error, VMM_DETACH_GONE,
				"domain %s: detach %s: the domain is not running", uuid, alias);
	xml = virDomainGetXMLDesc(domain, 0);
	if (!xml)
		return detach_error(conn, ret_error, uuid, alias);
	r = cut_device(&device, xml, uuid, alias, host, ret_error);
	if (r != 0)
		return r;
	if (virDomainDetachDeviceFlags(domain, device, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return detach_error(conn, ret_error, uuid, alias);
	return VMM_DETACH_REQUESTED;
}

static int attach_error(virConnectPtr conn, char **ret_error, const char *uuid, const char *alias,
			Bdf host)
{
	int code = virGetLastErrorCode(), r;
	char step[256], device[BDF_STRING_SIZE];

	snprintf(step, sizeof(step), "cannot attach %s as %s", bdf_format(host, device), alias);
	r = domain_error(conn, ret_error, uuid, step);
	if (r == -ENOTCONN)
		return r;
	switch (code) {
	case VIR_ERR_NO_DOMAIN: return VMM_ATTACH_GONE;
	case VIR_ERR_OPERATION_TIMEOUT: /* another job has the domain */
	case VIR_ERR_RESOURCE_BUSY: return VMM_ATTACH_BUSY;
	default: return VMM_ATTACH_REFUSED;
	}
}

int domain_attach(virConnectPtr conn, const char *uuid, const char *alias, Bdf host,
		  char **ret_error)
{
	_cleanup_(domain_freep) virDomain *domain = NULL;
	_cleanup_free_ char *device = NULL;
	int active, r;

	r = hostdev_xml_make(&device, alias, host);
	if (r < 0)
		return r;
	domain = virDomainLookupByUUIDString(conn, uuid);
	if (!domain)
		return attach_error(conn, ret_error, uuid, alias, host);
	active = virDomainIsActive(domain);
	if (active < 0)
		return attach_error(conn, ret_error, uuid, alias, host);
	if (active == 0)
		return sentence(ret_error, VMM_ATTACH_GONE,
				"domain %s: cannot attach %s: the domain is not running", uuid,
				alias);
	if (virDomainAttachDeviceFlags(domain, device, VIR_DOMAIN_AFFECT_LIVE) < 0)
		return attach_error(conn, ret_error, uuid, alias, host);
	return VMM_ATTACH_DONE;
}
