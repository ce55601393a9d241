/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt.h"

#include "points.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef enum CallKind { CALL_READ, CALL_ATTACH, CALL_DETACH, CALL_OPEN } CallKind;

typedef struct Call Call;

struct Call {
	CallKind kind;
	char uuid[VMM_UUID_MAX];
	unsigned int flags;
	char device[128]; /* of attach and detach: "ALIAS BDF" */
	bool said;	  /* of those two: libvirt_answer is to follow */
	VmmReadFn read;
	VmmAttachFn attach;
	VmmDetachFn detach;
	VmmChannelFn open;
	void *userdata;
	Call *next;
};

struct Vmm {
	sd_event_source *deferred;
	VmmHandlers handlers;
	void *userdata;
	bool connected;
	Call *first, **last;
};

#define DOMAINS_MAX 2

typedef struct LibvirtDomain {
	char uuid[VMM_UUID_MAX];
	char *name, *xml, *guest;
	GuestPciFunction place;
} LibvirtDomain;

static Vmm *the_vmm;
static LibvirtDomain domains[DOMAINS_MAX];
static size_t n_domains;

static LibvirtDomain *find(const char *uuid)
{
	for (size_t i = 0; i < n_domains; i++)
		if (strcmp(domains[i].uuid, uuid) == 0)
			return &domains[i];
	return NULL;
}

/* --- what is replayed --- */

void libvirt_domain(const char *uuid, const char *name, const char *xml)
{
	LibvirtDomain *d = find(uuid);

	if (!d && n_domains == DOMAINS_MAX)
		abort();
	if (!d)
		d = &domains[n_domains++];
	snprintf(d->uuid, sizeof(d->uuid), "%s", uuid);
	free(d->name);
	free(d->xml);
	d->name = strdup(name);
	d->xml = xml ? strdup(xml) : NULL;
}

void libvirt_place(const char *uuid, const char *alias, uint8_t bus)
{
	LibvirtDomain *d = find(uuid);

	free(d->place.alias);
	d->place = (GuestPciFunction){ .alias = strdup(alias), .bus = bus, .assigned = bus != 0 };
}

void libvirt_guest(const char *uuid, const char *path)
{
	LibvirtDomain *d = find(uuid);

	free(d->guest);
	d->guest = strdup(path);
}

void libvirt_connect(void)
{
	VmmDomainName running[DOMAINS_MAX] = {};
	size_t n = 0;

	for (size_t i = 0; i < n_domains; i++) {
		if (!domains[i].xml)
			continue;
		running[n] = (VmmDomainName){ .name = domains[i].name, .id = 1 };
		strcpy(running[n++].uuid, domains[i].uuid);
	}
	the_vmm->connected = true;
	the_vmm->handlers.connected(running, n, the_vmm->userdata);
}

void libvirt_dirty(const char *uuid, VmmDirtyReason reason, const char *alias)
{
	the_vmm->handlers.domain_dirty(
		&(VmmDirty){ .uuid = uuid, .reason = reason, .alias = alias, .boottime_usec = 1 },
		the_vmm->userdata);
}

static const char *const reasons[] = {
	[VMM_DIRTY_STARTED] = "started",
	[VMM_DIRTY_STOPPED] = "stopped",
	[VMM_DIRTY_REBOOT] = "reboot",
	[VMM_DIRTY_DEVICE_ADDED] = "device-added",
	[VMM_DIRTY_DEVICE_DELETED] = "device-deleted",
	[VMM_DIRTY_DEVICE_REMOVED] = "device-removed",
	[VMM_DIRTY_DEVICE_REMOVAL_FAILED] = "device-removal-failed",
	[VMM_DIRTY_REACHABLE] = "reachable",
	[_VMM_DIRTY_MAX] = NULL,
};

int libvirt_reason_parse(VmmDirtyReason *ret, const char *name)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i] && strcmp(reasons[i], name) == 0) {
			*ret = (VmmDirtyReason)i;
			return 0;
		}
	return -EINVAL;
}

