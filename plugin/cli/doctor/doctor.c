/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which platforms this host could serve, what is missing for each, and the way out. */
#include "cli/doctor/doctor.h"
#include "cli/doctor/host-tree.h"
#include "cli/table.h"
#include "cli/text.h"

#include <string.h>

static const TableColumn columns[] = { { "CHECK" }, { "STATUS" }, { "FOUND" } };
static const TableColumn verdict_columns[] = { { "PLATFORM" }, { "VERDICT" }, { "MISSING" } };

enum { COLUMN_STATUS = 1 };

typedef struct Verdict {
	bool applicable;
	bool complete;	/* nothing needed is missing */
	size_t unknown; /* needed, and could not be found out */
} Verdict;

typedef struct Diagnosis {
	Doctor doctor;
	unsigned int wanted;	 /* platforms */
	DoctorFinding *findings; /* as doctor_checks; found NULL: not wanted */
} Diagnosis;

static bool needed_by(const DoctorCheck *check, DoctorPlatform platform)
{
	return !check->optional && (check->platforms & DOCTOR_BIT(platform));
}

static Verdict judge(const Diagnosis *d, DoctorPlatform platform)
{
	Verdict verdict = { .applicable = d->doctor.platforms & DOCTOR_BIT(platform) };

	verdict.complete = verdict.applicable;
	for (size_t i = 0; i < doctor_n_checks; i++) {
		if (!needed_by(&doctor_checks[i], platform))
			continue;
		verdict.complete = verdict.complete && d->findings[i].status != DOCTOR_MISSING;
		verdict.unknown += d->findings[i].status == DOCTOR_UNKNOWN;
	}
	return verdict;
}

static bool is_wanted(const Diagnosis *d, DoctorPlatform platform)
{
	return d->wanted & DOCTOR_BIT(platform);
}

/* `generic` by itself serves nobody, unless it was asked for. */
static bool host_serves(const Diagnosis *d)
{
	for (DoctorPlatform p = 0; p < DOCTOR_N_PLATFORMS; p++) {
		bool alone = d->wanted == DOCTOR_BIT(p);

		if (is_wanted(d, p) && (p != DOCTOR_GENERIC || alone) && judge(d, p).complete)
			return true;
	}
	return false;
}

/* --- for people --- */

static TableTone status_tone(DoctorStatus status)
{
	switch (status) {
	case DOCTOR_OK: return TABLE_GOOD;
	case DOCTOR_MISSING: return TABLE_BAD;
	case DOCTOR_WARNING: return TABLE_BUSY;
	default: return TABLE_PLAIN;
	}
}

static const char *way_out(const DoctorCheck *check, const DoctorFinding *finding)
{
	return finding->way_out ? finding->way_out : check->way_out;
}

static bool wants_action(const DoctorFinding *finding)
{
	return finding->found &&
	       (finding->status == DOCTOR_MISSING || finding->status == DOCTOR_WARNING);
}

static void print_checks(const Diagnosis *d, const TableStyle *style)
{
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));

	for (size_t i = 0; i < doctor_n_checks; i++) {
		const DoctorFinding *finding = &d->findings[i];

		if (!finding->found)
			continue;
		table_add(table, (const char *const[]){ doctor_checks[i].id,
							doctor_status_name(finding->status),
							finding->found });
		table_tone(table, COLUMN_STATUS, status_tone(finding->status));
	}
	table_print(table, style, stdout);
}

static void print_ways_out(const Diagnosis *d)
{
	for (size_t i = 0; i < doctor_n_checks; i++) {
		const DoctorCheck *check = &doctor_checks[i];

		if (!wants_action(&d->findings[i]))
			continue;
		printf("\n%s: %s\n  why:     %s\n  way out: %s\n", check->id,
		       doctor_status_name(d->findings[i].status), check->why,
		       way_out(check, &d->findings[i]));
	}
}

static char *missing_words(const Diagnosis *d, DoctorPlatform platform)
{
	char *words = NULL;

	for (size_t i = 0; i < doctor_n_checks; i++) {
		_cleanup_free_ char *before = words;

		if (needed_by(&doctor_checks[i], platform) &&
		    d->findings[i].status == DOCTOR_MISSING)
			words = text_format("%s%s%s", before ? before : "", before ? ", " : "",
					    doctor_checks[i].id);
		else
			steal_ptr(before);
	}
	return words;
}

static void print_verdicts(const Diagnosis *d, const TableStyle *style)
{
	_cleanup_(table_freep) Table *table =
		table_new(verdict_columns, ELEMENTSOF(verdict_columns));

	for (DoctorPlatform p = 0; p < DOCTOR_N_PLATFORMS; p++) {
		Verdict verdict = judge(d, p);
		_cleanup_free_ char *missing = missing_words(d, p);
		_cleanup_free_ char *words =
			!verdict.applicable ? text_format("not this CPU")
			: !verdict.complete ? text_format("incomplete")
			: verdict.unknown
				? text_format("complete, but %zu unknown", verdict.unknown)
				: text_format("complete");

		if (!is_wanted(d, p))
			continue;
		table_add(table, (const char *const[]){ doctor_platform_name(p), words,
							verdict.applicable ? missing : NULL });
		table_tone(table, COLUMN_STATUS,
			   !verdict.applicable ? TABLE_PLAIN
			   : verdict.complete  ? TABLE_GOOD
					       : TABLE_BAD);
	}
	putchar('\n');
	table_print(table, style, stdout);
}

