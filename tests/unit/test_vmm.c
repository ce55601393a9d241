/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Against libvirt's test driver: one domain "test", in this process, real libvirt API and events.
 */
#include "vmm/vmm.h"

#include <criterion/criterion.h>
#include <libvirt/libvirt.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#define SECOND	UINT64_C(1000000)
#define NOBODY	"00000000-0000-0000-0000-000000000000"
#define TESTURI "test:///default"

typedef struct Watch {
	sd_event *event;
	Vmm *vmm;
	int n_connected, n_disconnected, n_dirty, n_replies;
	bool dirty_before_connected;
	char uuid[VMM_UUID_MAX];
	char name[64];
	int id;
	size_t n_domains;
	char reason[512];
	VmmDirty last;
	char last_uuid[VMM_UUID_MAX];
	unsigned reasons; /* bits seen */
	int r;
	char message[512];
	bool present, active, paused, persistent, has_pci;
	char why[64], type[16], xml_error[256], defect[256], pci_error[256];
} Watch;

static void on_connected(const VmmDomainName *domains, size_t n, void *userdata)
{
	Watch *w = userdata;

	w->n_connected++;
	w->n_domains = n;
	if (n == 0)
		return;
	snprintf(w->uuid, sizeof(w->uuid), "%s", domains[0].uuid);
	snprintf(w->name, sizeof(w->name), "%s", domains[0].name);
	w->id = domains[0].id;
}

