/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry.h"

#include "daemon/bdf-index.h"
#include "daemon/declared.h"
#include "daemon/evidence-store.h"
#include "daemon/guest-port.h"
#include "daemon/provider.h"

#include <errno.h>
#include <search.h>
#include <string.h>

struct Registry {
	Tdid *tdid;
	Slots domains, tvms, dsms, tdis, assignments;
	void *domains_by_uuid; /* a tsearch(3) tree */
	BdfIndex dsms_by_bdf, tdis_by_bdf;
};

static int slots_add(Slots *s, void *object, uint32_t *ret_id)
{
	uint32_t id = s->lowest_free;

	while (id < s->n && s->slots[id])
		id++;
	if (id == s->n) {
		uint32_t n = s->n ? s->n * 2 : 16;
		void **grown = realloc(s->slots, n * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		memset(grown + s->n, 0, (n - s->n) * sizeof(*grown));
		s->slots = grown;
		s->n = n;
	}
	s->slots[id] = object;
	s->lowest_free = id + 1;
	*ret_id = id;
	return 0;
}

static void slots_remove(Slots *s, uint32_t id)
{
	s->slots[id] = NULL;
	if (id < s->lowest_free)
		s->lowest_free = id;
}

static void *slots_next(const Slots *s, uint32_t *position)
{
	while (*position < s->n) {
		void *object = s->slots[(*position)++];

		if (object)
			return object;
	}
	return NULL;
}

static void *slots_at(const Slots *s, uint32_t id)
{
	return id < s->n ? s->slots[id] : NULL;
}

static int by_uuid(const void *a, const void *b)
{
	return uuid_order(((const Domain *)a)->uuid, ((const Domain *)b)->uuid);
}

int registry_new(Registry **ret, Tdid *tdid)
{
	Registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return -ENOMEM;
	registry->tdid = tdid;
	*ret = registry;
	return 0;
}

static void nothing(void *node)
{
}

Registry *registry_free(Registry *registry)
{
	uint32_t p;
	Assignment *assignment;
	Domain *domain;
	Tvm *tvm;
	Dsm *dsm;
	Tdi *tdi;

	if (!registry)
		return NULL;
	for (p = 0; (assignment = registry_next_assignment(registry, &p));)
		registry_remove_assignment(registry, assignment);
	for (p = 0; (tvm = registry_next_tvm(registry, &p));)
		registry_remove_tvm(registry, tvm);
	for (p = 0; (domain = registry_next_domain(registry, &p));)
		registry_remove_domain(registry, domain);
	for (p = 0; (dsm = registry_next_dsm(registry, &p));) {
		sd_event_source_disable_unref(dsm->idle);
		free(dsm->assignments.slots);
		free(dsm->reason);
		dsm_cause_clear(&dsm->cause);
		dsm_cause_clear(&dsm->expected);
		free(dsm);
	}
	for (p = 0; (tdi = registry_next_tdi(registry, &p));) {
		free(tdi->reason);
		free(tdi->recorded_owner_name);
		free(tdi);
	}
	tdestroy(registry->domains_by_uuid, nothing);
	bdf_index_done(&registry->dsms_by_bdf);
	bdf_index_done(&registry->tdis_by_bdf);
	free(registry->domains.slots);
	free(registry->tvms.slots);
	free(registry->dsms.slots);
	free(registry->tdis.slots);
	free(registry->assignments.slots);
	free(registry);
	return NULL;
}

/* A new object into its slots and its index, or freed. */
static int admit(Slots *slots, BdfIndex *index, Bdf bdf, void *object, uint32_t *ret_id)
{
	int r = slots_add(slots, object, ret_id);

	if (r >= 0) {
		r = bdf_index_add(index, bdf, object);
		if (r < 0)
			slots_remove(slots, *ret_id);
	}
	if (r < 0)
		free(object);
	return r;
}

int registry_domain(Registry *registry, Uuid uuid, Domain **ret)
{
	Domain *domain = registry_find_domain(registry, uuid);
	uint32_t id;
	int r;

	if (!domain) {
		domain = calloc(1, sizeof(*domain));
		if (!domain)
			return -ENOMEM;
		domain->uuid = uuid;
		r = slots_add(&registry->domains, domain, &id);
		if (r >= 0 && !tsearch(domain, &registry->domains_by_uuid, by_uuid)) {
			slots_remove(&registry->domains, id);
			r = -ENOMEM;
		}
		if (r < 0) {
			free(domain);
			return r;
		}
	}
	*ret = domain;
	return 0;
}

int registry_dsm(Registry *registry, Bdf bdf, Dsm **ret)
{
	Dsm *dsm = registry_find_dsm(registry, bdf);

	if (!dsm) {
		dsm = calloc(1, sizeof(*dsm));
		if (!dsm)
			return -ENOMEM;
		dsm->tdid = registry->tdid;
		dsm->bdf = bdf;
		dsm->pinned_by = -1;
		if (admit(&registry->dsms, &registry->dsms_by_bdf, bdf, dsm, &dsm->id) < 0)
			return -ENOMEM;
	}
	*ret = dsm;
	return 0;
}

int registry_tdi(Registry *registry, Bdf bdf, Tdi **ret)
{
	Tdi *tdi = registry_find_tdi(registry, bdf);

	if (!tdi) {
		tdi = calloc(1, sizeof(*tdi));
		if (!tdi)
			return -ENOMEM;
		tdi->bdf = bdf;
		if (admit(&registry->tdis, &registry->tdis_by_bdf, bdf, tdi, &tdi->id) < 0)
			return -ENOMEM;
	}
	*ret = tdi;
	return 0;
}

Domain *registry_find_domain(Registry *registry, Uuid uuid)
{
	Domain key = { .uuid = uuid };
	Domain **found = tfind(&key, &registry->domains_by_uuid, by_uuid);

	return found ? *found : NULL;
}

Dsm *registry_find_dsm(Registry *registry, Bdf bdf)
{
	return bdf_index_find(&registry->dsms_by_bdf, bdf);
}

Tdi *registry_find_tdi(Registry *registry, Bdf bdf)
{
	return bdf_index_find(&registry->tdis_by_bdf, bdf);
}

Assignment *registry_find_assignment(const Tvm *tvm, const char *alias, Bdf bdf)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));)
		if (bdf_equal(a->tdi->bdf, bdf) && strcmp(a->alias, alias) == 0)
			return a;
	return NULL;
}

