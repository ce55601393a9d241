/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trusted devices that are in a running domain, and of which nothing has begun yet: the engine does
 * not know them. Callers see them as assignments that are `declared`, and why they are.
 */
#pragma once

#include "core/domain-xml.h"
#include "daemon/tdid.h"

struct DeclaredDevice {
	char *alias;
	Bdf host;
	DeclaredDevice *next;
};

/* What the domain's XML has now, NULL: nothing; all that has begun has been compared before. */
void declared_take(Domain *domain, const DomainXml *xml);
DeclaredDevice *declared_free(DeclaredDevice *devices);

/* By alias or host address; NULL: none, or it has begun. *ret_domain: in which domain. */
const DeclaredDevice *declared_find(Tdid *tdid, const char *domain, const char *name,
				    const Domain **ret_domain);

/* io.tdid.Assignments.Assignment. */
int declared_to_json(Tdid *tdid, const Domain *domain, const DeclaredDevice *device,
		     json_object **ret);
