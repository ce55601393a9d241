/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts the parts in the order in which they need each other, and ends them.
 *
 * Records are put back before anything can cause an event; sockets are opened last, so that whoever
 * gets through finds a daemon that knows what it did before.
 */
#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "daemon/domain-read.h"
#include "daemon/domains.h"
#include "daemon/evidence-store.h"
#include "daemon/guest-tsm.h"
#include "daemon/hook-service.h"
#include "daemon/quote-relay.h"
#include "daemon/metrics.h"
#include "daemon/records.h"
#include "daemon/tsm-report.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

Provider *tdid_provider_of(Tdid *tdid, Bdf device, Bdf *ret_dsm)
{
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (tdid->providers[i] && provider_serves(tdid->providers[i], device, ret_dsm))
			return tdid->providers[i];
	return NULL;
}

const Provider *tdid_rival_of(const Tdid *tdid, const Provider *provider, const Bdf *device,
			      Bdf dsm)
{
	for (size_t i = 0; i < tdid->config->n_tsms; i++) {
		const Provider *other = tdid->providers[i];
		Bdf others_dsm;

		if (other && other != provider &&
		    ((device && provider_serves(other, *device, &others_dsm)) ||
		     provider_has_dsm(other, dsm)))
			return other;
	}
	return NULL;
}

bool tdid_providers_ready(const Tdid *tdid)
{
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (!provider_is_ready(tdid->providers[i]))
			return false;
	return true;
}

static int read_boot_id(char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || !fgets(ret, (int)size, f))
		return -EIO;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/*
 * 30 random bits, then a counter of 32: not above the numbers of an earlier run, but none of them.
 * That matters because a provider answers a number that it knows with that one's outcome; what was
 * in flight when tdid ended is meant to be, and is sent again under its own number
 * (director_resume). A late answer to an earlier run cannot be taken for one to this: an answer
 * carries no number, it belongs to the call on whose connection it comes, and those connections
 * have ended with that run.
 */
static int first_operation(uint64_t *ret)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	*ret = (uint64_t)((random & INT32_MAX) | 1) << 32 | 1;
	return 0;
}

static int start_providers(Tdid *tdid)
{
	int r = 0;

	tdid->providers = calloc(tdid->config->n_tsms + 1, sizeof(*tdid->providers));
	if (!tdid->providers)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < tdid->config->n_tsms; i++)
		r = provider_new(&tdid->providers[i], tdid->event, &tdid->config->tsms[i],
				 &tsm_report_handlers, tdid);
	return r;
}

int tdid_start(Tdid *tdid, char **ret_error)
{
	char boot_id[64];
	uint64_t operation;
	int r;

	r = read_boot_id(boot_id, sizeof(boot_id));
	if (r >= 0)
		r = first_operation(&operation);
	if (r >= 0)
		r = store_open(&tdid->store, tdid->config->records, boot_id, ret_error);
	if (r >= 0)
		r = metrics_new(&tdid->metrics, tdid->config);
	if (r >= 0)
		r = evidence_store_new(&tdid->evidence, tdid->event);
	if (r >= 0)
		r = registry_new(&tdid->registry, tdid);
	if (r >= 0)
		r = engine_new(&tdid->engine, operation);
	if (r >= 0)
		r = director_new(tdid);
	if (r >= 0)
		r = operations_new(&tdid->operations, tdid->event,
				   tdid->config->operation_deadline_usec,
				   &director_operation_handlers, tdid);
	if (r >= 0)
		r = start_providers(tdid);
	if (r >= 0)
		r = records_restore(tdid, ret_error);
	if (r >= 0)
		r = quote_relay_new(&tdid->quotes, tdid->event, tdid->config->sockets);
	if (r >= 0)
		r = vmm_new(&tdid->vmm, tdid->event, tdid->config->libvirt, &domains_handlers,
			    tdid);
	if (r >= 0)
		r = assignments_service_new(&tdid->assignments, tdid, ret_error);
	if (r >= 0)
		r = hook_service_new(&tdid->hook, tdid, ret_error);
	if (r >= 0)
		director_resume(tdid);
	return r;
}

void tdid_stop(Tdid *tdid)
{
	tdid->hook = hook_service_free(tdid->hook);
	tdid->quotes = quote_relay_free(tdid->quotes);
	tdid->assignments = assignments_service_free(tdid->assignments);
	tdid->operations = operations_free(tdid->operations);
	tdid->registry = registry_free(tdid->registry);
	guest_turns_done(&tdid->guest_turns);
	tdid->vmm = vmm_free(tdid->vmm);
	domain_reads_stop(tdid);
	for (size_t i = 0; tdid->providers && i < tdid->config->n_tsms; i++)
		provider_free(tdid->providers[i]);
	free(tdid->providers);
	evidence_store_free(tdid->evidence);
	director_free(tdid);
	metrics_free(tdid->metrics);
	engine_free(tdid->engine);
	store_free(tdid->store);
	config_free(tdid->config);
	sd_event_unref(tdid->event);
}
