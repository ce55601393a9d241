/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cleanup.h"
#include "core/qgs-message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Messages as they are on the wire, without frame. */
static const uint8_t quote_request[] = {
	1,   0,	  1,   0,   0,	 0,   0,   0, /* version, type */
	31,  0,	  0,   0,   0,	 0,   0,   0, /* size, error */
	5,   0,	  0,   0,   2,	 0,   0,   0, /* of report and ids */
	'h', 'e', 'l', 'l', 'o', 'i', 'd',
};
static const uint8_t quote_response[] = {
	1, 0, 1, 0, 1, 0, 0, 0, 29,  0,	  0,   0,   0,	 0, 0, 0, /* header */
	0, 0, 0, 0, 5, 0, 0, 0, 'q', 'u', 'o', 't', 'e',
};
static const uint8_t quote_error[] = {
	1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 1, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
static const uint8_t collateral_request[] = {
	1, 0, 1, 0, 2, 0, 0, 0, 26,  0,	  0, 0, 0, 0, 0, 0, /* header */
	1, 0, 0, 0, 1, 0, 0, 0, 'f', 'c',
};
static const uint8_t collateral_response[] = {
	1,   0,	  0,   0,   3,	 0,   0,   0, 59, 0, 0, 0, 0, 0, 0, 0, /* header */
	3,   0,	  1,   0,   1,	 0,   0,   0, 1,  0, 0, 0, 1, 0, 0, 0, /* version, sizes */
	1,   0,	  0,   0,   1,	 0,   0,   0, 1,  0, 0, 0, 1, 0, 0, 0, /* sizes */
	'a', 'b', 'c', 'd', 'e', 'f', 'g', 0, 0,  0, 0,
};
static const uint8_t platform_request[] = {
	1, 0, 1, 0, 4, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0,
};
static const uint8_t platform_response[] = {
	1, 0, 1, 0, 5, 0, 0, 0, 31, 0, 0, 0, 0,	  0,   0,   0, /* header */
	7, 0, 9, 0, 2, 0, 0, 0, 1,  0, 0, 0, 'i', 'd', 'v',
};

static const struct {
	const uint8_t *data;
	size_t size;
} samples[] = {
	{ quote_request, sizeof(quote_request) },
	{ quote_response, sizeof(quote_response) },
	{ quote_error, sizeof(quote_error) },
	{ collateral_request, sizeof(collateral_request) },
	{ collateral_response, sizeof(collateral_response) },
	{ platform_request, sizeof(platform_request) },
	{ platform_response, sizeof(platform_response) },
};

static void refused_as(const uint8_t *data, size_t size, int code, const char *about)
{
	const char *why = NULL;
	QgsMessage m;

	cr_assert_eq(qgs_message_parse(&m, data, size, &why), code, "%s", about);
	cr_assert_not_null(why);
	cr_assert(strstr(why, about), "\"%s\" says nothing of \"%s\"", why, about);
	cr_assert_eq(qgs_message_parse(&m, data, size, NULL), code);
}

static void refused(const uint8_t *data, size_t size, const char *about)
{
	refused_as(data, size, -EBADMSG, about);
}

/* A copy with another byte at `at`. */
#define CHANGED(name, sample, at, value)                                                           \
	uint8_t name[sizeof(sample)];                                                              \
	memcpy(name, sample, sizeof(sample));                                                      \
	name[at] = value

Test(qgs_message, empty_and_short)
{
	refused(NULL, 0, "shorter than a header");
	refused(quote_request, QGS_HEADER_SIZE - 1, "shorter than a header");
}

Test(qgs_message, cut_anywhere)
{
	for (size_t i = 0; i < ELEMENTSOF(samples); i++)
		for (size_t n = QGS_HEADER_SIZE; n < samples[i].size; n++) {
			_cleanup_free_ uint8_t *cut = malloc(n);

			memcpy(cut, samples[i].data, n);
			refused(cut, n, "not its own");
			/* And where the header agrees with what was cut. */
			cut[8] = (uint8_t)n;
			if (samples[i].data != collateral_response || n != samples[i].size - 4)
				refused(cut, n, "");
		}
}

Test(qgs_message, trailing_bytes)
{
	for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
		uint8_t longer[128] = {};

		memcpy(longer, samples[i].data, samples[i].size);
		refused(longer, samples[i].size + 1, "not its own");
		longer[8]++;
		refused(longer, samples[i].size + 1, "behind its parts");
	}
}

Test(qgs_message, wrong_version)
{
	CHANGED(two, quote_request, 0, 2);
	CHANGED(high, quote_request, 1, 1);
	CHANGED(minor, quote_request, 2, 9);
	QgsMessage m;

	refused_as(two, sizeof(two), -EPROTONOSUPPORT, "version");
	refused_as(high, sizeof(high), -EPROTONOSUPPORT, "version");
	cr_assert_eq(qgs_message_parse(&m, minor, sizeof(minor), NULL), 0);
	cr_assert_eq(m.minor, 9);
}

