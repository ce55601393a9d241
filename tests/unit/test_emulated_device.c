/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device's end of SPDM and TDISP, byte by byte and in the wrong order. */
#include "core/spdm.h"
#include "testing-emulated.h"
#include "tsm/emulated/device.h"
#include "tsm/emulated/firmware.h"
#include "tsm/emulated/requester.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

#include <errno.h>

#define FUNCTION_ID 0x0180 /* 01:10.0 */

static Device *device;
static EVP_PKEY *key;
static uint8_t response[DEVICE_MESSAGE_MAX];
static size_t response_size;
static Requester requester;

static int find_function(void *userdata, Bdf bdf, HostFunction *ret)
{
	if (!bdf_equal(bdf, testing_bdf(VF0)))
		return -ENODEV;
	*ret = (HostFunction){ .bdf = bdf, .bars = { { 0x800000000, 0x4000, true } } };
	return 0;
}

static int exchange(void *userdata, const void *request, size_t request_size, void *to,
		    size_t capacity, size_t *ret_size)
{
	return device_exchange(device, request, request_size, to, capacity, ret_size);
}

static void set_up(void)
{
	const Firmware firmware = { .name = "1" };
	uint8_t chain[1500], record[FIRMWARE_RECORD_SIZE];

	memset(chain, 0x5a, sizeof(chain));
	cr_assert_eq(firmware_record(&firmware, record), 0);
	key = EVP_EC_gen("P-384");
	cr_assert_eq(device_new(&device, &(DeviceOptions){ .key = key,
							   .chain = chain,
							   .chain_size = sizeof(chain),
							   .record = record,
							   .record_size = sizeof(record),
							   .n_blocks = FIRMWARE_N_BLOCKS,
							   .find_function = find_function }),
		     0);
	requester = (Requester){ .exchange = exchange };
}

static void tear_down(void)
{
	requester_done(&requester);
	device_free(device);
	EVP_PKEY_free(key);
}

static uint8_t ask(const void *request, size_t size)
{
	cr_assert_eq(
		device_exchange(device, request, size, response, sizeof(response), &response_size),
		0);
	cr_assert_geq(response_size, 4);
	return response[1];
}

/* The code of the SPDM ERROR that the device answers with. */
static int ask_error(const void *request, size_t size)
{
	cr_assert_eq(ask(request, size), SPDM_ERROR);
	return response[2];
}

static void negotiate(void)
{
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(requester_negotiate(&requester, &error), 0, "%s", error);
}

static uint32_t tdisp_error(const TdispRequest *request, const uint8_t *bytes, size_t size)
{
	uint8_t message[512];
	ByteWriter w = byte_writer(message, sizeof(message));
	SpdmVendorDefined v = { SPDM_PROTOCOL_TDISP, (uint16_t)size, bytes };
	TdispResponse answer;
	ByteReader r;

	spdm_vendor_defined_put(&w, SPDM_VENDOR_DEFINED_REQUEST, &v);
	cr_assert_eq(ask(message, w.used), SPDM_VENDOR_DEFINED_RESPONSE);
	r = byte_reader(response, response_size);
	cr_assert_eq(spdm_vendor_defined_take(&r, SPDM_VENDOR_DEFINED_RESPONSE, &v), 0);
	cr_assert_eq(tdisp_response_parse(&answer, request, v.body, v.body_size, NULL), 0);
	return answer.message == TDISP_MSG_ERROR ? answer.error.code : 0;
}

static uint32_t tdisp(TdispMessage message, uint32_t function_id)
{
	TdispRequest request = { .message = message, .function_id = function_id };
	uint8_t bytes[TDISP_REQUEST_MAX];
	size_t size;

	if (message == TDISP_MSG_GET_DEVICE_INTERFACE_REPORT)
		request.report.length = 64;
	cr_assert_eq(tdisp_request_encode(&request, bytes, sizeof(bytes), &size), 0);
	return tdisp_error(&request, bytes, size);
}

static TdispState state(void)
{
	TdispState s;

	cr_assert_eq(requester_state(&requester, FUNCTION_ID, &s, NULL), 0);
	return s;
}

TestSuite(emulated_device, .init = set_up, .fini = tear_down);

Test(emulated_device, refuses_malformed)
{
	uint8_t zeros[64] = {}, get_version[5] = { 0x10, SPDM_GET_VERSION };

	for (size_t n = 0; n < 4; n++)
		cr_assert_eq(ask_error(zeros, n), SPDM_ERROR_INVALID_REQUEST, "%zu", n);
	cr_assert_eq(ask_error(zeros, sizeof(zeros)), SPDM_ERROR_VERSION_MISMATCH);
	cr_assert_eq(ask_error(get_version, 5), SPDM_ERROR_INVALID_REQUEST, "trailing byte");
	get_version[2] = 1;
	cr_assert_eq(ask_error(get_version, 4), SPDM_ERROR_INVALID_REQUEST);
	cr_assert_eq(device_exchange(device, get_version, 4, response, 3, &response_size), -ENOSPC);
}

