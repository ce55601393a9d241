/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host of the agent's tests: plays tdid at the other end of the port, by a script. */
#pragma once

#include "core/hex.h"
#include "rpc/base64.h"
#include "testing-agent-tsm.h"

#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define TESTING_PROBE  "/sys/bus/pci/drivers_probe"
#define TESTING_UNBIND "/sys/bus/pci/drivers/nvme/unbind"

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

static inline void testing_offer_as(const char *name)
{
	json_object *p;

	cr_assert_eq(json_build(&p, J_STRING("name", name), J_STRING("address", TESTING_BDF)), 0);
	testing_event(NULL, "Offer", p);
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
	unsigned int infos = bed.infos, accepts = bed.accepts;
	void (*instead)(void) = bed.instead;
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
	if (instead && bed.accepts != accepts) {
		bed.instead = NULL;
		instead();
		return;
	}
	if (bed.infos != infos)
		testing_after_info();
	cr_assert_eq(base64_encode(&text, answer, answer_size), 0);
	if (bed.fault == FAULT_FORGED && answer != open)
		/* Somewhere in the tag. */
		text[strlen(text) - 8] = text[strlen(text) - 8] == 'A' ? 'B' : 'A';
	json_build(&reply, J_STRING("message", text));
	if (bed.blobs[3].iov_base && answer != open && bed.fault != FAULT_WITHHELD)
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
		if (bed.away)
			return;
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
		const char *reason = json_get_string(p, "reason");

		testing_note("Verdict %s %s\n", json_get_string(p, "verdict"),
			     json_get_string(p, "step"));
		snprintf(bed.reason, sizeof(bed.reason), "%s", reason ? reason : "");
		bed.revokes_before = bed.revokes;
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

/* Until a file says that, or a counter has come so far: the other process may take its time. */
static inline bool testing_wait_file(const char *path, const char *wanted)
{
	for (unsigned int i = 0; i < 1000 && !testing_file_is(&bed.files, path, wanted); i++)
		testing_wait_within(NULL, 2);
	return testing_file_is(&bed.files, path, wanted);
}

static inline bool testing_wait_count(const unsigned int *counter, unsigned int wanted)
{
	for (unsigned int i = 0; i < 1000 && *counter < wanted; i++)
		testing_wait_within(NULL, 2);
	return *counter == wanted;
}

static inline bool testing_probed(void)
{
	return testing_file_is(&bed.files, TESTING_PROBE, TESTING_BDF);
}

static inline void testing_driver_binds(void)
{
	testing_bind_driver(&bed.files, true);
	testing_pci_uevent("bind");
	testing_wait("DriverBound");
}

/* From here on the kernel takes its time: writing there waits for testing_write_now(). */
static inline void testing_write_slowly(const char *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", bed.files.root, file);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
}

/* The one write that has been waiting. */
static inline void testing_write_now(const char *file)
{
	int fd = tree_open(&bed.files.tree, O_RDONLY | O_NONBLOCK, "%s", file);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char text[32] = "";

	cr_assert_geq(fd, 0);
	cr_assert_eq(poll(&wait, 1, 5000), 1, "nobody writes");
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0, "nobody writes");
	cr_assert_str_eq(text, TESTING_BDF);
	close(fd);
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
