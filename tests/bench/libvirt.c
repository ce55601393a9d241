/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt.h"

#include "host.h"
#include "layout.h"

#include "core/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE_OF_DEVICE 512
#define CALLS_MAX      4 /* VMM's */
#define FRAME                                                                                      \
	"<domain type='kvm'><name>bench%u</name><uuid>%s</uuid><devices>"                          \
	"<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>"

typedef struct Machine {
	Bdf devices[DEVICES_PER_DOMAIN];
	GuestPciFunction places[DEVICES_PER_DOMAIN];
	uint32_t n;
	DomainXml *xml;	 /* NULL: to be described */
	double xml_usec; /* to take it apart */
} Machine;

typedef struct Call Call;

struct Call {
	uint32_t domain;
	unsigned int flags;
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
	unsigned int pending;
};

static Vmm *vmm;
static Machine *machines;
static uint32_t n_machines;
static double threads_usec;

void bench_libvirt_begin(uint32_t n)
{
	machines = calloc(n, sizeof(*machines));
	n_machines = machines ? n : 0;
}

static void forget_xml(Machine *machine)
{
	machine->xml = domain_xml_free(machine->xml);
}

void bench_libvirt_end(void)
{
	for (uint32_t i = 0; i < n_machines; i++) {
		forget_xml(&machines[i]);
		for (uint32_t k = 0; k < machines[i].n; k++)
			free(machines[i].places[k].alias);
	}
	free(machines);
	n_machines = 0;
}

void bench_libvirt_plug(uint32_t domain, Bdf tdi)
{
	Machine *machine = &machines[domain];
	char alias[LAYOUT_ALIAS_SIZE];

	layout_alias(alias, tdi);
	machine->devices[machine->n] = tdi;
	machine->places[machine->n++] =
		(GuestPciFunction){ .alias = strdup(alias), .bus = 5, .assigned = true };
	forget_xml(machine);
}

void bench_libvirt_unplug(uint32_t domain, Bdf tdi)
{
	Machine *machine = &machines[domain];

	for (uint32_t i = 0; i < machine->n; i++) {
		if (!bdf_equal(machine->devices[i], tdi))
			continue;
		free(machine->places[i].alias);
		machine->n--;
		machine->devices[i] = machine->devices[machine->n];
		machine->places[i] = machine->places[machine->n];
		forget_xml(machine);
		return;
	}
}

static DomainXml *xml_of(uint32_t domain)
{
	Machine *machine = &machines[domain];
	size_t size = SIZE_OF_DEVICE * (machine->n + 1), used;
	char uuid[LAYOUT_UUID_SIZE];
	double began;
	char *text;

	if (machine->xml)
		return machine->xml;
	text = malloc(size);
	layout_uuid(uuid, domain);
	used = (size_t)snprintf(text, size, FRAME, domain, uuid);
	for (uint32_t i = 0; i < machine->n; i++)
		used += (size_t)snprintf(
			text + used, size - used,
			"<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>"
			"<source><address domain='0x0000' bus='0x%02x' slot='0x%02x' "
			"function='0x%x'/></source><alias name='%s'/></hostdev>",
			machine->devices[i].bus, machine->devices[i].device,
			machine->devices[i].function, machine->places[i].alias);
	snprintf(text + used, size - used, "</devices></domain>");
	began = host_now();
	if (domain_xml_parse(&machine->xml, text, strlen(text), NULL) < 0)
		abort();
	machine->xml_usec = host_now() - began;
	free(text);
	return machine->xml;
}

void bench_libvirt_describe(void)
{
	for (uint32_t i = 0; i < n_machines; i++)
		xml_of(i);
	threads_usec = 0;
}

double bench_libvirt_threads_usec(void)
{
	return threads_usec;
}

void bench_libvirt_connect(void)
{
	VmmDomainName *names = calloc(n_machines, sizeof(*names));

	for (uint32_t i = 0; i < n_machines; i++) {
		names[i] = (VmmDomainName){ .name = strdup("bench"), .id = (int)i + 1 };
		layout_uuid(names[i].uuid, i);
	}
	vmm->connected = true;
	vmm->handlers.connected(names, n_machines, vmm->userdata);
	for (uint32_t i = 0; i < n_machines; i++)
		free(names[i].name);
	free(names);
}

