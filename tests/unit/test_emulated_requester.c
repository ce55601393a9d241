/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TSM against devices that lie. */
#include "core/digest.h"
#include "core/measurements.h"
#include "testing-emulated.h"
#include "tsm/emulated/requester.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

#include <errno.h>

/* Answers in turn; the last one for ever. */
typedef struct Script {
	Blob answers[8];
	size_t n, at;
} Script;

static Script script;
static Requester requester;
static char *sentence;

static int exchange(void *userdata, const void *request, size_t request_size, void *response,
		    size_t capacity, size_t *ret_size)
{
	const Blob *answer = &script.answers[script.at];

	cr_assert_gt(script.n, 0);
	if (script.at + 1 < script.n)
		script.at++;
	if (!answer->data)
		return -ETIMEDOUT;
	cr_assert_leq(answer->size, capacity);
	memcpy(response, answer->data, answer->size);
	*ret_size = answer->size;
	return 0;
}

static void script_clear(void)
{
	for (size_t i = 0; i < script.n; i++)
		blob_done(&script.answers[i]);
	script.n = script.at = 0;
	free(sentence);
	sentence = NULL;
}

static void says(const void *bytes, size_t size)
{
	cr_assert_eq(blob_set(&script.answers[script.n++], bytes, size), 0);
}

static void says_tdisp(const TdispResponse *response)
{
	uint8_t body[512], message[1024];
	ByteWriter w = byte_writer(message, sizeof(message));
	size_t size;

	cr_assert_eq(tdisp_response_encode(response, body, sizeof(body), &size), 0);
	spdm_vendor_defined_put(&w, SPDM_VENDOR_DEFINED_RESPONSE,
				&(SpdmVendorDefined){ SPDM_PROTOCOL_TDISP, (uint16_t)size, body });
	says(message, w.used);
}

static void says_certificate(uint8_t slot, uint16_t size, uint16_t remainder)
{
	static const uint8_t zeros[1024];
	uint8_t message[1100];
	ByteWriter w = byte_writer(message, sizeof(message));

	spdm_certificate_put(&w, &(SpdmCertificate){ slot, size, remainder, zeros });
	says(message, w.used);
}

static void says_digests(uint8_t mask, const Digest *digests)
{
	uint8_t message[512];
	ByteWriter w = byte_writer(message, sizeof(message));

	spdm_digests_put(
		&w, &(SpdmDigests){ mask, (unsigned int)__builtin_popcount(mask), digests->bytes });
	says(message, w.used);
}

static void set_up(void)
{
	requester = (Requester){ .exchange = exchange };
}

static void tear_down(void)
{
	requester_done(&requester);
	script_clear();
}

static int certificates(uint8_t slot)
{
	_cleanup_blob_ Blob chain = {};
	Digest digest;
	int r;

	free(sentence);
	sentence = NULL;
	script.at = 0;
	r = requester_certificates(&requester, slot, &chain, &digest, &sentence);
	cr_assert_eq(r < 0, sentence != NULL);
	cr_assert_eq(r < 0, chain.data == NULL);
	return r;
}

static int stop(void)
{
	free(sentence);
	sentence = NULL;
	return requester_stop(&requester, 0x100, &sentence);
}

TestSuite(emulated_requester, .init = set_up, .fini = tear_down);

Test(emulated_requester, silence_and_noise)
{
	static const uint8_t noise[] = { 0x12, 0x7e, 0, 0, 3, 0, 2, 1, 0 };
	static const uint8_t error[] = { 0x12, SPDM_ERROR, SPDM_ERROR_BUSY, 0, 9 };

	script.n = 1;
	cr_assert_eq(stop(), -ETIMEDOUT);
	cr_assert(strstr(sentence, "STOP_INTERFACE"), "%s", sentence);
	script_clear();
	says(noise, 3);
	cr_assert_eq(stop(), -EBADMSG);
	script_clear();
	says(noise, sizeof(noise));
	cr_assert_eq(stop(), -EBADMSG);
	script_clear();
	says(error, 5);
	cr_assert_eq(stop(), -EBADMSG, "a byte too many");
	script_clear();
	says(error, 4);
	cr_assert_eq(stop(), -EREMOTEIO);
	cr_assert(strstr(sentence, "0x03"), "%s", sentence);
}

