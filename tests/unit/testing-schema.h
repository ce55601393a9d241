/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a JSON Schema of this repository says of a document; for parsers that have to agree. */
#pragma once

#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Says of each document (one line each) whether the schema allows it, and if not, why. */
static inline void testing_schema_judge(const char *schema, const char *const documents[], size_t n,
					bool allowed[], char why[][256])
{
	char command[1024], folder[64], path[80], line[512];
	FILE *file;

	cr_assert(scratch_folder(folder, sizeof(folder), NULL));
	snprintf(path, sizeof(path), "%s/documents", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	for (size_t i = 0; i < n; i++)
		fprintf(file, "%s\n", documents[i]);
	fclose(file);
	snprintf(command, sizeof(command),
		 "/usr/bin/python3 " TESTING_REPOSITORY
		 "/tests/unit/json-schema " TESTING_REPOSITORY "/schemas/%s.schema.json <%s",
		 schema, path);
	file = popen(command, "r");
	cr_assert_not_null(file);
	for (size_t i = 0; i < n; i++) {
		cr_assert_not_null(fgets(line, sizeof(line), file), "%s", command);
		snprintf(why[i], 256, "%.255s", line);
		allowed[i] = strcmp(line, "valid\n") == 0;
		cr_assert(allowed[i] || strncmp(line, "invalid", 7) == 0, "%s", line);
	}
	cr_assert_eq(pclose(file), 0, "%s", command);
	unlink(path);
	rmdir(folder);
}

/* document: without a line's end. An `invalid` is said, so that a test can print it. */
static inline bool testing_schema_allows(const char *schema, const char *document, char why[256])
{
	char said[1][256];
	bool allowed;

	testing_schema_judge(schema, &document, 1, &allowed, said);
	memcpy(why, said[0], sizeof(said[0]));
	return allowed;
}
