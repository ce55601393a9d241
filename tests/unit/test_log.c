/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/log.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one message puts on standard error. */
static char *logged(LogLevel level, const char *text)
{
	static char line[8192];
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	cr_assert_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_message(level, "%s", text);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	n = read(ends[0], line, sizeof(line) - 1);
	close(ends[0]);
	cr_assert_geq(n, 0);
	line[n] = '\0';
	return line;
}

Test(log, hostile_text_cannot_forge_a_line)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	cr_assert_str_eq(logged(LOG_LEVEL_INFO, "a\n<3>b\x1b[31m\x7f\xc2\x9b"
						"c\xc3\xa4"),
			 "<6>a\\x0a<3>b\\x1b[31m\\x7f\\xc2\\x9b"
			 "c\xc3\xa4\n");
}

Test(log, long_text_is_cut_and_stays_one_line)
{
	char text[6000];
	char *line;

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	line = logged(LOG_LEVEL_ERROR, text);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
	cr_assert_not_null(strstr(line, "...\n"));
}

Test(log, levels)
{
	unsetenv("JOURNAL_STREAM");
	cr_assert_str_eq(logged(LOG_LEVEL_DEBUG, "x"), "");
	log_set_level(LOG_LEVEL_DEBUG);
	cr_assert_not_null(strstr(logged(LOG_LEVEL_DEBUG, "x"), ": debug: x\n"));
	log_set_level(LOG_LEVEL_ERROR);
	cr_assert_str_eq(logged(LOG_LEVEL_WARNING, "x"), "");
	cr_assert_not_null(strstr(logged(LOG_LEVEL_ERROR, "x"), ": error: x\n"));
}

Test(log, keeps_errno)
{
	errno = ENOENT;
	log_message(LOG_LEVEL_DEBUG, "dropped");
	cr_assert_eq(errno, ENOENT);
	logged(LOG_LEVEL_INFO, "x");
}
