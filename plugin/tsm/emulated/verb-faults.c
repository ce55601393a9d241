/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verb-faults.h"

#include <errno.h>
#include <stdlib.h>

typedef struct Armed {
	Bdf device;
	Verb verb;
	VerbFault fault;
	uint32_t times;
} Armed;

struct VerbFaults {
	Armed *armed;
	size_t n;
};

int verb_faults_new(VerbFaults **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

VerbFaults *verb_faults_free(VerbFaults *faults)
{
	if (faults)
		free(faults->armed);
	free(faults);
	return NULL;
}

static Armed *find(VerbFaults *faults, Bdf device, Verb verb)
{
	for (size_t i = 0; i < faults->n; i++)
		if (faults->armed[i].verb == verb && bdf_equal(faults->armed[i].device, device))
			return &faults->armed[i];
	return NULL;
}

int verb_faults_set(VerbFaults *faults, Bdf device, Verb verb, VerbFault fault, uint32_t times)
{
	Armed *a = find(faults, device, verb);

	if (!a) {
		Armed *list = reallocarray(faults->armed, faults->n + 1, sizeof(*list));

		if (!list)
			return -ENOMEM;
		faults->armed = list;
		a = &list[faults->n++];
	}
	*a = (Armed){ device, verb, fault, times };
	return 0;
}

VerbFault verb_faults_take(VerbFaults *faults, Bdf device, Verb verb)
{
	Armed *a = find(faults, device, verb);

	if (!a || a->times == 0)
		return (VerbFault){};
	a->times--;
	return a->fault;
}

uint64_t verb_faults_clear(VerbFaults *faults)
{
	uint64_t left = 0;

	for (size_t i = 0; i < faults->n; i++)
		left += faults->armed[i].times;
	faults->n = 0;
	return left;
}
