/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An assignment as callers of io.tdid.Assignments name it and see it. */
#pragma once

#include "daemon/tdid.h"

/* A state of the past, which the engine may have forgotten together with the assignment. */
typedef struct Moment {
	AssignmentState state;
	uint64_t generation;
} Moment;

/* io.tdid.Assignments.Assignment, as it is now or (`moment`) was. -ENOENT: the engine has none. */
int assignment_view_to_json(Tdid *tdid, const Assignment *a, const Moment *moment,
			    json_object **ret);

/*
 * Whether the domain, by name or UUID, has that UUID or name: what is written as a UUID is one,
 * even where another domain is named so. `domain` NULL: every one has.
 */
bool assignment_view_domain_is(const char *domain, const char *uuid, const char *name);
bool assignment_view_is_of(const Assignment *a, const char *domain);

/*
 * The domain's assignment by alias or host address. Of several it is the one that is in the live
 * domain; else one of the present incarnation; else the one of the latest bind.
 */
Assignment *assignment_view_find(Tdid *tdid, const char *domain, const char *name);

bool assignment_view_has_domain(Tdid *tdid, const char *domain);
