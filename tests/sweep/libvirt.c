/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt.h"

#include "points.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef enum CallKind { CALL_READ, CALL_DETACH, CALL_OPEN } CallKind;

typedef struct Call Call;

struct Call {
	CallKind kind;
	unsigned int flags;
	char device[128]; /* of detach: "ALIAS BDF" */
	VmmReadFn read;
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

static Vmm *the_vmm;
static char the_uuid[VMM_UUID_MAX], *the_name, *the_xml, *the_guest;
static GuestPciFunction place;

/* --- what is replayed --- */

void libvirt_domain(const char *uuid, const char *name, const char *xml)
{
	snprintf(the_uuid, sizeof(the_uuid), "%s", uuid);
	free(the_name);
	free(the_xml);
	the_name = strdup(name);
	the_xml = xml ? strdup(xml) : NULL;
}

void libvirt_place(const char *alias, uint8_t bus)
{
	free(place.alias);
	place = (GuestPciFunction){ .alias = strdup(alias), .bus = bus, .assigned = bus != 0 };
}

void libvirt_guest(const char *path)
{
	free(the_guest);
	the_guest = strdup(path);
}

void libvirt_connect(void)
{
	VmmDomainName running = { .name = the_name, .id = 1 };

	snprintf(running.uuid, sizeof(running.uuid), "%s", the_uuid);
	the_vmm->connected = true;
	the_vmm->handlers.connected(&running, the_xml ? 1 : 0, the_vmm->userdata);
}

void libvirt_dirty(VmmDirtyReason reason, const char *alias)
{
	the_vmm->handlers.domain_dirty(
		&(VmmDirty){
			.uuid = the_uuid, .reason = reason, .alias = alias, .boottime_usec = 1 },
		the_vmm->userdata);
}

static const char *const reasons[] = {
	[VMM_DIRTY_STARTED] = "started",
	[VMM_DIRTY_STOPPED] = "stopped",
	[VMM_DIRTY_REBOOT] = "reboot",
	[VMM_DIRTY_DEVICE_ADDED] = "device-added",
	[VMM_DIRTY_DEVICE_DELETED] = "device-deleted",
	[VMM_DIRTY_DEVICE_REMOVED] = "device-removed",
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
	QueryPci pci = { .functions = &place, .n_functions = place.alias ? 1 : 0 };
	VmmDomain seen = {
		.present = the_name, .active = the_xml, .name = the_name, .xml = the_xml, .id = 1
	};

	snprintf(seen.uuid, sizeof(seen.uuid), "%s", the_uuid);
	if (seen.active && (call->flags & VMM_READ_GUEST_PCI))
		seen.pci = &pci;
	call->read(r, r < 0 ? NULL : &seen, r < 0 ? "libvirt does not tell" : NULL, call->userdata);
}

static int connect_guest(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", the_guest);
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
	bool armed = points_arm(false);
	int fd = r < 0 ? r : the_xml ? connect_guest() : -ENOENT;

	points_arm(armed);
	call->open(fd < 0 ? fd : 0, fd < 0 ? -1 : fd, fd < 0 ? "libvirt does not open it" : NULL,
		   call->userdata);
}

static void answer_detach(const Call *call, int r)
{
	if (r == 0) {
		printf("detach %s\n", call->device);
		fflush(stdout);
		r = VMM_DETACH_REQUESTED;
	}
	call->detach(r, r < 0 ? "libvirt does not detach it" : NULL, call->userdata);
}

static void answer(Vmm *vmm, int r)
{
	static const char *const names[] = { "read", "detach", "open" };
	Call *call = vmm->first;

	vmm->first = call->next;
	if (!vmm->first)
		vmm->last = &vmm->first;
	if (r == 0 && !vmm->connected)
		r = -ENOTCONN;
	if (r == 0)
		r = -point("libvirt", names[call->kind]);
	switch (call->kind) {
	case CALL_READ: answer_read(call, r); break;
	case CALL_DETACH: answer_detach(call, r); break;
	case CALL_OPEN: answer_open(call, r); break;
	}
	free(call);
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	Vmm *vmm = userdata;

	while (vmm->first)
		answer(vmm, 0);
	return 0;
}

static int queue(Vmm *vmm, Call call)
{
	Call *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = call;
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
		answer(vmm, -ECANCELED);
	sd_event_source_disable_unref(vmm->deferred);
	free(vmm);
	free(place.alias);
	free(the_name);
	free(the_xml);
	free(the_guest);
	return NULL;
}

bool vmm_is_connected(const Vmm *vmm)
{
	return vmm->connected;
}

int vmm_read_domain(Vmm *vmm, const char *uuid, unsigned flags, uint64_t timeout_usec, VmmReadFn fn,
		    void *userdata)
{
	return queue(vmm, (Call){ CALL_READ, .flags = flags, .read = fn, .userdata = userdata });
}

int vmm_detach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata)
{
	Call call = { CALL_DETACH, .detach = fn, .userdata = userdata };

	snprintf(call.device, sizeof(call.device), "%s %s", alias, bdf);
	return queue(vmm, call);
}

int vmm_open_channel(Vmm *vmm, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata)
{
	return queue(vmm, (Call){ CALL_OPEN, .open = fn, .userdata = userdata });
}
