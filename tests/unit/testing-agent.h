/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A made-up guest for the agent: a sysfs of files, a host at the other end of the port that plays
 * tdid by a script, and behind it a TSM with a device whose evidence is real.
 */
#pragma once

#include "agent/agent.h"
#include "core/guest-message-tsm.h"
#include "core/hex.h"
#include "core/measurements.h"
#include "core/tdisp.h"
#include "core/vca.h"
#include "rpc/base64.h"
#include "rpc/frame.h"
#include "testing-ca.h"

#include <openssl/pem.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TESTING_BDF	   "0000:01:00.0"
#define TESTING_DEVICE	   "/sys/bus/pci/devices/" TESTING_BDF
#define TESTING_TVM	   "00112233-4455-6677-8899-aabbccddeeff"
#define TESTING_GENERATION 5
#define TESTING_BAR0	   0xfe000000U
#define TESTING_BAR0_SIZE  0x4000U
#define TESTING_BOOT_ID	   "11111111-2222-3333-4444-555555555555"

/* --- files --- */

typedef struct TestingTree {
	char root[64];
	Tree tree;
} TestingTree;

__attribute__((format(printf, 3, 4))) static inline void
testing_put(const TestingTree *t, const char *path, const char *format, ...)
{
	char full[512], *slash;
	va_list arguments;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", t->root, path);
	for (slash = strchr(full + strlen(t->root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "w");
	cr_assert_not_null(file, "%s", full);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
}

static inline void testing_tree_init(TestingTree *t)
{
	snprintf(t->root, sizeof(t->root), "/tmp/tdid-agent-XXXXXX");
	cr_assert_not_null(mkdtemp(t->root));
	t->tree.root = t->root;
	testing_put(t, "/proc/sys/kernel/random/boot_id", TESTING_BOOT_ID "\n");
	testing_put(t, "/sys/bus/pci/drivers_autoprobe", "1\n");
	testing_put(t, "/sys/bus/pci/drivers_probe", "%s", "");
	testing_put(t, "/sys/bus/pci/drivers/nvme/unbind", "%s", "");
	testing_put(t, "/sys/bus/pci/devices/.keep", "%s", "");
	testing_put(t, "/run/.keep", "%s", "");
}

static inline void testing_tree_done(TestingTree *t)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", t->root);
	cr_assert_eq(system(command), 0);
}

static inline void testing_put_resource(const TestingTree *t, uint64_t bar0)
{
	testing_put(
		t, TESTING_DEVICE "/resource",
		"0x%016llx 0x%016llx 0x0000000000140204\n"
		"0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n",
		(unsigned long long)bar0, (unsigned long long)bar0 + TESTING_BAR0_SIZE - 1);
}

/* Configuration space with only COMMAND and BAR 0 in it. */
static inline void testing_put_config(const TestingTree *t, uint32_t bar0)
{
	uint8_t config[4096] = { 0 };
	char path[256];
	FILE *file;

	for (unsigned int i = 0; i < 4; i++)
		config[0x10 + i] = (uint8_t)((bar0 | 4U) >> (8 * i));
	snprintf(path, sizeof(path), "%s" TESTING_DEVICE "/config", t->root);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(config, sizeof(config), 1, file), 1);
	fclose(file);
}

/* The function that TESTING_IDENTITY names. */
static inline void testing_put_function(const TestingTree *t)
{
	testing_put(t, TESTING_DEVICE "/vendor", "0x1b36\n");
	testing_put(t, TESTING_DEVICE "/device", "0x0010\n");
	testing_put(t, TESTING_DEVICE "/class", "0x010802\n");
	testing_put(t, TESTING_DEVICE "/revision", "0x02\n");
	testing_put(t, TESTING_DEVICE "/subsystem_vendor", "0x1af4\n");
	testing_put(t, TESTING_DEVICE "/subsystem_device", "0x1100\n");
	testing_put(t, TESTING_DEVICE "/enable", "0\n");
	testing_put_resource(t, TESTING_BAR0);
	testing_put_config(t, TESTING_BAR0);
}

static inline void testing_bind_driver(const TestingTree *t, bool bound)
{
	char path[256];

	snprintf(path, sizeof(path), "%s" TESTING_DEVICE "/driver", t->root);
	if (bound)
		cr_assert_eq(symlink("../../../bus/pci/drivers/nvme", path), 0);
	else
		unlink(path);
}

static inline bool testing_file_is(const TestingTree *t, const char *path, const char *wanted)
{
	char text[256];

	return tree_read_line(&t->tree, text, sizeof(text), "%s", path) == 0 &&
	       strcmp(text, wanted) == 0;
}

