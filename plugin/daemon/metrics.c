/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters are kept here; gauges are made when they are asked for, out of what the registry, the
 * inventory and the API's service know.
 */
#include "daemon/metrics.h"

#include "daemon/assignments-service.h"
#include "daemon/inventory.h"
#include "rpc/open-metrics.h"

#include <errno.h>
#include <string.h>

/* libvirt's words; the last one is for any other. */
static const char *const hook_operations[] = {
	"prepare", "start",   "started", "stopped",   "release",
	"migrate", "restore", "attach",	 "reconnect", "other",
};
#define HOOK_OPERATIONS ELEMENTSOF(hook_operations)

static const char *const hook_outcomes[METRICS_HOOK_N] = {
	[METRICS_HOOK_ANSWERED] = "answered",
	[METRICS_HOOK_REFUSED] = "refused",
	[METRICS_HOOK_LATE] = "late",
	[METRICS_HOOK_GONE] = "gone",
};

static const char *const verbs[VERB_N] = {
	[VERB_CONNECT] = "device_connect",
	[VERB_RECLAIM] = "device_reclaim",
	[VERB_BIND] = "tdi_bind",
	[VERB_UNBIND] = "tdi_unbind",
	[VERB_CLEAR] = "clear",
	[VERB_LOCK] = "tdi_lock",
	[VERB_START] = "tdi_start",
};

#define OUTCOMES 3
static const char *const outcomes[OUTCOMES] = {
	[OUTCOME_DONE] = "done",
	[OUTCOME_REFUSED] = "refused",
	[OUTCOME_UNKNOWN] = "unknown",
};

typedef uint64_t Transitions[ASSIGNMENT_N_STATES];

struct Metrics {
	const Config *config;
	Transitions *transitions; /* one for each TSM, and one for none */
	uint64_t faults[FAULT_N];
	uint64_t verbs[VERB_N][OUTCOMES];
	Histogram durations[VERB_N];
	Histogram running;
	uint64_t hooks[HOOK_OPERATIONS][METRICS_HOOK_N];
	uint64_t records_failed;
};

int metrics_new(Metrics **ret, const Config *config)
{
	Metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	metrics->config = config;
	metrics->transitions = calloc(config->n_tsms + 1, sizeof(*metrics->transitions));
	if (!metrics->transitions) {
		free(metrics);
		return -ENOMEM;
	}
	*ret = metrics;
	return 0;
}

Metrics *metrics_free(Metrics *metrics)
{
	if (metrics)
		free(metrics->transitions);
	free(metrics);
	return NULL;
}

/* --- counting --- */

void metrics_transition(Metrics *metrics, AssignmentState state, const Provider *provider)
{
	size_t i = 0;

	if (!metrics)
		return;
	while (i < metrics->config->n_tsms &&
	       (!provider || strcmp(metrics->config->tsms[i].name, provider_name(provider)) != 0))
		i++;
	metrics->transitions[i][state]++;
}

void metrics_fault(Metrics *metrics, EngineFault fault)
{
	if (metrics)
		metrics->faults[fault]++;
}

void metrics_ran(Metrics *metrics, uint64_t usec)
{
	if (metrics)
		histogram_observe(&metrics->running, usec);
}

void metrics_verb(Metrics *metrics, Verb verb, const OperationResult *result)
{
	if (!metrics)
		return;
	metrics->verbs[verb][result->outcome]++;
	if (result->timed)
		histogram_observe(&metrics->durations[verb], result->duration_usec);
}

void metrics_record_failed(Metrics *metrics)
{
	if (metrics)
		metrics->records_failed++;
}

void metrics_hook(Metrics *metrics, const char *operation, MetricsHook outcome)
{
	size_t i = 0;

	if (!metrics)
		return;
	while (i < HOOK_OPERATIONS - 1 && strcmp(hook_operations[i], operation) != 0)
		i++;
	metrics->hooks[i][outcome]++;
}

/* --- telling --- */

static void put_transitions(FILE *out, const Metrics *metrics)
{
	const Config *config = metrics->config;

	open_metrics_family(out, "tdid_transitions", METRIC_COUNTER,
			    "Assignments that came into a state, by their TSM.");
	for (size_t i = 0; i <= config->n_tsms; i++)
		for (size_t state = 0; state < ASSIGNMENT_N_STATES; state++)
			open_metrics_sample(
				out, "tdid_transitions_total",
				METRIC_LABELS(
					{ "state", assignment_state_name(state) },
					{ "tsm", i < config->n_tsms ? config->tsms[i].name : "" }),
				metrics->transitions[i][state]);
	open_metrics_family(out, "tdid_faults", METRIC_COUNTER,
			    "Assignments that left the way to RUN, by the cause.");
	for (size_t fault = FAULT_NONE + 1; fault < FAULT_N; fault++)
		open_metrics_sample(out, "tdid_faults_total",
				    METRIC_LABELS({ "fault", engine_fault_name(fault) }),
				    metrics->faults[fault]);
	open_metrics_family(out, "tdid_attach_to_running_seconds", METRIC_HISTOGRAM,
			    "From libvirt's device-added of a hot-plugged device to RUN.");
	open_metrics_histogram(out, "tdid_attach_to_running_seconds", NULL, &metrics->running);
}

