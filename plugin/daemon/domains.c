/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read (domain-read.h) asks QEMU where the guest sees the devices only when a trusted device is
 * there whose place is not known yet, because that question taints the domain.
 *
 * Time of device-added: the event's, which the comparison picks up when the re-read shows the
 * device.
 */
#include "daemon/domains.h"

#include "common/process.h"
#include "core/domain-xml.h"
#include "daemon/admission.h"
#include "daemon/assignments-service.h"
#include "daemon/declared.h"
#include "daemon/director.h"
#include "daemon/domain-read.h"
#include "daemon/guest-boot.h"
#include "daemon/guest-port.h"
#include "daemon/guest-timer.h"
#include "daemon/held-timers.h"
#include "daemon/incarnation.h"
#include "daemon/quote-relay.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

/* By QEMU; and nothing has told since that it is there again. */
static bool is_let_go(const Assignment *a, uint64_t added_usec)
{
	return a->deleted_usec > added_usec;
}

static bool wants_guest_address(Tdid *tdid, const Tvm *tvm, const DomainXml *xml,
				const DomainRead *read)
{
	for (size_t i = 0; i < xml->n_devices; i++) {
		const Assignment *a =
			registry_find_assignment(tvm, xml->devices[i].alias, xml->devices[i].host);

		if (a && is_let_go(a, domain_read_added(read, tvm->domain, a->alias)))
			continue;
		if (!a || !a->guest_known || !engine_assignment(tdid->engine, a->id)->present)
			return true;
	}
	return false;
}

/* libvirt's numbers for the guest's buses are not the guest's: QEMU knows. */
static void learn_guest_address(Assignment *a, const QueryPci *pci)
{
	const GuestPciFunction *f = pci ? query_pci_find(pci, a->alias) : NULL;
	char text[BDF_STRING_SIZE];

	if (!f || !f->assigned)
		return;
	a->guest = (Bdf){ .bus = f->bus, .device = f->slot, .function = f->function };
	a->guest_known = true;
	log_info("%s/%s: the TVM sees it at %s", a->tvm->domain->name, a->alias,
		 bdf_format(a->guest, text));
}

/* Where bind-when asks for no agent it is enough to know where the guest has the device. */
static bool is_ready_without_agent(const Assignment *a)
{
	return a->dsm->provider && !provider_binds_when_guest_ready(a->dsm->provider) &&
	       a->guest_known;
}

static void ready_without_agent(Tdid *tdid, const Assignment *a)
{
	if (is_ready_without_agent(a) && !engine_assignment(tdid->engine, a->id)->guest_ready)
		director_event(tdid, &(EngineEvent){ .type = EVENT_GUEST_READY, .id = a->id },
			       NULL);
}

/*
 * What the metadata cannot loosen, nor what was there before a defect of it; and one that is being
 * taken out is not to come back.
 */
static Policy policy_of(const Tdid *tdid, const DomainDevice *device, const Assignment *a)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	Policy policy = policy_tighten(&tdid->config->policy, &device->policy);

	if (a->tvm->domain && a->tvm->domain->defect && e && (e->present || a->reset))
		policy = policy_tighten(&policy, &e->policy);
	if (assignments_service_is_detaching(tdid->assignments, a))
		policy.on_reject = policy.on_timeout = policy.on_error = POLICY_DETACH;
	return policy;
}

/* Has a fault, and its policy waits for a read. */
static bool is_looked_at(const Tdid *tdid, const Assignment *a)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

	return e->state == ASSIGNMENT_ATTACHED && e->present && e->fault != FAULT_NONE &&
	       !e->retry_timer;
}

/* A read that QEMU has no part in says nothing about a reset; after a restart there was none yet.
 */
static void look(Tdid *tdid, Assignment *a, const DomainRead *read)
{
	if (!is_looked_at(tdid, a) || guest_boot_doubted(a))
		return;
	if (!(read->flags & VMM_READ_GUEST_PCI) && a->look_after == 0)
		domains_look(tdid, a);
	else if ((read->flags & VMM_READ_GUEST_PCI) && read->number > a->look_after)
		director_event(tdid, &(EngineEvent){ .type = EVENT_LOOKED, .id = a->id }, NULL);
}

/* The guest had the device and has it nowhere now: its buses are not numbered, so it starts anew.
 */
static bool is_reset(const Tdid *tdid, const Tvm *tvm, const QueryPci *pci)
{
	const GuestPciFunction *f;
	const Assignment *a;

	for (uint32_t p = 0; pci && (a = registry_next_of_tvm(tvm, &p));) {
		f = a->guest_known && is_looked_at(tdid, a) ? query_pci_find(pci, a->alias) : NULL;
		if (f && !f->assigned)
			return true;
	}
	return false;
}