const char *vmm_dirty_reason_to_string(VmmDirtyReason reason)
{
	return reasons[reason] ?: "dirty";
}

/* --- answers --- */

/* Linked in place of query-pci.c, too. */
const GuestPciFunction *query_pci_find(const QueryPci *q, const char *alias)
{
	return q->n_functions && strcmp(q->functions[0].alias, alias) == 0 ? q->functions : NULL;
}

static void answer_read(const Call *call, int r)
{
	LibvirtDomain *d = find(call->uuid), none = {};
	QueryPci pci = { .functions = d ? &d->place : NULL, .n_functions = d && d->place.alias };
	VmmDomain seen = { .present = d, .id = 1 };

	d = d ?: &none;
	seen.active = d->xml;
	seen.name = d->name;
	if (seen.active && domain_xml_parse(&seen.xml, d->xml, strlen(d->xml), NULL) < 0)
		abort();
	if (seen.active && (call->flags & VMM_READ_GUEST_PCI))
		seen.pci = &pci;
	strcpy(seen.uuid, call->uuid);
	call->read(r, r < 0 ? NULL : &seen, r < 0 ? "libvirt does not tell" : NULL, call->userdata);
	domain_xml_free(seen.xml);
}

static int connect_guest(const LibvirtDomain *d)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->guest);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		fd = -ENOENT;
	}
	if (fd >= 0)
		points_name_fd(fd, "guest");
	return fd;
}

static void answer_open(const Call *call, int r)
{
	const LibvirtDomain *d = find(call->uuid);
	bool armed = points_arm(false);
	int fd = r < 0 ? r : d && d->xml && d->guest ? connect_guest(d) : -ENOENT;

	points_arm(armed);
	call->open(fd < 0 ? fd : 0, fd < 0 ? -1 : fd, fd < 0 ? "libvirt does not open it" : NULL,
		   call->userdata);
}

/* `r` as vmm.h has it; takes the call. */
static void answer(Vmm *vmm, Call *call, int r)
{
	Call **link = &vmm->first;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	if (vmm->last == &call->next)
		vmm->last = link;
	switch (call->kind) {
	case CALL_READ: answer_read(call, r); break;
	case CALL_ATTACH:
		call->attach(r, r == VMM_ATTACH_DONE ? NULL : "libvirt does not attach it",
			     call->userdata);
		break;
	case CALL_DETACH:
		call->detach(r, r == VMM_DETACH_REQUESTED ? NULL : "libvirt does not detach it",
			     call->userdata);
		break;
	case CALL_OPEN: answer_open(call, r); break;
	}
	free(call);
}

/* Those of a domain wait for each other. */
static Call *next_call(Vmm *vmm)
{
	for (Call *call = vmm->first; call; call = call->next) {
		const Call *before = vmm->first;

		while (before != call && strcmp(before->uuid, call->uuid) != 0)
			before = before->next;
		if (before == call && !call->said)
			return call;
	}
	return NULL;
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	static const char *const names[] = { "read", "attach", "detach", "open" };
	Vmm *vmm = userdata;
	Call *call;

	while ((call = next_call(vmm))) {
		int r = vmm->connected ? -point("libvirt", names[call->kind]) : -ENOTCONN;

		if (r < 0 || (call->kind != CALL_ATTACH && call->kind != CALL_DETACH)) {
			answer(vmm, call, r);
			continue;
		}
		call->said = true;
		printf("%s %s %s\n", names[call->kind], call->uuid, call->device);
		fflush(stdout);
	}
	return 0;
}

