/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-interface.h"

#include "common/random.h"
#include "interface-layout.h"

#include <openssl/crypto.h>
#include <string.h>

/* As the reference device does it, so that a TSM has to put portions together. */
#define REPORT_PORTION 64

#define LOCK_FLAGS                                                                                 \
	(TDISP_LOCK_NO_FW_UPDATE | TDISP_LOCK_SYSTEM_CACHE_LINE_SIZE | TDISP_LOCK_MSIX |           \
	 TDISP_LOCK_ALL_REQUEST_REDIRECT)

static void leave_locked(DeviceInterface *interface, TdispState state)
{
	OPENSSL_cleanse(interface->nonce, sizeof(interface->nonce));
	if (state != TDISP_RUN)
		blob_done(&interface->report);
	interface->state = state;
}

void device_interface_done(DeviceInterface *interface)
{
	leave_locked(interface, TDISP_CONFIG_UNLOCKED);
}

void device_interface_violate(DeviceInterface *interface)
{
	if (interface->state == TDISP_CONFIG_LOCKED || interface->state == TDISP_RUN)
		leave_locked(interface, TDISP_ERROR);
}

bool device_interface_reset(DeviceInterface *interface)
{
	if (interface->faults & DEVICE_FAULT_NO_RESET)
		return false;
	device_interface_violate(interface);
	if (!(interface->faults & DEVICE_FAULT_STUCK))
		interface->faults &= ~(unsigned int)DEVICE_FAULT_NO_STOP;
	return true;
}

/* Takes the last page off every BAR whose last range has more than one. */
static int spoil_report(DeviceInterface *interface)
{
	_cleanup_blob_ Blob bytes = blob_steal(&interface->report);
	InterfaceReport report;
	uint8_t buffer[4096];
	size_t size;

	if (interface_report_parse(&report, bytes.data, bytes.size, NULL) < 0)
		return TDISP_ERROR_UNSPECIFIED;
	for (uint32_t i = 0; i < report.n_ranges; i++) {
		bool last =
			i + 1 == report.n_ranges || report.ranges[i + 1].id != report.ranges[i].id;

		if (last && report.ranges[i].n_pages > 1)
			report.ranges[i].n_pages--;
	}
	if (interface_report_encode(&report, buffer, sizeof(buffer), &size) < 0 ||
	    blob_set(&interface->report, buffer, size) < 0)
		return TDISP_ERROR_UNSPECIFIED;
	return 0;
}

static int lock(DeviceInterface *interface, const HostFunction *function, const TdispLock *lock,
		uint8_t ret_nonce[static TDISP_NONCE_SIZE])
{
	int r;

	if (lock->flags & ~LOCK_FLAGS || lock->bind_p2p_address_mask)
		return TDISP_ERROR_INVALID_REQUEST;
	if (random_public(interface->nonce, sizeof(interface->nonce)) < 0)
		return TDISP_ERROR_INSUFFICIENT_ENTROPY;
	r = interface_layout(&interface->report, function, lock);
	if (r == 0 && interface->faults & DEVICE_FAULT_WRONG_REPORT)
		r = spoil_report(interface);
	if (r != 0) {
		leave_locked(interface, TDISP_CONFIG_UNLOCKED);
		return r < 0 ? TDISP_ERROR_UNSPECIFIED : r;
	}
	if (interface->faults & DEVICE_FAULT_MALFORMED_REPORT)
		interface->report.size--;
	memcpy(ret_nonce, interface->nonce, TDISP_NONCE_SIZE);
	if (interface->faults & DEVICE_FAULT_WRONG_NONCE)
		ret_nonce[0] ^= 1;
	interface->state = TDISP_CONFIG_LOCKED;
	return 0;
}

static int start(DeviceInterface *interface, const uint8_t *nonce)
{
	if (CRYPTO_memcmp(interface->nonce, nonce, TDISP_NONCE_SIZE) != 0)
		return TDISP_ERROR_INVALID_NONCE;
	leave_locked(interface, TDISP_RUN);
	return 0;
}

static int stop(DeviceInterface *interface)
{
	if (interface->faults & DEVICE_FAULT_NO_STOP)
		return TDISP_ERROR_UNSPECIFIED;
	leave_locked(interface, TDISP_CONFIG_UNLOCKED);
	return 0;
}

static int answer(DeviceInterface *interface, const HostFunction *function,
		  const TdispRequest *request, TdispResponse *ret)
{
	static const uint8_t versions[] = { TDISP_VERSION_1_0 };

	switch (request->message) {
	case TDISP_MSG_GET_VERSION:
		ret->versions.entries = versions;
		ret->versions.n = sizeof(versions);
		return 0;
	case TDISP_MSG_GET_CAPABILITIES:
		ret->capabilities = (TdispCapabilities){
			.requests = { TDISP_REQUESTS_MANDATORY },
			.lock_flags = LOCK_FLAGS,
			.address_width = 52,
			.num_req_this = 1,
			.num_req_all = 1,
		};
		return 0;
	case TDISP_MSG_LOCK_INTERFACE:
		return lock(interface, function, &request->lock, ret->lock_nonce);
	case TDISP_MSG_GET_DEVICE_INTERFACE_REPORT:
		return tdisp_report_portion(ret, request, interface->report.data,
					    (uint16_t)interface->report.size, REPORT_PORTION);
	case TDISP_MSG_GET_DEVICE_INTERFACE_STATE: ret->state = interface->state; return 0;
	case TDISP_MSG_START_INTERFACE: return start(interface, request->start_nonce);
	case TDISP_MSG_STOP_INTERFACE: return stop(interface);
	default: return TDISP_ERROR_UNSUPPORTED_REQUEST;
	}
}

void device_interface_answer(DeviceInterface *interface, const HostFunction *function,
			     const TdispRequest *request, TdispResponse *ret)
{
	int error;

	*ret = (TdispResponse){
		.message = request->message & 0x7f,
		.function_id = request->function_id,
	};
	error = tdisp_request_is_legal(request->message, interface->state)
			? answer(interface, function, request, ret)
			: TDISP_ERROR_INVALID_INTERFACE_STATE;
	if (error)
		*ret = tdisp_error_response(request, error);
}
