/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/evidence-summary.h"

#include "cli/assignment.h"
#include "cli/cli.h"
#include "cli/text.h"
#include "rpc/base64.h"
#include "rpc/fd-write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PART_SIZE_MAX (1024u * 1024)
#define N_PARTS	      4

static const char *const part_names[N_PARTS] = { "certificates", "vca", "measurements", "report" };

static int write_part(int directory, const EvidencePart *part, const char *name)
{
	_cleanup_close_ int fd = openat(
		directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return fd_write_all(fd, part->data, part->size);
}

static CliStatus write_parts(const Cli *cli, const EvidencePart *parts)
{
	_cleanup_close_ int directory = -1;

	if (mkdir(cli->out, 0755) < 0 && errno != EEXIST) {
		cli_error(cli, "--out: cannot make the directory %s: %s", cli->out,
			  strerror(errno));
		return CLI_REFUSED;
	}
	directory = open(cli->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0) {
		cli_error(cli, "--out: %s: %s", cli->out, strerror(errno));
		return CLI_REFUSED;
	}
	for (size_t i = 0; i < N_PARTS; i++) {
		_cleanup_free_ char *name = text_format("%s.bin", parts[i].name);
		int r = write_part(directory, &parts[i], name);

		if (r < 0) {
			cli_error(cli, "--out: cannot write %s/%s: %s", cli->out, name,
				  strerror(-r));
			return CLI_REFUSED;
		}
		fprintf(stderr, "%s/%s: %zu bytes\n", cli->out, name, parts[i].size);
	}
	return CLI_OK;
}

static CliStatus decode_parts(const Cli *cli, json_object *reply, EvidencePart *parts)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		const char *text = json_get_string(reply, part_names[i]);

		parts[i].name = part_names[i];
		if (base64_decode(&parts[i].data, &parts[i].size, text, PART_SIZE_MAX) < 0) {
			cli_error(cli,
				  "tdid's answer is broken: '%s' is no base64 of at most "
				  "%u bytes",
				  part_names[i], PART_SIZE_MAX);
			return CLI_UNREACHABLE;
		}
	}
	return CLI_OK;
}

static void print_head(const Assignment *a, json_object *reply)
{
	_cleanup_free_ char *tsm = assignment_tsm_words(a);
	_cleanup_free_ char *head =
		text_format("%s/%s %s, generation %lld, tsm: %s", a->domain_name, a->name,
			    a->device, (long long)json_get_int(reply, "generation", 0), tsm);
	_cleanup_free_ char *clean = text_clean(head);
	char collected[TEXT_DURATION_SIZE];

	printf("%s\nCollected %s after the host's start. As the TSM showed it to the host; the TVM "
	       "verifies it, not tdictl.\n",
	       clean, text_duration((uint64_t)json_get_int(reply, "collected_usec", 0), collected));
}

static CliStatus fetch(const Cli *cli, const char *argument, json_object **ret)
{
	_cleanup_free_ char *domain = NULL;
	json_object *parameters = NULL;
	const char *name;
	CliStatus status = cli_split(cli, argument, &domain, &name);

	if (status != CLI_OK)
		return status;

	/* tdid has answered to the same two just now: they are UTF-8. */
	if (json_build(&parameters, J_STRING("domain", domain), J_STRING("name", name)) < 0)
		abort();
	return cli_call(cli, "Evidence", parameters, ret);
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *object = NULL, *reply = NULL;
	EvidencePart parts[N_PARTS] = { 0 };
	bool readable = true;
	CliStatus status;
	Assignment a;

	status = cli_get(cli, arguments[0], &object);
	if (status != CLI_OK)
		return status;
	a = assignment_read(object);
	status = fetch(cli, arguments[0], &reply);
	if (status != CLI_OK)
		return status;
	status = decode_parts(cli, reply, parts);
	if (status == CLI_OK && cli->json) {
		cli_print_json(reply);
	} else if (status == CLI_OK) {
		print_head(&a, reply);
		for (size_t i = 0; i < N_PARTS; i++)
			readable &= evidence_summary_print(&parts[i], stdout);
		fflush(stdout);
	}
	if (status == CLI_OK && cli->out)
		status = write_parts(cli, parts);
	for (size_t i = 0; i < N_PARTS; i++)
		free(parts[i].data);
	if (status == CLI_OK && !readable) {
		cli_error(cli, "a part of the evidence is not readable");
		status = CLI_REFUSED;
	}
	return status;
}

const Command command_evidence = {
	.name = "evidence",
	.arguments = "DOMAIN/NAME",
	.summary = "Show the evidence for the present or last bind",
	.help = "Certificates, SPDM negotiation, measurements and interface report, as far as the\n"
		"platform shows them to the host. Nothing of it is verified: that is for the TVM.\n"
		"\n"
		"  --out DIR       write certificates.bin, vca.bin, measurements.bin and "
		"report.bin\n"
		"\n"
		"--json prints {generation, collected_usec, certificates, vca, measurements, "
		"report},\n"
		"the last four in base64.\n",
	.options = COMMAND_OUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