/* --- for machines --- */

static void must(int r)
{
	if (r < 0)
		abort();
}

static json_object *needed_json(const DoctorCheck *check)
{
	json_object *names = json_object_new_array();

	for (DoctorPlatform p = 0; p < DOCTOR_N_PLATFORMS; p++)
		if (needed_by(check, p))
			must(json_append_string(names, doctor_platform_name(p)));
	return names;
}

static json_object *checks_json(const Diagnosis *d)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < doctor_n_checks; i++) {
		const DoctorCheck *check = &doctor_checks[i];
		const DoctorFinding *finding = &d->findings[i];
		json_object *object = NULL;

		if (!finding->found)
			continue;
		must(json_build(&object, J_STRING("id", check->id),
				J_STRING("status", doctor_status_name(finding->status)),
				J_STRING("found", finding->found), J_STRING("why", check->why),
				J_STRING("way_out", way_out(check, finding)),
				J_TAKE("needed_by", needed_json(check))));
		must(json_append_take(array, object));
	}
	return array;
}

static json_object *platforms_json(const Diagnosis *d)
{
	json_object *array = json_object_new_array();

	for (DoctorPlatform p = 0; p < DOCTOR_N_PLATFORMS; p++) {
		json_object *object = NULL, *missing = json_object_new_array();
		Verdict verdict = judge(d, p);

		for (size_t i = 0; i < doctor_n_checks; i++)
			if (needed_by(&doctor_checks[i], p) &&
			    d->findings[i].status == DOCTOR_MISSING)
				must(json_append_string(missing, doctor_checks[i].id));
		must(json_build(&object, J_STRING("platform", doctor_platform_name(p)),
				J_BOOL("applicable", verdict.applicable),
				J_BOOL("complete", verdict.complete),
				J_INT("unknown", (int64_t)verdict.unknown),
				J_TAKE("missing", missing)));
		if (is_wanted(d, p))
			must(json_append_take(array, object));
		else
			json_object_put(object);
	}
	return array;
}

static void print_json(const Diagnosis *d)
{
	_cleanup_(json_unrefp) json_object *object = NULL;

	must(json_build(&object, J_TAKE("checks", checks_json(d)),
			J_TAKE("platforms", platforms_json(d))));
	cli_print_json(object);
}

/* --- the command --- */

static CliStatus parse_platform(const Cli *cli, unsigned int *ret)
{
	*ret = DOCTOR_ALL;
	if (!cli->platform)
		return CLI_OK;
	for (DoctorPlatform p = 0; p < DOCTOR_N_PLATFORMS; p++)
		if (strcmp(cli->platform, doctor_platform_name(p)) == 0) {
			*ret = DOCTOR_BIT(p);
			return CLI_OK;
		}
	cli_error(cli,
		  "--platform: '%s' is none of generic, sev-tio, tdx-connect, cca, cove-io, "
		  "emulated",
		  cli->platform);
	return CLI_USAGE;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_free_ DoctorFinding *findings = calloc(doctor_n_checks, sizeof(*findings));
	Diagnosis d = { .findings = findings };
	TableStyle style = table_style(stdout);
	CliStatus status = parse_platform(cli, &d.wanted);

	if (status != CLI_OK)
		return status;
	if (!findings)
		abort();
	doctor_look(&d.doctor, cli, cli->root ? cli->root : "");
	for (size_t i = 0; i < doctor_n_checks; i++)
		if (doctor_checks[i].platforms & d.wanted)
			findings[i] = doctor_run(&d.doctor, &doctor_checks[i]);
	if (cli->json) {
		print_json(&d);
	} else {
		print_checks(&d, &style);
		print_ways_out(&d);
		print_verdicts(&d, &style);
	}
	status = host_serves(&d) ? CLI_OK : CLI_REFUSED;
	for (size_t i = 0; i < doctor_n_checks; i++)
		free(findings[i].found);
	doctor_done(&d.doctor);
	return status;
}

const Command command_doctor = {
	.name = "doctor",
	.arguments = "",
	.summary = "Tell what this host lacks for trusted devices, and the way out",
	.help = "Looks and changes nothing. A check's STATUS is ok, missing, warning (there is\n"
		"a danger, or a way without), unknown (it could not be found out: often a\n"
		"matter of privilege) or not-applicable (another vendor's CPU). A platform is\n"
		"complete when nothing that it needs is missing; what is unknown does not\n"
		"count. generic is what all of them need.\n"
		"\n"
		"--json prints an object:\n"
		"  checks     array of id, status, found, why, way_out, needed_by (platforms)\n"
		"  platforms  array of platform, applicable, complete, unknown (how many of\n"
		"             the checks that it needs), missing (their ids)\n"
		"\n"
		"The exit status is 0 when one platform is complete, or the one that\n"
		"--platform names; else 1.\n"
		"\n"
		"  --platform NAME what that one needs, and nothing else: generic, sev-tio,\n"
		"                  tdx-connect, cca, cove-io, emulated\n"
		"  --root DIR      look at the tree in DIR, and for tdid below it; its\n"
		"                  programs are not run\n",
	.options = COMMAND_ROOT | COMMAND_PLATFORM,
	.own_json = true,
	.run = run,
};
