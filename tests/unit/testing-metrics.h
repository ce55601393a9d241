/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A strict reader of OpenMetrics 1.0 text, which knows nothing of how ours is written: the grammar
 * of its section 3, and of the semantics what can be seen in one text.
 */
#pragma once

#include <criterion/criterion.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_SAMPLES_MAX 2048

typedef struct MetricsSample {
	char name[96];	  /* of the sample */
	char labels[256]; /* as they stand, without le */
	char le[32];
	double value;
} MetricsSample;

typedef struct MetricsText {
	MetricsSample samples[METRICS_SAMPLES_MAX];
	size_t n_samples;
	char families[64][96];
	size_t n_families;
	char type[16], unit[32]; /* of the family that is being read */
	bool has_samples, has_help;
} MetricsText;

static inline bool metrics_name_char(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' || c == ':' ||
	       (!first && isdigit((unsigned char)c));
}

static inline const char *metrics_read_name(const char *p, char *name, size_t size)
{
	size_t n = 0;

	while (metrics_name_char(p[n], n == 0))
		n++;
	cr_assert(n > 0 && n < size, "no name: %.60s", p);
	memcpy(name, p, n);
	name[n] = '\0';
	return p + n;
}

/* A quoted label value or a help text: only these three may be escaped, and nothing else. */
static inline const char *metrics_read_escaped(const char *p, char end)
{
	for (; *p != end; p++) {
		cr_assert(*p && *p != '\n', "a text does not end");
		if (*p == '\\')
			cr_assert(*++p == 'n' || *p == '"' || *p == '\\', "bad escape \\%c", *p);
	}
	return p;
}

static inline const char *metrics_read_head(MetricsText *m, const char *p)
{
	char keyword[8], name[96];
	size_t n = strcspn(p, " \n");

	cr_assert(n < sizeof(keyword) && p[n] == ' ', "bad line: # %.60s", p);
	memcpy(keyword, p, n);
	keyword[n] = '\0';
	p = metrics_read_name(p + n + 1, name, sizeof(name));
	cr_assert_eq(*p, ' ', "%s", name);
	p++;
	if (strcmp(keyword, "TYPE") == 0) {
		for (size_t i = 0; i < m->n_families; i++)
			cr_assert_str_neq(m->families[i], name, "a family comes twice");
		cr_assert_lt(m->n_families, 64);
		strcpy(m->families[m->n_families++], name);
		m->has_samples = m->has_help = false;
		m->unit[0] = '\0';
		n = strcspn(p, "\n");
		cr_assert(n < sizeof(m->type), "%s", name);
		memcpy(m->type, p, n);
		m->type[n] = '\0';
		cr_assert(strcmp(m->type, "counter") == 0 || strcmp(m->type, "gauge") == 0 ||
				  strcmp(m->type, "histogram") == 0,
			  "%s", m->type);
		return p + n;
	}
	cr_assert(m->n_families > 0 && strcmp(m->families[m->n_families - 1], name) == 0 &&
			  !m->has_samples,
		  "%s %s stands elsewhere than its family", keyword, name);
	if (strcmp(keyword, "UNIT") == 0) {
		n = strcspn(p, "\n");
		cr_assert(n > 0 && n < sizeof(m->unit) && strlen(name) > n &&
				  strncmp(name + strlen(name) - n, p, n) == 0 &&
				  name[strlen(name) - n - 1] == '_',
			  "%s does not end in its unit", name);
		return p + n;
	}
	cr_assert(strcmp(keyword, "HELP") == 0 && !m->has_help, "# %s", keyword);
	m->has_help = true;
	return metrics_read_escaped(p, '\n');
}

static inline bool metrics_has_label(const MetricsSample *s, const char *name)
{
	size_t n = strlen(name);

	if (strcmp(name, "le") == 0)
		return s->le[0];
	for (const char *p = s->labels; *p; p = strstr(p, "\",") + 2)
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return true;
	return false;
}

static inline const char *metrics_read_labels(MetricsSample *s, const char *p)
{
	size_t used = 0;

	do {
		const char *begin = ++p, *end;
		char name[32];

		p = metrics_read_name(p, name, sizeof(name));
		cr_assert(p[0] == '=' && p[1] == '"', "%s", name);
		cr_assert_not(metrics_has_label(s, name), "label %s comes twice", name);
		end = metrics_read_escaped(p + 2, '"');
		if (strcmp(name, "le") == 0) {
			cr_assert_lt((size_t)(end - p - 2), sizeof(s->le));
			memcpy(s->le, p + 2, (size_t)(end - p - 2));
		} else {
			cr_assert_lt(used + (size_t)(end - begin) + 2, sizeof(s->labels));
			memcpy(s->labels + used, begin, (size_t)(end - begin) + 1);
			used += (size_t)(end - begin) + 1;
			s->labels[used++] = ',';
		}
		p = end + 1;
	} while (*p == ',');
	cr_assert_eq(*p, '}');
	return p + 1;
}

