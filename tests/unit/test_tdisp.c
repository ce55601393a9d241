/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdisp.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FID 0x01020384U

static const uint8_t nonce[TDISP_NONCE_SIZE] = "0123456789abcdef0123456789abcde";

static const TdispRequest requests[] = {
	{ .message = TDISP_MSG_GET_VERSION, .function_id = FID },
	{ .message = TDISP_MSG_GET_CAPABILITIES, .function_id = FID },
	{ .message = TDISP_MSG_LOCK_INTERFACE,
	  .function_id = FID,
	  .lock = { .flags = TDISP_LOCK_NO_FW_UPDATE | TDISP_LOCK_ALL_REQUEST_REDIRECT,
		    .default_stream_id = 7,
		    .mmio_reporting_offset = -0x2000,
		    .bind_p2p_address_mask = 0x1122334455667788 } },
	{ .message = TDISP_MSG_GET_DEVICE_INTERFACE_REPORT,
	  .function_id = FID,
	  .report = { .offset = 0x40, .length = 0x102 } },
	{ .message = TDISP_MSG_GET_DEVICE_INTERFACE_STATE, .function_id = FID },
	{ .message = TDISP_MSG_START_INTERFACE, .function_id = FID },
	{ .message = TDISP_MSG_STOP_INTERFACE, .function_id = FID },
};
static const size_t request_sizes[] = { 16, 20, 36, 20, 16, 48, 16 };
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

static const uint8_t versions[] = { 0x10, 0x11 };

static TdispRequest request_of(size_t i)
{
	TdispRequest request = requests[i];

	if (request.message == TDISP_MSG_START_INTERFACE)
		memcpy(request.start_nonce, nonce, sizeof(nonce));
	return request;
}

/* The response that answers requests[i]. */
static TdispResponse response_of(size_t i)
{
	TdispResponse response = { .message = requests[i].message & 0x7f, .function_id = FID };

	switch (response.message) {
	case TDISP_MSG_VERSION:
		response.versions.entries = versions;
		response.versions.n = sizeof(versions);
		break;
	case TDISP_MSG_CAPABILITIES:
		response.capabilities = (TdispCapabilities){
			.requests = { TDISP_REQUESTS_MANDATORY, [15] = 0x80 },
			.lock_flags = TDISP_LOCK_ALL,
			.address_width = 52,
			.num_req_this = 1,
			.num_req_all = 2,
		};
		break;
	case TDISP_MSG_LOCK_INTERFACE_RESPONSE:
		memcpy(response.lock_nonce, nonce, sizeof(nonce));
		break;
	case TDISP_MSG_DEVICE_INTERFACE_REPORT:
		response.report.portion = nonce;
		response.report.portion_length = 5;
		response.report.remainder_length = 0x1234;
		break;
	case TDISP_MSG_DEVICE_INTERFACE_STATE: response.state = TDISP_RUN; break;
	default: break;
	}
	return response;
}
static const size_t response_sizes[] = { 19, 44, 48, 25, 17, 16, 16 };

static void assert_response_refused(const TdispRequest *request, const uint8_t *data, size_t size,
				    const char *words)
{
	TdispResponse parsed;
	char *error = NULL;

	cr_assert_eq(tdisp_response_parse(&parsed, request, data, size, &error), -EBADMSG,
		     "taken, although: %s", words);
	cr_assert_not_null(error);
	cr_assert_not_null(strstr(error, words), "'%s' does not say '%s'", error, words);
	free(error);
	cr_assert_eq(tdisp_response_parse(&parsed, request, data, size, NULL), -EBADMSG);
}

Test(tdisp, requests_of_wrong_size)
{
	uint8_t buffer[64] = {};
	TdispRequest parsed;
	size_t size;

	cr_assert_eq(tdisp_request_parse(&parsed, NULL, 0), -EBADMSG);
	for (size_t i = 0; i < N_REQUESTS; i++) {
		TdispRequest request = request_of(i);

		cr_assert_eq(tdisp_request_encode(&request, buffer, sizeof(buffer), &size), 0);
		for (size_t n = 0; n < TDISP_HEADER_SIZE; n++)
			cr_assert_eq(tdisp_request_parse(&parsed, buffer, n), -EBADMSG);
		for (size_t n = TDISP_HEADER_SIZE; n <= sizeof(buffer); n++) {
			if (n == size)
				continue;
			cr_assert_eq(tdisp_request_parse(&parsed, buffer, n),
				     TDISP_ERROR_INVALID_REQUEST, "%s of %zu bytes was taken",
				     tdisp_message_name(request.message), n);
			cr_assert_eq(parsed.message, request.message);
			cr_assert_eq(parsed.function_id, FID);
		}
	}
}

