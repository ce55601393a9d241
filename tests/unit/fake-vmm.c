/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-vmm.h"

#include "rpc/event-loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define DOMAINS_MAX 4
#define PLACES_MAX  8

typedef struct FakeDomain {
	char uuid[VMM_UUID_MAX];
	char *name, *xml;
} FakeDomain;

typedef struct Pending Pending;

struct Pending {
	char uuid[VMM_UUID_MAX];
	unsigned int flags;
	VmmReadFn read;
	VmmDetachFn detach;
	VmmAttachFn attach;
	VmmChannelFn open;
	void *userdata;
	Pending *next;
};

struct Vmm {
	sd_event *event;
	VmmHandlers handlers;
	void *userdata;
	bool connected;
	Pending *first, **last;
	sd_event_source *deferred;
};

FakeVmm fake_vmm = { .guest_fd = -1 };
static FakeDomain domains[DOMAINS_MAX];
static size_t n_domains;
static GuestPciFunction places[PLACES_MAX];
static size_t n_places;

static FakeDomain *find(const char *uuid)
{
	for (size_t i = 0; i < n_domains; i++)
		if (strcmp(domains[i].uuid, uuid) == 0)
			return &domains[i];
	return NULL;
}

void fake_vmm_domain(const char *uuid, const char *name, const char *xml)
{
	FakeDomain *domain = find(uuid);

	if (!domain) {
		cr_assert_lt(n_domains, DOMAINS_MAX);
		domain = &domains[n_domains++];
		snprintf(domain->uuid, sizeof(domain->uuid), "%s", uuid);
	}
	free(domain->name);
	free(domain->xml);
	domain->name = strdup(name);
	domain->xml = xml ? strdup(xml) : NULL;
}

void fake_vmm_place(const char *alias, uint8_t bus, uint8_t slot, uint8_t function)
{
	cr_assert_lt(n_places, PLACES_MAX);
	places[n_places++] = (GuestPciFunction){ .alias = strdup(alias),
						 .bus = bus,
						 .slot = slot,
						 .function = function,
						 .assigned = bus != 0 };
}

void fake_vmm_reset(void)
{
	for (size_t i = 0; i < n_domains; i++) {
		free(domains[i].name);
		free(domains[i].xml);
	}
	for (size_t i = 0; i < n_places; i++)
		free(places[i].alias);
	memset(domains, 0, sizeof(domains));
	n_domains = n_places = 0;
	if (fake_vmm.guest_fd >= 0)
		close(fake_vmm.guest_fd);
	fake_vmm = (FakeVmm){ .vmm = fake_vmm.vmm, .guest_fd = -1 };
}

const GuestPciFunction *query_pci_find(const QueryPci *q, const char *alias)
{
	for (size_t i = q->n_functions; i-- > 0;)
		if (strcmp(q->functions[i].alias, alias) == 0)
			return &q->functions[i];
	return NULL;
}

static void answer_read(const Pending *pending, int r)
{
	QueryPci pci = { .functions = places, .n_functions = n_places };
	FakeDomain *domain = find(pending->uuid);
	VmmDomain seen = { .present = domain,
			   .active = domain && domain->xml,
			   .paused = fake_vmm.paused,
			   .name = domain ? domain->name : NULL,
			   .id = 1 };

	if (r == 0)
		r = fake_vmm.read_result;
	if (seen.active && (pending->flags & VMM_READ_GUEST_PCI))
		seen.pci = &pci;
	if (seen.active) {
		(void)domain_xml_parse(&seen.xml, domain->xml, strlen(domain->xml),
				       &seen.xml_error);
		cr_assert(seen.xml || seen.xml_error);
	}
	strcpy(seen.uuid, pending->uuid);
	pending->read(r, r < 0 ? NULL : &seen, r < 0 ? "libvirt does not tell" : NULL,
		      pending->userdata);
	domain_xml_free(seen.xml);
	free(seen.xml_error);
}

static void answer_open(const Pending *pending, int r)
{
	int fds[2];

	if (r == 0)
		r = fake_vmm.open_result;
	if (r < 0) {
		pending->open(r, -1, "libvirt does not open it", pending->userdata);
		return;
	}
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	if (fake_vmm.guest_fd >= 0)
		close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = fds[1];
	pending->open(0, fds[0], NULL, pending->userdata);
}

static void answer_attach(const Pending *pending, int r)
{
	FakeDomain *domain = find(pending->uuid);
	const char *xml = fake_vmm.attach_xml;

	if (r == 0)
		r = fake_vmm.attach_result ?: VMM_ATTACH_DONE;
	if (r == VMM_ATTACH_DONE && xml) {
		free(domain->xml);
		domain->xml = strdup(xml);
		fake_vmm.attach_xml = NULL;
		if (fake_vmm.attach_alias)
			fake_vmm_dirty(pending->uuid, VMM_DIRTY_DEVICE_ADDED,
				       fake_vmm.attach_alias);
	}
	pending->attach(r, r == VMM_ATTACH_DONE ? NULL :
					fake_vmm.attach_message ?: "libvirt does not attach it",
			pending->userdata);
}

static void answer(Vmm *vmm, Pending **link, int r)
{
	Pending *pending = *link;

	*link = pending->next;
	if (vmm->last == &pending->next)
		vmm->last = link;
	if (r == 0 && !vmm->connected)
		r = -ENOTCONN;
	if (pending->read) {
		answer_read(pending, r);
	} else if (pending->open) {
		answer_open(pending, r);
	} else if (pending->attach) {
		answer_attach(pending, r);
	} else {
		if (r == 0)
			r = fake_vmm.detach_result ?: VMM_DETACH_REQUESTED;
		pending->detach(r, r == VMM_DETACH_REQUESTED ? NULL :
						fake_vmm.detach_message ?: "libvirt does not detach it",
				pending->userdata);
	}
	free(pending);
}

