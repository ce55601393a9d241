/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bed of the agent's tests: what is in it, and the TSM with a device whose evidence is real. */
#pragma once

#include "agent/agent.h"
#include "core/guest-message-tsm.h"
#include "core/measurements.h"
#include "core/tdisp.h"
#include "core/tdreport.h"
#include "core/vca.h"
#include "rpc/frame.h"
#include "testing-ca.h"
#include "testing-tree.h"

typedef enum TestingFault {
	FAULT_NONE,
	FAULT_CERTIFICATES, /* the host changes one byte of a blob */
	FAULT_VCA,
	FAULT_MEASUREMENTS,
	FAULT_REPORT,
	FAULT_WITHHELD,	   /* the host leaves the evidence out */
	FAULT_HOST_RUN,	   /* only the host says OK to TDI_VALIDATE: the TSM does not start */
	FAULT_FORGED,	   /* the host makes up each answer */
	FAULT_LOST,	   /* the first sealed answers do not arrive */
	FAULT_REJECTED,	   /* TsmRejected once */
	FAULT_UNAVAILABLE, /* TsmUnavailable once */
	FAULT_STALE,	   /* the evidence changes before the first TDI_VALIDATE */
	FAULT_ALWAYS_STALE,
	FAULT_MMIO,	  /* the TSM finds other addresses */
	FAULT_WITHDRAWN,  /* the bind ends after TDI_INFO */
	FAULT_REMOVED,	  /* the function goes after TDI_INFO */
	FAULT_BARS,	  /* the host moves a BAR while we validate */
	FAULT_SILENT,	  /* no answer ever */
	FAULT_RESTARTED,  /* tdid is replaced after TDI_INFO */
	FAULT_GENERATION, /* the TSM has another bind */
	FAULT_BUSY,
} TestingFault;

typedef struct TestingBed {
	TestingTree files;
	Loop *loop;
	Agent *agent;
	AgentPolicy *policy;
	TvmKey key;
	int uevents, port;
	LoopFd host_source;
	LoopTimer guard;
	FrameReader *reader;
	char session[GUEST_SESSION_LEN + 1];
	unsigned int hellos;
	bool offer, no_offer; /* answering Hello, the host offers the function */
	bool away;	      /* it does not answer Hello */
	TestingFault fault;
	unsigned int faults; /* times that it happened */
	/* What the host does, once, instead of handing over the answer to the first tdi_validate.
	 */
	void (*instead)(void);

	GuestMessageTsm *tsm;
	uint8_t counter;
	unsigned int opens, infos, mmios, accepts, revokes, states, reports;
	GuestStatus report_status; /* of TDREPORTs */
	uint8_t tdisp_state;
	bool accepted;
	uint64_t generation, sequence;
	/* Where LOCK and START are the host's to issue: which it does, or takes the request away,
	 * when the TSM has been asked so many times whether it has; 0: never. */
	bool tvm_asks_lock, tvm_asks_start;
	uint8_t requested;
	unsigned int locks, polls, carried_at, dropped_at;
	bool accepted_at_drop; /* though it is not in RUN */
	GuestMmioValidate last_mmio;
	StatementEvidence stated;

	TestingChain chain;
	SpdmAlgorithms algorithms;
	uint8_t vca[256], record[256], transcript[1024], report[256];
	InterfaceReport interface;
	MeasurementsSource source;
	struct iovec blobs[4]; /* certificates, VCA, measurements, report */

	char events[4096];	     /* what the agent told, one per line */
	char reason[2048];	     /* of its last verdict */
	unsigned int revokes_before; /* the last verdict */
	bool timed_out;
} TestingBed;

static TestingBed bed;

static const TsmClientTimes testing_times = { .reply_usec = 30000, .retry_usec = 1000 };