static bool is_under_way(const Tdid *tdid, const Assignment *a)
{
	AssignmentState state = engine_assignment(tdid->engine, a->id)->state;

	return state != ASSIGNMENT_RELEASED && state != ASSIGNMENT_FAILED &&
	       state != ASSIGNMENT_DECLARED;
}

/* Its guest has been reset: nothing else that has come meanwhile can take that back. */
static bool was_admitted(const Tdid *tdid, const Assignment *a)
{
	return a && a->reset && engine_assignment(tdid->engine, a->id)->fault != FAULT_FOREIGN;
}

static void appear(Tdid *tdid, Tvm *tvm, const DomainXml *xml, const DomainDevice *device,
		   const QueryPci *pci, uint64_t added_usec)
{
	Assignment *a = registry_find_assignment(tvm, device->alias, device->host);
	_cleanup_free_ char *reason = NULL;
	Bdf dsm_bdf = device->host;
	Provider *provider;
	Policy policy;
	bool refused;
	Tdi *tdi;
	Dsm *dsm;

	refused = admission_of_device(tdid, xml, device, &dsm_bdf, &provider, &reason) != 0;
	if (!provider && !refused)
		return; /* read again when the providers are there */
	if (!refused && provider && !was_admitted(tdid, a))
		refused = admission_of_server(tdid, provider, device->host, dsm_bdf, &reason) != 0;
	if (!refused && !was_admitted(tdid, a))
		refused = admission_beside_dsm(tdid, device->host, dsm_bdf, &reason) != 0;
	/* The engine refuses that by itself; here is why. */
	if (!refused)
		admission_of_hold(tdid, xml, device, dsm_bdf, &reason);
	/* What libvirt said before the domain's end may come after it. */
	if (!engine_tvm(tdid->engine, tvm->id) || engine_tvm(tdid->engine, tvm->id)->stopping)
		return;
	if (registry_tdi(tdid->registry, device->host, &tdi) < 0 ||
	    registry_dsm(tdid->registry, dsm_bdf, &dsm) < 0)
		return;
	if (!dsm->provider && !refused)
		dsm->provider = provider;
	if (provider)
		tdi->dsm = dsm;
	if (!a && registry_add_assignment(tdid->registry, tvm, dsm, tdi, device->alias, &a) < 0)
		return;
	/* Who serves it may be another one, or nobody any more, since it was here before. */
	if (engine_assignment(tdid->engine, a->id) && a->dsm != dsm) {
		if (is_under_way(tdid, a))
			dsm = a->dsm;
		else if (registry_move_assignment(a, dsm) < 0)
			return;
	}
	timeline_clear(&a->timeline);
	if (timeline_mark(&a->timeline, added_usec ?: boottime_usec(),
			  added_usec ? "device-added"
			  : a->reset ? "guest reset"
				     : "seen",
			  NULL) < 0)
		return;
	policy = policy_of(tdid, device, a);
	a->reset = false;
	a->announced = added_usec;
	a->deleted_usec = 0;
	a->guest_known = false;
	learn_guest_address(a, pci);
	director_event(tdid,
		       &(EngineEvent){ .type = EVENT_APPEARED,
				       .id = a->id,
				       .tvm = tvm->id,
				       .dsm = dsm->id,
				       .tdi = tdi->id,
				       .unserved = refused,
				       .guest_ready = is_ready_without_agent(a),
				       .policy = policy },
		       reason);
	if (!engine_assignment(tdid->engine, a->id)) {
		registry_remove_assignment(tdid->registry, a); /* the engine has said why */
		return;
	}
	guest_port_tell_offer(a);
	ready_without_agent(tdid, a);
}

static bool is_listed(const DomainXml *xml, const Assignment *a)
{
	for (size_t i = 0; xml && i < xml->n_devices; i++)
		if (bdf_equal(xml->devices[i].host, a->tdi->bdf) &&
		    strcmp(xml->devices[i].alias, a->alias) == 0)
			return true;
	return false;
}