Test(emulated_requester, answers_to_something_else)
{
	TdispResponse response = { .message = TDISP_MSG_START_INTERFACE_RESPONSE,
				   .function_id = 0x100 };

	says_tdisp(&response);
	cr_assert_eq(stop(), -EBADMSG);
	script_clear();
	response.message = TDISP_MSG_STOP_INTERFACE_RESPONSE;
	response.function_id = 0x101;
	says_tdisp(&response);
	cr_assert_eq(stop(), -EBADMSG);
	script_clear();
	response.function_id = 0x100;
	says_tdisp(&response);
	cr_assert_eq(stop(), 0);
	script_clear();
	says_tdisp(&(TdispResponse){ .message = TDISP_MSG_ERROR,
				     .function_id = 0x100,
				     .error = { .code = TDISP_ERROR_BUSY } });
	cr_assert_eq(stop(), -EREMOTEIO);
	cr_assert(strstr(sentence, "BUSY"), "%s", sentence);
}

Test(emulated_requester, negotiation)
{
	static const uint8_t version_1_1[] = { 0x10, SPDM_VERSION, 0, 0, 0, 1, 0, 0x11 };
	static const uint8_t version_1_2[] = { 0x10, SPDM_VERSION, 0, 0, 0, 1, 0, 0x12 };
	const SpdmCapabilities capabilities = { .data_transfer_size = 0x1200,
						.max_message_size = 0x1200 };
	SpdmAlgorithms chosen = { .measurement_spec = 1,
				  .other_params = 2,
				  .measurement_hash = SPDM_MEASUREMENT_HASH_SHA384,
				  .base_asym = SPDM_ASYM_ECDSA_P256,
				  .base_hash = SPDM_HASH_SHA384 };
	uint8_t message[256];
	ByteWriter w = byte_writer(message, sizeof(message));

	says(version_1_1, sizeof(version_1_1));
	says(version_1_1, sizeof(version_1_1));
	cr_assert_lt(requester_negotiate(&requester, &sentence), 0);
	script_clear();

	says(version_1_2, sizeof(version_1_2));
	spdm_capabilities_put(&w, &capabilities);
	says(message, w.used);
	w = byte_writer(message, sizeof(message));
	spdm_algorithms_put(&w, &chosen);
	says(message, w.used);
	cr_assert_eq(requester_negotiate(&requester, &sentence), -EBADMSG, "P-256 was not offered");
	free(sentence);
	sentence = NULL;
	blob_done(&script.answers[--script.n]);
	chosen.base_asym = SPDM_ASYM_ECDSA_P384;
	w = byte_writer(message, sizeof(message));
	spdm_algorithms_put(&w, &chosen);
	says(message, w.used);
	script.at = 0;
	cr_assert_eq(requester_negotiate(&requester, &sentence), -EREMOTEIO, "%s", sentence);
	cr_assert(strstr(sentence, "certificates"), "%s", sentence);
	cr_assert_null(requester.vca.data);
}

Test(emulated_requester, certificates_that_do_not_fit)
{
	Digest digest = {};

	says_digests(1, &digest);
	cr_assert_eq(certificates(1), -EREMOTEIO, "empty slot");
	cr_assert(strstr(sentence, "slot 1 is empty"), "%s", sentence);
	says_certificate(1, 100, 0);
	cr_assert_eq(certificates(0), -EBADMSG, "of another slot");
	blob_done(&script.answers[--script.n]);
	says_certificate(0, 0, 0);
	cr_assert_eq(certificates(0), -EBADMSG, "nothing");
	blob_done(&script.answers[--script.n]);
	says_certificate(0, 1024, 65000);
	cr_assert_eq(certificates(0), -EBADMSG, "longer than any chain");
	blob_done(&script.answers[--script.n]);
	says_certificate(0, 1, 1);
	cr_assert_eq(certificates(0), -EBADMSG, "without end");
	blob_done(&script.answers[--script.n]);
	says_certificate(0, 100, 0);
	cr_assert_eq(certificates(0), -EBADMSG, "not what DIGESTS said");
	cr_assert(strstr(sentence, "DIGESTS"), "%s", sentence);
	script_clear();
	{
		const uint8_t zeros[200] = {};

		cr_assert_eq(digest_of(&digest, zeros, sizeof(zeros)), 0);
	}
	says_digests(1, &digest);
	says_certificate(0, 120, 80);
	says_certificate(0, 80, 0);
	cr_assert_eq(certificates(0), 0, "%s", sentence);
}