/* --- the device and its TSM --- */

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
	TestingFault fault;
	unsigned int faults; /* times that it happened */

	GuestMessageTsm *tsm;
	uint8_t counter;
	unsigned int opens, infos, mmios, accepts, revokes, states;
	uint8_t tdisp_state;
	bool accepted;
	uint64_t generation, sequence;
	GuestMmioValidate last_mmio;
	StatementEvidence stated;

	TestingChain chain;
	SpdmAlgorithms algorithms;
	uint8_t vca[256], record[256], transcript[1024], report[256];
	InterfaceReport interface;
	MeasurementsSource source;
	struct iovec blobs[4]; /* certificates, VCA, measurements, report */

	char events[4096]; /* what the agent told, one per line */
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
	GuestTdiStatus status = { bed.tdisp_state, bed.accepted, bed.generation };
	uint8_t body[GUEST_TDI_STATUS_SIZE];

	guest_tdi_status_write(&status, body);
	return guest_response_write(GUEST_STATUS_OK, body, sizeof(body), response);
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
	bed.tdisp_state = TDISP_RUN;
	bed.accepted = true;
	if (bed.fault == FAULT_BARS) {
		testing_put_resource(&bed.files, TESTING_BAR0 + 0x100000);
		testing_put_config(&bed.files, TESTING_BAR0 + 0x100000);
	}
	return testing_status(response);
}

