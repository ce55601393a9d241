/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every message is the header, for its type a fixed part that ends with sizes, and then as many
 * runs of bytes:
 *
 *	0  GET_QUOTE request		report, ids
 *	1  GET_QUOTE response		selected id, quote
 *	2  GET_COLLATERAL request	fmspc, pck ca
 *	3  GET_COLLATERAL response	u16 major, u16 minor; seven parts
 *	4  GET_PLATFORM_INFO request	nothing
 *	5  GET_PLATFORM_INFO response	u16 qe svn, u16 pce svn; platform id, cpu svn
 *
 * An error's response has the fixed part, all zero.
 */
#include "core/qgs-message.h"
#include "core/bytes.h"
#include "core/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PADDING 4u

static bool is_response(QgsType type)
{
	return type & 1;
}

/* The runs of bytes that such a message ends with. Returns how many. */
static size_t message_runs(QgsMessage *m, QgsBytes *runs[static QGS_COLLATERAL_PARTS])
{
	switch (m->type) {
	case QGS_GET_QUOTE_REQUEST:
		runs[0] = &m->quote_request.report;
		runs[1] = &m->quote_request.ids;
		return 2;
	case QGS_GET_QUOTE_RESPONSE:
		runs[0] = &m->quote_response.selected_id;
		runs[1] = &m->quote_response.quote;
		return 2;
	case QGS_GET_COLLATERAL_REQUEST:
		runs[0] = &m->collateral_request.fmspc;
		runs[1] = &m->collateral_request.pck_ca;
		return 2;
	case QGS_GET_COLLATERAL_RESPONSE:
		for (size_t i = 0; i < QGS_COLLATERAL_PARTS; i++)
			runs[i] = &m->collateral_response.parts[i];
		return QGS_COLLATERAL_PARTS;
	case QGS_GET_PLATFORM_INFO_RESPONSE:
		runs[0] = &m->platform_info.platform_id;
		runs[1] = &m->platform_info.cpu_svn;
		return 2;
	case QGS_GET_PLATFORM_INFO_REQUEST: break;
	}
	return 0;
}

static bool any_empty(const QgsBytes *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (parts[i].size == 0)
			return true;
	return false;
}

/* What the sizes add up to is known to fit; what is left is whether they make sense. */
static const char *check_sense(const QgsMessage *m)
{
	if (m->error != 0)
		return is_response(m->type) ? NULL : "a request carries an error";
	switch (m->type) {
	case QGS_GET_QUOTE_REQUEST:
		return m->quote_request.report.size ? NULL : "there is no report in it";
	case QGS_GET_QUOTE_RESPONSE:
		return m->quote_response.quote.size ? NULL : "success, but there is no quote in it";
	case QGS_GET_COLLATERAL_REQUEST:
		return m->collateral_request.fmspc.size && m->collateral_request.pck_ca.size
			       ? NULL
			       : "the FMSPC or the PCK CA is missing";
	case QGS_GET_COLLATERAL_RESPONSE:
		return any_empty(m->collateral_response.parts, QGS_COLLATERAL_PARTS)
			       ? "success, but a part of the collateral is missing"
			       : NULL;
	case QGS_GET_PLATFORM_INFO_REQUEST:
	case QGS_GET_PLATFORM_INFO_RESPONSE: break;
	}
	return NULL;
}

static void take_fixed(ByteReader *r, QgsMessage *m)
{
	if (m->type == QGS_GET_COLLATERAL_RESPONSE) {
		m->collateral_response.major = bytes_take_u16(r);
		m->collateral_response.minor = bytes_take_u16(r);
	} else if (m->type == QGS_GET_PLATFORM_INFO_RESPONSE) {
		m->platform_info.qe_svn = bytes_take_u16(r);
		m->platform_info.pce_svn = bytes_take_u16(r);
	}
}

