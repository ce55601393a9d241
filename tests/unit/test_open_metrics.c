/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/open-metrics.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

#include <stdlib.h>

static char *text;
static FILE *out;

static void set_up(void)
{
	static size_t size;

	out = open_memstream(&text, &size);
}

static void tear_down(void)
{
	free(text);
}

TestSuite(open_metrics, .init = set_up, .fini = tear_down);

static void expect(const char *expected)
{
	cr_assert_eq(fclose(out), 0);
	cr_assert_str_eq(text, expected);
}

Test(open_metrics, nothing)
{
	open_metrics_end(out);
	expect("# EOF\n");
}

Test(open_metrics, escapes)
{
	open_metrics_family(out, "x", METRIC_GAUGE, "a \"b\" \\ c\nd");
	open_metrics_sample(out, "x", METRIC_LABELS({ "tsm", "\"\\\n" }, { "b", "\xc3\xa4" }), 1);
	expect("# TYPE x gauge\n# HELP x a \\\"b\\\" \\\\ c\\nd\n"
	       "x{tsm=\"\\\"\\\\\\n\",b=\"\xc3\xa4\"} 1\n");
}

Test(open_metrics, samples)
{
	open_metrics_family(out, "x", METRIC_COUNTER, "X.");
	open_metrics_sample(out, "x_total", NULL, UINT64_MAX);
	open_metrics_sample(out, "x_total", METRIC_LABELS({}), 0);
	expect("# TYPE x counter\n# HELP x X.\nx_total 18446744073709551615\nx_total 0\n");
}

Test(open_metrics, histogram)
{
	Histogram h = {};

	histogram_observe(&h, 0);
	histogram_observe(&h, 1000);
	histogram_observe(&h, 1001);
	histogram_observe(&h, 120000001);
	open_metrics_family(out, "x_seconds", METRIC_HISTOGRAM, "X.");
	open_metrics_histogram(out, "x_seconds", NULL, &h);
	expect("# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n# HELP x_seconds X.\n"
	       "x_seconds_bucket{le=\"0.0001\"} 1\n"
	       "x_seconds_bucket{le=\"0.00025\"} 1\n"
	       "x_seconds_bucket{le=\"0.0005\"} 1\n"
	       "x_seconds_bucket{le=\"0.001\"} 2\n"
	       "x_seconds_bucket{le=\"0.0025\"} 3\n"
	       "x_seconds_bucket{le=\"0.005\"} 3\n"
	       "x_seconds_bucket{le=\"0.01\"} 3\n"
	       "x_seconds_bucket{le=\"0.025\"} 3\n"
	       "x_seconds_bucket{le=\"0.05\"} 3\n"
	       "x_seconds_bucket{le=\"0.1\"} 3\n"
	       "x_seconds_bucket{le=\"0.25\"} 3\n"
	       "x_seconds_bucket{le=\"0.5\"} 3\n"
	       "x_seconds_bucket{le=\"1.0\"} 3\n"
	       "x_seconds_bucket{le=\"2.5\"} 3\n"
	       "x_seconds_bucket{le=\"5.0\"} 3\n"
	       "x_seconds_bucket{le=\"10.0\"} 3\n"
	       "x_seconds_bucket{le=\"30.0\"} 3\n"
	       "x_seconds_bucket{le=\"60.0\"} 3\n"
	       "x_seconds_bucket{le=\"120.0\"} 3\n"
	       "x_seconds_bucket{le=\"+Inf\"} 4\n"
	       "x_seconds_count 4\n"
	       "x_seconds_sum 120.002002\n");
}

Test(open_metrics, histogram_with_label)
{
	Histogram h = {};

	open_metrics_histogram(out, "x_seconds", &(MetricLabel){ "verb", "a" }, &h);
	cr_assert_eq(fclose(out), 0);
	cr_assert_not_null(strstr(text, "x_seconds_bucket{verb=\"a\",le=\"+Inf\"} 0\n"
					"x_seconds_count{verb=\"a\"} 0\n"
					"x_seconds_sum{verb=\"a\"} 0.0\n"));
}

Test(open_metrics, quantiles)
{
	Histogram h = {};

	fclose(out);
	cr_assert_eq(histogram_count(&h), 0);
	for (int i = 0; i < 98; i++)
		histogram_observe(&h, 90);
	histogram_observe(&h, 900);
	histogram_observe(&h, 200000000);
	cr_assert_eq(histogram_count(&h), 100);
	cr_assert_eq(histogram_quantile(&h, 50), 100);
	cr_assert_eq(histogram_quantile(&h, 98), 100);
	cr_assert_eq(histogram_quantile(&h, 99), 1000);
	cr_assert_eq(histogram_quantile(&h, 100), UINT64_MAX);
}