static void on_disconnected(const char *reason, void *userdata)
{
	Watch *w = userdata;

	w->n_disconnected++;
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

static void on_dirty(const VmmDirty *dirty, void *userdata)
{
	Watch *w = userdata;

	w->n_dirty++;
	if (w->n_connected == 0)
		w->dirty_before_connected = true;
	w->last = *dirty;
	snprintf(w->last_uuid, sizeof(w->last_uuid), "%s", dirty->uuid);
	w->reasons |= 1u << dirty->reason;
}

static const VmmHandlers handlers = { on_connected, on_disconnected, on_dirty };

static void on_read(int r, const VmmDomain *d, const char *message, void *userdata)
{
	Watch *w = userdata;

	w->n_replies++;
	w->r = r;
	snprintf(w->message, sizeof(w->message), "%s", message ?: "");
	cr_expect_eq(d == NULL, r < 0);
	cr_expect_eq(message != NULL, r < 0);
	if (!d)
		return;
	w->present = d->present;
	w->active = d->active;
	w->paused = d->paused;
	w->persistent = d->persistent;
	w->id = d->id;
	w->has_pci = d->pci != NULL;
	snprintf(w->why, sizeof(w->why), "%s", d->reason ?: "");
	snprintf(w->type, sizeof(w->type), "%s", d->xml ? d->xml->type : "");
	snprintf(w->xml_error, sizeof(w->xml_error), "%s", d->xml_error ?: "");
	snprintf(w->defect, sizeof(w->defect), "%s",
		 d->xml && d->xml->defect ? d->xml->defect : "");
	snprintf(w->pci_error, sizeof(w->pci_error), "%s", d->pci_error ?: "");
}

static void on_detached(int r, const char *message, void *userdata)
{
	Watch *w = userdata;

	w->n_replies++;
	w->r = r;
	snprintf(w->message, sizeof(w->message), "%s", message ?: "");
}

static void on_channel(int r, int fd, const char *message, void *userdata)
{
	on_detached(r, message, userdata);
	cr_expect_eq(fd >= 0, r == 0);
}

#define run_while(w, condition)                                                                    \
	while (condition)                                                                          \
	cr_assert_geq(sd_event_run((w)->event, 5 * SECOND), 1, "nothing happens")

static void open_vmm(Watch *w, const char *uri)
{
	memset(w, 0, sizeof(*w));
	cr_assert_eq(sd_event_new(&w->event), 0);
	cr_assert_eq(vmm_new(&w->vmm, w->event, uri, &handlers, w), 0);
}

static void connect_vmm(Watch *w)
{
	open_vmm(w, TESTURI);
	run_while(w, w->n_connected == 0);
}

static void close_vmm(Watch *w)
{
	w->vmm = vmm_free(w->vmm);
	w->event = sd_event_unref(w->event);
}

/* The same domain by another connection: the test driver has one host per process. */
static virDomainPtr open_other(void)
{
	virConnectPtr other = virConnectOpen(TESTURI);
	virDomainPtr domain = virDomainLookupByName(other, "test");

	cr_assert_not_null(domain);
	return domain;
}

static void close_other(virDomainPtr domain)
{
	virConnectPtr other = virDomainGetConnect(domain);

	virDomainFree(domain);
	virConnectClose(other);
}

Test(vmm, one_at_a_time)
{
	Vmm *second = NULL;
	Watch w;

	open_vmm(&w, TESTURI);
	cr_expect_eq(vmm_new(&second, w.event, TESTURI, &handlers, &w), -EBUSY);
	cr_expect_null(second);
	close_vmm(&w);
	connect_vmm(&w);
	close_vmm(&w);
}

Test(vmm, free_at_once)
{
	Watch w;

	open_vmm(&w, TESTURI);
	close_vmm(&w);
	cr_expect_eq(w.n_connected, 0);
	cr_expect_eq(w.n_disconnected, 0);
}

Test(vmm, refuses_before_connected)
{
	Watch w;

	open_vmm(&w, TESTURI);
	cr_expect_not(vmm_is_connected(w.vmm));
	cr_expect_eq(vmm_read_domain(w.vmm, NOBODY, 0, 0, on_read, &w), -ENOTCONN);
	close_vmm(&w);
	cr_expect_eq(w.n_replies, 0);
}

Test(vmm, nobody_listens)
{
	Watch w;

	open_vmm(&w, "qemu+unix:///system?socket=/nonexistent/libvirt-sock");
	run_while(&w, w.n_disconnected < 2); /* it tries again by itself */
	cr_expect(strstr(w.reason, "/nonexistent/libvirt-sock") != NULL, "%s", w.reason);
	cr_expect(strstr(w.reason, "does libvirtd run") != NULL, "%s", w.reason);
	cr_expect_not(vmm_is_connected(w.vmm));
	close_vmm(&w);
}

Test(vmm, malformed_arguments)
{
	Watch w;

	connect_vmm(&w);
	cr_expect_eq(vmm_read_domain(w.vmm, "", 0, 0, on_read, &w), -EINVAL);
	cr_expect_eq(vmm_read_domain(w.vmm, "test", 0, 0, on_read, &w), -EINVAL);
	cr_expect_eq(vmm_read_domain(w.vmm, NOBODY "0", 0, 0, on_read, &w), -EINVAL);
	cr_expect_eq(vmm_detach(w.vmm, w.uuid, "", "0000:01:10.0", 0, on_detached, &w), -EINVAL);
	cr_expect_eq(vmm_detach(w.vmm, w.uuid, "a", "01:10.0", 0, on_detached, &w), -EINVAL);
	cr_expect_eq(vmm_open_channel(w.vmm, "x", "p", 0, on_channel, &w), -EINVAL);
	close_vmm(&w);
	cr_expect_eq(w.n_replies, 0);
}

Test(vmm, lists_the_active_domains)
{
	Watch w;

	connect_vmm(&w);
	cr_expect(vmm_is_connected(w.vmm));
	cr_expect_eq(w.n_domains, 1);
	cr_expect_str_eq(w.name, "test");
	cr_expect_eq(strlen(w.uuid), 36);
	cr_expect_eq(w.id, 1);
	close_vmm(&w);
}

Test(vmm, reads_a_domain_that_is_not_there)
{
	Watch w;

	connect_vmm(&w);
	cr_expect_eq(vmm_read_domain(w.vmm, NOBODY, 0, 0, on_read, &w), 0);
	cr_expect_eq(w.n_replies, 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, 0);
	cr_expect_not(w.present);
	cr_expect_str_eq(w.type, "");
	close_vmm(&w);
}

Test(vmm, reads_a_running_domain)
{
	Watch w;

	connect_vmm(&w);
	cr_expect_eq(vmm_read_domain(w.vmm, w.uuid, VMM_READ_GUEST_PCI, 0, on_read, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, 0);
	cr_expect(w.present && w.active && !w.paused && w.persistent);
	cr_expect_eq(w.id, 1);
	cr_expect_str_eq(w.type, "test", "%s", w.xml_error);
	/* No QEMU, no query-pci: said, and no reason to withhold the rest. */
	cr_expect_not(w.has_pci);
	cr_expect(strstr(w.pci_error, "query-pci") != NULL, "%s", w.pci_error);
	close_vmm(&w);
}

/* The live one: what is defined knows nothing of it. */
Test(vmm, reads_a_domain_whose_metadata_makes_no_sense)
{
	virDomainPtr domain;
	Watch w;

	connect_vmm(&w);
	domain = open_other();
	cr_assert_eq(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
					  "<tdi><device/></tdi>", "t", DOMAIN_XML_NAMESPACE,
					  VIR_DOMAIN_AFFECT_LIVE),
		     0);
	cr_expect_eq(vmm_read_domain(w.vmm, w.uuid, 0, 0, on_read, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, 0);
	cr_expect(w.present && w.active);
	cr_expect_str_eq(w.type, "test", "%s", w.xml_error);
	cr_expect(strstr(w.defect, "has no alias"), "%s", w.defect);
	close_other(domain);
	close_vmm(&w);
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

Test(vmm, events_mark_domains_dirty)
{
	uint64_t before = boottime();
	virDomainPtr domain;
	Watch w;

	connect_vmm(&w);
	domain = open_other();

	cr_assert_eq(virDomainSuspend(domain), 0);
	run_while(&w, w.n_dirty == 0);
	cr_expect_eq(w.last.reason, VMM_DIRTY_PAUSED);
	cr_expect_str_eq(w.last_uuid, w.uuid);
	cr_expect_null(w.last.alias);
	cr_expect_geq(w.last.boottime_usec, before);
	cr_expect_leq(w.last.boottime_usec, boottime());
	cr_expect_eq(vmm_read_domain(w.vmm, w.uuid, 0, 0, on_read, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect(w.active && w.paused);
	cr_expect_str_eq(w.why, "by request");

	cr_assert_eq(virDomainResume(domain), 0);
	cr_assert_eq(virDomainDestroy(domain), 0);
	run_while(&w, !(w.reasons & 1u << VMM_DIRTY_STOPPED));
	cr_expect(w.reasons & 1u << VMM_DIRTY_RESUMED);
	cr_expect_eq(vmm_read_domain(w.vmm, w.uuid, 0, 0, on_read, &w), 0);
	run_while(&w, w.n_replies == 1);
	cr_expect(w.present && !w.active && w.persistent);
	cr_expect_str_eq(w.type, "");
	cr_expect_str_eq(w.xml_error, "");
	cr_expect_str_eq(w.why, "destroyed");
	cr_expect_eq(w.id, -1);

	cr_assert_eq(virDomainCreate(domain), 0);
	run_while(&w, !(w.reasons & 1u << VMM_DIRTY_STARTED));
	cr_expect_not(w.dirty_before_connected);

	close_other(domain);
	close_vmm(&w);
}

Test(vmm, detach_outcomes)
{
	virDomainPtr domain;
	Watch w;

	connect_vmm(&w);
	cr_expect_eq(vmm_detach(w.vmm, NOBODY, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, VMM_DETACH_GONE, "%s", w.message);
	cr_expect(strstr(w.message, NOBODY) && strstr(w.message, "ua-tdi-a"), "%s", w.message);

	cr_expect_eq(vmm_detach(w.vmm, w.uuid, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 1);
	cr_expect_eq(w.r, VMM_DETACH_GONE, "%s", w.message);

	domain = open_other();
	cr_assert_eq(virDomainDestroy(domain), 0);
	cr_expect_eq(vmm_detach(w.vmm, w.uuid, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 2);
	cr_expect_eq(w.r, VMM_DETACH_GONE, "%s", w.message);
	cr_expect(strstr(w.message, "not running") != NULL, "%s", w.message);
	close_other(domain);
	close_vmm(&w);
}

Test(vmm, attach_outcomes)
{
	static const char *const aliases[] = { "", "ua-nic0", "tdi-nic0", "ua-tdi-'/><x y='" };
	virDomainPtr domain;
	Watch w;

	connect_vmm(&w);
	for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
		cr_expect_eq(
			vmm_attach(w.vmm, w.uuid, aliases[i], "0000:01:10.0", 0, on_detached, &w),
			-EINVAL, "%s", aliases[i]);
	cr_expect_eq(vmm_attach(w.vmm, w.uuid, "ua-tdi-a", "01:10.0", 0, on_detached, &w), -EINVAL);
	cr_expect_eq(vmm_attach(w.vmm, "x", "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w),
		     -EINVAL);

	cr_expect_eq(vmm_attach(w.vmm, NOBODY, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, VMM_ATTACH_GONE, "%s", w.message);
	cr_expect(strstr(w.message, NOBODY) && strstr(w.message, "0000:01:10.0 as ua-tdi-a"), "%s",
		  w.message);

	/* The test driver attaches nothing of the kind: its words are passed on. */
	cr_expect_eq(vmm_attach(w.vmm, w.uuid, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 1);
	cr_expect_eq(w.r, VMM_ATTACH_REFUSED, "%s", w.message);
	cr_expect(strstr(w.message, "cannot attach 0000:01:10.0 as ua-tdi-a: ") != NULL, "%s",
		  w.message);

	domain = open_other();
	cr_assert_eq(virDomainDestroy(domain), 0);
	cr_expect_eq(vmm_attach(w.vmm, w.uuid, "ua-tdi-a", "0000:01:10.0", 0, on_detached, &w), 0);
	run_while(&w, w.n_replies == 2);
	cr_expect_eq(w.r, VMM_ATTACH_GONE, "%s", w.message);
	cr_expect(strstr(w.message, "not running") != NULL, "%s", w.message);
	close_other(domain);
	close_vmm(&w);
}

Test(vmm, channel_that_cannot_be)
{
	Watch w;

	connect_vmm(&w);
	cr_expect_eq(vmm_open_channel(w.vmm, NOBODY, "p", 0, on_channel, &w), 0);
	run_while(&w, w.n_replies == 0);
	cr_expect_eq(w.r, -ENOENT, "%s", w.message);
	/* The test driver has no channels. */
	cr_expect_eq(vmm_open_channel(w.vmm, w.uuid, "p", 0, on_channel, &w), 0);
	run_while(&w, w.n_replies == 1);
	cr_expect_eq(w.r, -EREMOTEIO, "%s", w.message);
	cr_expect(strstr(w.message, "port p") != NULL, "%s", w.message);
	close_vmm(&w);
}

Test(vmm, free_answers_what_is_pending)
{
	Watch w;

	connect_vmm(&w);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(vmm_read_domain(w.vmm, w.uuid, 0, 0, on_read, &w), 0);
	close_vmm(&w);
	cr_expect_eq(w.n_replies, 20);
	cr_expect_eq(w.r, -ECANCELED);
	cr_expect(strstr(w.message, "shutting down") != NULL, "%s", w.message);
}

Test(vmm, words)
{
	for (unsigned i = 0; i < _VMM_DIRTY_MAX; i++)
		cr_expect_str_neq(vmm_dirty_reason_to_string(i), "unknown");
	cr_expect_str_eq(vmm_dirty_reason_to_string(_VMM_DIRTY_MAX), "unknown");
}