int registry_add_tvm(Registry *registry, Domain *domain, Tvm **ret)
{
	Tvm *tvm = calloc(1, sizeof(*tvm));

	if (!tvm)
		return -ENOMEM;
	tvm->tdid = registry->tdid;
	tvm->uuid = domain->uuid;
	tvm->domain = domain;
	tvm->pidfd = -1;
	if (slots_add(&registry->tvms, tvm, &tvm->id) < 0) {
		free(tvm);
		return -ENOMEM;
	}
	*ret = tvm;
	return 0;
}

void registry_remove_tvm(Registry *registry, Tvm *tvm)
{
	slots_remove(&registry->tvms, tvm->id);
	if (tvm->domain && tvm->domain->tvm == tvm)
		tvm->domain->tvm = NULL;
	sd_event_source_disable_unref(tvm->exit);
	sd_event_source_disable_unref(tvm->boot_doubt);
	if (tvm->pidfd >= 0)
		close(tvm->pidfd);
	guest_port_free(tvm->port);
	free(tvm->assignments.slots);
	free(tvm->guest_boot);
	free(tvm);
}

/* In all three, or in none. */
static int list(Registry *registry, Assignment *a)
{
	if (slots_add(&registry->assignments, a, &a->id) < 0)
		return -ENOMEM;
	if (slots_add(&a->tvm->assignments, a, &a->of_tvm) < 0) {
		slots_remove(&registry->assignments, a->id);
		return -ENOMEM;
	}
	if (slots_add(&a->dsm->assignments, a, &a->of_dsm) < 0) {
		slots_remove(&a->tvm->assignments, a->of_tvm);
		slots_remove(&registry->assignments, a->id);
		return -ENOMEM;
	}
	return 0;
}

