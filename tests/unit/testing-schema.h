/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a JSON Schema of this repository says of a document; for parsers that have to agree. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* document: without a line's end. An `invalid` is said, so that a test can print it. */
static inline bool testing_schema_allows(const char *schema, const char *document, char why[256])
{
	char command[1024], path[] = "/tmp/tdid-schema-XXXXXX", line[512] = "";
	int fd = mkstemp(path);
	FILE *file;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, document, strlen(document)), (ssize_t)strlen(document));
	close(fd);
	snprintf(command, sizeof(command),
		 "/usr/bin/python3 " TESTING_REPOSITORY
		 "/tests/unit/json-schema " TESTING_REPOSITORY "/schemas/%s.schema.json <%s",
		 schema, path);
	file = popen(command, "r");
	cr_assert_not_null(file);
	cr_assert_not_null(fgets(line, sizeof(line), file), "%s", command);
	cr_assert_eq(pclose(file), 0, "%s", command);
	unlink(path);
	snprintf(why, 256, "%.255s", line);
	if (strcmp(line, "valid\n") == 0)
		return true;
	cr_assert_eq(strncmp(line, "invalid", 7), 0, "%s", line);
	return false;
}
