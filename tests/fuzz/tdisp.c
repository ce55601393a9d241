/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TDISP messages. Input: a byte: 0 a request, else the code of the request that is answered; the
 * message.
 */
#include "core/tdisp.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static uint8_t buffer[TDISP_RESPONSE_MAX];

static bool request(const uint8_t *data, size_t size)
{
	TdispRequest request;
	TdispResponse error, back;
	size_t n;
	int r = tdisp_request_parse(&request, data, size);

	if (r == -EBADMSG) {
		CHECK(size < TDISP_HEADER_SIZE);
		return false;
	}
	if (r > 0) {
		CHECK(strcmp(tdisp_error_name((uint32_t)r), "?") != 0);
		error = tdisp_error_response(&request, (TdispError)r);
		CHECK(tdisp_response_encode(&error, buffer, sizeof(buffer), &n) == 0);
		CHECK(tdisp_response_parse(&back, &request, buffer, n, NULL) == 0);
		CHECK(back.error.code == (uint32_t)r);
		return false;
	}
	CHECK(r == 0);
	/* A FUNCTION_ID that stands for no function is echoed, but never sent. */
	r = tdisp_request_encode(&request, buffer, sizeof(buffer), &n);
	if (r == 0) {
		CHECK(n == size && n <= TDISP_REQUEST_MAX && memcmp(buffer, data, n) == 0);
		CHECK(tdisp_request_encode(&request, buffer, n - 1, &n) == -ENOBUFS);
	} else {
		Bdf bdf;

		CHECK(tdisp_function_id_to_bdf(&bdf, request.function_id) < 0);
	}
	return true;
}

static bool response(uint8_t code, const uint8_t *data, size_t size)
{
	TdispRequest request = { .message = code, .report.length = 0x100 };
	TdispResponse response;
	char *error = NULL;
	size_t n;

	if (size >= 8)
		request.function_id = (uint32_t)data[4] | (uint32_t)data[5] << 8 |
				      (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
	if (!fuzz_good(tdisp_response_parse(&response, &request, data, size, &error), error))
		return false;
	CHECK(tdisp_response_encode(&response, buffer, sizeof(buffer), &n) == 0);
	CHECK(n == size && memcmp(buffer, data, n) == 0);
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	if (size == 0)
		return false;
	return *data ? response(*data, data + 1, size - 1) : request(data + 1, size - 1);
}
