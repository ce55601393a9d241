/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/states.h"

#include "cli/text.h"

#include <string.h>

static char *join(const States *states, const char *between)
{
	char *text = NULL;

	for (unsigned int i = 0; i < ASSIGNMENT_N_STATES; i++) {
		_cleanup_free_ char *before = text;

		if (!states->is[i]) {
			steal_ptr(before);
			continue;
		}
		text = text_format("%s%s%s", before ? before : "", before ? between : "",
				   assignment_state_name(i));
	}
	return text ?: text_format("%s", "");
}

CliStatus states_parse(const Cli *cli, const char *option, const char *text, States *ret)
{
	_cleanup_free_ char *list = text_format("%s", text);
	char *rest = list;

	for (char *word; (word = strsep(&rest, ","));) {
		_cleanup_free_ char *known = NULL;
		States all;
		AssignmentState state;

		if (assignment_state_parse(&state, word) == 0) {
			ret->is[state] = true;
			continue;
		}
		memset(&all, true, sizeof(all));
		known = join(&all, ", ");
		cli_error(cli, "%s: '%s' is no state; there are %s", option, word, known);
		return CLI_USAGE;
	}
	return CLI_OK;
}

char *states_words(const States *states)
{
	return join(states, " or ");
}
