/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/view.h"

#include <errno.h>
#include <string.h>

static int counts_build(json_object **ret, const Domain *domain)
{
	json_object *counts = json_object_new_object();
	int r = counts ? 0 : -ENOMEM;

	for (int i = 0; r == 0 && i < QUOTE_OUTCOMES; i++)
		r = json_add_int(counts, quote_outcome_name((QuoteOutcome)i),
				 (int64_t)domain->counts[i]);
	if (r < 0)
		json_object_put(counts);
	else
		*ret = counts;
	return r;
}

/* What is in none of its buckets is left out of them. */
static int latency_build(json_object **ret, const Histogram *latency)
{
	json_object *array = json_object_new_array();
	int r = array ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i <= HISTOGRAM_BOUNDS; i++) {
		json_object *bucket;

		if (latency->counts[i] == 0)
			continue;
		r = json_build(
			&bucket,
			J_INT_IF(i < HISTOGRAM_BOUNDS, "up_to_usec", (int64_t)histogram_bound(i)),
			J_INT("requests", (int64_t)latency->counts[i]));
		if (r == 0)
			r = json_append_take(array, bucket);
	}
	if (r < 0)
		json_object_put(array);
	else
		*ret = array;
	return r;
}

static int asker_build(json_object **ret, const Domain *domain)
{
	json_object *counts, *latency;
	char uuid[UUID_STRING_SIZE];
	bool tvm = domain->kind == DOMAIN_TVM, any = histogram_count(&domain->latency) > 0;
	int r = counts_build(&counts, domain);

	if (r < 0)
		return r;
	r = latency_build(&latency, &domain->latency);
	if (r < 0) {
		json_object_put(counts);
		return r;
	}
	return json_build(
		ret, J_STRING("domain", tvm ? uuid_format(domain->uuid, uuid) : NULL),
		J_STRING("name", domain->name ?: domain->label), J_STRING("socket", domain->socket),
		J_INT_IF(domain->cid > 0, "cid", domain->cid),
		J_INT_IF(domain->pid > 0, "qemu_pid", domain->pid),
		J_INT("in_flight", domain_askers(domain)), J_TAKE("counts", counts),
		J_INT("other", (int64_t)domain->n_other), J_INT("held", (int64_t)domain->n_held),
		J_INT_IF(any, "median_usec", (int64_t)histogram_quantile(&domain->latency, 50)),
		J_INT_IF(any, "p99_usec", (int64_t)histogram_quantile(&domain->latency, 99)),
		J_TAKE("latency", latency));
}

int view_askers(const Relay *relay, json_object **ret)
{
	json_object *array = json_object_new_array();
	int r = array ? 0 : -ENOMEM;

	for (const Domain *domain = relay->domains.first; r == 0 && domain; domain = domain->next) {
		json_object *object;

		r = asker_build(&object, domain);
		if (r == 0)
			r = json_append_take(array, object);
	}
	if (r < 0)
		json_object_put(array);
	else
		*ret = array;
	return r;
}

static int upstream_build(json_object **ret, const Upstream *upstream)
{
	bool any = histogram_count(&upstream->latency) > 0;

	return json_build(
		ret, J_STRING("address", upstream->config->name),
		J_STRING("state", upstream_state(upstream)), J_STRING("trouble", upstream->trouble),
		J_INT("in_flight", upstream->asked), J_INT("parallel", upstream->config->parallel),
		J_INT("answered", (int64_t)upstream->n_answered),
		J_INT("failed", (int64_t)upstream->n_failed),
		J_INT("checks", (int64_t)upstream->n_checks),
		J_INT_IF(any, "median_usec", (int64_t)histogram_quantile(&upstream->latency, 50)),
		J_INT_IF(any, "p99_usec", (int64_t)histogram_quantile(&upstream->latency, 99)));
}

int view_upstreams(const Relay *relay, json_object **ret)
{
	json_object *array = json_object_new_array();
	int r = array ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < relay->n_upstreams; i++) {
		json_object *object;

		r = upstream_build(&object, relay->upstreams[i]);
		if (r == 0)
			r = json_append_take(array, object);
	}
	if (r < 0)
		json_object_put(array);
	else
		*ret = array;
	return r;
}

/*
 * A label for each TVM, by UUID. Peers of none are one together, because how many there are is up
 * to them.
 */
typedef struct Sum {
	uint64_t counts[QUOTE_OUTCOMES];
	uint64_t in_flight, held, other;
	Histogram latency;
} Sum;

static void add(Sum *sum, const Domain *domain)
{
	for (int i = 0; i < QUOTE_OUTCOMES; i++)
		sum->counts[i] += domain->counts[i];
	sum->in_flight += domain_askers(domain);
	sum->held += domain->n_held;
	sum->other += domain->n_other;
	histogram_add(&sum->latency, &domain->latency);
}