static uint64_t boottime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void bench_libvirt_dirty(uint32_t domain, VmmDirtyReason reason, Bdf tdi)
{
	char uuid[LAYOUT_UUID_SIZE], alias[LAYOUT_ALIAS_SIZE];

	layout_uuid(uuid, domain);
	layout_alias(alias, tdi);
	vmm->handlers.domain_dirty(&(VmmDirty){ .uuid = uuid,
						.reason = reason,
						.alias = alias,
						.boottime_usec = boottime() },
				   vmm->userdata);
}

unsigned int bench_libvirt_pending(void)
{
	return vmm->pending;
}

const char *vmm_dirty_reason_to_string(VmmDirtyReason reason)
{
	return "dirty";
}

/* Linked in place of query-pci.c, too. */
const GuestPciFunction *query_pci_find(const QueryPci *q, const char *alias)
{
	for (size_t i = 0; i < q->n_functions; i++)
		if (strcmp(q->functions[i].alias, alias) == 0)
			return &q->functions[i];
	return NULL;
}

static void answer_read(const Call *call, int r)
{
	Machine *machine = &machines[call->domain];
	QueryPci pci = { .functions = machine->places, .n_functions = machine->n };
	char name[32];
	VmmDomain seen = { .present = true,
			   .active = true,
			   .name = name,
			   .id = (int)call->domain + 1,
			   .xml = r < 0 ? NULL : xml_of(call->domain) };

	snprintf(name, sizeof(name), "bench%u", call->domain);
	layout_uuid(seen.uuid, call->domain);
	if (seen.xml)
		threads_usec += machine->xml_usec;
	if (call->flags & VMM_READ_GUEST_PCI)
		seen.pci = &pci;
	call->read(r, r < 0 ? NULL : &seen, NULL, call->userdata);
}

static void answer(int r)
{
	Call *call = vmm->first;

	vmm->first = call->next;
	if (!vmm->first)
		vmm->last = &vmm->first;
	vmm->pending--;
	if (call->read)
		answer_read(call, r);
	else if (call->detach)
		call->detach(r < 0 ? r : VMM_DETACH_REQUESTED, NULL, call->userdata);
	else
		call->open(r < 0 ? r : -ENOENT, -1, "none here", call->userdata);
	free(call);
}

/* As many as the connection has under way. */
static int on_deferred(sd_event_source *source, void *userdata)
{
	for (int i = 0; i < CALLS_MAX && vmm->first; i++)
		answer(0);
	return vmm->first ? sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) : 0;
}

static int queue(const char *uuid, Call call)
{
	Call *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = call;
	copy->domain = (uint32_t)strtoul(uuid + 24, NULL, 16);
	*vmm->last = copy;
	vmm->last = &copy->next;
	vmm->pending++;
	return sd_event_source_set_enabled(vmm->deferred, SD_EVENT_ONESHOT);
}

int vmm_new(Vmm **ret, sd_event *event, const char *uri, const VmmHandlers *handlers,
	    void *userdata)
{
	int r;

	*ret = vmm = calloc(1, sizeof(*vmm));
	if (!vmm)
		return -ENOMEM;
	vmm->handlers = *handlers;
	vmm->userdata = userdata;
	vmm->last = &vmm->first;
	r = sd_event_add_defer(event, &vmm->deferred, on_deferred, NULL);
	return r < 0 ? r : sd_event_source_set_enabled(vmm->deferred, SD_EVENT_OFF);
}

Vmm *vmm_free(Vmm *unused)
{
	if (!vmm)
		return NULL;
	while (vmm->first)
		answer(-ECANCELED);
	sd_event_source_disable_unref(vmm->deferred);
	free(vmm);
	vmm = NULL;
	return NULL;
}

bool vmm_is_connected(const Vmm *unused)
{
	return vmm->connected;
}

int vmm_read_domain(Vmm *unused, const char *uuid, unsigned flags, uint64_t timeout_usec,
		    VmmReadFn fn, void *userdata)
{
	return queue(uuid, (Call){ .flags = flags, .read = fn, .userdata = userdata });
}

int vmm_detach(Vmm *unused, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata)
{
	return queue(uuid, (Call){ .detach = fn, .userdata = userdata });
}

int vmm_open_channel(Vmm *unused, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata)
{
	return queue(uuid, (Call){ .open = fn, .userdata = userdata });
}

/* Nobody asks for it here. */
int vmm_attach(Vmm *unused, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmAttachFn fn, void *userdata)
{
	return -ENOTSUP;
}