Test(tdisp, requests_with_reserved_bits)
{
	static const size_t reserved[] = { 2, 3, 8, 9, 10, 11, 12, 13, 14, 15 };
	uint8_t buffer[64];
	TdispRequest parsed;
	size_t size;

	for (size_t i = 0; i < N_REQUESTS; i++) {
		TdispRequest request = request_of(i);

		for (size_t k = 0; k < sizeof(reserved) / sizeof(reserved[0]); k++) {
			tdisp_request_encode(&request, buffer, sizeof(buffer), &size);
			buffer[reserved[k]] = 1;
			cr_assert_eq(tdisp_request_parse(&parsed, buffer, size),
				     TDISP_ERROR_INVALID_REQUEST);
		}
	}
	/* TSM_CAPS, reserved bits of FLAGS, the byte behind the stream id, LENGTH 0 */
	tdisp_request_encode(&requests[1], buffer, sizeof(buffer), &size);
	buffer[19] = 1;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, size), TDISP_ERROR_INVALID_REQUEST);
	tdisp_request_encode(&requests[2], buffer, sizeof(buffer), &size);
	buffer[16] |= 0x20;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, size), TDISP_ERROR_INVALID_REQUEST);
	tdisp_request_encode(&requests[2], buffer, sizeof(buffer), &size);
	buffer[19] = 1;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, size), TDISP_ERROR_INVALID_REQUEST);
	tdisp_request_encode(&requests[3], buffer, sizeof(buffer), &size);
	buffer[18] = buffer[19] = 0;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, size), TDISP_ERROR_INVALID_REQUEST);
}

Test(tdisp, version_before_code_before_form)
{
	uint8_t buffer[TDISP_HEADER_SIZE] = { 0x11, 0x8a, 1, 0, 0x84, 3, 2, 1 };
	TdispResponse response;
	TdispRequest parsed;

	cr_assert_eq(tdisp_request_parse(&parsed, buffer, sizeof(buffer)),
		     TDISP_ERROR_VERSION_MISMATCH);
	cr_assert_eq(parsed.function_id, FID);
	buffer[0] = 0x10;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, sizeof(buffer)),
		     TDISP_ERROR_UNSUPPORTED_REQUEST);
	response = tdisp_error_response(&parsed, TDISP_ERROR_UNSUPPORTED_REQUEST);
	cr_assert_eq(response.error.data, 0x8a);
	cr_assert_eq(response.function_id, FID);
	/* What a device sends is no request. */
	buffer[1] = TDISP_MSG_STOP_INTERFACE_RESPONSE;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, sizeof(buffer)),
		     TDISP_ERROR_UNSUPPORTED_REQUEST);
	buffer[1] = TDISP_MSG_STOP_INTERFACE;
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, sizeof(buffer)),
		     TDISP_ERROR_INVALID_REQUEST);
}