Test(emulated_device, refuses_the_wrong_order)
{
	static const uint8_t codes[] = { SPDM_GET_CAPABILITIES, SPDM_NEGOTIATE_ALGORITHMS,
					 SPDM_GET_DIGESTS,	SPDM_GET_CERTIFICATE,
					 SPDM_GET_MEASUREMENTS, SPDM_VENDOR_DEFINED_REQUEST };

	for (size_t i = 0; i < sizeof(codes); i++) {
		const uint8_t request[4] = { SPDM_VERSION_1_2, codes[i] };

		cr_assert_eq(ask_error(request, 4), SPDM_ERROR_UNEXPECTED_REQUEST);
	}
	negotiate();
	for (size_t i = 0; i < 2; i++) {
		const uint8_t request[4] = { SPDM_VERSION_1_2, codes[i] };

		cr_assert_eq(ask_error(request, 4), SPDM_ERROR_UNEXPECTED_REQUEST);
	}
	{
		const uint8_t challenge[4] = { SPDM_VERSION_1_2, 0x83 };

		cr_assert_eq(ask_error(challenge, 4), SPDM_ERROR_UNSUPPORTED_REQUEST);
		cr_assert_eq(response[3], 0x83);
	}
}

Test(emulated_device, refuses_certificates_and_measurements)
{
	uint8_t get[37] = { SPDM_VERSION_1_2, SPDM_GET_CERTIFICATE, 1, 0, 0, 0, 0xff, 0xff };

	negotiate();
	cr_assert_eq(ask_error(get, 8), SPDM_ERROR_INVALID_REQUEST, "empty slot");
	get[2] = 0;
	get[4] = 1500 & 0xff;
	get[5] = 1500 >> 8;
	cr_assert_eq(ask_error(get, 8), SPDM_ERROR_INVALID_REQUEST, "beyond the end");
	get[4] = get[5] = get[6] = get[7] = 0;
	cr_assert_eq(ask_error(get, 8), SPDM_ERROR_INVALID_REQUEST, "nothing asked for");
	get[6] = 0xff;
	cr_assert_eq(ask_error(get, 9), SPDM_ERROR_INVALID_REQUEST, "trailing byte");
	cr_assert_eq(ask(get, 8), SPDM_CERTIFICATE);
	cr_assert_eq(response_size, 8 + 255);
	memset(get, 0, sizeof(get));
	get[0] = SPDM_VERSION_1_2;
	get[1] = SPDM_GET_MEASUREMENTS;
	get[2] = 1;
	get[3] = 0x77;
	cr_assert_eq(ask_error(get, 37), SPDM_ERROR_INVALID_REQUEST, "no such index");
	get[3] = 0xff;
	cr_assert_eq(ask_error(get, 36), SPDM_ERROR_INVALID_REQUEST, "short");
	get[36] = 1;
	cr_assert_eq(ask_error(get, 37), SPDM_ERROR_INVALID_REQUEST, "another slot's key");
}

Test(emulated_device, refuses_tdisp)
{
	const TdispRequest request = { .message = TDISP_MSG_LOCK_INTERFACE,
				       .function_id = FUNCTION_ID };
	uint8_t vendor[16] = { SPDM_VERSION_1_2, SPDM_VENDOR_DEFINED_REQUEST };
	uint8_t bytes[64];
	size_t size;

	negotiate();
	cr_assert_eq(ask_error(vendor, sizeof(vendor)), SPDM_ERROR_INVALID_REQUEST);
	cr_assert_eq(tdisp(TDISP_MSG_LOCK_INTERFACE, 0x0190), TDISP_ERROR_INVALID_INTERFACE);
	cr_assert_eq(tdisp(TDISP_MSG_GET_DEVICE_INTERFACE_REPORT, FUNCTION_ID),
		     TDISP_ERROR_INVALID_INTERFACE_STATE);
	cr_assert_eq(tdisp(TDISP_MSG_START_INTERFACE, FUNCTION_ID),
		     TDISP_ERROR_INVALID_INTERFACE_STATE);
	cr_assert_eq(tdisp_request_encode(&request, bytes, sizeof(bytes), &size), 0);
	bytes[0] = 0x11;
	cr_assert_eq(tdisp_error(&request, bytes, size), TDISP_ERROR_VERSION_MISMATCH);
	bytes[0] = TDISP_VERSION_1_0;
	bytes[16] = TDISP_LOCK_BIND_P2P;
	cr_assert_eq(tdisp_error(&request, bytes, size), TDISP_ERROR_INVALID_REQUEST);
	bytes[16] = 0;
	bytes[28] = 1; /* P2P address mask */
	cr_assert_eq(tdisp_error(&request, bytes, size), TDISP_ERROR_INVALID_REQUEST);
	bytes[28] = 0;
	cr_assert_eq(tdisp_error(&request, bytes, size - 1), TDISP_ERROR_INVALID_REQUEST);
	cr_assert_eq(state(), TDISP_CONFIG_UNLOCKED);
}

