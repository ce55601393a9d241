/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"

#include "core/cleanup.h"
#include "rpc/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

/* Bytes of the UTF-8 character at `text` as its first byte tells, never beyond the NUL. */
static size_t character_size(const char *text)
{
	unsigned char c = (unsigned char)*text;
	size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return strnlen(text, n);
}

char *text_format(const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	return text;
}

char *text_clean(const char *text)
{
	char *clean, *out;

	if (!text)
		return NULL;
	out = clean = text_format("%s", text);
	while (*text) {
		size_t n = character_size(text);
		unsigned char first = (unsigned char)text[0];

		if (first < 0x20 || first == 0x7f || !json_utf8_valid(text, n)) {
			*out++ = '?';
			text++;
			continue;
		}
		if (first == 0xc2 && (unsigned char)text[1] < 0xa0)
			*out++ = '?';
		else
			out = mempcpy(out, text, n);
		text += n;
	}
	*out = '\0';
	return clean;
}

/* Columns of the one character at `text`. */
static size_t character_width(const char *text, size_t size)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	int columns;

	if (size == 1)
		return 1;
	if (mbrtowc(&wide, text, size, &state) > size)
		return 1;
	columns = wcwidth(wide);
	return columns < 0 ? 1 : (size_t)columns;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (size_t n; *text; text += n) {
		n = character_size(text);
		width += character_width(text, n);
	}
	return width;
}

size_t text_cut(const char *text, size_t columns)
{
	size_t used = 0, width = 0;

	while (text[used]) {
		size_t n = character_size(text + used);

		width += character_width(text + used, n);
		if (width > columns)
			break;
		used += n;
	}
	return used;
}

const char *text_duration(uint64_t usec, char buffer[static TEXT_DURATION_SIZE])
{
	if (usec >= 1000000)
		snprintf(buffer, TEXT_DURATION_SIZE, "%" PRIu64 ".%03" PRIu64 " s", usec / 1000000,
			 usec / 1000 % 1000);
	else if (usec >= 1000)
		snprintf(buffer, TEXT_DURATION_SIZE, "%" PRIu64 ".%03" PRIu64 " ms", usec / 1000,
			 usec % 1000);
	else
		snprintf(buffer, TEXT_DURATION_SIZE, "%" PRIu64 " us", usec);
	return buffer;
}