Test(tdisp, what_is_not_encoded)
{
	TdispRequest request = requests[2];
	TdispResponse response = response_of(1);
	uint8_t buffer[64];
	size_t size = 99;

	request.lock.flags = 0x20;
	cr_assert_eq(tdisp_request_encode(&request, buffer, sizeof(buffer), &size), -EINVAL);
	request = requests[3];
	request.report.length = 0;
	cr_assert_eq(tdisp_request_encode(&request, buffer, sizeof(buffer), &size), -EINVAL);
	request = requests[0];
	request.function_id = 0x00010000; /* a segment that is not marked valid */
	cr_assert_eq(tdisp_request_encode(&request, buffer, sizeof(buffer), &size), -EINVAL);
	request = requests[0];
	request.message = TDISP_MSG_VERSION;
	cr_assert_eq(tdisp_request_encode(&request, buffer, sizeof(buffer), &size), -EINVAL);

	response.capabilities.lock_flags = 0x20;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), -EINVAL);
	response = response_of(0);
	response.versions.n = 0;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), -EINVAL);
	response = response_of(4);
	response.state = TDISP_N_STATES;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), -EINVAL);
	response.message = TDISP_MSG_GET_VERSION;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), -EINVAL);
	response = tdisp_error_response(&requests[0], TDISP_ERROR_BUSY);
	response.error.extended = nonce;
	response.error.extended_size = 4;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), -EINVAL);
	for (size_t i = 0; i < N_REQUESTS; i++) {
		request = request_of(i);
		response = response_of(i);
		cr_assert_eq(tdisp_request_encode(&request, buffer, request_sizes[i] - 1, &size),
			     -ENOBUFS);
		cr_assert_eq(tdisp_response_encode(&response, buffer, response_sizes[i] - 1, &size),
			     -ENOBUFS);
	}
	cr_assert_eq(size, 99);
}

Test(tdisp, responses_of_wrong_size)
{
	uint8_t buffer[80] = {};
	size_t size;

	for (size_t i = 0; i < N_REQUESTS; i++) {
		TdispRequest request = request_of(i);
		TdispResponse response = response_of(i);

		tdisp_response_encode(&response, buffer, sizeof(buffer), &size);
		for (size_t n = 0; n <= sizeof(buffer); n++)
			if (n != size)
				assert_response_refused(&request, buffer, n, " bytes are ");
	}
}

Test(tdisp, responses_to_something_else)
{
	TdispRequest request = request_of(4);
	TdispResponse response = response_of(4);
	uint8_t good[64], bad[64];
	size_t size;

	tdisp_response_encode(&response, good, sizeof(good), &size);
	memcpy(bad, good, size);
	bad[0] = 0x11;
	assert_response_refused(&request, bad, size, "version 0x11");
	memcpy(bad, good, size);
	bad[1] = TDISP_MSG_STOP_INTERFACE_RESPONSE;
	assert_response_refused(&request, bad, size, "STOP_INTERFACE_RESPONSE");
	bad[1] = TDISP_MSG_GET_DEVICE_INTERFACE_STATE;
	assert_response_refused(&request, bad, size, "message 0x85");
	memcpy(bad, good, size);
	bad[4] ^= 1;
	assert_response_refused(&request, bad, size, "FUNCTION_ID 0x01020385, not 0x01020384");
	memcpy(bad, good, size);
	bad[15] = 1;
	assert_response_refused(&request, bad, size, "reserved");
	memcpy(bad, good, size);
	bad[16] = 4;
	assert_response_refused(&request, bad, size, "4 is no state");
	/* UNBIND_P2P_STREAM, which tdisp_request_encode() does not know either */
	request.message = 0x89;
	memcpy(bad, good, size);
	bad[1] = 0x09;
	assert_response_refused(&request, bad, TDISP_HEADER_SIZE, "0x09 is no response");
}

Test(tdisp, responses_that_contradict_themselves)
{
	TdispRequest request = request_of(0);
	TdispResponse response = response_of(0);
	uint8_t buffer[64];
	size_t size;

	tdisp_response_encode(&response, buffer, sizeof(buffer), &size);
	buffer[16] = 0;
	assert_response_refused(&request, buffer, 17, "no version");
	buffer[16] = 3;
	assert_response_refused(&request, buffer, size, "not its size");

	request = request_of(1);
	response = response_of(1);
	tdisp_response_encode(&response, buffer, sizeof(buffer), &size);
	buffer[36] = 0x20;
	assert_response_refused(&request, buffer, size, "reserved bits");
	buffer[36] = 0;
	buffer[40] = 1;
	assert_response_refused(&request, buffer, size, "reserved field");

	request = request_of(3);
	response = response_of(3);
	tdisp_response_encode(&response, buffer, sizeof(buffer), &size);
	buffer[16] = 6;
	assert_response_refused(&request, buffer, size, "not its size");
	buffer[16] = 5;
	request.report.length = 4;
	assert_response_refused(&request, buffer, size, "portion of 5 bytes, 4 were asked for");
}