static inline size_t testing_tsm_answer(const GuestMessageRequest *request, uint8_t *response)
{
	if (bed.fault == FAULT_BUSY && bed.faults++ < 2)
		return guest_response_write(GUEST_STATUS_BUSY, NULL, 0, response);
	switch ((GuestMessageType)request->type) {
	case GUEST_MESSAGE_TDI_INFO: return testing_info(request, response);
	case GUEST_MESSAGE_TDI_VALIDATE: return testing_validate(request, response);
	case GUEST_MESSAGE_TDI_STATE: bed.states++; return testing_status(response);
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

/* --- the host --- */

static inline void testing_say_raw(const char *bytes, size_t size)
{
	cr_assert_eq(write(bed.port, bytes, size), (ssize_t)size);
}

static inline void testing_say(GuestFrame *frame)
{
	char *bytes;
	size_t size;

	frame->session = frame->session ? frame->session : bed.session;
	cr_assert_eq(guest_frame_format(&bytes, &size, frame, FRAME_SIZE_MAX), 0);
	testing_say_raw(bytes, size);
	free(bytes);
}

static inline void testing_event(const char *session, const char *method, json_object *parameters)
{
	testing_say(&(GuestFrame){ .kind = GUEST_FRAME_EVENT,
				   .session = session,
				   .id = -1,
				   .method = method,
				   .parameters = parameters });
	json_object_put(parameters);
}

static inline json_object *testing_parameters(int64_t generation, bool address, const char *reason)
{
	json_object *p;

	cr_assert_eq(json_build(&p, J_STRING("name", "nic0"),
				J_STRING("address", address ? TESTING_BDF : NULL),
				J_INT_IF(generation > 0, "generation", generation),
				J_STRING("reason", reason)),
		     0);
	return p;
}

static inline void testing_offer(void)
{
	testing_event(NULL, "Offer", testing_parameters(0, true, NULL));
}

static inline void testing_locked(uint64_t generation)
{
	testing_event(NULL, "Locked", testing_parameters((int64_t)generation, true, NULL));
}

static inline void testing_withdraw(uint64_t generation)
{
	testing_event(NULL, "Withdrawn", testing_parameters((int64_t)generation, false, "test"));
}

__attribute__((format(printf, 1, 2))) static inline void testing_uevent(const char *format, ...)
{
	char text[512];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (int i = 0; i < n; i++)
		if (text[i] == '|')
			text[i] = '\0';
	cr_assert_eq(write(bed.uevents, text, (size_t)n), n);
}

static inline void testing_pci_uevent(const char *action)
{
	testing_uevent("%s@/devices/x|ACTION=%s|DEVPATH=/devices/"
		       "x|SUBSYSTEM=pci|PCI_SLOT_NAME=" TESTING_BDF "|DRIVER=nvme|",
		       action, action);
}

static inline void testing_reply(int64_t id, const char *method, json_object *parameters,
				 const char *error)
{
	testing_say(&(GuestFrame){ .kind = GUEST_FRAME_REPLY,
				   .id = id,
				   .method = method,
				   .parameters = parameters,
				   .error = error });
	json_object_put(parameters);
}

static inline json_object *testing_evidence(void)
{
	static const char *const names[] = { "certificates", "vca", "measurements", "report" };
	json_object *evidence = json_object_new_object();

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t copy[8192];
		char *text;

		memcpy(copy, bed.blobs[i].iov_base, bed.blobs[i].iov_len);
		if (bed.fault == FAULT_CERTIFICATES + i)
			copy[bed.blobs[i].iov_len - 1] ^= 1;
		cr_assert_eq(base64_encode(&text, copy, bed.blobs[i].iov_len), 0);
		json_add_string(evidence, names[i], text);
		free(text);
	}
	return evidence;
}

/* What the host does once the TSM has answered TDI_INFO. */
static inline void testing_after_info(void)
{
	if (bed.infos != 1)
		return;
	if (bed.fault == FAULT_WITHDRAWN)
		testing_withdraw(TESTING_GENERATION);
	if (bed.fault == FAULT_REMOVED)
		testing_pci_uevent("remove");
	if (bed.fault == FAULT_RESTARTED)
		testing_say_raw("", 1);
}

static inline void testing_carry(int64_t id, json_object *parameters)
{
	uint8_t random[GUEST_MESSAGE_SESSION_SIZE + GUEST_MESSAGE_NONCE_SIZE], *message;
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE], plain[GUEST_RESPONSE_MAX_SIZE];
	const uint8_t *answer = open;
	size_t size, answer_size = sizeof(open);
	unsigned int infos = bed.infos;
	GuestMessageRequest request;
	json_object *reply = NULL;
	char *text;
	int r;

	cr_assert_eq(base64_decode(&message, &size, json_get_string(parameters, "message"), 8192),
		     0);
	memset(random, ++bed.counter, sizeof(random));
	if (bed.fault == FAULT_SILENT) {
		free(message);
		return;
	}
	if ((bed.fault == FAULT_REJECTED || bed.fault == FAULT_UNAVAILABLE) && !bed.faults++) {
		free(message);
		json_build(&reply, J_STRING("reason", "test"));
		testing_reply(id, "TsmRequest", reply,
			      bed.fault == FAULT_REJECTED ? "io.tdid.Guest.TsmRejected"
							  : "TsmUnavailable");
		return;
	}
	if (message[6] == GUEST_MESSAGE_OPEN) {
		bed.opens++;
		cr_assert_eq(guest_message_tsm_open(bed.tsm, message, size, random,
						    random + GUEST_MESSAGE_SESSION_SIZE, open),
			     GUEST_MESSAGE_OK);
	} else {
		r = guest_message_tsm_unseal(bed.tsm, message, size, &request, &answer,
					     &answer_size);
		if (r == GUEST_MESSAGE_OK) {
			size_t n = testing_tsm_answer(&request, plain);

			cr_assert_eq(
				guest_message_tsm_seal(bed.tsm, plain, n, &answer, &answer_size),
				0);
		} else {
			cr_assert_eq(r, GUEST_MESSAGE_DUPLICATE, "outcome %d", r);
		}
		if (bed.fault == FAULT_LOST && bed.faults++ < 2) {
			free(message);
			return;
		}
	}
	free(message);
	if (bed.infos != infos)
		testing_after_info();
	cr_assert_eq(base64_encode(&text, answer, answer_size), 0);
	if (bed.fault == FAULT_FORGED && answer != open)
		/* Somewhere in the tag. */
		text[strlen(text) - 8] = text[strlen(text) - 8] == 'A' ? 'B' : 'A';
	json_build(&reply, J_STRING("message", text));
	if (bed.infos && answer != open && bed.fault != FAULT_WITHHELD)
		json_add_take(reply, "evidence", testing_evidence());
	free(text);
	testing_reply(id, "TsmRequest", reply, NULL);
}

static inline void testing_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void testing_note(const char *format, ...)
{
	size_t used = strlen(bed.events);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(bed.events + used, sizeof(bed.events) - used, format, arguments);
	va_end(arguments);
}

static inline void testing_hear(const GuestFrame *frame)
{
	json_object *p = frame->parameters, *reply;

	if (frame->kind == GUEST_FRAME_CALL && strcmp(frame->method, "Hello") == 0) {
		bed.hellos++;
		snprintf(bed.session, sizeof(bed.session), "%s", frame->session);
		cr_assert_eq(json_get_int(p, "protocol", 0), 1);
		cr_assert_str_eq(json_get_string(p, "boot_id"), TESTING_BOOT_ID);
		json_build(&reply, J_INT("protocol", 1), J_STRING("tvm", TESTING_TVM));
		testing_reply(frame->id, "Hello", reply, NULL);
		if (bed.offer && !bed.no_offer)
			testing_offer();
	} else if (frame->kind == GUEST_FRAME_CALL) {
		cr_assert_str_eq(frame->method, "TsmRequest");
		cr_assert_str_eq(frame->session, bed.session);
		testing_carry(frame->id, p);
	} else if (strcmp(frame->method, "Verdict") == 0) {
		testing_note("Verdict %s %s\n", json_get_string(p, "verdict"),
			     json_get_string(p, "step"));
	} else if (strcmp(frame->method, "Progress") == 0) {
		testing_note("Progress %s\n", json_get_string(p, "step"));
	} else {
		testing_note("%s\n", frame->method);
	}
}