char *assignment_title(const Assignment *a)
{
	char uuid[UUID_STRING_SIZE], *text;

	if (asprintf(&text, "%s/%s",
		     a->tvm->domain ? a->tvm->domain->name : uuid_format(a->tvm->uuid, uuid),
		     a->alias) < 0)
		return NULL;
	return text;
}

int registry_add_assignment(Registry *registry, Tvm *tvm, Dsm *dsm, Tdi *tdi, const char *alias,
			    Assignment **ret)
{
	Assignment *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->tdid = registry->tdid;
	a->tvm = tvm;
	a->dsm = dsm;
	a->tdi = tdi;
	a->alias = strdup(alias);
	if (!a->alias || list(registry, a) < 0) {
		free(a->alias);
		free(a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

int registry_move_assignment(Assignment *a, Dsm *dsm)
{
	uint32_t place;

	if (slots_add(&dsm->assignments, a, &place) < 0)
		return -ENOMEM;
	slots_remove(&a->dsm->assignments, a->of_dsm);
	a->dsm = dsm;
	a->of_dsm = place;
	return 0;
}

void registry_remove_assignment(Registry *registry, Assignment *a)
{
	slots_remove(&registry->assignments, a->id);
	slots_remove(&a->tvm->assignments, a->of_tvm);
	slots_remove(&a->dsm->assignments, a->of_dsm);
	sd_event_source_disable_unref(a->guest_timer);
	sd_event_source_disable_unref(a->retry_timer);
	sd_event_source_disable_unref(a->detach_timer);
	evidence_store_forget(a);
	timeline_clear(&a->timeline);
	free(a->attach_token.text);
	free(a->detach_token.text);
	free(a->reason);
	free(a->alias);
	free(a);
}

AddedMark *added_marks_free(AddedMark *marks)
{
	while (marks) {
		AddedMark *next = marks->next;

		free(marks->alias);
		free(marks);
		marks = next;
	}
	return NULL;
}

void registry_remove_domain(Registry *registry, Domain *domain)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(registry, &p));)
		if (tvm->domain == domain)
			tvm->domain = NULL;
	tdelete(domain, &registry->domains_by_uuid, by_uuid);
	for (uint32_t id = 0; id < registry->domains.n; id++)
		if (registry->domains.slots[id] == domain)
			slots_remove(&registry->domains, id);
	added_marks_free(domain->added);
	free(domain->name);
	free(domain->defect);
	declared_free(domain->declared);
	free(domain);
}

Tvm *registry_tvm_at(Registry *registry, uint32_t id)
{
	return slots_at(&registry->tvms, id);
}

Dsm *registry_dsm_at(Registry *registry, uint32_t id)
{
	return slots_at(&registry->dsms, id);
}

Tdi *registry_tdi_at(Registry *registry, uint32_t id)
{
	return slots_at(&registry->tdis, id);
}

Assignment *registry_assignment_at(Registry *registry, uint32_t id)
{
	return slots_at(&registry->assignments, id);
}

Tvm *registry_next_tvm(Registry *registry, uint32_t *position)
{
	return slots_next(&registry->tvms, position);
}

Dsm *registry_next_dsm(Registry *registry, uint32_t *position)
{
	return slots_next(&registry->dsms, position);
}

Tdi *registry_next_tdi(Registry *registry, uint32_t *position)
{
	return slots_next(&registry->tdis, position);
}

Assignment *registry_next_assignment(Registry *registry, uint32_t *position)
{
	return slots_next(&registry->assignments, position);
}

Assignment *registry_next_of_tvm(const Tvm *tvm, uint32_t *position)
{
	return slots_next(&tvm->assignments, position);
}

Assignment *registry_next_of_dsm(const Dsm *dsm, uint32_t *position)
{
	return slots_next(&dsm->assignments, position);
}

Domain *registry_next_domain(Registry *registry, uint32_t *position)
{
	return slots_next(&registry->domains, position);
}