Test(tdisp, errors)
{
	TdispRequest request = request_of(5);
	TdispResponse response = tdisp_error_response(&request, TDISP_ERROR_INVALID_NONCE), parsed;
	uint8_t buffer[64] = {};
	size_t size;

	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), 0);
	cr_assert_eq(size, 24);
	assert_response_refused(&request, buffer, 23, "not its size");
	assert_response_refused(&request, buffer, 25, "extended");
	cr_assert_eq(tdisp_response_parse(&parsed, &request, buffer, size, NULL), 0);
	cr_assert_eq(parsed.message, TDISP_MSG_ERROR);
	cr_assert_eq(parsed.error.code, TDISP_ERROR_INVALID_NONCE);
	cr_assert_eq(parsed.error.data, 0);
	cr_assert_null(parsed.error.extended);
	cr_assert_str_eq(tdisp_error_name(parsed.error.code), "INVALID_NONCE");
	cr_assert_str_eq(tdisp_error_name(2), "?");

	/* registry 0, vendor id of 2 bytes, 1 byte of data */
	response.error.code = TDISP_ERROR_VENDOR_SPECIFIC;
	response.error.extended = (const uint8_t[]){ 0, 2, 0xde, 0x10, 0x77 };
	response.error.extended_size = 5;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), 0);
	cr_assert_eq(size, 29);
	cr_assert_eq(tdisp_response_parse(&parsed, &request, buffer, size, NULL), 0);
	cr_assert_eq(parsed.error.extended, buffer + 24);
	cr_assert_eq(parsed.error.extended_size, 5);
	assert_response_refused(&request, buffer, 25, "extended");
	buffer[25] = 4;
	assert_response_refused(&request, buffer, size, "extended");
}

Test(tdisp, lock_on_the_wire)
{
	static const uint8_t expected[] = {
		0x10, 0x83, 0,	  0,	0x84, 0x03, 0x02, 0x01, 0,    0,    0,	  0,
		0,    0,    0,	  0,	0x11, 0,    7,	  0,	0x00, 0xe0, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	};
	uint8_t buffer[sizeof(expected)];
	TdispRequest parsed;
	size_t size;

	cr_assert_eq(tdisp_request_encode(&requests[2], buffer, sizeof(buffer), &size), 0);
	cr_assert_eq(size, sizeof(expected));
	cr_assert_arr_eq(buffer, expected, sizeof(expected));
	cr_assert_eq(tdisp_request_parse(&parsed, buffer, size), 0);
	cr_assert_eq(parsed.lock.flags, 0x11);
	cr_assert_eq(parsed.lock.default_stream_id, 7);
	cr_assert_eq(parsed.lock.mmio_reporting_offset, -0x2000);
	cr_assert_eq(parsed.lock.bind_p2p_address_mask, 0x1122334455667788);
}

Test(tdisp, capabilities_on_the_wire)
{
	TdispResponse response = response_of(1), parsed;
	uint8_t buffer[64];
	size_t size;

	response.capabilities.dsm_caps = 0x04030201;
	cr_assert_eq(tdisp_response_encode(&response, buffer, sizeof(buffer), &size), 0);
	cr_assert_eq(size, 44);
	cr_assert_arr_eq(buffer + 16, ((uint8_t[]){ 1, 2, 3, 4, 0xfe }), 5);
	cr_assert_arr_eq(buffer + 35, ((uint8_t[]){ 0x80, 0x1f, 0, 0, 0, 0, 52, 1, 2 }), 9);
	cr_assert_eq(tdisp_response_parse(&parsed, &requests[1], buffer, size, NULL), 0);
	cr_assert_eq(parsed.capabilities.dsm_caps, 0x04030201);
	cr_assert_eq(parsed.capabilities.address_width, 52);
	cr_assert_eq(parsed.capabilities.num_req_this, 1);
	cr_assert_eq(parsed.capabilities.num_req_all, 2);
	cr_assert_eq(parsed.capabilities.lock_flags, TDISP_LOCK_ALL);
	for (size_t i = 0; i < N_REQUESTS; i++)
		cr_assert(tdisp_capabilities_has(&parsed.capabilities, requests[i].message));
	cr_assert(tdisp_capabilities_has(&parsed.capabilities, 0xff));
	cr_assert_not(tdisp_capabilities_has(&parsed.capabilities, 0x8a));
	cr_assert_not(tdisp_capabilities_has(&parsed.capabilities, 0x80));
	cr_assert_not(tdisp_capabilities_has(&parsed.capabilities, 0x01));
	cr_assert_not(tdisp_capabilities_has(&parsed.capabilities, 0x100));
}