static inline void testing_on_host(void *userdata, short revents)
{
	char buffer[16384];
	const char *at = buffer, *text;
	ssize_t n = read(bed.port, buffer, sizeof(buffer));
	size_t left = n > 0 ? (size_t)n : 0, len;

	if (n <= 0)
		loop_fd_off(&bed.host_source);
	while (left && frame_reader_next(bed.reader, &at, &left, &text, &len) == FRAME_READY) {
		GuestFrame *frame;

		cr_assert_eq(guest_frame_parse(&frame, text, len, NULL), 0, "%s", text);
		testing_hear(frame);
		guest_frame_free(frame);
	}
}

static inline void testing_on_guard(void *userdata)
{
	bed.timed_out = true;
}

/* The agent may have greeted or not: either way an offer follows the answer to its Hello. */
static inline void testing_offer_when_greeted(void)
{
	bed.offer = true;
	if (bed.hellos)
		testing_offer();
}

/* The function's files are taken away. */
static inline void testing_pci_gone(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf %s" TESTING_DEVICE, bed.files.root);
	cr_assert_eq(system(command), 0);
}

/* Turns the loop until the agent has told that, or `msec` have passed. */
static inline bool testing_wait_within(const char *event, unsigned int msec)
{
	bed.timed_out = false;
	loop_timer_set(&bed.guard, msec * USEC_PER_MS);
	while (!bed.timed_out && !(event && strstr(bed.events, event)))
		cr_assert_eq(loop_turn(bed.loop), 0);
	loop_timer_off(&bed.guard);
	return event && strstr(bed.events, event);
}

static inline void testing_wait(const char *event)
{
	cr_assert(testing_wait_within(event, 5000), "no \"%s\" in:\n%s", event, bed.events);
}

/* For what must not happen: everything that is under way in one process comes about in this time.
 */
static inline void testing_settle(void)
{
	testing_wait_within(NULL, 30);
}

static inline char *testing_policy_text(const char *more)
{
	char digest[DIGEST_STRING_SIZE] = "", *pem, *text;
	json_object *policy = NULL, *roots = json_object_new_array();
	BIO *bio = BIO_new(BIO_s_mem());
	long n;

	PEM_write_bio_X509(bio, bed.chain.certs[TESTING_ROOT]);
	n = BIO_get_mem_data(bio, &pem);
	json_object_array_add(roots, json_object_new_string_len(pem, (int)n));
	BIO_free(bio);
	hex_encode(digest, bed.record + 7, DIGEST_SIZE);
	cr_assert_gt(
		asprintf(&text,
			 "{\"version\":1,\"allow_unlisted_measurements\":true,\"roots\":%s,"
			 "\"devices\":[{\"vendor\":\"1b36\",\"device\":\"0010\","
			 "\"class\":\"010802\",\"subsystem_vendor\":\"1af4\",\"measurements\":["
			 "{\"index\":1,\"digest\":\"%s\"},{\"index\":2,\"minimum_svn\":7}]}]%s}",
			 json_object_to_json_string(roots), digest, more),
		0);
	json_object_put(roots);
	json_object_put(policy);
	return text;
}

