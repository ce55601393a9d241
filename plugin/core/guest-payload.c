/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/guest-payload.h"
#include "core/bytes.h"
#include "core/tdisp.h"

#include <errno.h>

#define LAST_TDISP_STATE TDISP_ERROR

static const struct {
	const char *name;
	const char *sentence;
} statuses[_GUEST_STATUS_MAX] = {
	[GUEST_STATUS_OK] = { "ok", "Done." },
	[GUEST_STATUS_INVALID_TDI] = { "invalid_tdi", "No TDI of this TVM has that requester id." },
	[GUEST_STATUS_INVALID_STATE] = { "invalid_state",
					 "The TDI is in a state that does not allow this." },
	[GUEST_STATUS_STALE] = { "stale", "The generation, a digest or a sequence number that was "
					  "quoted is no longer current." },
	[GUEST_STATUS_MMIO_MISMATCH] = { "mmio_mismatch", "The MMIO range is not mapped at that "
							  "address or is not of that size." },
	[GUEST_STATUS_MMIO_MISSING] = { "mmio_missing", "A range of TEE memory has not been "
							"validated yet." },
	[GUEST_STATUS_DEVICE_FAILED] = { "device_failed", "The device refused or did not answer." },
	[GUEST_STATUS_MALFORMED] = { "malformed", "The request is malformed." },
	[GUEST_STATUS_UNSUPPORTED] = { "unsupported", "The TSM does not know this request." },
	[GUEST_STATUS_BUSY] = { "busy", "Another operation on the TDI is under way." },
	[GUEST_STATUS_NOT_LOCKED] = { "not_locked", "The TDI is bound and not locked: its TVM has "
						    "to ask for LOCK." },
};

const char *guest_status_name(GuestStatus status)
{
	return (unsigned int)status < _GUEST_STATUS_MAX ? statuses[status].name : "unknown";
}

const char *guest_status_sentence(GuestStatus status)
{
	return (unsigned int)status < _GUEST_STATUS_MAX ? statuses[status].sentence : "unknown";
}

static void evidence_take(ByteReader *r, StatementEvidence *e)
{
	bytes_take_copy(r, e->certificates.bytes, DIGEST_SIZE);
	bytes_take_copy(r, e->vca.bytes, DIGEST_SIZE);
	bytes_take_copy(r, e->measurements.bytes, DIGEST_SIZE);
	bytes_take_copy(r, e->report.bytes, DIGEST_SIZE);
	e->identity_sequence = bytes_take_u64(r);
	e->measurements_sequence = bytes_take_u64(r);
	e->report_sequence = bytes_take_u64(r);
}

static void evidence_put(ByteWriter *w, const StatementEvidence *e)
{
	bytes_put(w, e->certificates.bytes, DIGEST_SIZE);
	bytes_put(w, e->vca.bytes, DIGEST_SIZE);
	bytes_put(w, e->measurements.bytes, DIGEST_SIZE);
	bytes_put(w, e->report.bytes, DIGEST_SIZE);
	bytes_put_u64(w, e->identity_sequence);
	bytes_put_u64(w, e->measurements_sequence);
	bytes_put_u64(w, e->report_sequence);
}

static bool evidence_is_zero(const StatementEvidence *e)
{
	return digest_is_zero(&e->certificates) && digest_is_zero(&e->vca) &&
	       digest_is_zero(&e->measurements) && digest_is_zero(&e->report) &&
	       e->identity_sequence == 0 && e->measurements_sequence == 0 &&
	       e->report_sequence == 0;
}

int guest_tdi_info_parse(GuestTdiInfo *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestTdiInfo request;

	request.rid = bytes_take_u32(&r);
	bytes_take_zero(&r, 4);
	bytes_take_copy(&r, request.nonce, sizeof(request.nonce));
	if (!bytes_taken_all(&r))
		return -EBADMSG;
	*ret = request;
	return 0;
}

void guest_tdi_info_write(const GuestTdiInfo *request, uint8_t ret[static GUEST_TDI_INFO_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_TDI_INFO_SIZE);

	bytes_put_u32(&w, request->rid);
	bytes_put_zero(&w, 4);
	bytes_put(&w, request->nonce, sizeof(request->nonce));
}

int guest_tdi_validate_parse(GuestTdiValidate *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestTdiValidate request;

	request.rid = bytes_take_u32(&r);
	request.action = bytes_take_u8(&r);
	bytes_take_zero(&r, 3);
	request.generation = bytes_take_u64(&r);
	evidence_take(&r, &request.evidence);
	if (!bytes_taken_all(&r))
		return -EBADMSG;
	switch (request.action) {
	case GUEST_VALIDATE_ACCEPT: break;
	case GUEST_VALIDATE_REVOKE:
		if (!evidence_is_zero(&request.evidence))
			return -EBADMSG;
		break;
	default: return -EBADMSG;
	}
	*ret = request;
	return 0;
}

void guest_tdi_validate_write(const GuestTdiValidate *request,
			      uint8_t ret[static GUEST_TDI_VALIDATE_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_TDI_VALIDATE_SIZE);

	bytes_put_u32(&w, request->rid);
	bytes_put_u8(&w, request->action);
	bytes_put_zero(&w, 3);
	bytes_put_u64(&w, request->generation);
	evidence_put(&w, &request->evidence);
}