static void take_runs(ByteReader *r, QgsMessage *m)
{
	QgsBytes *runs[QGS_COLLATERAL_PARTS];
	size_t n = message_runs(m, runs);

	for (size_t i = 0; i < n; i++)
		runs[i]->size = bytes_take_u32(r);
	for (size_t i = 0; i < n; i++)
		if (runs[i]->size > 0)
			runs[i]->data = bytes_take(r, runs[i]->size);
}

static const char *take_body(ByteReader *r, QgsMessage *m)
{
	take_fixed(r, m);
	/* Behind an error there is nothing but the sizes, which are zeros: the rest is left over.
	 */
	take_runs(r, m);
	if (r->failed)
		return "its parts are said to be larger than it is";
	if (m->type == QGS_GET_COLLATERAL_RESPONSE && m->error == 0 && r->left == PADDING) {
		m->collateral_response.padded = true;
		bytes_take_zero(r, PADDING);
	}
	return bytes_taken_all(r) ? NULL : "there are bytes behind its parts";
}

/* An error's response carries nothing. */
static bool carries_something(const QgsMessage *message)
{
	QgsMessage m = *message;
	QgsBytes *runs[QGS_COLLATERAL_PARTS];
	size_t n = message_runs(&m, runs);

	for (size_t i = 0; i < n; i++)
		if (runs[i]->size > 0)
			return true;
	return false;
}

static int refuse_message(QgsMessage *ret, int code, const char **ret_why, const char *why)
{
	*ret = (QgsMessage){
		.major = ret->major, .minor = ret->minor, .type = ret->type, .error = ret->error
	};
	if (ret_why)
		*ret_why = why;
	return code;
}

int qgs_frame_parse(uint32_t *ret, const uint8_t frame[static QGS_FRAME_SIZE], size_t max)
{
	*ret = (uint32_t)frame[0] << 24 | (uint32_t)frame[1] << 16 | (uint32_t)frame[2] << 8 |
	       (uint32_t)frame[3];
	return *ret < QGS_HEADER_SIZE || *ret > max ? -EMSGSIZE : 0;
}

int qgs_message_parse(QgsMessage *ret, const void *data, size_t size, const char **ret_why)
{
	ByteReader r = byte_reader(data, size);
	const char *why;
	uint32_t said;

	*ret = (QgsMessage){};
	if (size < QGS_HEADER_SIZE)
		return refuse_message(ret, -EBADMSG, ret_why, "it is shorter than a header");
	ret->major = bytes_take_u16(&r);
	ret->minor = bytes_take_u16(&r);
	ret->type = (QgsType)bytes_take_u32(&r);
	said = bytes_take_u32(&r);
	ret->error = bytes_take_u32(&r);
	if (ret->major != QGS_MAJOR)
		return refuse_message(ret, -EPROTONOSUPPORT, ret_why, "its version is not 1");
	if (ret->type >= QGS_TYPES)
		return refuse_message(ret, -EOPNOTSUPP, ret_why, "its type is unknown");
	if (said != size)
		return refuse_message(ret, -EBADMSG, ret_why,
				      "the size that it says is not its own");
	why = take_body(&r, ret);
	if (!why)
		why = check_sense(ret);
	if (!why && ret->error != 0 && carries_something(ret))
		why = "an error, but there is something in it";
	return why ? refuse_message(ret, -EBADMSG, ret_why, why) : 0;
}

static void put_body(ByteWriter *w, QgsMessage *m)
{
	QgsBytes *runs[QGS_COLLATERAL_PARTS];
	size_t n = message_runs(m, runs);

	if (m->type == QGS_GET_COLLATERAL_RESPONSE) {
		bytes_put_u16(w, m->collateral_response.major);
		bytes_put_u16(w, m->collateral_response.minor);
	} else if (m->type == QGS_GET_PLATFORM_INFO_RESPONSE) {
		bytes_put_u16(w, m->platform_info.qe_svn);
		bytes_put_u16(w, m->platform_info.pce_svn);
	}
	for (size_t i = 0; i < n; i++)
		bytes_put_u32(w, (uint32_t)runs[i]->size);
	for (size_t i = 0; i < n; i++)
		bytes_put(w, runs[i]->data, runs[i]->size);
	if (m->type == QGS_GET_COLLATERAL_RESPONSE && m->collateral_response.padded)
		bytes_put_zero(w, PADDING);
}