/* Which samples a family of this type may have. */
static inline bool metrics_suffix_allowed(const MetricsText *m, const char *suffix, bool le)
{
	if (strcmp(m->type, "counter") == 0)
		return strcmp(suffix, "_total") == 0 && !le;
	if (strcmp(m->type, "gauge") == 0)
		return !*suffix && !le;
	return strcmp(suffix, "_bucket") == 0
		       ? le
		       : !le && (strcmp(suffix, "_count") == 0 || strcmp(suffix, "_sum") == 0);
}

static inline const char *metrics_read_sample(MetricsText *m, const char *p)
{
	MetricsSample *s = &m->samples[m->n_samples];
	const char *family;
	char *end;

	cr_assert_lt(m->n_samples, METRICS_SAMPLES_MAX);
	cr_assert(m->n_families > 0 && m->has_help, "a sample without family or help");
	family = m->families[m->n_families - 1];
	*s = (MetricsSample){};
	p = metrics_read_name(p, s->name, sizeof(s->name));
	if (*p == '{')
		p = metrics_read_labels(s, p);
	cr_assert_eq(*p, ' ', "%s", s->name);
	cr_assert(isdigit((unsigned char)p[1]), "%s has no value", s->name);
	s->value = strtod(p + 1, &end);
	cr_assert_eq(*end, '\n', "%s", s->name);
	cr_assert(strncmp(s->name, family, strlen(family)) == 0 &&
			  metrics_suffix_allowed(m, s->name + strlen(family), s->le[0]),
		  "%s is no sample of %s %s", s->name, m->type, family);
	for (size_t i = 0; i < m->n_samples; i++)
		cr_assert(strcmp(m->samples[i].name, s->name) != 0 ||
				  strcmp(m->samples[i].labels, s->labels) != 0 ||
				  strcmp(m->samples[i].le, s->le) != 0,
			  "%s{%s} comes twice", s->name, s->labels);
	m->has_samples = true;
	m->n_samples++;
	return end;
}

static inline const MetricsSample *metrics_sample(const MetricsText *m, const char *name,
						  const char *labels)
{
	for (size_t i = 0; i < m->n_samples; i++)
		if (strcmp(m->samples[i].name, name) == 0 &&
		    strcmp(m->samples[i].labels, labels) == 0)
			return &m->samples[i];
	return NULL;
}

/* Buckets rise in bound and in count, up to +Inf, which is the count; a sum stands beside it. */
static inline void metrics_check_histograms(const MetricsText *m)
{
	for (size_t i = 0; i < m->n_samples; i++) {
		const MetricsSample *s = &m->samples[i], *count, *next = s + 1;
		char name[96];

		if (!s->le[0])
			continue;
		if (strcmp(s->le, "+Inf") != 0) {
			char *end;

			cr_assert(strchr(s->le, '.'), "le=%s is not canonical", s->le);
			cr_assert(i + 1 < m->n_samples && strcmp(next->name, s->name) == 0 &&
				  strcmp(next->labels, s->labels) == 0);
			cr_assert_lt(strtod(s->le, &end), strtod(next->le, NULL));
			cr_assert_eq(*end, '\0');
			cr_assert_leq(s->value, next->value);
			continue;
		}
		strcpy(name, s->name);
		strcpy(name + strlen(name) - strlen("_bucket"), "_count");
		count = metrics_sample(m, name, s->labels);
		cr_assert(count && count->value == s->value, "%s", name);
		strcpy(name + strlen(name) - strlen("_count"), "_sum");
		cr_assert_not_null(metrics_sample(m, name, s->labels), "%s", name);
	}
}

static inline void metrics_read(MetricsText *m, const char *text)
{
	const char *p = text;

	memset(m, 0, sizeof(*m));
	while (strcmp(p, "# EOF\n") != 0) {
		p = strncmp(p, "# ", 2) == 0 ? metrics_read_head(m, p + 2)
					     : metrics_read_sample(m, p);
		cr_assert_eq(*p, '\n', "%.60s", p);
		p++;
	}
	metrics_check_histograms(m);
}

/* The value of the sample, which has to be there; labels as `state="running",tsm="a",`. */
static inline double metrics_value(const MetricsText *m, const char *name, const char *labels)
{
	const MetricsSample *s = metrics_sample(m, name, labels);

	cr_assert_not_null(s, "%s{%s}", name, labels);
	return s->value;
}
