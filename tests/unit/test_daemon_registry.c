/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/tdid.h"
#include "testing-daemon.h"

#include <errno.h>

static Tdid tdid;
static Registry *registry;

static void set_up(void)
{
	cr_assert_eq(registry_new(&registry, &tdid), 0);
}

static void tear_down(void)
{
	registry = registry_free(registry);
}

TestSuite(daemon_registry, .init = set_up, .fini = tear_down);

static Bdf bdf(const char *text)
{
	Bdf value = {};

	cr_assert_eq(bdf_parse(&value, text), 0);
	return value;
}

static Uuid uuid(unsigned int n)
{
	return (Uuid){ .bytes = { [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

Test(daemon_registry, nothing_there)
{
	uint32_t p = 0;

	cr_assert_null(registry_find_domain(registry, uuid(1)));
	cr_assert_null(registry_find_tdi(registry, bdf("0000:00:00.0")));
	cr_assert_null(registry_find_dsm(registry, bdf("0000:00:00.0")));
	cr_assert_null(registry_tvm_at(registry, 0));
	cr_assert_null(registry_assignment_at(registry, UINT32_MAX));
	cr_assert_null(registry_next_assignment(registry, &p));
	cr_assert_null(registry_free(NULL));
}

Test(daemon_registry, one_object_for_one_address)
{
	Dsm *a, *b;
	Tdi *x, *y;

	cr_assert_eq(registry_dsm(registry, bdf("0000:41:00.0"), &a), 0);
	cr_assert_eq(registry_dsm(registry, bdf("0000:41:00.0"), &b), 0);
	cr_assert_eq(a, b);
	cr_assert_eq(registry_dsm(registry, bdf("0001:41:00.0"), &b), 0);
	cr_assert_neq(a, b);
	cr_assert_eq(registry_tdi(registry, bdf("0000:41:00.0"), &x), 0);
	cr_assert_eq(registry_tdi(registry, bdf("0000:41:00.1"), &y), 0);
	cr_assert_neq(x->id, y->id);
	cr_assert_eq(registry_tdi_at(registry, y->id), y);
}

Test(daemon_registry, ids_are_used_again_lowest_first)
{
	Assignment *a[40], *again;
	Domain *domain;
	Tvm *tvm;
	Dsm *dsm;
	Tdi *tdi;

	registry_domain(registry, uuid(1), &domain);
	registry_add_tvm(registry, domain, &tvm);
	registry_dsm(registry, bdf("0000:41:00.0"), &dsm);
	registry_tdi(registry, bdf("0000:41:00.1"), &tdi);
	for (uint32_t i = 0; i < ELEMENTSOF(a); i++) {
		cr_assert_eq(registry_add_assignment(registry, tvm, dsm, tdi, "a", &a[i]), 0);
		cr_assert_eq(a[i]->id, i);
	}
	registry_remove_assignment(registry, a[30]);
	registry_remove_assignment(registry, a[3]);
	cr_assert_null(registry_assignment_at(registry, 3));
	registry_add_assignment(registry, tvm, dsm, tdi, "a", &again);
	cr_assert_eq(again->id, 3);
	registry_add_assignment(registry, tvm, dsm, tdi, "a", &again);
	cr_assert_eq(again->id, 30);
	registry_add_assignment(registry, tvm, dsm, tdi, "a", &again);
	cr_assert_eq(again->id, 40);
}

Test(daemon_registry, removal_during_a_walk)
{
	Domain *domain;
	unsigned int n = 0;
	Tvm *tvm;

	registry_domain(registry, uuid(1), &domain);
	for (int i = 0; i < 20; i++)
		registry_add_tvm(registry, domain, &tvm);
	for (uint32_t p = 0; (tvm = registry_next_tvm(registry, &p)); n++)
		registry_remove_tvm(registry, tvm);
	cr_assert_eq(n, 20);
}

Test(daemon_registry, assignment_is_of_alias_and_address)
{
	Assignment *a;
	Domain *domain;
	Tvm *tvm, *other;
	Dsm *dsm;
	Tdi *tdi;

	registry_domain(registry, uuid(1), &domain);
	registry_add_tvm(registry, domain, &tvm);
	registry_add_tvm(registry, domain, &other);
	registry_dsm(registry, bdf("0000:41:00.0"), &dsm);
	registry_tdi(registry, bdf("0000:41:00.1"), &tdi);
	registry_add_assignment(registry, tvm, dsm, tdi, "a", &a);
	cr_assert_eq(registry_find_assignment(tvm, "a", tdi->bdf), a);
	cr_assert_null(registry_find_assignment(tvm, "b", tdi->bdf));
	cr_assert_null(registry_find_assignment(tvm, "a", dsm->bdf));
	cr_assert_null(registry_find_assignment(other, "a", tdi->bdf));
}

Test(daemon_registry, domain_goes_before_its_tvm)
{
	Domain *domain;
	Tvm *tvm;

	for (unsigned int i = 0; i < 100; i++)
		cr_assert_eq(registry_domain(registry, uuid(i * 7 % 100), &domain), 0);
	registry_add_tvm(registry, domain, &tvm);
	domain->tvm = tvm;
	registry_remove_domain(registry, domain);
	cr_assert_null(tvm->domain);
	for (unsigned int i = 0; i < 99; i++)
		cr_assert_not_null(registry_find_domain(registry, uuid(i * 7 % 100)));
	cr_assert_null(registry_find_domain(registry, uuid(99 * 7 % 100)));
}