Test(emulated_device, tdisp_machine)
{
	uint8_t nonce[TDISP_NONCE_SIZE], wrong[TDISP_NONCE_SIZE];
	const TdispLock lock = {};
	_cleanup_blob_ Blob report = {};

	negotiate();
	cr_assert_eq(tdisp(TDISP_MSG_STOP_INTERFACE, FUNCTION_ID), 0, "in every state");
	cr_assert_eq(requester_lock(&requester, FUNCTION_ID, &lock, nonce, NULL), 0);
	cr_assert_eq(state(), TDISP_CONFIG_LOCKED);
	cr_assert_eq(tdisp(TDISP_MSG_LOCK_INTERFACE, FUNCTION_ID),
		     TDISP_ERROR_INVALID_INTERFACE_STATE);
	cr_assert_eq(requester_report(&requester, FUNCTION_ID, &report, NULL), 0);
	memcpy(wrong, nonce, sizeof(wrong));
	wrong[31] ^= 1;
	cr_assert_eq(requester_start(&requester, FUNCTION_ID, wrong, NULL), -EREMOTEIO);
	cr_assert_eq(state(), TDISP_CONFIG_LOCKED, "a wrong nonce leaves it locked");
	cr_assert_eq(requester_start(&requester, FUNCTION_ID, nonce, NULL), 0);
	cr_assert_eq(state(), TDISP_RUN);
	cr_assert_eq(requester_start(&requester, FUNCTION_ID, nonce, NULL), -EREMOTEIO);
	cr_assert_eq(tdisp(TDISP_MSG_GET_DEVICE_INTERFACE_REPORT, FUNCTION_ID), 0);
	cr_assert_eq(tdisp(TDISP_MSG_STOP_INTERFACE, FUNCTION_ID), 0);
	cr_assert_eq(state(), TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(requester_lock(&requester, FUNCTION_ID, &lock, wrong, NULL), 0);
	cr_assert_arr_neq(nonce, wrong, sizeof(nonce));
	cr_assert_eq(requester_start(&requester, FUNCTION_ID, nonce, NULL), -EREMOTEIO,
		     "the former lock's nonce");
	device_interface_violate(device_interface(device, testing_bdf(VF0)));
	cr_assert_eq(state(), TDISP_ERROR);
	cr_assert_eq(requester_start(&requester, FUNCTION_ID, wrong, NULL), -EREMOTEIO);
	cr_assert_eq(tdisp(TDISP_MSG_GET_DEVICE_INTERFACE_REPORT, FUNCTION_ID),
		     TDISP_ERROR_INVALID_INTERFACE_STATE);
	cr_assert_eq(tdisp(TDISP_MSG_STOP_INTERFACE, FUNCTION_ID), 0);
	cr_assert_eq(state(), TDISP_CONFIG_UNLOCKED);
}

/* A connection begun anew is another session: nothing stays locked. */
Test(emulated_device, get_version_begins_anew)
{
	uint8_t nonce[TDISP_NONCE_SIZE];
	const TdispLock lock = {};

	negotiate();
	cr_assert_eq(requester_lock(&requester, FUNCTION_ID, &lock, nonce, NULL), 0);
	negotiate();
	cr_assert_eq(state(), TDISP_ERROR);
}

/* An unsigned request before the signed one is part of what is signed. */
Test(emulated_device, signs_earlier_measurements)
{
	const uint8_t count[4] = { SPDM_VERSION_1_2, SPDM_GET_MEASUREMENTS, 0, 0 };
	const uint8_t digests[4] = { SPDM_VERSION_1_2, SPDM_GET_DIGESTS };
	uint8_t nonce[SPDM_NONCE_SIZE] = { 7 };
	_cleanup_blob_ Blob alone = {};

	negotiate();
	cr_assert_eq(requester_measure(&requester, 0, nonce, key, &alone, NULL), 0);
	cr_assert_eq(ask(count, sizeof(count)), SPDM_MEASUREMENTS);
	cr_assert_eq(response[2], FIRMWARE_N_BLOCKS);
	/* The signature now covers more than the requester knows of. */
	cr_assert_eq(requester_measure(&requester, 0, nonce, key, &alone, NULL), -EBADMSG);
	cr_assert_eq(ask(count, sizeof(count)), SPDM_MEASUREMENTS);
	cr_assert_eq(ask(digests, sizeof(digests)), SPDM_DIGESTS, "which ends that transcript");
	cr_assert_eq(requester_measure(&requester, 0, nonce, key, &alone, NULL), 0);
}