Test(tdisp, every_message_comes_back)
{
	uint8_t first[64], second[64];
	TdispResponse response, parsed_response;
	TdispRequest request, parsed;
	size_t size, again;

	for (size_t i = 0; i < N_REQUESTS; i++) {
		request = request_of(i);
		cr_assert_eq(tdisp_request_encode(&request, first, sizeof(first), &size), 0);
		cr_assert_eq(size, request_sizes[i]);
		cr_assert_eq(tdisp_request_parse(&parsed, first, size), 0);
		cr_assert_eq(tdisp_request_encode(&parsed, second, sizeof(second), &again), 0);
		cr_assert_eq(again, size);
		cr_assert_arr_eq(first, second, size);

		response = response_of(i);
		cr_assert_eq(tdisp_response_encode(&response, first, sizeof(first), &size), 0);
		cr_assert_eq(size, response_sizes[i]);
		cr_assert_eq(tdisp_response_parse(&parsed_response, &request, first, size, NULL),
			     0);
		cr_assert_eq(
			tdisp_response_encode(&parsed_response, second, sizeof(second), &again), 0);
		cr_assert_eq(again, size);
		cr_assert_arr_eq(first, second, size);
	}
	request = request_of(5);
	tdisp_request_encode(&request, first, sizeof(first), &size);
	cr_assert_arr_eq(first + 16, nonce, sizeof(nonce));
}

Test(tdisp, function_ids)
{
	uint32_t id;
	Bdf bdf;

	cr_assert_eq(tdisp_function_id_from_bdf(&id, (Bdf){ .segment = 0x100 }), -ERANGE);
	cr_assert_eq(tdisp_function_id_to_bdf(&bdf, 0x02000000), -EINVAL);
	cr_assert_eq(tdisp_function_id_to_bdf(&bdf, 0x80000000), -EINVAL);
	cr_assert_eq(tdisp_function_id_to_bdf(&bdf, 0x00020000), -EINVAL);
	cr_assert_eq(tdisp_function_id_from_bdf(&id, (Bdf){ 2, 3, 16, 4 }), 0);
	cr_assert_eq(id, FID);
	cr_assert_eq(tdisp_function_id_to_bdf(&bdf, FID), 0);
	cr_assert(bdf_equal(bdf, (Bdf){ 2, 3, 16, 4 }));
	cr_assert_eq(tdisp_function_id_from_bdf(&id, (Bdf){ 0, 3, 16, 4 }), 0);
	cr_assert_eq(id, 0x0384);
	cr_assert_eq(tdisp_function_id_to_bdf(&bdf, id), 0);
	cr_assert(bdf_equal(bdf, (Bdf){ 0, 3, 16, 4 }));
}

Test(tdisp, legal_states)
{
	/* Columns: CONFIG_UNLOCKED, CONFIG_LOCKED, RUN, ERROR; rows as in requests[]. */
	static const bool legal[N_REQUESTS][TDISP_N_STATES] = {
		{ 1, 1, 1, 1 }, { 1, 1, 1, 1 }, { 1, 0, 0, 0 }, { 0, 1, 1, 0 },
		{ 1, 1, 1, 1 }, { 0, 1, 0, 0 }, { 1, 1, 1, 1 },
	};

	for (size_t i = 0; i < N_REQUESTS; i++)
		for (unsigned int s = 0; s < TDISP_N_STATES; s++)
			cr_assert_eq(tdisp_request_is_legal(requests[i].message, s), legal[i][s],
				     "%s in %s", tdisp_message_name(requests[i].message),
				     tdisp_state_name(s));
	cr_assert_not(tdisp_request_is_legal(TDISP_MSG_VERSION, TDISP_RUN));
}

