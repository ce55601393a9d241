/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/table.h"

#include "cli/text.h"

#include <string.h>
#include <sys/ioctl.h>

#define GAP	 2
#define ELLIPSIS "…"

typedef struct Cell {
	char *text;
	size_t width;
	TableTone tone;
} Cell;

struct Table {
	const TableColumn *columns;
	size_t n_columns;
	size_t *widths;
	Cell *cells; /* row by row */
	size_t n_rows;
};

static void *checked(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

Table *table_new(const TableColumn *columns, size_t n_columns)
{
	Table *table = checked(calloc(1, sizeof(*table)));

	table->columns = columns;
	table->n_columns = n_columns;
	table->widths = checked(calloc(n_columns, sizeof(*table->widths)));
	for (size_t i = 0; i < n_columns; i++)
		table->widths[i] = text_width(columns[i].title);
	return table;
}

Table *table_free(Table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->widths);
	free(table);
	return NULL;
}

void table_add(Table *table, const char *const *cells)
{
	size_t n = table->n_rows * table->n_columns;

	table->cells =
		checked(reallocarray(table->cells, n + table->n_columns, sizeof(*table->cells)));
	for (size_t i = 0; i < table->n_columns; i++) {
		Cell *cell = &table->cells[n + i];

		*cell = (Cell){ .text = text_clean(cells[i] ? cells[i] : "-") };
		cell->width = text_width(cell->text);
		if (cell->width > table->widths[i])
			table->widths[i] = cell->width;
	}
	table->n_rows++;
}

void table_tone(Table *table, size_t column, TableTone tone)
{
	table->cells[(table->n_rows - 1) * table->n_columns + column].tone = tone;
}

static const char *tone_start(TableTone tone)
{
	static const char *const escapes[] = {
		[TABLE_GOOD] = "\033[32m",
		[TABLE_BUSY] = "\033[33m",
		[TABLE_BAD] = "\033[31m",
	};

	return escapes[tone];
}

/* Blanks are owed, and paid only when something follows. */
typedef struct Line {
	FILE *stream;
	size_t at;    /* columns printed */
	size_t owed;  /* blanks */
	size_t width; /* of the terminal; 0: endless */
	bool full;
} Line;

static void line_put(Line *line, const char *text, size_t width, const char *color)
{
	size_t size = strlen(text);
	const char *tail = "";

	if (line->full || width == 0)
		return;
	if (line->width && line->at + line->owed + width > line->width) {
		line->full = true;
		if (line->at + line->owed + 1 > line->width)
			return;
		size = text_cut(text, line->width - line->at - line->owed - 1);
		tail = ELLIPSIS;
	}
	fprintf(line->stream, "%*s%s%.*s%s%s", (int)line->owed, "", color ? color : "", (int)size,
		text, tail, color ? "\033[0m" : "");
	line->at += line->owed + width;
	line->owed = 0;
}

static void print_row(const Table *table, const TableStyle *style, const Cell *row, FILE *stream)
{
	Line line = { .stream = stream, .width = style->width };

	for (size_t i = 0; i < table->n_columns; i++) {
		const char *text = row ? row[i].text : table->columns[i].title;
		size_t width = row ? row[i].width : text_width(text);
		size_t pad = table->widths[i] - width;

		if (table->columns[i].right)
			line.owed += pad;
		line_put(&line, text, width, row && style->color ? tone_start(row[i].tone) : NULL);
		if (!table->columns[i].right)
			line.owed += pad;
		line.owed += GAP;
	}
	fputc('\n', stream);
}

void table_print(const Table *table, const TableStyle *style, FILE *stream)
{
	print_row(table, style, NULL, stream);
	for (size_t i = 0; i < table->n_rows; i++)
		print_row(table, style, table->cells + i * table->n_columns, stream);
}

TableStyle table_style(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	int fd = fileno(stream);
	struct winsize size;

	if (fd < 0 || !isatty(fd))
		return (TableStyle){ 0 };
	return (TableStyle){
		.width = ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0,
		.color = !(no_color && *no_color) && term && strcmp(term, "dumb") != 0,
	};
}
