/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdisp.h"

#include "core/bytes.h"
#include "core/refusal.h"

#include <errno.h>
#include <string.h>

#define FUNCTION_ID_SEGMENT_VALID (1U << 24)
#define FUNCTION_ID_RESERVED	  (0x7FU << 25)
#define ERROR_SIZE		  24
#define ERROR_EXTENDED_MIN	  2 /* registry, length of the vendor's id */
#define MESSAGE_IS_REQUEST	  0x80

const char *tdisp_state_name(TdispState state)
{
	static const char *const names[TDISP_N_STATES] = { "config_unlocked", "config_locked",
							   "run", "error" };

	return (unsigned int)state < TDISP_N_STATES ? names[state] : "?";
}

int tdisp_state_parse(TdispState *ret, const char *name)
{
	for (unsigned int i = 0; name && i < TDISP_N_STATES; i++)
		if (strcmp(name, tdisp_state_name(i)) == 0) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

const char *tdisp_message_name(TdispMessage message)
{
	switch (message) {
	case TDISP_MSG_VERSION: return "TDISP_VERSION";
	case TDISP_MSG_CAPABILITIES: return "TDISP_CAPABILITIES";
	case TDISP_MSG_LOCK_INTERFACE_RESPONSE: return "LOCK_INTERFACE_RESPONSE";
	case TDISP_MSG_DEVICE_INTERFACE_REPORT: return "DEVICE_INTERFACE_REPORT";
	case TDISP_MSG_DEVICE_INTERFACE_STATE: return "DEVICE_INTERFACE_STATE";
	case TDISP_MSG_START_INTERFACE_RESPONSE: return "START_INTERFACE_RESPONSE";
	case TDISP_MSG_STOP_INTERFACE_RESPONSE: return "STOP_INTERFACE_RESPONSE";
	case TDISP_MSG_ERROR: return "TDISP_ERROR";
	case TDISP_MSG_GET_VERSION: return "GET_TDISP_VERSION";
	case TDISP_MSG_GET_CAPABILITIES: return "GET_TDISP_CAPABILITIES";
	case TDISP_MSG_LOCK_INTERFACE: return "LOCK_INTERFACE_REQUEST";
	case TDISP_MSG_GET_DEVICE_INTERFACE_REPORT: return "GET_DEVICE_INTERFACE_REPORT";
	case TDISP_MSG_GET_DEVICE_INTERFACE_STATE: return "GET_DEVICE_INTERFACE_STATE";
	case TDISP_MSG_START_INTERFACE: return "START_INTERFACE_REQUEST";
	case TDISP_MSG_STOP_INTERFACE: return "STOP_INTERFACE_REQUEST";
	}
	return "?";
}

const char *tdisp_error_name(uint32_t error)
{
	switch (error) {
	case TDISP_ERROR_INVALID_REQUEST: return "INVALID_REQUEST";
	case TDISP_ERROR_BUSY: return "BUSY";
	case TDISP_ERROR_INVALID_INTERFACE_STATE: return "INVALID_INTERFACE_STATE";
	case TDISP_ERROR_UNSPECIFIED: return "UNSPECIFIED";
	case TDISP_ERROR_UNSUPPORTED_REQUEST: return "UNSUPPORTED_REQUEST";
	case TDISP_ERROR_VERSION_MISMATCH: return "VERSION_MISMATCH";
	case TDISP_ERROR_VENDOR_SPECIFIC: return "VENDOR_SPECIFIC_ERROR";
	case TDISP_ERROR_INVALID_INTERFACE: return "INVALID_INTERFACE";
	case TDISP_ERROR_INVALID_NONCE: return "INVALID_NONCE";
	case TDISP_ERROR_INSUFFICIENT_ENTROPY: return "INSUFFICIENT_ENTROPY";
	case TDISP_ERROR_INVALID_DEVICE_CONFIGURATION: return "INVALID_DEVICE_CONFIGURATION";
	}
	return "?";
}

int tdisp_function_id_from_bdf(uint32_t *ret, Bdf bdf)
{
	if (bdf.segment > UINT8_MAX)
		return -ERANGE;
	*ret = bdf_requester_id(bdf) | (bdf.segment ? FUNCTION_ID_SEGMENT_VALID : 0);
	return 0;
}

int tdisp_function_id_to_bdf(Bdf *ret, uint32_t function_id)
{
	uint32_t id = function_id & ~FUNCTION_ID_SEGMENT_VALID;

	if (id & FUNCTION_ID_RESERVED)
		return -EINVAL;
	if (id == function_id && id > UINT16_MAX)
		return -EINVAL;
	*ret = bdf_from_requester_id(id);
	return 0;
}

bool tdisp_capabilities_has(const TdispCapabilities *capabilities, TdispMessage request)
{
	unsigned int bit = (unsigned int)request - MESSAGE_IS_REQUEST;

	return bit < 8 * sizeof(capabilities->requests) &&
	       capabilities->requests[bit / 8] & 1U << bit % 8;
}

bool tdisp_request_is_legal(TdispMessage request, TdispState state)
{
	switch (request) {
	case TDISP_MSG_GET_VERSION:
	case TDISP_MSG_GET_CAPABILITIES:
	case TDISP_MSG_GET_DEVICE_INTERFACE_STATE:
	case TDISP_MSG_STOP_INTERFACE: return true;
	case TDISP_MSG_LOCK_INTERFACE: return state == TDISP_CONFIG_UNLOCKED;
	case TDISP_MSG_START_INTERFACE: return state == TDISP_CONFIG_LOCKED;
	case TDISP_MSG_GET_DEVICE_INTERFACE_REPORT:
		return state == TDISP_CONFIG_LOCKED || state == TDISP_RUN;
	default: return false;
	}
}

TdispResponse tdisp_error_response(const TdispRequest *request, TdispError code)
{
	return (TdispResponse){
		.message = TDISP_MSG_ERROR,
		.function_id = request->function_id,
		.error = { .code = code,
			   .data = code == TDISP_ERROR_UNSUPPORTED_REQUEST ? request->message : 0 },
	};
}

static void put_header(ByteWriter *w, TdispMessage message, uint32_t function_id)
{
	bytes_put_u8(w, TDISP_VERSION_1_0);
	bytes_put_u8(w, (uint8_t)message);
	bytes_put_zero(w, 2);
	bytes_put_u32(w, function_id);
	bytes_put_zero(w, 8);
}

static int writer_result(const ByteWriter *w, size_t *ret_size)
{
	if (w->failed)
		return -ENOBUFS;
	*ret_size = w->used;
	return 0;
}

int tdisp_request_encode(const TdispRequest *request, void *buffer, size_t capacity,
			 size_t *ret_size)
{
	ByteWriter w = byte_writer(buffer, capacity);
	const TdispLock *lock = &request->lock;
	Bdf bdf;

	if (tdisp_function_id_to_bdf(&bdf, request->function_id) < 0)
		return -EINVAL;
	put_header(&w, request->message, request->function_id);
	switch (request->message) {
	case TDISP_MSG_GET_VERSION:
	case TDISP_MSG_GET_DEVICE_INTERFACE_STATE:
	case TDISP_MSG_STOP_INTERFACE: break;
	case TDISP_MSG_GET_CAPABILITIES: bytes_put_zero(&w, 4); break;
	case TDISP_MSG_LOCK_INTERFACE:
		if (lock->flags & ~TDISP_LOCK_ALL)
			return -EINVAL;
		bytes_put_u16(&w, lock->flags);
		bytes_put_u8(&w, lock->default_stream_id);
		bytes_put_zero(&w, 1);
		bytes_put_u64(&w, (uint64_t)lock->mmio_reporting_offset);
		bytes_put_u64(&w, lock->bind_p2p_address_mask);
		break;
	case TDISP_MSG_GET_DEVICE_INTERFACE_REPORT:
		if (request->report.length == 0)
			return -EINVAL;
		bytes_put_u16(&w, request->report.offset);
		bytes_put_u16(&w, request->report.length);
		break;
	case TDISP_MSG_START_INTERFACE:
		bytes_put(&w, request->start_nonce, sizeof(request->start_nonce));
		break;
	default: return -EINVAL;
	}
	return writer_result(&w, ret_size);
}

/* True if what is reserved in it is 0; the rest is good either way. */
static bool take_header(ByteReader *r, uint8_t *ret_version, uint8_t *ret_code,
			uint32_t *ret_function_id)
{
	uint16_t first;
	uint64_t second;

	*ret_version = bytes_take_u8(r);
	*ret_code = bytes_take_u8(r);
	first = bytes_take_u16(r);
	*ret_function_id = bytes_take_u32(r);
	second = bytes_take_u64(r);
	return first == 0 && second == 0;
}

int tdisp_request_parse(TdispRequest *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	TdispLock *lock = &ret->lock;
	uint8_t version, code;
	bool clean;

	if (size < TDISP_HEADER_SIZE)
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	/* FUNCTION_ID as it came: what is not hosted is INVALID_INTERFACE, and the answer echoes
	 * it. */
	clean = take_header(&r, &version, &code, &ret->function_id);
	ret->message = code;
	if (version != TDISP_VERSION_1_0)
		return TDISP_ERROR_VERSION_MISMATCH;
	switch (ret->message) {
	case TDISP_MSG_GET_VERSION:
	case TDISP_MSG_GET_DEVICE_INTERFACE_STATE:
	case TDISP_MSG_STOP_INTERFACE: break;
	case TDISP_MSG_GET_CAPABILITIES: bytes_take_zero(&r, 4); break;
	case TDISP_MSG_LOCK_INTERFACE:
		lock->flags = bytes_take_u16(&r);
		lock->default_stream_id = bytes_take_u8(&r);
		bytes_take_zero(&r, 1);
		lock->mmio_reporting_offset = (int64_t)bytes_take_u64(&r);
		lock->bind_p2p_address_mask = bytes_take_u64(&r);
		if (lock->flags & ~TDISP_LOCK_ALL)
			return TDISP_ERROR_INVALID_REQUEST;
		break;
	case TDISP_MSG_GET_DEVICE_INTERFACE_REPORT:
		ret->report.offset = bytes_take_u16(&r);
		ret->report.length = bytes_take_u16(&r);
		if (ret->report.length == 0)
			return TDISP_ERROR_INVALID_REQUEST;
		break;
	case TDISP_MSG_START_INTERFACE:
		bytes_take_copy(&r, ret->start_nonce, sizeof(ret->start_nonce));
		break;
	default: return TDISP_ERROR_UNSUPPORTED_REQUEST;
	}
	return clean && bytes_taken_all(&r) ? 0 : TDISP_ERROR_INVALID_REQUEST;
}

/* Extended error data: registry, length of the vendor's id, the id, anything. */
static bool extended_is_valid(uint32_t code, const uint8_t *extended, size_t size)
{
	if (size == 0)
		return true;
	return code == TDISP_ERROR_VENDOR_SPECIFIC && size >= ERROR_EXTENDED_MIN &&
	       size <= TDISP_RESPONSE_MAX - ERROR_SIZE && extended[1] <= size - ERROR_EXTENDED_MIN;
}

int tdisp_response_encode(const TdispResponse *response, void *buffer, size_t capacity,
			  size_t *ret_size)
{
	ByteWriter w = byte_writer(buffer, capacity);
	const TdispCapabilities *c = &response->capabilities;

	put_header(&w, response->message, response->function_id);
	switch (response->message) {
	case TDISP_MSG_VERSION:
		if (response->versions.n == 0)
			return -EINVAL;
		bytes_put_u8(&w, response->versions.n);
		bytes_put(&w, response->versions.entries, response->versions.n);
		break;
	case TDISP_MSG_CAPABILITIES:
		if (c->lock_flags & ~TDISP_LOCK_ALL)
			return -EINVAL;
		bytes_put_u32(&w, c->dsm_caps);
		bytes_put(&w, c->requests, sizeof(c->requests));
		bytes_put_u16(&w, c->lock_flags);
		bytes_put_zero(&w, 3);
		bytes_put_u8(&w, c->address_width);
		bytes_put_u8(&w, c->num_req_this);
		bytes_put_u8(&w, c->num_req_all);
		break;
	case TDISP_MSG_LOCK_INTERFACE_RESPONSE:
		bytes_put(&w, response->lock_nonce, sizeof(response->lock_nonce));
		break;
	case TDISP_MSG_DEVICE_INTERFACE_REPORT:
		bytes_put_u16(&w, response->report.portion_length);
		bytes_put_u16(&w, response->report.remainder_length);
		bytes_put(&w, response->report.portion, response->report.portion_length);
		break;
	case TDISP_MSG_DEVICE_INTERFACE_STATE:
		if ((unsigned int)response->state >= TDISP_N_STATES)
			return -EINVAL;
		bytes_put_u8(&w, (uint8_t)response->state);
		break;
	case TDISP_MSG_START_INTERFACE_RESPONSE:
	case TDISP_MSG_STOP_INTERFACE_RESPONSE: break;
	case TDISP_MSG_ERROR:
		if (!extended_is_valid(response->error.code, response->error.extended,
				       response->error.extended_size))
			return -EINVAL;
		bytes_put_u32(&w, response->error.code);
		bytes_put_u32(&w, response->error.data);
		bytes_put(&w, response->error.extended, response->error.extended_size);
		break;
	default: return -EINVAL;
	}
	return writer_result(&w, ret_size);
}

static int parse_report(TdispResponse *ret, const TdispRequest *request, ByteReader *r,
			char **ret_error)
{
	ret->report.portion_length = bytes_take_u16(r);
	ret->report.remainder_length = bytes_take_u16(r);
	ret->report.portion = bytes_take(r, ret->report.portion_length);
	if (!r->failed && ret->report.portion_length > request->report.length)
		return refuse(ret_error, -EBADMSG,
			      "DEVICE_INTERFACE_REPORT: portion of %u bytes, %u were asked for",
			      ret->report.portion_length, request->report.length);
	return 0;
}

static int parse_error(TdispResponse *ret, ByteReader *r, char **ret_error)
{
	ret->error.code = bytes_take_u32(r);
	ret->error.data = bytes_take_u32(r);
	ret->error.extended_size = r->left;
	ret->error.extended = r->left ? bytes_take(r, r->left) : NULL;
	if (!r->failed &&
	    !extended_is_valid(ret->error.code, ret->error.extended, ret->error.extended_size))
		return refuse(ret_error, -EBADMSG,
			      "TDISP_ERROR 0x%x: %zu bytes of extended data make no sense",
			      ret->error.code, ret->error.extended_size);
	return 0;
}

static int parse_body(TdispResponse *ret, const TdispRequest *request, ByteReader *r,
		      char **ret_error)
{
	TdispCapabilities *c = &ret->capabilities;
	uint8_t state;

	switch (ret->message) {
	case TDISP_MSG_VERSION:
		ret->versions.n = bytes_take_u8(r);
		ret->versions.entries = bytes_take(r, ret->versions.n);
		if (!r->failed && ret->versions.n == 0)
			return refuse(ret_error, -EBADMSG, "TDISP_VERSION lists no version");
		return 0;
	case TDISP_MSG_CAPABILITIES:
		c->dsm_caps = bytes_take_u32(r);
		bytes_take_copy(r, c->requests, sizeof(c->requests));
		c->lock_flags = bytes_take_u16(r);
		bytes_take_zero(r, 3);
		c->address_width = bytes_take_u8(r);
		c->num_req_this = bytes_take_u8(r);
		c->num_req_all = bytes_take_u8(r);
		if (c->lock_flags & ~TDISP_LOCK_ALL)
			return refuse(ret_error, -EBADMSG,
				      "TDISP_CAPABILITIES: lock flags 0x%x have reserved bits",
				      c->lock_flags);
		return 0;
	case TDISP_MSG_LOCK_INTERFACE_RESPONSE:
		bytes_take_copy(r, ret->lock_nonce, sizeof(ret->lock_nonce));
		return 0;
	case TDISP_MSG_DEVICE_INTERFACE_REPORT: return parse_report(ret, request, r, ret_error);
	case TDISP_MSG_DEVICE_INTERFACE_STATE:
		state = bytes_take_u8(r);
		if (state >= TDISP_N_STATES)
			return refuse(ret_error, -EBADMSG, "DEVICE_INTERFACE_STATE: %u is no state",
				      state);
		ret->state = state;
		return 0;
	case TDISP_MSG_ERROR: return parse_error(ret, r, ret_error);
	case TDISP_MSG_START_INTERFACE_RESPONSE:
	case TDISP_MSG_STOP_INTERFACE_RESPONSE: return 0;
	default:
		return refuse(ret_error, -EBADMSG, "message 0x%02x is no response that is known",
			      ret->message);
	}
}

int tdisp_response_parse(TdispResponse *ret, const TdispRequest *request, const void *data,
			 size_t size, char **ret_error)
{
	const char *asked = tdisp_message_name(request->message);
	ByteReader r = byte_reader(data, size);
	uint8_t version, code;
	bool clean;
	int error;

	memset(ret, 0, sizeof(*ret));
	clean = take_header(&r, &version, &code, &ret->function_id);
	ret->message = code;
	if (size < TDISP_HEADER_SIZE)
		return refuse(ret_error, -EBADMSG, "answer to %s: %zu bytes are no TDISP message",
			      asked, size);
	if (version != TDISP_VERSION_1_0)
		return refuse(ret_error, -EBADMSG, "answer to %s: version 0x%02x, not 0x%02x",
			      asked, version, TDISP_VERSION_1_0);
	if (ret->message != (request->message & ~MESSAGE_IS_REQUEST) &&
	    ret->message != TDISP_MSG_ERROR)
		return refuse(ret_error, -EBADMSG, "answer to %s: message 0x%02x (%s)", asked,
			      ret->message, tdisp_message_name(ret->message));
	if (ret->function_id != request->function_id)
		return refuse(ret_error, -EBADMSG, "answer to %s: FUNCTION_ID 0x%08x, not 0x%08x",
			      asked, ret->function_id, request->function_id);
	error = parse_body(ret, request, &r, ret_error);
	if (error < 0)
		return error;
	if (!clean || !bytes_taken_all(&r))
		return refuse(ret_error, -EBADMSG,
			      "%s: %zu bytes are not its size, or a reserved field is not 0",
			      tdisp_message_name(ret->message), size);
	return 0;
}

int tdisp_report_portion(TdispResponse *ret, const TdispRequest *request, const uint8_t *report,
			 uint16_t report_size, uint16_t max_portion)
{
	uint16_t offset = request->report.offset;
	uint16_t left, n;

	if (offset >= report_size || request->report.length == 0)
		return TDISP_ERROR_INVALID_REQUEST;
	left = (uint16_t)(report_size - offset);
	n = request->report.length < max_portion ? request->report.length : max_portion;
	n = n < left ? n : left;
	*ret = (TdispResponse){
		.message = TDISP_MSG_DEVICE_INTERFACE_REPORT,
		.function_id = request->function_id,
		.report = { .portion = report + offset,
			    .portion_length = n,
			    .remainder_length = (uint16_t)(left - n) },
	};
	return 0;
}

TdispReportReader tdisp_report_reader(void *buffer, size_t capacity, uint32_t function_id,
				      uint16_t max_portion)
{
	return (TdispReportReader){
		.buffer = buffer,
		.capacity = capacity < TDISP_REPORT_MAX ? capacity : TDISP_REPORT_MAX,
		.function_id = function_id,
		.max_portion = max_portion,
	};
}

TdispRequest tdisp_report_next(const TdispReportReader *reader)
{
	size_t left = reader->total - reader->size;

	return (TdispRequest){
		.message = TDISP_MSG_GET_DEVICE_INTERFACE_REPORT,
		.function_id = reader->function_id,
		.report = { .offset = (uint16_t)reader->size,
			    .length = left && left < reader->max_portion ? (uint16_t)left
									 : reader->max_portion },
	};
}

int tdisp_report_add(TdispReportReader *reader, const TdispResponse *response, char **ret_error)
{
	size_t portion = response->report.portion_length;
	size_t total = reader->size + portion + response->report.remainder_length;

	if (response->message != TDISP_MSG_DEVICE_INTERFACE_REPORT)
		return refuse(ret_error, -EBADMSG, "interface report: %s came instead of a portion",
			      tdisp_message_name(response->message));
	if (portion == 0)
		return refuse(ret_error, -EBADMSG, "interface report: empty portion at offset %zu",
			      reader->size);
	if (reader->total && total != reader->total)
		return refuse(ret_error, -EBADMSG,
			      "interface report: %zu bytes in all, then %zu at offset %zu",
			      reader->total, total, reader->size);
	if (total > reader->capacity)
		return refuse(ret_error, -EMSGSIZE,
			      "interface report: %zu bytes, more than the %zu that are taken",
			      total, reader->capacity);
	memcpy(reader->buffer + reader->size, response->report.portion, portion);
	reader->total = total;
	reader->size += portion;
	return reader->size == total;
}
