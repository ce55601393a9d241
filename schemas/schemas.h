/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The varlink interface descriptions of this folder, as text. */
#pragma once

extern const char schema_io_tdid_assignments[];
extern const char schema_io_tdid_guest[];
extern const char schema_io_tdid_hook[];
extern const char schema_io_tdid_quote[];
extern const char schema_io_tdid_tsm[];