Test(emulated_requester, device_without_what_lock_needs)
{
	static const uint8_t version[] = { 0x10 }, other[] = { 0x20 };
	TdispResponse versions = { .message = TDISP_MSG_VERSION,
				   .function_id = 0x100,
				   .versions = { other, 1 } };
	TdispResponse capabilities = { .message = TDISP_MSG_CAPABILITIES, .function_id = 0x100 };

	says_tdisp(&versions);
	cr_assert_eq(requester_tdisp_check(&requester, 0x100, 0, NULL), -EREMOTEIO);
	script_clear();
	versions.versions.entries = version;
	capabilities.capabilities.requests[0] = TDISP_REQUESTS_MANDATORY & ~0x40;
	says_tdisp(&versions);
	says_tdisp(&capabilities);
	cr_assert_eq(requester_tdisp_check(&requester, 0x100, 0, &sentence), -EREMOTEIO);
	cr_assert(strstr(sentence, "START"), "%s", sentence);
	script_clear();
	capabilities.capabilities.requests[0] = TDISP_REQUESTS_MANDATORY;
	says_tdisp(&versions);
	says_tdisp(&capabilities);
	cr_assert_eq(requester_tdisp_check(&requester, 0x100, 0, NULL), 0);
	script.at = 0;
	cr_assert_eq(requester_tdisp_check(&requester, 0x100, TDISP_LOCK_NO_FW_UPDATE, NULL),
		     -EREMOTEIO);
}

Test(emulated_requester, report_without_end)
{
	static const uint8_t bytes[8];
	_cleanup_blob_ Blob report = {};

	says_tdisp(&(TdispResponse){ .message = TDISP_MSG_DEVICE_INTERFACE_REPORT,
				     .function_id = 0x100,
				     .report = { bytes, 1, 1 } });
	cr_assert_eq(requester_report(&requester, 0x100, &report, &sentence), -EBADMSG);
	cr_assert_not_null(sentence);
	cr_assert_null(report.data);
}

/* Signed with another key, or an answer to another nonce. */
Test(emulated_requester, measurements_that_prove_nothing)
{
	static const uint8_t record[] = { 1, 1, 4, 0, 0x89, 1, 0, 7 };
	EVP_PKEY *right = EVP_EC_gen("P-384"), *wrong = EVP_EC_gen("P-384");
	uint8_t nonce[SPDM_NONCE_SIZE] = { 3 }, message[1024], asked[64];
	ByteWriter w = byte_writer(message, sizeof(message)), q = byte_writer(asked, sizeof(asked));
	const MeasurementsSource source = { .record = record,
					    .record_size = sizeof(record),
					    .n_blocks = 1,
					    .content_changed = SPDM_CONTENT_UNCHANGED,
					    .key = right };
	SpdmGetMeasurements get = { .sign = true, .operation = SPDM_MEASURE_ALL, .nonce = { 3 } };
	_cleanup_blob_ Blob transcript = {};

	spdm_get_measurements_put(&q, &get);
	cr_assert_eq(measurements_answer(&w, &source, asked, q.used), 0);
	says(message, w.used);
	cr_assert_eq(requester_measure(&requester, 0, nonce, wrong, &transcript, &sentence),
		     -EBADMSG);
	cr_assert(strstr(sentence, "signature"), "%s", sentence);
	nonce[0] = 4;
	cr_assert_eq(requester_measure(&requester, 0, nonce, right, &transcript, NULL), -EBADMSG);
	cr_assert_null(transcript.data);
	nonce[0] = 3;
	cr_assert_eq(requester_measure(&requester, 0, nonce, right, &transcript, NULL), 0);
	EVP_PKEY_free(right);
	EVP_PKEY_free(wrong);
}
