/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest asks of tdi-qe-emulated. Input: a message without its frame, or a bare report. The
 * platform's key is zeros.
 */
#include "core/qgs-message.h"
#include "folder.h"
#include "fuzz.h"
#include "quote/emulated/answer.h"

#define QUOTE_MRTD_AT  184
#define REPORT_MRTD_AT 528

static const Enclave *enclave(void)
{
	static const uint8_t key[TDREPORT_KEY_SIZE];
	static PckChain *chain;
	static Enclave *made;

	if (!made) {
		CHECK(pck_chain_open(&chain, fuzz_folder(), NULL) == 0);
		CHECK(enclave_new(&made, key, chain) == 0);
	}
	return made;
}

static void check_quote(const uint8_t *quote, const uint8_t *report)
{
	CHECK(memcmp(quote + QUOTE_MRTD_AT, report + REPORT_MRTD_AT, DIGEST_SIZE) == 0);
}

/* Whatever is answered can be read; a request that cannot be read is not answered. */
static bool ask(const uint8_t *data, size_t size)
{
	QgsMessage request, answer;
	_cleanup_blob_ Blob bytes = {};
	const char *why = NULL;
	uint32_t said;

	if (answer_message(enclave(), data, size, 0, &bytes, &why) < 0)
		return false;
	CHECK(qgs_message_parse(&request, data, size, NULL) == 0);
	CHECK(bytes.size > QGS_FRAME_SIZE);
	CHECK(qgs_frame_parse(&said, bytes.data, QGS_MESSAGE_MAX) == 0);
	CHECK(said == bytes.size - QGS_FRAME_SIZE);
	CHECK(qgs_message_parse(&answer, bytes.data + QGS_FRAME_SIZE, said, NULL) == 0);
	CHECK(answer.type == request.type + 1);
	CHECK((answer.error == QGS_SUCCESS) == !why);
	if (answer.error == QGS_SUCCESS && answer.type == QGS_GET_QUOTE_RESPONSE)
		check_quote(answer.quote_response.quote.data, request.quote_request.report.data);
	return answer.error == QGS_SUCCESS;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_blob_ Blob quote = {};
	const char *why = NULL;
	int r;

	if (size == 0 || data[0] != TDREPORT_TYPE)
		return ask(data, size);
	r = answer_report(enclave(), data, size, 0, &quote, &why);
	CHECK(r == 0 || why);
	if (r == 0)
		check_quote(quote.data, data);
	return r == 0;
}