/* Everything that is no longer in the domain first: a device may come back under another alias. */
static void compare(Tdid *tdid, Tvm *tvm, const DomainXml *xml, const DomainRead *read,
		    const QueryPci *pci)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (is_listed(xml, a))
			continue;
		a->deleted_usec = 0;
		if (a->reset)
			assignments_service_left(tdid->assignments, a);
		a->reset = false;
		if (engine_assignment(tdid->engine, a->id)->present) {
			a->guest_known = false; /* it may come back elsewhere */
			director_mark(tdid, a, "device-removed", NULL);
			director_event(tdid, &(EngineEvent){ .type = EVENT_GONE, .id = a->id },
				       NULL);
		}
	}
	for (size_t i = 0; xml && i < xml->n_devices; i++) {
		const DomainDevice *device = &xml->devices[i];
		const EngineAssignment *e;
		uint64_t added_usec = domain_read_added(read, tvm->domain, device->alias);

		a = registry_find_assignment(tvm, device->alias, device->host);
		e = a ? engine_assignment(tdid->engine, a->id) : NULL;
		if (a && is_let_go(a, added_usec))
			continue;
		if (!e || !e->present) {
			appear(tdid, tvm, xml, device, pci, added_usec);
			continue;
		}
		director_event(tdid,
			       &(EngineEvent){ .type = EVENT_POLICY_CHANGED,
					       .id = a->id,
					       .policy = policy_of(tdid, device, a) },
			       NULL);
		look(tdid, a, read);
		if (!a->guest_known) {
			learn_guest_address(a, pci);
			guest_port_tell_offer(a);
		}
		ready_without_agent(tdid, a);
		if (a->detach_again && e->state == ASSIGNMENT_DETACHING)
			domains_detach(tdid, a);
		else if (a->detach_again)
			assignments_service_detach_again(tdid->assignments, a);
	}
}

/* Without the hook's word (it ran before tdid did) libvirt's own pid file tells. */
static void find_incarnation(Tdid *tdid, Domain *domain)
{
	uint64_t start_time;
	pid_t pid;
	int told = -ENOENT, r;

	if (domain->told_pid > 0)
		told = incarnation_begin(tdid, domain, domain->told_pid, domain->told_start_time);
	if (told >= 0)
		return;
	r = incarnation_libvirt_pid(domain->name, &pid);
	if (told == -ESRCH && r == -ENOENT)
		return; /* it has ended, and libvirt is about to say so */
	if (r >= 0)
		r = process_start_time(&start_time, "", pid);
	if (r >= 0)
		r = incarnation_begin(tdid, domain, pid, start_time);
	if (r < 0)
		log_warning(
			"%s: its QEMU is not known (%s): its devices wait until the hook tells, "
			"at the latest when libvirtd is restarted",
			domain->name, strerror(-r));
}

/* It is going to appear when QEMU has said where the guest has it, and its session takes longer. */
static void connect_ahead(Tdid *tdid, const Tvm *tvm, const DomainXml *xml,
			  const DomainDevice *device)
{
	_cleanup_free_ char *why = NULL;
	Provider *provider;
	Bdf dsm;

	if (admission_of_device(tdid, xml, device, &dsm, &provider, &why) == 0 && provider &&
	    admission_of_server(tdid, provider, device->host, dsm, &why) == 0 &&
	    admission_of_hold(tdid, xml, device, dsm, &why) == 0 &&
	    admission_beside_dsm(tdid, device->host, dsm, &why) == 0)
		director_connect_ahead(tdid, &(ExpectedDevice){ .device = device->host,
								.dsm = dsm,
								.provider = provider,
								.domain = tvm->uuid,
								.domain_name = tvm->domain->name,
								.alias = device->alias });
}

static void connect_all_ahead(Tdid *tdid, const Tvm *tvm, const DomainXml *xml)
{
	const EngineTvm *e = engine_tvm(tdid->engine, tvm->id);

	for (size_t i = 0; e && !e->stopping && i < xml->n_devices; i++)
		if (!registry_find_assignment(tvm, xml->devices[i].alias, xml->devices[i].host))
			connect_ahead(tdid, tvm, xml, &xml->devices[i]);
}

/* Also after a restart of tdid, and where the hook could not say which QEMU it is. */
static void tell_quoted(Tdid *tdid, const Domain *domain, const DomainXml *xml)
{
	Tvm *tvm = domain->tvm;

	if (!tvm->quotes_told && quote_relay_concerns(xml))
		quote_relay_started(tdid->quotes, xml, domain->name, tvm->pid, tvm->start_time);
	tvm->quotes_told = true;
}

/* Nothing of it can be compared; but whatever waits for a read of it need not wait longer. */
static void not_read(Tdid *tdid, const Domain *domain, const DomainRead *read)
{
	Assignment *a;

	for (uint32_t p = 0; domain && domain->tvm && (a = registry_next_of_tvm(domain->tvm, &p));)
		look(tdid, a, read);
	if (domain && domain->tvm)
		held_timers_compared(domain->tvm);
}

/* Which of its devices a malformed declaration is about, nobody knows: none is trusted less. */
static int keep_known(Tdid *tdid, const Tvm *tvm, DomainXml *xml)
{
	Assignment *a;
	int r = 0;

	for (uint32_t p = 0; r >= 0 && xml->defect && (a = registry_next_of_tvm(tvm, &p));)
		if (a->reset || engine_assignment(tdid->engine, a->id)->present)
			r = domain_xml_trust(xml, a->alias, a->tdi->bdf);
	return r;
}