static Sum sum_of_peers(const Relay *relay)
{
	const Forgotten *forgotten = &relay->domains.forgotten;
	Sum sum = { .other = forgotten->n_other, .latency = forgotten->latency };

	memcpy(sum.counts, forgotten->counts, sizeof(sum.counts));
	for (const Domain *domain = relay->domains.first; domain; domain = domain->next)
		if (domain->kind != DOMAIN_TVM)
			add(&sum, domain);
	return sum;
}

typedef void (*PutSum)(FILE *out, const char *label, const Sum *sum);

static void for_each_sum(FILE *out, const Relay *relay, PutSum put)
{
	Sum peers = sum_of_peers(relay);

	for (const Domain *domain = relay->domains.first; domain; domain = domain->next) {
		char uuid[UUID_STRING_SIZE];
		Sum sum = {};

		if (domain->kind != DOMAIN_TVM)
			continue;
		add(&sum, domain);
		put(out, uuid_format(domain->uuid, uuid), &sum);
	}
	put(out, "", &peers);
}

static void put_counts(FILE *out, const char *label, const Sum *sum)
{
	for (int i = 0; i < QUOTE_OUTCOMES; i++)
		open_metrics_sample(
			out, "tdid_quote_requests_total",
			METRIC_LABELS({ "domain", label },
				      { "outcome", quote_outcome_name((QuoteOutcome)i) }),
			sum->counts[i]);
}

static void put_in_flight(FILE *out, const char *label, const Sum *sum)
{
	open_metrics_sample(out, "tdid_quote_in_flight", METRIC_LABELS({ "domain", label }),
			    sum->in_flight);
}

static void put_latency(FILE *out, const char *label, const Sum *sum)
{
	open_metrics_histogram(out, "tdid_quote_seconds", &(MetricLabel){ "domain", label },
			       &sum->latency);
}

static void put_other(FILE *out, const char *label, const Sum *sum)
{
	open_metrics_sample(out, "tdid_quote_other_requests_total",
			    METRIC_LABELS({ "domain", label }), sum->other);
}

static void put_held(FILE *out, const char *label, const Sum *sum)
{
	open_metrics_sample(out, "tdid_quote_held_total", METRIC_LABELS({ "domain", label }),
			    sum->held);
}

static void put_upstreams(FILE *out, const Relay *relay)
{
	open_metrics_family(out, "tdid_quote_upstream_usable", METRIC_GAUGE,
			    "1 while the quoting service is asked");
	for (size_t i = 0; i < relay->n_upstreams; i++)
		open_metrics_sample(
			out, "tdid_quote_upstream_usable",
			METRIC_LABELS({ "upstream", relay->upstreams[i]->config->name }),
			upstream_is_usable(relay->upstreams[i]));
	open_metrics_family(out, "tdid_quote_upstream_failures", METRIC_COUNTER,
			    "Exchanges without a well-formed reply in time");
	for (size_t i = 0; i < relay->n_upstreams; i++)
		open_metrics_sample(
			out, "tdid_quote_upstream_failures_total",
			METRIC_LABELS({ "upstream", relay->upstreams[i]->config->name }),
			relay->upstreams[i]->n_failed);
	open_metrics_family(out, "tdid_quote_upstream_seconds", METRIC_HISTOGRAM,
			    "How long a quoting service took to answer");
	for (size_t i = 0; i < relay->n_upstreams; i++)
		open_metrics_histogram(
			out, "tdid_quote_upstream_seconds",
			&(MetricLabel){ "upstream", relay->upstreams[i]->config->name },
			&relay->upstreams[i]->latency);
}

int view_metrics(const Relay *relay, char **ret)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool failed;

	if (!out)
		return -ENOMEM;
	open_metrics_family(out, "tdid_quote_requests", METRIC_COUNTER,
			    "Requests for quotes, by the TVM that asked and how they ended");
	for_each_sum(out, relay, put_counts);
	open_metrics_family(out, "tdid_quote_other_requests", METRIC_COUNTER,
			    "Requests for platform information or collateral, however they ended");
	for_each_sum(out, relay, put_other);
	open_metrics_family(out, "tdid_quote_in_flight", METRIC_GAUGE, "Connections that are open");
	for_each_sum(out, relay, put_in_flight);
	open_metrics_family(
		out, "tdid_quote_held", METRIC_COUNTER,
		"Times that a TVM's requests had to wait in its socket's queue, for its "
		"limits");
	for_each_sum(out, relay, put_held);
	open_metrics_family(out, "tdid_quote_seconds", METRIC_HISTOGRAM,
			    "From the acceptance of a request's connection to its answer");
	for_each_sum(out, relay, put_latency);
	put_upstreams(out, relay);
	open_metrics_end(out);
	failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