static void answer_first(Vmm *vmm, int r)
{
	answer(vmm, &vmm->first, r);
}

/* A detach, or behind an attach of its domain, or that itself. */
static bool is_held(const Vmm *vmm, const Pending *pending)
{
	if (fake_vmm.hold_detaches && pending->detach)
		return true;
	for (const Pending *p = vmm->first; fake_vmm.hold_attaches; p = p->next) {
		if (p->attach && strcmp(p->uuid, pending->uuid) == 0)
			return true;
		if (p == pending)
			break;
	}
	return false;
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	Vmm *vmm = userdata;

	for (Pending **link = &vmm->first; *link && !fake_vmm.hold;)
		if (is_held(vmm, *link)) {
			link = &(*link)->next;
		} else {
			answer(vmm, link, 0);
			link = &vmm->first;
		}
	return 0;
}

static void arm(Vmm *vmm)
{
	sd_event_source_set_enabled(vmm->deferred, SD_EVENT_ONESHOT);
}

void fake_vmm_let_go(void)
{
	fake_vmm.hold = fake_vmm.hold_attaches = false;
	arm(fake_vmm.vmm);
}

void fake_vmm_answer_one(void)
{
	cr_assert_not_null(fake_vmm.vmm->first, "nothing is held");
	answer_first(fake_vmm.vmm, 0);
}

int vmm_new(Vmm **ret, sd_event *event, const char *uri, const VmmHandlers *handlers,
	    void *userdata)
{
	Vmm *vmm = calloc(1, sizeof(*vmm));

	cr_assert_null(fake_vmm.vmm, "one Vmm per process");
	vmm->event = sd_event_ref(event);
	vmm->handlers = *handlers;
	vmm->userdata = userdata;
	vmm->last = &vmm->first;
	cr_assert_geq(sd_event_add_defer(event, &vmm->deferred, on_deferred, vmm), 0);
	sd_event_source_set_enabled(vmm->deferred, SD_EVENT_OFF);
	*ret = fake_vmm.vmm = vmm;
	return 0;
}

Vmm *vmm_free(Vmm *vmm)
{
	if (!vmm)
		return NULL;
	while (vmm->first)
		answer_first(vmm, -ECANCELED);
	sd_event_source_disable_unref(vmm->deferred);
	sd_event_unref(vmm->event);
	free(vmm);
	fake_vmm.vmm = NULL;
	return NULL;
}

void fake_vmm_connect(void)
{
	VmmDomainName running[DOMAINS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < n_domains; i++)
		if (domains[i].xml) {
			running[n] = (VmmDomainName){ .name = domains[i].name, .id = 1 };
			strcpy(running[n++].uuid, domains[i].uuid);
		}
	fake_vmm.vmm->connected = true;
	fake_vmm.vmm->handlers.connected(running, n, fake_vmm.vmm->userdata);
}

void fake_vmm_disconnect(void)
{
	Vmm *vmm = fake_vmm.vmm;

	vmm->connected = false;
	while (vmm->first)
		answer_first(vmm, -ENOTCONN);
	if (fake_vmm.guest_fd >= 0)
		close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	vmm->handlers.disconnected("libvirtd went away", vmm->userdata);
}

void fake_vmm_dirty(const char *uuid, VmmDirtyReason reason, const char *alias)
{
	fake_vmm.vmm->handlers.domain_dirty(&(VmmDirty){ .uuid = uuid,
							 .reason = reason,
							 .alias = alias,
							 .boottime_usec = boottime_usec() },
					    fake_vmm.vmm->userdata);
}

bool vmm_is_connected(const Vmm *vmm)
{
	return vmm->connected;
}

const char *vmm_dirty_reason_to_string(VmmDirtyReason reason)
{
	return "dirty";
}

static void queue(Vmm *vmm, const char *uuid, Pending pending)
{
	Pending *copy = malloc(sizeof(*copy));

	*copy = pending;
	snprintf(copy->uuid, sizeof(copy->uuid), "%s", uuid);
	*vmm->last = copy;
	vmm->last = &copy->next;
	arm(vmm);
}

int vmm_read_domain(Vmm *vmm, const char *uuid, unsigned flags, uint64_t timeout_usec, VmmReadFn fn,
		    void *userdata)
{
	if (fake_vmm.read_refused < 0)
		return fake_vmm.read_refused;
	fake_vmm.reads++;
	fake_vmm.reads_of_pci += (flags & VMM_READ_GUEST_PCI) != 0;
	queue(vmm, uuid, (Pending){ .flags = flags, .read = fn, .userdata = userdata });
	return 0;
}

int vmm_detach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata)
{
	if (fake_vmm.detach_refused < 0)
		return fake_vmm.detach_refused;
	fake_vmm.detaches++;
	snprintf(fake_vmm.detached, sizeof(fake_vmm.detached), "%s %s %s", uuid, alias, bdf);
	queue(vmm, uuid, (Pending){ .detach = fn, .userdata = userdata });
	return 0;
}

int vmm_attach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmAttachFn fn, void *userdata)
{
	fake_vmm.attaches++;
	snprintf(fake_vmm.attached, sizeof(fake_vmm.attached), "%s %s %s", uuid, alias, bdf);
	queue(vmm, uuid, (Pending){ .attach = fn, .userdata = userdata });
	return 0;
}

int vmm_open_channel(Vmm *vmm, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata)
{
	fake_vmm.opens++;
	cr_assert_str_eq(name, "io.tdid.guest.0");
	queue(vmm, uuid, (Pending){ .open = fn, .userdata = userdata });
	return 0;
}