static int outcome(CallKind kind, const char *word)
{
	static const struct {
		const char *word;
		int attach, detach;
	} outcomes[] = {
		{ "done", VMM_ATTACH_DONE, VMM_DETACH_REQUESTED },
		{ "gone", VMM_ATTACH_GONE, VMM_DETACH_GONE },
		{ "busy", VMM_ATTACH_BUSY, VMM_DETACH_BUSY },
		{ "refused", VMM_ATTACH_REFUSED, VMM_DETACH_REFUSED },
		{ "mismatch", -EINVAL, VMM_DETACH_MISMATCH },
		{ "timed-out", -ETIMEDOUT, -ETIMEDOUT },
	};

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (strcmp(outcomes[i].word, word) == 0)
			return kind == CALL_ATTACH ? outcomes[i].attach : outcomes[i].detach;
	abort();
}

void libvirt_answer(const char *uuid, const char *word)
{
	for (Call *call = the_vmm->first; call; call = call->next)
		if (call->said && strcmp(call->uuid, uuid) == 0) {
			answer(the_vmm, call, outcome(call->kind, word));
			break;
		}
	sd_event_source_set_enabled(the_vmm->deferred, SD_EVENT_ONESHOT);
}

void libvirt_disconnect(void)
{
	the_vmm->connected = false;
	for (Call *call = the_vmm->first, *next; call; call = next) {
		next = call->next;
		if (call->said)
			answer(the_vmm, call, -ENOTCONN);
	}
	the_vmm->handlers.disconnected("the connection broke", the_vmm->userdata);
	sd_event_source_set_enabled(the_vmm->deferred, SD_EVENT_ONESHOT);
}

static int queue(Vmm *vmm, const char *uuid, Call call)
{
	Call *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = call;
	snprintf(copy->uuid, sizeof(copy->uuid), "%s", uuid);
	*vmm->last = copy;
	vmm->last = &copy->next;
	return sd_event_source_set_enabled(vmm->deferred, SD_EVENT_ONESHOT);
}

/* --- vmm.h --- */

int vmm_new(Vmm **ret, sd_event *event, const char *uri, const VmmHandlers *handlers,
	    void *userdata)
{
	bool armed = points_arm(false);
	Vmm *vmm = calloc(1, sizeof(*vmm));
	int r;

	if (!vmm)
		return -ENOMEM;
	vmm->handlers = *handlers;
	vmm->userdata = userdata;
	vmm->last = &vmm->first;
	r = sd_event_add_defer(event, &vmm->deferred, on_deferred, vmm);
	if (r >= 0)
		r = sd_event_source_set_enabled(vmm->deferred, SD_EVENT_OFF);
	points_arm(armed);
	*ret = the_vmm = vmm;
	return r < 0 ? r : 0;
}

Vmm *vmm_free(Vmm *vmm)
{
	if (!vmm)
		return NULL;
	while (vmm->first)
		answer(vmm, vmm->first, -ECANCELED);
	sd_event_source_disable_unref(vmm->deferred);
	free(vmm);
	for (size_t i = 0; i < n_domains; i++) {
		free(domains[i].name);
		free(domains[i].xml);
		free(domains[i].guest);
		free(domains[i].place.alias);
	}
	return NULL;
}

bool vmm_is_connected(const Vmm *vmm)
{
	return vmm->connected;
}

int vmm_read_domain(Vmm *vmm, const char *uuid, unsigned flags, uint64_t timeout_usec, VmmReadFn fn,
		    void *userdata)
{
	return queue(vmm, uuid,
		     (Call){ .kind = CALL_READ, .flags = flags, .read = fn, .userdata = userdata });
}

int vmm_attach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmAttachFn fn, void *userdata)
{
	Call call = { .kind = CALL_ATTACH, .attach = fn, .userdata = userdata };

	snprintf(call.device, sizeof(call.device), "%s %s", alias, bdf);
	return queue(vmm, uuid, call);
}

int vmm_detach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata)
{
	Call call = { .kind = CALL_DETACH, .detach = fn, .userdata = userdata };

	snprintf(call.device, sizeof(call.device), "%s %s", alias, bdf);
	return queue(vmm, uuid, call);
}

int vmm_open_channel(Vmm *vmm, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata)
{
	return queue(vmm, uuid, (Call){ .kind = CALL_OPEN, .open = fn, .userdata = userdata });
}