int guest_mmio_validate_parse(GuestMmioValidate *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestMmioValidate request;

	request.rid = bytes_take_u32(&r);
	request.range = bytes_take_u16(&r);
	bytes_take_zero(&r, 2);
	request.generation = bytes_take_u64(&r);
	request.address = bytes_take_u64(&r);
	request.pages = bytes_take_u64(&r);
	if (!bytes_taken_all(&r) || request.address % GUEST_PAGE_SIZE || request.pages == 0 ||
	    request.pages > (UINT64_MAX - request.address) / GUEST_PAGE_SIZE)
		return -EBADMSG;
	*ret = request;
	return 0;
}

void guest_mmio_validate_write(const GuestMmioValidate *request,
			       uint8_t ret[static GUEST_MMIO_VALIDATE_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_MMIO_VALIDATE_SIZE);

	bytes_put_u32(&w, request->rid);
	bytes_put_u16(&w, request->range);
	bytes_put_zero(&w, 2);
	bytes_put_u64(&w, request->generation);
	bytes_put_u64(&w, request->address);
	bytes_put_u64(&w, request->pages);
}

int guest_tdi_state_parse(GuestTdiState *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestTdiState request;

	request.rid = bytes_take_u32(&r);
	bytes_take_zero(&r, 4);
	if (!bytes_taken_all(&r))
		return -EBADMSG;
	*ret = request;
	return 0;
}

void guest_tdi_state_write(const GuestTdiState *request, uint8_t ret[static GUEST_TDI_STATE_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_TDI_STATE_SIZE);

	bytes_put_u32(&w, request->rid);
	bytes_put_zero(&w, 4);
}

int guest_tdi_lock_parse(GuestTdiLock *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestTdiLock request;

	request.rid = bytes_take_u32(&r);
	bytes_take_zero(&r, 4);
	request.generation = bytes_take_u64(&r);
	if (!bytes_taken_all(&r))
		return -EBADMSG;
	*ret = request;
	return 0;
}

void guest_tdi_lock_write(const GuestTdiLock *request, uint8_t ret[static GUEST_TDI_LOCK_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_TDI_LOCK_SIZE);

	bytes_put_u32(&w, request->rid);
	bytes_put_zero(&w, 4);
	bytes_put_u64(&w, request->generation);
}

int guest_tdreport_parse(GuestTdreport *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	GuestTdreport request;

	bytes_take_copy(&r, request.report_data, sizeof(request.report_data));
	if (!bytes_taken_all(&r))
		return -EBADMSG;
	*ret = request;
	return 0;
}

void guest_tdreport_write(const GuestTdreport *request, uint8_t ret[static GUEST_TDREPORT_SIZE])
{
	memcpy(ret, request->report_data, sizeof(request->report_data));
}

int guest_response_parse(GuestStatus *ret, const uint8_t **ret_body, size_t *ret_body_size,
			 const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	uint32_t status = bytes_take_u32(&r);

	bytes_take_zero(&r, 4);
	if (r.failed || status >= _GUEST_STATUS_MAX || (status != GUEST_STATUS_OK && r.left))
		return -EBADMSG;
	*ret = (GuestStatus)status;
	*ret_body = r.at;
	*ret_body_size = r.left;
	return 0;
}

size_t guest_response_write(GuestStatus status, const void *body, size_t body_size,
			    uint8_t ret[static GUEST_RESPONSE_MAX_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_RESPONSE_MAX_SIZE);

	bytes_put_u32(&w, status);
	bytes_put_zero(&w, 4);
	if (status == GUEST_STATUS_OK)
		bytes_put(&w, body, body_size);
	return w.failed ? 0 : w.used;
}

/* Each is open in the state that it leads out of. */
static bool requested_sane(uint8_t requested, uint8_t state, uint8_t accepted)
{
	switch (requested) {
	case GUEST_REQUESTED_NOTHING: return true;
	case GUEST_REQUESTED_LOCK: return state == TDISP_CONFIG_UNLOCKED && !accepted;
	case GUEST_REQUESTED_START: return state == TDISP_CONFIG_LOCKED && !accepted;
	default: return false;
	}
}

int guest_tdi_status_parse(GuestTdiStatus *ret, const void *body, size_t size)
{
	ByteReader r = byte_reader(body, size);
	uint8_t state = bytes_take_u8(&r);
	uint8_t accepted = bytes_take_u8(&r);
	uint8_t requested = bytes_take_u8(&r);
	uint64_t generation;

	bytes_take_zero(&r, 5);
	generation = bytes_take_u64(&r);
	if (!bytes_taken_all(&r) || state > LAST_TDISP_STATE || accepted > 1 ||
	    !requested_sane(requested, state, accepted))
		return -EBADMSG;
	*ret = (GuestTdiStatus){ .tdisp_state = state,
				 .accepted = accepted,
				 .requested = requested,
				 .generation = generation };
	return 0;
}

void guest_tdi_status_write(const GuestTdiStatus *status, uint8_t ret[static GUEST_TDI_STATUS_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_TDI_STATUS_SIZE);

	bytes_put_u8(&w, status->tdisp_state);
	bytes_put_u8(&w, status->accepted);
	bytes_put_u8(&w, status->requested);
	bytes_put_zero(&w, 5);
	bytes_put_u64(&w, status->generation);
}