static inline void testing_make_evidence(const uint8_t *nonce)
{
	SpdmGetMeasurements request = { .sign = true, .operation = SPDM_MEASURE_ALL };
	ByteWriter w = byte_writer(bed.transcript, sizeof(bed.transcript));
	size_t size;

	memcpy(request.nonce, nonce, sizeof(request.nonce));
	spdm_get_measurements_put(&w, &request);
	cr_assert_eq(measurements_answer(&w, &bed.source, bed.transcript, w.used), 0);
	bed.blobs[0] = (struct iovec){ bed.chain.data, bed.chain.size };
	bed.blobs[2] = (struct iovec){ bed.transcript, w.used };
	cr_assert_eq(interface_report_encode(&bed.interface, bed.report, sizeof(bed.report), &size),
		     0);
	bed.blobs[3] = (struct iovec){ bed.report, size };
}

static inline size_t testing_info(const GuestMessageRequest *request, uint8_t *response)
{
	Statement s = { .flags = STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS |
				 STATEMENT_FRESH_MEASUREMENTS |
				 (bed.accepted ? STATEMENT_ACCEPTED : 0),
			.guest_rid = 0x0100,
			.generation = bed.generation,
			.tdisp_state = bed.tdisp_state,
			.spdm_version = 0x12,
			.link = STATEMENT_LINK_SELECTIVE_IDE,
			.lock_flags = TDISP_LOCK_NO_FW_UPDATE,
			.base_asym = SPDM_ASYM_ECDSA_P384,
			.base_hash = SPDM_HASH_SHA384,
			.aead = SPDM_AEAD_AES_256_GCM,
			.dhe = SPDM_DHE_SECP384R1 };
	uint8_t bytes[STATEMENT_SIZE];
	GuestTdiInfo info;
	Uuid tvm;

	bed.infos++;
	cr_assert_eq(guest_tdi_info_parse(&info, request->payload, request->payload_size), 0);
	if (info.rid != 0x0100)
		return guest_response_write(GUEST_STATUS_INVALID_TDI, NULL, 0, response);
	if (bed.tvm_asks_lock && bed.tdisp_state == TDISP_CONFIG_UNLOCKED)
		return guest_response_write(GUEST_STATUS_NOT_LOCKED, NULL, 0, response);
	uuid_from_string(&tvm, TESTING_TVM);
	memcpy(s.tvm, tvm.bytes, sizeof(s.tvm));
	memcpy(s.nonce, info.nonce, sizeof(s.nonce));
	testing_make_evidence(info.nonce);
	digest_of(&s.evidence.certificates, bed.blobs[0].iov_base, bed.blobs[0].iov_len);
	digest_of(&s.evidence.vca, bed.blobs[1].iov_base, bed.blobs[1].iov_len);
	digest_of(&s.evidence.measurements, bed.blobs[2].iov_base, bed.blobs[2].iov_len);
	digest_of(&s.evidence.report, bed.blobs[3].iov_base, bed.blobs[3].iov_len);
	s.evidence.identity_sequence = s.evidence.report_sequence = 1;
	s.evidence.measurements_sequence = ++bed.sequence;
	cr_assert_eq(cert_chain_key_digest(&s.leaf_key, bed.source.key), 0);
	bed.stated = s.evidence;
	cr_assert_eq(statement_write(&s, bytes), 0);
	return guest_response_write(GUEST_STATUS_OK, bytes, sizeof(bytes), response);
}

static inline size_t testing_status(uint8_t *response)
{
	GuestTdiStatus status = { bed.tdisp_state, bed.accepted, bed.generation, bed.requested };
	uint8_t body[GUEST_TDI_STATUS_SIZE];

	guest_tdi_status_write(&status, body);
	return guest_response_write(GUEST_STATUS_OK, body, sizeof(body), response);
}

static inline size_t testing_lock(const GuestMessageRequest *request, uint8_t *response)
{
	GuestTdiLock lock;

	bed.locks++;
	cr_assert_eq(guest_tdi_lock_parse(&lock, request->payload, request->payload_size), 0);
	cr_assert_eq(lock.rid, 0x0100);
	if (lock.generation != bed.generation)
		return guest_response_write(GUEST_STATUS_STALE, NULL, 0, response);
	bed.requested = GUEST_REQUESTED_LOCK;
	return testing_status(response);
}

