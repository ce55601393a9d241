/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table in text: columns as wide as what is in them. */
#pragma once

#include "core/cleanup.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct Table Table;

typedef struct TableColumn {
	const char *title;
	bool right; /* for numbers */
} TableColumn;

/* What a cell says in words, a second time in colour. */
typedef enum TableTone {
	TABLE_PLAIN,
	TABLE_GOOD,
	TABLE_BUSY,
	TABLE_BAD,
} TableTone;

/* How to print: what the stream can take. */
typedef struct TableStyle {
	size_t width; /* lines are cut to it, with an ellipsis; 0: as long as they are */
	bool color;
} TableStyle;

/* `columns` is borrowed. Memory that is out ends the process, here and below. */
Table *table_new(const TableColumn *columns, size_t n_columns);
Table *table_free(Table *table);
DEFINE_CLEANUP(Table, table_free);

/* A row of one cell per column, copied through text_clean(). NULL is shown as "-". */
void table_add(Table *table, const char *const *cells);

/* The tone of a cell of the row that was added last. */
void table_tone(Table *table, size_t column, TableTone tone);

/* Titles, then rows; two blanks between columns, none at the end of a line. */
void table_print(const Table *table, const TableStyle *style, FILE *stream);

/*
 * The style for `stream`: on a terminal its width, and colour unless NO_COLOR is set and not empty
 * (no-color.org) or TERM is dumb; elsewhere neither.
 */
TableStyle table_style(FILE *stream);
