/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/doctor.h"
#include "cli/doctor/host-tree.h"
#include "cli/text.h"

#include <errno.h>
#include <string.h>

#define CONFIG_SIZE_MAX (1024u * 1024)

/* True when tdid has not answered, which has been told then. */
static bool away(const Doctor *d, DoctorFinding *ret)
{
	if (d->served_error == 0)
		return false;
	doctor_find(ret, DOCTOR_UNKNOWN, "tdid does not tell: see tdid.socket");
	return true;
}

void doctor_probe_tdid(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	if (d->served_error == 0)
		doctor_find(ret, DOCTOR_OK, "tdid answers");
	else
		doctor_find(ret, d->served_error == -EACCES ? DOCTOR_UNKNOWN : DOCTOR_MISSING, "%s",
			    d->served_sentence);
}

/* tdid has its own, thorough reading of it; this one tells a file that cannot be meant. */
void doctor_probe_tdid_config(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *text = NULL, *error = NULL;
	json_object *tsms;
	size_t size = 0;
	int r = host_tree_read(d->root, check->path, CONFIG_SIZE_MAX, &text, &size);

	if (r == -EACCES) {
		doctor_find(ret, DOCTOR_UNKNOWN, "%s: %s", check->path, strerror(EACCES));
	} else if (r < 0) {
		doctor_find(ret, DOCTOR_MISSING, "%s: %s", check->path, strerror(-r));
	} else if (json_parse(&object, text, size, &error) < 0) {
		doctor_find(ret, DOCTOR_MISSING, "%s is no JSON: %s", check->path, error);
		ret->way_out = "mend it at that place; tdid does not start with it";
	} else {
		tsms = json_get_array(object, "tsms");
		if (tsms && json_object_array_length(tsms) > 0)
			doctor_find(ret, DOCTOR_OK, "%s names %zu provider%s", check->path,
				    json_object_array_length(tsms),
				    json_object_array_length(tsms) == 1 ? "" : "s");
		else
			doctor_find(ret, DOCTOR_MISSING, "%s names no provider (\"tsms\")",
				    check->path);
	}
}

/* The first provider that does or does not protect, ready ones before others; NULL: none. */
static json_object *find_provider(const Doctor *d, bool protects)
{
	json_object *found = NULL;

	for (size_t i = 0; i < json_object_array_length(d->served.tsms); i++) {
		json_object *tsm = json_object_array_get_idx(d->served.tsms, i);

		if (protects ? !json_get_bool(tsm, "protection", false)
			     : !strstr(json_get_string(tsm, "title"), "emulated"))
			continue;
		if (!found || json_get_bool(tsm, "ready", false))
			found = tsm;
	}
	return found;
}

static bool has_unknown_platform(const Doctor *d)
{
	for (size_t i = 0; i < json_object_array_length(d->served.tsms); i++) {
		json_object *tsm = json_object_array_get_idx(d->served.tsms, i);

		if (strstr(json_get_string(tsm, "title"), "(unknown"))
			return true;
	}
	return false;
}

static char *provider_words(json_object *tsm)
{
	const char *trouble = json_get_string(tsm, "trouble");

	return text_format("%s is %s%s%s", json_get_string(tsm, "title"),
			   json_get_bool(tsm, "ready", false) ? "ready" : "not ready",
			   trouble ? ": " : "", trouble ? trouble : "");
}

static void look_for_provider(const Doctor *d, DoctorFinding *ret, bool protects)
{
	json_object *tsm = away(d, ret) ? NULL : find_provider(d, protects);
	_cleanup_free_ char *words = tsm ? provider_words(tsm) : NULL;

	if (d->served_error)
		return;
	if (!tsm && protects && has_unknown_platform(d)) {
		doctor_find(ret, DOCTOR_MISSING,
			    "a provider does not know the platform of its TSM, and so not that it "
			    "protects");
		ret->way_out = "say \"platform\" in /etc/tdid/tsm-linux.conf, and restart "
			       "tdi-tsm-linux";
		return;
	}
	if (tsm)
		doctor_find(ret, json_get_bool(tsm, "ready", false) ? DOCTOR_OK : DOCTOR_MISSING,
			    "%s", words);
	else
		doctor_find(ret, DOCTOR_MISSING, "tdid has no provider that %s",
			    protects ? "protects" : "is emulated");
}

void doctor_probe_provider(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	look_for_provider(d, ret, true);
}

void doctor_probe_emulated(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	look_for_provider(d, ret, false);
}

void doctor_probe_providers(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	_cleanup_free_ char *all = NULL;
	bool ready = true;
	size_t n;

	if (away(d, ret))
		return;
	n = json_object_array_length(d->served.tsms);
	for (size_t i = 0; i < n; i++) {
		json_object *tsm = json_object_array_get_idx(d->served.tsms, i);
		_cleanup_free_ char *before = all, *words = provider_words(tsm);

		all = text_format("%s%s%s", before ? before : "", before ? "; " : "", words);
		ready = ready && json_get_bool(tsm, "ready", false);
	}
	doctor_find(ret, n && ready ? DOCTOR_OK : DOCTOR_WARNING, "%s", n ? all : "there are none");
}

void doctor_probe_served(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	size_t n;

	if (away(d, ret))
		return;
	n = json_object_array_length(d->served.devices);
	doctor_find(ret, n ? DOCTOR_OK : DOCTOR_WARNING, "tdid serves %zu function%s", n,
		    n == 1 ? "" : "s");
}
