/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schemas.h"

const char schema_io_tdid_assignments[] =
#include "io.tdid.Assignments.inc"
	;

const char schema_io_tdid_guest[] =
#include "io.tdid.Guest.inc"
	;

const char schema_io_tdid_hook[] =
#include "io.tdid.Hook.inc"
	;

const char schema_io_tdid_quote[] =
#include "io.tdid.Quote.inc"
	;

const char schema_io_tdid_tsm[] =
#include "io.tdid.Tsm.inc"
	;