Test(qgs_message, unknown_type)
{
	CHANGED(six, quote_request, 4, 6);
	CHANGED(high, quote_request, 7, 0x80);

	refused_as(six, sizeof(six), -EOPNOTSUPP, "type");
	refused_as(high, sizeof(high), -EOPNOTSUPP, "type");
}

Test(qgs_message, header_of_what_is_refused)
{
	CHANGED(lying, quote_request, 16, 200);
	CHANGED(six, quote_request, 4, 6);
	QgsMessage m;

	cr_assert_eq(qgs_message_parse(&m, lying, sizeof(lying), NULL), -EBADMSG);
	cr_assert_eq(m.type, QGS_GET_QUOTE_REQUEST);
	cr_assert_eq(m.minor, 1);
	cr_assert_eq(m.quote_request.report.size, 0);
	cr_assert_null(m.quote_request.report.data);
	cr_assert_eq(qgs_message_parse(&m, six, sizeof(six), NULL), -EOPNOTSUPP);
	cr_assert_eq(m.type, 6);
	cr_assert_eq(qgs_message_parse(&m, six, 3, NULL), -EBADMSG);
	cr_assert_eq(m.minor, 0);
}

Test(qgs_message, lying_lengths)
{
	CHANGED(larger, quote_request, 16, 6);
	CHANGED(smaller, quote_request, 16, 4);
	CHANGED(ids, quote_request, 20, 1);
	CHANGED(huge, quote_response, 23, 0xff);
	uint8_t both[sizeof(quote_request)];

	refused(larger, sizeof(larger), "larger than it is");
	refused(smaller, sizeof(smaller), "behind its parts");
	refused(ids, sizeof(ids), "behind its parts");
	refused(huge, sizeof(huge), "larger than it is");
	/* Two sizes that only together fit, if they were added in 32 bits. */
	memcpy(both, quote_request, sizeof(both));
	memset(both + 16, 0xff, 4);
	memcpy(both + 20, (uint8_t[]){ 8, 0, 0, 0 }, 4);
	refused(both, sizeof(both), "larger than it is");
}

Test(qgs_message, senseless)
{
	static const uint8_t no_report[] = {
		1, 0, 1, 0, 0, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 'i', 'd',
	};
	CHANGED(no_quote, quote_error, 12, 0);
	CHANGED(error_and_quote, quote_response, 12, 1);
	CHANGED(request_error, platform_request, 12, 1);
	CHANGED(padding, collateral_response, sizeof(collateral_response) - 1, 1);
	uint8_t no_ca[sizeof(collateral_request) - 1];
	uint8_t no_part[sizeof(collateral_response) - 1];

	refused(no_report, sizeof(no_report), "no report");
	memset(no_quote + 12, 0, 4);
	refused(no_quote, sizeof(no_quote), "no quote");
	refused(error_and_quote, sizeof(error_and_quote), "something in it");
	refused(request_error, sizeof(request_error), "carries an error");
	refused(padding, sizeof(padding), "behind its parts");
	memcpy(no_ca, collateral_request, sizeof(no_ca));
	no_ca[8]--;
	no_ca[20] = 0;
	refused(no_ca, sizeof(no_ca), "missing");
	memcpy(no_part, collateral_response, sizeof(no_part));
	no_part[8]--;
	no_part[44] = 0;
	no_part[sizeof(no_part) - 4] = 0;
	refused(no_part, sizeof(no_part), "missing");
}

static void is(const QgsBytes *bytes, const char *text)
{
	cr_assert_eq(bytes->size, strlen(text));
	cr_assert(bytes->size == 0 || memcmp(bytes->data, text, bytes->size) == 0);
}

Test(qgs_message, quote)
{
	QgsMessage m;

	cr_assert_eq(qgs_message_parse(&m, quote_request, sizeof(quote_request), NULL), 0);
	cr_assert_eq(m.major, 1);
	cr_assert_eq(m.minor, 1);
	cr_assert_eq(m.type, QGS_GET_QUOTE_REQUEST);
	is(&m.quote_request.report, "hello");
	is(&m.quote_request.ids, "id");
	cr_assert_eq(qgs_message_parse(&m, quote_response, sizeof(quote_response), NULL), 0);
	is(&m.quote_response.quote, "quote");
	is(&m.quote_response.selected_id, "");
	cr_assert_eq(qgs_message_parse(&m, quote_error, sizeof(quote_error), NULL), 0);
	cr_assert_eq(m.error, QGS_ERROR_UNEXPECTED);
	is(&m.quote_response.quote, "");
}