static inline size_t testing_state(uint8_t *response)
{
	bed.states++;
	if (bed.requested && ++bed.polls == bed.carried_at) {
		bed.accepted = bed.requested == GUEST_REQUESTED_START;
		bed.tdisp_state = bed.accepted ? TDISP_RUN : TDISP_CONFIG_LOCKED;
		bed.requested = bed.polls = 0;
	} else if (bed.requested && bed.polls == bed.dropped_at) {
		bed.requested = bed.polls = 0;
		bed.accepted = bed.accepted_at_drop;
	}
	return testing_status(response);
}

static inline size_t testing_validate(const GuestMessageRequest *request, uint8_t *response)
{
	GuestTdiValidate v;

	cr_assert_eq(guest_tdi_validate_parse(&v, request->payload, request->payload_size), 0);
	if (v.generation != bed.generation)
		return guest_response_write(GUEST_STATUS_STALE, NULL, 0, response);
	if (v.action == GUEST_VALIDATE_REVOKE) {
		bed.revokes++;
		bed.accepted = false;
		bed.requested = GUEST_REQUESTED_NOTHING;
		bed.tdisp_state = TDISP_CONFIG_UNLOCKED;
		return testing_status(response);
	}
	bed.accepts++;
	if (bed.fault == FAULT_ALWAYS_STALE || (bed.fault == FAULT_STALE && !bed.faults++) ||
	    memcmp(&v.evidence, &bed.stated, sizeof(v.evidence)) != 0)
		return guest_response_write(GUEST_STATUS_STALE, NULL, 0, response);
	if (bed.mmios == 0)
		return guest_response_write(GUEST_STATUS_MMIO_MISSING, NULL, 0, response);
	if (bed.fault == FAULT_HOST_RUN)
		return testing_status(response);
	if (bed.tvm_asks_start) {
		bed.requested = GUEST_REQUESTED_START;
		return testing_status(response);
	}
	bed.tdisp_state = TDISP_RUN;
	bed.accepted = true;
	if (bed.fault == FAULT_BARS) {
		testing_put_resource(&bed.files, TESTING_BAR0 + 0x100000);
		testing_put_config(&bed.files, TESTING_BAR0 + 0x100000);
	}
	return testing_status(response);
}

static inline size_t testing_report(const GuestMessageRequest *request, uint8_t *response)
{
	static const uint8_t key[TDREPORT_KEY_SIZE] = { 1 };
	uint8_t report[TDREPORT_SIZE];
	TdreportFields fields = {};
	GuestTdreport asked;

	bed.reports++;
	cr_assert_eq(guest_tdreport_parse(&asked, request->payload, request->payload_size), 0);
	memcpy(fields.report_data, asked.report_data, sizeof(fields.report_data));
	cr_assert_eq(tdreport_make(report, &fields, key), 0);
	return guest_response_write(bed.report_status, report, sizeof(report), response);
}

static inline size_t testing_tsm_answer(const GuestMessageRequest *request, uint8_t *response)
{
	if (bed.fault == FAULT_BUSY && bed.faults++ < 2)
		return guest_response_write(GUEST_STATUS_BUSY, NULL, 0, response);
	switch ((GuestMessageType)request->type) {
	case GUEST_MESSAGE_TDI_INFO: return testing_info(request, response);
	case GUEST_MESSAGE_TDI_VALIDATE: return testing_validate(request, response);
	case GUEST_MESSAGE_TDREPORT: return testing_report(request, response);
	case GUEST_MESSAGE_TDI_STATE: return testing_state(response);
	case GUEST_MESSAGE_TDI_LOCK: return testing_lock(request, response);
	case GUEST_MESSAGE_MMIO_VALIDATE:
		bed.mmios++;
		cr_assert_eq(guest_mmio_validate_parse(&bed.last_mmio, request->payload,
						       request->payload_size),
			     0);
		return guest_response_write(bed.fault == FAULT_MMIO ? GUEST_STATUS_MMIO_MISMATCH
								    : GUEST_STATUS_OK,
					    NULL, 0, response);
	default: cr_assert_fail("request of type %u", request->type);
	}
	return 0;
}
