/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/statement.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t written[STATEMENT_SIZE];
	Statement statement;

	if (statement_parse(&statement, data, size) < 0)
		return false;
	CHECK(size == STATEMENT_SIZE);
	CHECK(statement.tdisp_state <= 3 && statement.link < _STATEMENT_LINK_MAX);
	CHECK(statement.link != STATEMENT_LINK_EMULATED || (statement.flags & STATEMENT_EMULATED));
	CHECK((statement.link == STATEMENT_LINK_INTEGRATED) ==
	      !!(statement.flags & STATEMENT_INTEGRATED));
	CHECK(statement_write(&statement, written) == 0);
	CHECK(memcmp(written, data, size) == 0);
	return true;
}
