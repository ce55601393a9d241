/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "symmetry.h"

#include "core/cleanup.h"

#include <string.h>

static const uint8_t tvm_orders[][MAX_TVMS] = { { 0, 1 }, { 1, 0 } };
static const uint8_t tdi_orders[][MAX_TDIS] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

static bool keeps_numbers(const uint8_t *order, uint8_t from, uint8_t max)
{
	for (uint8_t i = from; i < max; i++)
		if (order[i] != i)
			return false;
	return true;
}

/* A DSM goes where its TDIs go. */
static bool arrange_dsms(const Scenario *s, Arrangement *a)
{
	for (uint8_t i = 0; i < s->dsms; i++)
		a->dsm[i] = MAX_DSMS;
	for (uint8_t i = 0; i < s->tdis; i++) {
		uint8_t *dsm = &a->dsm[s->dsm_of[i]];

		if (*dsm != MAX_DSMS && *dsm != s->dsm_of[a->tdi[i]])
			return false;
		*dsm = s->dsm_of[a->tdi[i]];
	}
	for (uint8_t i = 0; i < s->dsms; i++) {
		if (a->dsm[i] == MAX_DSMS)
			return false;
		a->dsm_at[a->dsm[i]] = i;
	}
	return true;
}

static bool arrange_assignments(const Scenario *s, Arrangement *a)
{
	for (uint8_t i = 0; i < s->assignments; i++) {
		uint8_t at = 0;

		while (at < s->assignments && (s->tvm_of[at] != a->tvm[s->tvm_of[i]] ||
					       s->tdi_of[at] != a->tdi[s->tdi_of[i]]))
			at++;
		if (at == s->assignments)
			return false;
		a->assignment[i] = at;
		a->assignment_at[at] = i;
	}
	return true;
}

void symmetry_of(const Scenario *s, Symmetry *ret)
{
	*ret = (Symmetry){};
	for (size_t v = 0; v < ELEMENTSOF(tvm_orders); v++)
		for (size_t t = 0; t < ELEMENTSOF(tdi_orders); t++) {
			Arrangement *a = &ret->arrangements[ret->n];

			if (!keeps_numbers(tvm_orders[v], s->tvms, MAX_TVMS) ||
			    !keeps_numbers(tdi_orders[t], s->tdis, MAX_TDIS))
				continue;
			memcpy(a->tvm, tvm_orders[v], sizeof(a->tvm));
			memcpy(a->tdi, tdi_orders[t], sizeof(a->tdi));
			if (arrange_dsms(s, a) && arrange_assignments(s, a))
				ret->n++;
		}
}