static void put_verbs(FILE *out, const Metrics *metrics)
{
	open_metrics_family(out, "tdid_verbs", METRIC_COUNTER,
			    "Verbs asked of the TSMs that are over, by their outcome.");
	for (size_t verb = 0; verb < VERB_N; verb++)
		for (size_t i = 0; i < OUTCOMES; i++)
			open_metrics_sample(
				out, "tdid_verbs_total",
				METRIC_LABELS({ "verb", verbs[verb] }, { "outcome", outcomes[i] }),
				metrics->verbs[verb][i]);
	open_metrics_family(out, "tdid_verb_duration_seconds", METRIC_HISTOGRAM,
			    "How long they took, from their start (queued ones wait before it).");
	for (size_t verb = 0; verb < VERB_N; verb++)
		open_metrics_histogram(out, "tdid_verb_duration_seconds",
				       &(MetricLabel){ "verb", verbs[verb] },
				       &metrics->durations[verb]);
}

static void put_hooks(FILE *out, const Metrics *metrics)
{
	open_metrics_family(out, "tdid_hook_calls", METRIC_COUNTER,
			    "Calls of libvirt's hook for domains that carry a marker of ours.");
	for (size_t i = 0; i < HOOK_OPERATIONS; i++)
		for (size_t outcome = 0; outcome < METRICS_HOOK_N; outcome++)
			open_metrics_sample(out, "tdid_hook_calls_total",
					    METRIC_LABELS({ "operation", hook_operations[i] },
							  { "outcome", hook_outcomes[outcome] }),
					    metrics->hooks[i][outcome]);
}

static void put_assignments(FILE *out, const Tdid *tdid)
{
	uint64_t n[ASSIGNMENT_N_STATES] = {};
	const Assignment *a;

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

		if (e)
			n[e->state]++;
	}
	open_metrics_family(out, "tdid_assignments", METRIC_GAUGE,
			    "Assignments that are in a state now.");
	for (size_t state = 0; state < ASSIGNMENT_N_STATES; state++)
		open_metrics_sample(out, "tdid_assignments",
				    METRIC_LABELS({ "state", assignment_state_name(state) }),
				    n[state]);
}

/* What tdictl devices shows. */
static void put_inventory(FILE *out, json_object *inventory)
{
	json_object *tsms = json_get_array(inventory, "tsms");
	json_object *dsms = json_get_array(inventory, "dsms");
	json_object *devices = json_get_array(inventory, "devices");
	uint64_t n[DSM_N_STATES] = {}, quarantined = 0;
	DsmState state;

	for (size_t i = 0; i < json_object_array_length(dsms); i++)
		if (dsm_state_parse(&state, json_get_string(json_object_array_get_idx(dsms, i),
							    "state")) >= 0)
			n[state]++;
	for (size_t i = 0; i < json_object_array_length(devices); i++)
		quarantined +=
			json_get_bool(json_object_array_get_idx(devices, i), "quarantined", false);
	open_metrics_family(out, "tdid_dsms", METRIC_GAUGE, "DSMs that are in a state now.");
	for (size_t i = 0; i < DSM_N_STATES; i++)
		open_metrics_sample(out, "tdid_dsms", METRIC_LABELS({ "state", dsm_state_name(i) }),
				    n[i]);
	open_metrics_family(out, "tdid_quarantined_devices", METRIC_GAUGE,
			    "Functions of which nobody knows what the TSM holds.");
	open_metrics_sample(out, "tdid_quarantined_devices", NULL, quarantined);
	open_metrics_family(out, "tdid_tsm_ready", METRIC_GAUGE,
			    "1 when its provider answers, and what it holds is known.");
	for (size_t i = 0; i < json_object_array_length(tsms); i++) {
		json_object *tsm = json_object_array_get_idx(tsms, i);

		open_metrics_sample(out, "tdid_tsm_ready",
				    METRIC_LABELS({ "tsm", json_get_string(tsm, "name") }),
				    json_get_bool(tsm, "ready", false));
	}
}

static void put_callers(FILE *out, const Tdid *tdid)
{
	AssignmentsServiceCounts counts = assignments_service_counts(tdid->assignments);

	open_metrics_family(out, "tdid_api_connections", METRIC_GAUGE,
			    "Connections to io.tdid.Assignments.");
	open_metrics_sample(out, "tdid_api_connections", NULL, counts.connections);
	open_metrics_family(out, "tdid_watchers", METRIC_GAUGE, "Monitor calls under way.");
	open_metrics_sample(out, "tdid_watchers", NULL, counts.watchers);
	open_metrics_family(out, "tdid_waiters", METRIC_GAUGE, "Wait calls under way.");
	open_metrics_sample(out, "tdid_waiters", NULL, counts.waiters);
	open_metrics_family(out, "tdid_changes", METRIC_COUNTER,
			    "Changes of assignments, as Monitor numbers them.");
	open_metrics_sample(out, "tdid_changes_total", NULL, counts.changes);
}

static void put_all(FILE *out, const Tdid *tdid, json_object *inventory)
{
	const Metrics *metrics = tdid->metrics;

	open_metrics_family(out, "tdid_build_info", METRIC_GAUGE, "1, with the version.");
	open_metrics_sample(out, "tdid_build_info", METRIC_LABELS({ "version", TDID_VERSION }), 1);
	put_transitions(out, metrics);
	put_verbs(out, metrics);
	put_hooks(out, metrics);
	open_metrics_family(out, "tdid_record_write_failures", METRIC_COUNTER,
			    "Records that could not be written.");
	open_metrics_sample(out, "tdid_record_write_failures_total", NULL, metrics->records_failed);
	put_assignments(out, tdid);
	put_inventory(out, inventory);
	put_callers(out, tdid);
	open_metrics_end(out);
}

int metrics_to_text(Tdid *tdid, char **ret)
{
	_cleanup_(json_unrefp) json_object *inventory = NULL;
	char *text = NULL;
	size_t size;
	FILE *out;
	int r = inventory_to_json(tdid, &inventory);

	if (r < 0)
		return r;
	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;
	put_all(out, tdid, inventory);
	r = ferror(out) ? -ENOMEM : 0;
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