Test(qgs_message, collateral)
{
	static const char *const parts[] = { "a", "b", "c", "d", "e", "f", "g" };
	uint8_t unpadded[sizeof(collateral_response) - 4];
	QgsMessage m;

	cr_assert_eq(qgs_message_parse(&m, collateral_request, sizeof(collateral_request), NULL),
		     0);
	is(&m.collateral_request.fmspc, "f");
	is(&m.collateral_request.pck_ca, "c");
	cr_assert_eq(qgs_message_parse(&m, collateral_response, sizeof(collateral_response), NULL),
		     0);
	cr_assert_eq(m.collateral_response.major, 3);
	cr_assert_eq(m.collateral_response.minor, 1);
	cr_assert(m.collateral_response.padded);
	for (size_t i = 0; i < QGS_COLLATERAL_PARTS; i++)
		is(&m.collateral_response.parts[i], parts[i]);
	memcpy(unpadded, collateral_response, sizeof(unpadded));
	unpadded[8] -= 4;
	cr_assert_eq(qgs_message_parse(&m, unpadded, sizeof(unpadded), NULL), 0);
	cr_assert_not(m.collateral_response.padded);
}

Test(qgs_message, platform_info)
{
	QgsMessage m;

	cr_assert_eq(qgs_message_parse(&m, platform_request, sizeof(platform_request), NULL), 0);
	cr_assert_eq(qgs_message_parse(&m, platform_response, sizeof(platform_response), NULL), 0);
	cr_assert_eq(m.platform_info.qe_svn, 7);
	cr_assert_eq(m.platform_info.pce_svn, 9);
	is(&m.platform_info.platform_id, "id");
	is(&m.platform_info.cpu_svn, "v");
}

Test(qgs_message, written_as_read)
{
	for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
		_cleanup_free_ uint8_t *back = NULL;
		QgsMessage m;
		uint32_t framed;
		size_t size;

		cr_assert_eq(qgs_message_parse(&m, samples[i].data, samples[i].size, NULL), 0);
		cr_assert_eq(qgs_message_format(&back, &size, &m), 0);
		cr_assert_eq(size, QGS_FRAME_SIZE + samples[i].size);
		cr_assert_eq(qgs_frame_parse(&framed, back, QGS_MESSAGE_MAX), 0);
		cr_assert_eq(framed, samples[i].size);
		cr_assert_arr_eq(back + QGS_FRAME_SIZE, samples[i].data, samples[i].size);
	}
}

Test(qgs_message, not_written)
{
	static uint8_t large[QGS_MESSAGE_MAX];
	QgsMessage m = { .major = 1, .minor = 1, .type = QGS_GET_QUOTE_REQUEST };
	uint8_t *ret = NULL;
	size_t size;

	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EINVAL, "no report");
	m.type = (QgsType)QGS_TYPES;
	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EINVAL, "no type");
	m = (QgsMessage){ .major = 1, .type = QGS_GET_COLLATERAL_RESPONSE, .error = 1 };
	m.collateral_response.padded = true;
	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EINVAL, "an error is not padded");
	m = (QgsMessage){ .major = 1, .type = QGS_GET_QUOTE_RESPONSE };
	m.quote_response.quote = (QgsBytes){ large, sizeof(large) - 23 };
	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EMSGSIZE);
	m.quote_response.quote.size = SIZE_MAX;
	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EMSGSIZE);
	m.quote_response.quote.size = SIZE_MAX - 23;
	cr_assert_eq(qgs_message_format(&ret, &size, &m), -EMSGSIZE);
	cr_assert_null(ret);
	m.quote_response.quote.size = sizeof(large) - 24;
	cr_assert_eq(qgs_message_format(&ret, &size, &m), 0);
	cr_assert_eq(size, QGS_FRAME_SIZE + QGS_MESSAGE_MAX);
	free(ret);
}

Test(qgs_message, frames)
{
	uint32_t size;

	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0, 0, 0, 0 }, 100), -EMSGSIZE);
	cr_assert_eq(size, 0);
	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0, 0, 0, 15 }, 100), -EMSGSIZE);
	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0, 0, 0, 101 }, 100), -EMSGSIZE);
	cr_assert_eq(size, 101);
	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0xff, 0xff, 0xff, 0xff }, 100), -EMSGSIZE);
	cr_assert_eq(size, UINT32_MAX);
	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0, 0, 0, 16 }, 100), 0);
	cr_assert_eq(qgs_frame_parse(&size, (uint8_t[]){ 0, 0, 4, 0x18 }, 2000), 0);
	cr_assert_eq(size, 1048);
}

Test(qgs_message, texts)
{
	char buffer[QGS_ERROR_TEXT_SIZE];

	cr_assert_str_eq(qgs_error_text(0, buffer), "success");
	cr_assert_str_eq(qgs_error_text(0x12003, buffer), "invalid parameter (0x12003)");
	cr_assert_str_eq(qgs_error_text(0xffffffff, buffer), "unknown error (0xffffffff)");
	cr_assert_str_eq(qgs_type_text(QGS_GET_PLATFORM_INFO_RESPONSE),
			 "GET_PLATFORM_INFO response");
	cr_assert_str_eq(qgs_type_text((QgsType)6), "unknown");
}
