/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text format of OpenMetrics 1.0. Errors are the stream's: whoever closes it looks.
 *
 * Only the types counter, gauge and histogram are written, so that readers of Prometheus' older
 * text format (node_exporter's textfile collector) take it too: "info" is an error to them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct MetricLabel {
	const char *name;  /* NULL ends a list */
	const char *value; /* any UTF-8 */
} MetricLabel;

/* In the type MetricLabel[]. */
#define METRIC_LABELS(...) ((const MetricLabel[]){ __VA_ARGS__, {} })

typedef enum MetricType {
	METRIC_COUNTER, /* its samples are written under NAME_total */
	METRIC_GAUGE,
	METRIC_HISTOGRAM, /* of seconds: the name ends so */
} MetricType;

/* The head; the family's samples follow. */
void open_metrics_family(FILE *out, const char *name, MetricType type, const char *help);

/* One sample of that name; `labels` may be NULL. */
void open_metrics_sample(FILE *out, const char *name, const MetricLabel *labels, uint64_t value);

#define HISTOGRAM_BOUNDS 19u

/* All zero is an empty one. How long something took. */
typedef struct Histogram {
	uint64_t
		counts[HISTOGRAM_BOUNDS + 1]; /* not cumulated; the last one is beyond all bounds */
	uint64_t sum_usec;
} Histogram;

void histogram_observe(Histogram *histogram, uint64_t usec);
void histogram_add(Histogram *histogram, const Histogram *other);
uint64_t histogram_count(const Histogram *histogram);
/* Of counts[i], in microseconds; UINT64_MAX of the last one. */
uint64_t histogram_bound(size_t i);
/* The bound, in microseconds, that so many per cent do not exceed; UINT64_MAX beyond all bounds. */
uint64_t histogram_quantile(const Histogram *histogram, unsigned percent);
/* `label` may be NULL. */
void open_metrics_histogram(FILE *out, const char *name, const MetricLabel *label,
			    const Histogram *histogram);

/* The last line. */
void open_metrics_end(FILE *out);
