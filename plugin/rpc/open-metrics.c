/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/open-metrics.h"

#include <inttypes.h>
#include <string.h>

/* From a quote out of a cache up to a session that renews its keys and certificates. */
static const uint64_t bounds_usec[HISTOGRAM_BOUNDS] = {
	100,	250,	500,	 1000,	  2500,	   5000,     10000,    25000,	 50000,	    100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 120000000,
};

static void escape(FILE *out, const char *text)
{
	for (const char *p = text; *p; p++)
		switch (*p) {
		case '\n': fputs("\\n", out); break;
		case '"': fputs("\\\"", out); break;
		case '\\': fputs("\\\\", out); break;
		default: fputc(*p, out);
		}
}

void open_metrics_family(FILE *out, const char *name, MetricType type, const char *help)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };

	fprintf(out, "# TYPE %s %s\n", name, types[type]);
	if (type == METRIC_HISTOGRAM)
		fprintf(out, "# UNIT %s seconds\n", name);
	fprintf(out, "# HELP %s ", name);
	escape(out, help);
	fputc('\n', out);
}

static void put_labels(FILE *out, const MetricLabel *labels)
{
	if (!labels || !labels->name)
		return;
	for (const MetricLabel *l = labels; l->name; l++) {
		fprintf(out, "%c%s=\"", l == labels ? '{' : ',', l->name);
		escape(out, l->value);
		fputc('"', out);
	}
	fputc('}', out);
}

void open_metrics_sample(FILE *out, const char *name, const MetricLabel *labels, uint64_t value)
{
	fputs(name, out);
	put_labels(out, labels);
	fprintf(out, " %" PRIu64 "\n", value);
}

void histogram_observe(Histogram *histogram, uint64_t usec)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && usec > bounds_usec[i])
		i++;
	histogram->counts[i]++;
	histogram->sum_usec += usec;
}

void histogram_add(Histogram *histogram, const Histogram *other)
{
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		histogram->counts[i] += other->counts[i];
	histogram->sum_usec += other->sum_usec;
}

uint64_t histogram_count(const Histogram *histogram)
{
	uint64_t n = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		n += histogram->counts[i];
	return n;
}

uint64_t histogram_bound(size_t i)
{
	return i < HISTOGRAM_BOUNDS ? bounds_usec[i] : UINT64_MAX;
}

uint64_t histogram_quantile(const Histogram *histogram, unsigned percent)
{
	uint64_t all = histogram_count(histogram), n = 0;

	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		n += histogram->counts[i];
		if (n * 100 >= all * percent)
			return bounds_usec[i];
	}
	return UINT64_MAX;
}

/* Seconds with a point, and no more digits than they have: "0.0025", "1.0". */
static void format_seconds(char text[static 32], uint64_t usec)
{
	size_t n = (size_t)snprintf(text, 32, "%" PRIu64 ".%06" PRIu64, usec / 1000000,
				    usec % 1000000);

	while (text[n - 1] == '0' && text[n - 2] != '.')
		text[--n] = '\0';
}

void open_metrics_histogram(FILE *out, const char *name, const MetricLabel *label,
			    const Histogram *histogram)
{
	char sample[128], bound[32];
	uint64_t n = 0;

	snprintf(sample, sizeof(sample), "%s_bucket", name);
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		n += histogram->counts[i];
		if (i < HISTOGRAM_BOUNDS)
			format_seconds(bound, bounds_usec[i]);
		else
			strcpy(bound, "+Inf");
		if (label)
			open_metrics_sample(out, sample, METRIC_LABELS(*label, { "le", bound }), n);
		else
			open_metrics_sample(out, sample, METRIC_LABELS({ "le", bound }), n);
	}
	snprintf(sample, sizeof(sample), "%s_count", name);
	open_metrics_sample(out, sample, label ? METRIC_LABELS(*label) : NULL, n);
	format_seconds(bound, histogram->sum_usec);
	fprintf(out, "%s_sum", name);
	put_labels(out, label ? METRIC_LABELS(*label) : NULL);
	fprintf(out, " %s\n", bound);
}

void open_metrics_end(FILE *out)
{
	fputs("# EOF\n", out);
}
