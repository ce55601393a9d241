/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A framed message, as a stream has it. */
#include "core/qgs-message.h"
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check_refused(const QgsMessage *m, int r, const uint8_t *data, size_t size,
			  const char *why)
{
	CHECK(r == -EBADMSG || r == -EPROTONOSUPPORT || r == -EOPNOTSUPP);
	CHECK(why && fuzz_is_shown(why));
	CHECK((r == -EPROTONOSUPPORT) == (size >= QGS_HEADER_SIZE && m->major != QGS_MAJOR));
	CHECK(r != -EOPNOTSUPP || m->type >= QGS_TYPES);
	if (size >= QGS_HEADER_SIZE)
		CHECK((m->major & 0xff) == data[0] && (m->minor & 0xff) == data[2]);
}

static void check_texts(const QgsMessage *m)
{
	char buffer[QGS_ERROR_TEXT_SIZE];

	CHECK(fuzz_is_shown(qgs_error_text(m->error, buffer)));
	CHECK(strcmp(qgs_type_text(m->type), "unknown") != 0);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	uint8_t *back = NULL;
	size_t back_size;
	uint32_t framed;
	QgsMessage m;
	int r;

	if (size < QGS_FRAME_SIZE)
		return false;
	r = qgs_frame_parse(&framed, data, QGS_MESSAGE_MAX);
	CHECK(r == (framed < QGS_HEADER_SIZE || framed > QGS_MESSAGE_MAX ? -EMSGSIZE : 0));
	r = qgs_message_parse(&m, data + QGS_FRAME_SIZE, size - QGS_FRAME_SIZE, &why);
	if (r < 0) {
		check_refused(&m, r, data + QGS_FRAME_SIZE, size - QGS_FRAME_SIZE, why);
		return false;
	}
	CHECK(r == 0);
	check_texts(&m);
	CHECK(m.error == 0 || m.type & 1);
	CHECK(m.type != QGS_GET_QUOTE_RESPONSE || m.error ? 1 : m.quote_response.quote.size > 0);
	CHECK(qgs_message_format(&back, &back_size, &m) == 0);
	CHECK(back_size == size);
	CHECK(memcmp(back + QGS_FRAME_SIZE, data + QGS_FRAME_SIZE, size - QGS_FRAME_SIZE) == 0);
	r = memcmp(back, data, QGS_FRAME_SIZE);
	free(back);
	return r == 0;
}