static inline void testing_make_device(void)
{
	static const uint8_t firmware[DIGEST_SIZE] = { 0xaa }, svn[8] = { 7 };
	SpdmCapabilities capabilities = { .flags = 0x2d6,
					  .data_transfer_size = 0x1200,
					  .max_message_size = 0x1200 };
	SpdmVersions versions = { .n_entries = 1, .entries = { 0x1200 } };
	SpdmAlgorithms algorithms = { .measurement_spec = SPDM_MEASUREMENT_SPEC_DMTF,
				      .other_params = SPDM_OPAQUE_FORMAT_1,
				      .measurement_hash = SPDM_MEASUREMENT_HASH_SHA384,
				      .base_asym = SPDM_ASYM_ECDSA_P384,
				      .base_hash = SPDM_HASH_SHA384,
				      .dhe = SPDM_DHE_SECP384R1,
				      .aead = SPDM_AEAD_AES_256_GCM,
				      .key_schedule = SPDM_KEY_SCHEDULE_SPDM,
				      .tables = SPDM_TABLE_DHE | SPDM_TABLE_AEAD |
						SPDM_TABLE_KEY_SCHEDULE };
	ByteWriter w = byte_writer(bed.vca, sizeof(bed.vca));

	spdm_get_version_put(&w);
	spdm_version_put(&w, &versions);
	spdm_get_capabilities_put(&w, &capabilities);
	spdm_capabilities_put(&w, &capabilities);
	spdm_negotiate_algorithms_put(&w, &algorithms);
	spdm_algorithms_put(&w, &algorithms);
	bed.blobs[1] = (struct iovec){ bed.vca, w.used };
	w = byte_writer(bed.record, sizeof(bed.record));
	measurement_block_put(&w,
			      &(MeasurementBlock){ 1, MEASUREMENT_FIRMWARE, false, 48, firmware });
	measurement_block_put(&w, &(MeasurementBlock){ 2, MEASUREMENT_SVN, true, 8, svn });
	bed.chain = testing_chain_init();
	for (unsigned int i = 0; i < 3; i++) {
		bed.chain.specs[i].from = time(NULL) - TESTING_DAY;
		bed.chain.specs[i].to = time(NULL) + TESTING_DAY;
	}
	testing_chain_make(&bed.chain);
	bed.source = (MeasurementsSource){ .vca = bed.vca,
					   .vca_size = bed.blobs[1].iov_len,
					   .record = bed.record,
					   .record_size = w.used,
					   .n_blocks = 2,
					   .content_changed = SPDM_CONTENT_UNCHANGED,
					   .key = bed.chain.keys[TESTING_LEAF] };
	bed.interface = (InterfaceReport){ .info = INTERFACE_INFO_NO_FW_UPDATE |
						   INTERFACE_INFO_DMA_WITHOUT_PASID,
					   .n_ranges = 1,
					   .ranges = { { .first_page = 0xfe000, .n_pages = 4 } } };
	bed.tdisp_state = TDISP_CONFIG_LOCKED;
	bed.generation = TESTING_GENERATION;
}

/* The agent of a bed whose files, device and TSM are there. Again after testing_agent_stop(). */
static inline void testing_agent_start(void)
{
	int uevents[2], port[2];
	AgentOptions options = { .loop = bed.loop,
				 .tree = &bed.files.tree,
				 .policy = bed.policy,
				 .key = &bed.key,
				 .times = &testing_times };

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, uevents), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, port), 0);
	options.uevent_fd = uevents[0];
	bed.uevents = uevents[1];
	bed.port = port[1];
	frame_reader_reset(bed.reader);
	cr_assert_eq(agent_new(&bed.agent, &options), 0);
	cr_assert_eq(agent_start(bed.agent), 0);
	cr_assert_eq(
		loop_fd_on(bed.loop, &bed.host_source, bed.port, POLLIN, testing_on_host, NULL), 0);
	testing_say_raw("", 1);
	cr_assert_eq(fcntl(port[0], F_SETFL, O_NONBLOCK), 0);
	cr_assert_eq(port_attach(session_port(agent_session(bed.agent)), port[0]), 0);
}

static inline void testing_agent_stop(void)
{
	bed.agent = agent_free(bed.agent);
	loop_fd_off(&bed.host_source);
	close(bed.uevents);
	close(bed.port);
}

static inline void testing_bed_init(const char *more_policy)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	Uuid tvm;

	memset(&bed, 0, sizeof(bed));
	testing_tree_init(&bed.files);
	testing_put_function(&bed.files);
	testing_make_device();
	memset(bed.key.bytes, 7, sizeof(bed.key.bytes));
	uuid_from_string(&tvm, TESTING_TVM);
	cr_assert_eq(guest_message_tsm_new(&bed.tsm, bed.key.bytes, tvm.bytes), 0);
	text = testing_policy_text(more_policy);
	cr_assert_eq(agent_policy_parse(&bed.policy, text, strlen(text), &error), 0, "%s", error);
	cr_assert_eq(loop_new(&bed.loop), 0);
	cr_assert_eq(frame_reader_new(&bed.reader, FRAME_SIZE_MAX), 0);
	loop_timer_init(bed.loop, &bed.guard, testing_on_guard, NULL);
	testing_agent_start();
}

static inline void testing_bed_done(void)
{
	testing_agent_stop();
	frame_reader_free(bed.reader);
	loop_free(bed.loop);
	agent_policy_free(bed.policy);
	guest_message_tsm_free(bed.tsm);
	testing_chain_done(&bed.chain);
	testing_tree_done(&bed.files);
}
