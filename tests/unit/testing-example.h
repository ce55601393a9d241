/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* examples/relying-party/verify, asked as the agent asks it. */
#pragma once

#include "agent/evidence-document.h"
#include "agent/program.h"
#include "agent/verdict.h"

#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

typedef struct TestingExample {
	Loop *loop;
	char folder[64], root[80], references[80];
	bool allow_emulated;
	bool ended;
	ProgramEnd end;
	int value;
	Verdict verdict;
} TestingExample;

static TestingExample example;

static inline void testing_example_init(void)
{
	memset(&example, 0, sizeof(example));
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(loop_new(&example.loop), 0);
	cr_assert(scratch_folder(example.folder, sizeof(example.folder), NULL));
	snprintf(example.root, sizeof(example.root), "%s/root.pem", example.folder);
	snprintf(example.references, sizeof(example.references), "%s/references.json",
		 example.folder);
}

static inline void testing_example_done(void)
{
	free(example.verdict.reason);
	unlink(example.root);
	unlink(example.references);
	rmdir(example.folder);
	loop_free(example.loop);
}

static inline void testing_example_put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file, "%s", path);
	cr_assert_geq(fputs(text, file), 0);
	fclose(file);
}

static inline void testing_example_put_root(X509 *root)
{
	FILE *file = fopen(example.root, "w");

	cr_assert_eq(PEM_write_X509(file, root), 1);
	fclose(file);
}

static inline void testing_example_ended(void *userdata, const ProgramResult *result)
{
	_cleanup_free_ char *error = NULL;

	example.ended = true;
	example.end = result->end;
	example.value = result->value;
	if (result->end == PROGRAM_EXITED && result->value == 0)
		cr_assert_eq(verdict_parse(&example.verdict, result->output, result->output_size,
					   &error),
			     0, "%s: %s", error, result->output);
}

static inline void testing_example_ask_text(const char *text, size_t size)
{
	char *const arguments[] = { (char *)TESTING_REPOSITORY "/examples/relying-party/verify",
				    (char *)"--root",
				    example.root,
				    (char *)"--references",
				    example.references,
				    example.allow_emulated ? (char *)"--allow-emulated" : NULL,
				    NULL };
	ProgramOptions options = { .title = "verify",
				   .arguments = arguments,
				   .input = text,
				   .input_size = size,
				   .output_max = VERDICT_MAX_SIZE,
				   .time_usec = 30 * USEC_PER_SEC,
				   .ended = testing_example_ended };
	Program *program;

	free(example.verdict.reason);
	example.verdict = (Verdict){ 0 };
	example.ended = false;
	cr_assert_eq(program_new(&program, example.loop, &options), 0);
	while (!example.ended)
		cr_assert_eq(loop_turn(example.loop), 0);
	program_free(program);
}

static inline void testing_example_judged(void)
{
	cr_assert(example.end == PROGRAM_EXITED && example.value == 0,
		  "it did not judge: end %d, value %d", example.end, example.value);
}

static inline void testing_example_accepted(void)
{
	testing_example_judged();
	cr_assert(example.verdict.accepted, "%s", example.verdict.reason);
}

static inline void testing_example_refused(const char *words)
{
	testing_example_judged();
	cr_assert_not(example.verdict.accepted, "not refused: %s", words);
	cr_assert(strstr(example.verdict.reason, words), "\"%s\" does not say %s",
		  example.verdict.reason, words);
}

static inline void testing_example_ask(const EvidenceSubject *subject)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	size_t size;

	cr_assert_eq(evidence_document(&text, &size, subject, &error), 0, "%s", error);
	testing_example_ask_text(text, size);
}
