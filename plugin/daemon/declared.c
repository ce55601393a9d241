/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/declared.h"

#include "daemon/assignment-view.h"

#include <errno.h>
#include <string.h>

DeclaredDevice *declared_free(DeclaredDevice *devices)
{
	while (devices) {
		DeclaredDevice *next = devices->next;

		free(devices->alias);
		free(devices);
		devices = next;
	}
	return NULL;
}

/* No memory: it is not shown. */
static DeclaredDevice *device_new(const DomainDevice *declared)
{
	DeclaredDevice *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	*device = (DeclaredDevice){ .alias = strdup(declared->alias), .host = declared->host };
	return device->alias ? device : declared_free(device);
}

void declared_take(Domain *domain, const DomainXml *xml)
{
	DeclaredDevice **end = &domain->declared;

	domain->declared = declared_free(domain->declared);
	for (size_t i = 0; xml && i < xml->n_devices; i++) {
		const DomainDevice *d = &xml->devices[i];

		/* One that has left is listed as what it was. */
		if (domain->tvm && registry_find_assignment(domain->tvm, d->alias, d->host))
			continue;
		*end = device_new(d);
		if (*end)
			end = &(*end)->next;
	}
}

const DeclaredDevice *declared_find(Tdid *tdid, const char *domain, const char *name,
				    const Domain **ret_domain)
{
	char uuid[UUID_STRING_SIZE], host[BDF_STRING_SIZE];
	Domain *d;

	for (uint32_t p = 0; (d = registry_next_domain(tdid->registry, &p));) {
		if (!assignment_view_domain_is(domain, uuid_format(d->uuid, uuid), d->name))
			continue;
		*ret_domain = d;
		for (const DeclaredDevice *device = d->declared; device; device = device->next)
			if (strcmp(device->alias, name) == 0 ||
			    strcasecmp(bdf_format(device->host, host), name) == 0)
				return device;
	}
	return NULL;
}

/* The first provider that is not there; allocated. */
static char *who_is_away(const Tdid *tdid)
{
	char *text;

	for (size_t i = 0; i < tdid->config->n_tsms; i++) {
		const Provider *provider = tdid->providers[i];

		if (!provider_is_ready(provider))
			return asprintf(&text,
					"which TSM serves it is not known: the provider of tsm %s "
					"is not there (%s). Start the one that tdid.conf names",
					provider_name(provider),
					provider_trouble(provider) ?: "not reached yet") < 0
				       ? NULL
				       : text;
	}
	return strdup("its domain is being read");
}

static char *reason_of(const Tdid *tdid, const Domain *domain, const Provider *provider)
{
	if (!domain->tvm)
		return strdup("which QEMU is its domain's is not known: the hook tells at the "
			      "domain's start, or when libvirtd is restarted");
	if (!provider)
		return who_is_away(tdid);
	return strdup("QEMU has not said yet where the guest has it");
}

int declared_to_json(Tdid *tdid, const Domain *domain, const DeclaredDevice *device,
		     json_object **ret)
{
	char uuid[UUID_STRING_SIZE], host[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	Bdf dsm_bdf = {};
	const Provider *provider = tdid_provider_of(tdid, device->host, &dsm_bdf);
	_cleanup_free_ char *reason = reason_of(tdid, domain, provider);

	return json_build(ret, J_STRING("domain", uuid_format(domain->uuid, uuid)),
			  J_STRING("domain_name", domain->name), J_STRING("name", device->alias),
			  J_STRING("device", bdf_format(device->host, host)),
			  J_STRING("dsm", provider ? bdf_format(dsm_bdf, dsm) : NULL),
			  J_INT("generation", 0),
			  J_STRING("state", assignment_state_name(ASSIGNMENT_DECLARED)),
			  J_STRING("reason", reason),
			  J_STRING("state_source",
				   !provider || provider_tells_state(provider) ? "tsm" : "guest"),
			  J_STRING("tsm", provider ? provider_title(provider) : NULL),
			  J_BOOL("protection", provider && provider_protects(provider)),
			  J_TAKE("timeline", json_object_new_array()));
}