Test(tdisp, state_names)
{
	TdispState state = TDISP_ERROR;

	cr_assert_eq(tdisp_state_parse(&state, ""), -EINVAL);
	cr_assert_eq(tdisp_state_parse(&state, "RUN"), -EINVAL);
	cr_assert_eq(tdisp_state_parse(&state, "?"), -EINVAL);
	cr_assert_eq(tdisp_state_parse(&state, NULL), -EINVAL);
	cr_assert_eq(state, TDISP_ERROR);
	cr_assert_str_eq(tdisp_state_name(TDISP_N_STATES), "?");
	cr_assert_str_eq(tdisp_state_name(TDISP_CONFIG_LOCKED), "config_locked");
	for (unsigned int s = 0; s < TDISP_N_STATES; s++) {
		cr_assert_eq(tdisp_state_parse(&state, tdisp_state_name(s)), 0);
		cr_assert_eq(state, s);
	}
}

Test(tdisp, portions_beyond_the_report)
{
	static const uint8_t report[10];
	TdispRequest request = request_of(3);
	TdispResponse response;

	request.report.offset = 10;
	cr_assert_eq(tdisp_report_portion(&response, &request, report, 10, 64),
		     TDISP_ERROR_INVALID_REQUEST);
	request.report.offset = 0;
	cr_assert_eq(tdisp_report_portion(&response, &request, report, 0, 64),
		     TDISP_ERROR_INVALID_REQUEST);
	request.report.length = 0;
	cr_assert_eq(tdisp_report_portion(&response, &request, report, 10, 64),
		     TDISP_ERROR_INVALID_REQUEST);
}

Test(tdisp, reader_refuses)
{
	uint8_t buffer[16];
	TdispReportReader reader = tdisp_report_reader(buffer, sizeof(buffer), FID, 8);
	TdispResponse response = response_of(3);
	char *error = NULL;

	response.report.portion_length = 0;
	cr_assert_eq(tdisp_report_add(&reader, &response, NULL), -EBADMSG);
	response.report.portion_length = 5;
	response.report.remainder_length = 12;
	cr_assert_eq(tdisp_report_add(&reader, &response, &error), -EMSGSIZE);
	cr_assert_str_eq(error, "interface report: 17 bytes, more than the 16 that are taken");
	free(error);
	error = NULL;
	response.report.remainder_length = 11;
	cr_assert_eq(tdisp_report_add(&reader, &response, NULL), 0);
	cr_assert_eq(tdisp_report_add(&reader, &response, &error), -EBADMSG);
	cr_assert_str_eq(error, "interface report: 16 bytes in all, then 21 at offset 5");
	free(error);
	response = tdisp_error_response(&requests[3], TDISP_ERROR_INVALID_INTERFACE_STATE);
	cr_assert_eq(tdisp_report_add(&reader, &response, NULL), -EBADMSG);
	cr_assert_eq(reader.size, 5);
}

/* A device that gives 40 bytes at a time, asked for 64 at a time. */
Test(tdisp, report_in_portions)
{
	uint8_t report[100], buffer[128], wire[128];
	TdispReportReader reader = tdisp_report_reader(buffer, sizeof(buffer), FID, 64);
	unsigned int n = 0;
	int done = 0;

	for (unsigned int i = 0; i < sizeof(report); i++)
		report[i] = (uint8_t)(i * 7);
	while (!done) {
		TdispRequest asked = tdisp_report_next(&reader), request;
		TdispResponse answer, response;
		size_t size;

		cr_assert_eq(tdisp_request_encode(&asked, wire, sizeof(wire), &size), 0);
		cr_assert_eq(tdisp_request_parse(&request, wire, size), 0);
		cr_assert_eq(tdisp_report_portion(&answer, &request, report, sizeof(report), 40),
			     0);
		cr_assert_eq(tdisp_response_encode(&answer, wire, sizeof(wire), &size), 0);
		cr_assert_eq(tdisp_response_parse(&response, &asked, wire, size, NULL), 0);
		done = tdisp_report_add(&reader, &response, NULL);
		cr_assert_geq(done, 0);
		cr_assert_leq(++n, 3);
	}
	cr_assert_eq(n, 3);
	cr_assert_eq(reader.size, sizeof(report));
	cr_assert_arr_eq(buffer, report, sizeof(report));
}