/* Once, and again when it is another one. */
static void say_defect(Tdid *tdid, Domain *domain, const char *defect)
{
	Assignment *a;

	if (strcmp(domain->defect ?: "", defect ?: "") == 0)
		return;
	free(domain->defect);
	domain->defect = defect ? strdup(defect) : NULL;
	if (defect)
		log_error("%s: %s. It is left out: what is known already is kept and not "
			  "loosened, and the domain does not start again like this. Set it right "
			  "with 'virsh metadata' or 'virsh edit', or detach that device",
			  domain->name, defect);
	else
		log_info("%s: its XML has no defect any more", domain->name);
	for (uint32_t p = 0; domain->tvm && (a = registry_next_of_tvm(domain->tvm, &p));)
		director_mark(tdid, a, defect ? "domain XML: defect" : "domain XML: mended",
			      defect);
}

static void take_running(Tdid *tdid, const VmmDomain *seen, DomainXml *xml, DomainRead *read)
{
	Domain *domain;

	if (registry_domain(tdid->registry, read->uuid, &domain) < 0)
		return;
	free(domain->name);
	domain->name = strdup(seen->name);
	domain->has_guest_port = xml->has_guest_port;
	if (xml->policy_trouble && !domain->policy_trouble)
		log_warning("%s: the policy in its metadata: %s. It counts as the strictest",
			    seen->name, xml->policy_trouble);
	domain->policy_trouble = xml->policy_trouble;
	if (domain->paused != seen->paused) {
		domain->paused = seen->paused;
		if (domain->tvm)
			guest_timers_pause(domain->tvm, domain->paused);
	}
	if (!domain->name)
		return;
	say_defect(tdid, domain, xml->defect);
	if (!domain->tvm)
		find_incarnation(tdid, domain);
	if (!domain->tvm)
		return;
	if (keep_known(tdid, domain->tvm, xml) < 0) {
		log_error("%s: its devices cannot be compared: out of memory", domain->name);
		not_read(tdid, domain, read);
		return;
	}
	tell_quoted(tdid, domain, xml);
	if (domain->has_guest_port && guest_port_open(domain->tvm) < 0)
		log_error("%s: guest port: out of memory", domain->name);
	if (!(read->flags & VMM_READ_GUEST_PCI) &&
	    wants_guest_address(tdid, domain->tvm, xml, read)) {
		connect_all_ahead(tdid, domain->tvm, xml);
		domain_read_deepen(read);
		return;
	}
	if (is_reset(tdid, domain->tvm, seen->pci)) {
		guest_boot_reset(tdid, domain->tvm);
		return;
	}
	compare(tdid, domain->tvm, xml, read, seen->pci);
	assignments_service_compared(tdid->assignments, domain->tvm, xml, read->number);
	held_timers_compared(domain->tvm);
}

void domains_forget(Tdid *tdid, Domain *domain)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (tvm->domain == domain)
			return;
	registry_remove_domain(tdid->registry, domain);
}

void domains_seen(DomainRead *read, Domain *domain, const VmmDomain *seen)
{
	if (!seen->active) {
		if (domain && domain->tvm)
			compare(read->tdid, domain->tvm, NULL, read, NULL);
		if (domain)
			declared_take(domain, NULL);
	} else if (!seen->xml) {
		log_error("%s: its XML: %s. What is known of its devices is kept, and nothing new "
			  "is seen of it until that is set right with 'virsh edit'",
			  seen->name, seen->xml_error);
		not_read(read->tdid, domain, read);
	} else if (seen->xml->markers || domain) {
		take_running(read->tdid, seen, seen->xml, read);
		domain = registry_find_domain(read->tdid->registry, read->uuid);
		if (domain)
			declared_take(domain, seen->xml);
	}
}

void domains_look(Tdid *tdid, Assignment *a)
{
	if (!a->tvm->domain)
		return; /* its QEMU ends */
	a->look_after = a->tvm->domain->reads_begun;
	domain_read_start(tdid, a->tvm->uuid, VMM_READ_GUEST_PCI, NULL, 0);
}

void domains_look_lost(const Domain *domain)
{
	Assignment *a;

	for (uint32_t p = 0; domain && domain->tvm && (a = registry_next_of_tvm(domain->tvm, &p));)
		a->look_after = 0;
}

void domains_read(Tdid *tdid, Domain *domain)
{
	domain_read_start(tdid, domain->uuid, 0, NULL, 0);
}

void domains_added(Tdid *tdid, Uuid domain, const char *alias)
{
	domain_read_start(tdid, domain, 0, alias, boottime_usec());
}

void domains_read_all(Tdid *tdid)
{
	Domain *domain;

	if (!tdid->vmm || !vmm_is_connected(tdid->vmm))
		return;
	for (uint32_t p = 0; (domain = registry_next_domain(tdid->registry, &p));)
		domains_read(tdid, domain);
}