/* Of the whole message; above QGS_MESSAGE_MAX when it is too large, by however much. */
static size_t message_size(QgsMessage *m)
{
	QgsBytes *runs[QGS_COLLATERAL_PARTS];
	size_t n = message_runs(m, runs), size = QGS_HEADER_SIZE + 4 * n;

	if (m->type == QGS_GET_COLLATERAL_RESPONSE)
		size += 4 + (m->collateral_response.padded ? PADDING : 0);
	else if (m->type == QGS_GET_PLATFORM_INFO_RESPONSE)
		size += 4;
	for (size_t i = 0; i < n; i++) {
		if (runs[i]->size > QGS_MESSAGE_MAX)
			return SIZE_MAX;
		size += runs[i]->size;
	}
	return size;
}

int qgs_message_format(uint8_t **ret, size_t *ret_size, const QgsMessage *message)
{
	_cleanup_free_ uint8_t *buffer = NULL;
	QgsMessage m = *message, back;
	size_t size;
	ByteWriter w;

	if (m.type >= QGS_TYPES)
		return -EINVAL;
	size = message_size(&m);
	if (size > QGS_MESSAGE_MAX)
		return -EMSGSIZE;
	buffer = malloc(QGS_FRAME_SIZE + size);
	if (!buffer)
		return -ENOMEM;
	w = byte_writer(buffer, QGS_FRAME_SIZE + size);
	for (int shift = 24; shift >= 0; shift -= 8)
		bytes_put_u8(&w, (uint8_t)(size >> shift));
	bytes_put_u16(&w, m.major);
	bytes_put_u16(&w, m.minor);
	bytes_put_u32(&w, m.type);
	bytes_put_u32(&w, (uint32_t)size);
	bytes_put_u32(&w, m.error);
	put_body(&w, &m);
	if (w.failed || qgs_message_parse(&back, buffer + QGS_FRAME_SIZE, size, NULL) < 0)
		return -EINVAL;
	*ret = steal_ptr(buffer);
	*ret_size = QGS_FRAME_SIZE + size;
	return 0;
}

static const char *error_words(uint32_t error)
{
	switch (error) {
	case QGS_ERROR_UNEXPECTED: return "unexpected error";
	case QGS_ERROR_OUT_OF_MEMORY: return "out of memory";
	case QGS_ERROR_INVALID_PARAMETER: return "invalid parameter";
	case QGS_ERROR_INVALID_VERSION: return "invalid version";
	case QGS_ERROR_INVALID_TYPE: return "invalid message type";
	case QGS_ERROR_INVALID_SIZE: return "invalid message size";
	case QGS_ERROR_INVALID_CODE: return "invalid error code";
	default: return "unknown error";
	}
}

const char *qgs_error_text(uint32_t error, char buffer[static QGS_ERROR_TEXT_SIZE])
{
	if (error == QGS_SUCCESS)
		return "success";
	snprintf(buffer, QGS_ERROR_TEXT_SIZE, "%s (0x%x)", error_words(error), error);
	return buffer;
}

const char *qgs_type_text(QgsType type)
{
	static const char *const texts[QGS_TYPES] = {
		[QGS_GET_QUOTE_REQUEST] = "GET_QUOTE request",
		[QGS_GET_QUOTE_RESPONSE] = "GET_QUOTE response",
		[QGS_GET_COLLATERAL_REQUEST] = "GET_COLLATERAL request",
		[QGS_GET_COLLATERAL_RESPONSE] = "GET_COLLATERAL response",
		[QGS_GET_PLATFORM_INFO_REQUEST] = "GET_PLATFORM_INFO request",
		[QGS_GET_PLATFORM_INFO_RESPONSE] = "GET_PLATFORM_INFO response",
	};

	return (unsigned int)type < QGS_TYPES ? texts[type] : "unknown";
}
