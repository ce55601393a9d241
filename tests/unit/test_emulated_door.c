/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The emulated TSM behind a made-up kernel, which speaks the module's messages on a socket pair. */
#include "kmod/tsm-proxy.h"
#include "rpc/json.h"
#include "rpc/varlink-client.h"
#include "testing-emulated.h"
#include "tsm/common/proxy-wire.h"
#include "tsm/emulated/device-interface.h"
#include "tsm/emulated/door.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RID 0x0200

static Config *config;
static sd_event *event;
static Service *service;
static int kernel = -1, door_end = -1;
static uint64_t last_id;
static unsigned int n_unheard;
static bool nobody_waits;

/* In place of libc's: a socket pair does not say that nobody waits for a reply. */
ssize_t write(int fd, const void *data, size_t size)
{
	if (nobody_waits && fd == door_end) {
		n_unheard++;
		errno = ENOENT;
		return -1;
	}
	return syscall(SYS_write, fd, data, size);
}

static void set_up(void)
{
	_cleanup_free_ char *error = NULL;
	int ends[2];

	testing_host_new();
	config = testing_config(", \"faults\": true, \"latencies\": {\"bind\": 20}", "");
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(service_new(&service, event, config, &error), 0, "%s", error);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
		     0);
	kernel = ends[0];
	door_end = ends[1];
	cr_assert_eq(door_new(&service->door, service, ends[1]), 0);
}

static void tear_down(void)
{
	service_free(service);
	if (kernel >= 0)
		close(kernel);
	sd_event_unref(event);
	config_free(config);
	testing_host_remove();
}

TestSuite(emulated_door, .init = set_up, .fini = tear_down);

static void send_bytes(const void *data, size_t size)
{
	cr_assert_eq(send(kernel, data, size, 0), (ssize_t)size);
}

static uint64_t ask(struct tsm_proxy_request q, const char *function)
{
	q.id = ++last_id;
	q.function = bdf_requester_id(testing_bdf(function));
	q.dsm = bdf_requester_id(testing_bdf(PF));
	send_bytes(&q, sizeof(q));
	return q.id;
}

/* The next reply; its payload goes to *payload, if there may be one. */
static struct tsm_proxy_reply hear(char *payload, size_t size)
{
	char buffer[65536];
	struct tsm_proxy_reply reply;
	ssize_t n;

	while ((n = recv(kernel, buffer, sizeof(buffer), 0)) < 0)
		cr_assert_gt(sd_event_run(event, 3000000), 0, "nothing happens any more");
	cr_assert_geq(n, (ssize_t)sizeof(reply));
	memcpy(&reply, buffer, sizeof(reply));
	cr_assert_eq((size_t)n, sizeof(reply) + reply.payload_len);
	if (payload) {
		cr_assert_lt(reply.payload_len, size);
		memcpy(payload, buffer + sizeof(reply), reply.payload_len);
		payload[reply.payload_len] = '\0';
	}
	return reply;
}

static void expect(uint64_t id, int error)
{
	struct tsm_proxy_reply reply = hear(NULL, 0);

	cr_assert_eq(reply.id, id);
	cr_assert_eq(reply.error, error, "%d", reply.error);
}

/* Whatever is due is done, and nobody is answered. */
static void expect_silence(void)
{
	char c;

	while (sd_event_run(event, 50000) > 0)
		;
	cr_assert_eq(recv(kernel, &c, 1, MSG_PEEK), -1);
}

static void connect_it(void)
{
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF), 0);
}

static struct tsm_proxy_request bind_request(const char *tvm, uint32_t generation)
{
	struct tsm_proxy_request q = { .op = TSM_PROXY_OP_BIND,
				       .tdi_id = RID,
				       .flags = generation };
	Uuid uuid = testing_uuid(tvm);

	memcpy(q.tvm, uuid.bytes, sizeof(q.tvm));
	return q;
}

static void prepare(void)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_free_ char *key_file = NULL;

	cr_assert_eq(tsm_prepare_tvm(service->tsm, testing_uuid(TVM_A), &key_file, &refusal), 0);
}

static bool status_of(const char *device, TsmTdiStatus *ret)
{
	_cleanup_free_ TsmTdiStatus *list = NULL;
	size_t n;

	cr_assert_eq(tsm_query_tdis(service->tsm, &list, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(list[i].device, testing_bdf(device))) {
			*ret = list[i];
			return true;
		}
	return false;
}

static bool is_bound(const char *device)
{
	return tsm_is_bound(service->tsm, testing_bdf(device));
}

static bool is_connected(void)
{
	_cleanup_free_ TsmDsmStatus *list = NULL;
	size_t n;

	cr_assert_eq(tsm_query_dsms(service->tsm, &list, &n), 0);
	cr_assert_eq(n, 1);
	return list[0].connected;
}

static void fail(Verb verb, const char *device, VerbFaultKind kind)
{
	cr_assert_eq(verb_faults_set(service->faults, testing_bdf(device), verb,
				     (VerbFault){ kind, 0 }, 1),
		     0);
}

Test(emulated_door, malformed_requests)
{
	struct tsm_proxy_request q = { .id = 9, .op = TSM_PROXY_OP_CONNECT, .payload_len = 1 };

	send_bytes("short", 5);
	send_bytes(&q, sizeof(q) - 1);
	expect_silence();
	send_bytes(&q, sizeof(q));
	expect(9, -EINVAL);
	q = (struct tsm_proxy_request){ .id = 10, .op = 77 };
	send_bytes(&q, sizeof(q));
	expect(10, -EINVAL);
}

Test(emulated_door, kernel_goes_away)
{
	int code;

	close(kernel);
	kernel = -1;
	cr_assert_eq(sd_event_loop(event), EXIT_FAILURE);
	cr_assert_geq(sd_event_get_exit_code(event, &code), 0);
}

Test(emulated_door, probe)
{
	struct tsm_proxy_request q = { .op = TSM_PROXY_OP_PROBE };

	expect(ask(q, ABSENT), -proxy_errno(TSM_UNKNOWN_DEVICE));
	expect(ask(q, OTHER_PF), -proxy_errno(TSM_NOT_TEE_IO));
	expect(ask(q, PLAIN_PF), -proxy_errno(TSM_NOT_TEE_IO));
	expect(ask(q, VF0), 0);
}

Test(emulated_door, refusals)
{
	expect(ask(bind_request(TVM_A, 1), VF0), -proxy_errno(TSM_UNKNOWN_TVM));
	prepare();
	expect(ask(bind_request(TVM_A, 1), VF0), -proxy_errno(TSM_INVALID_STATE));
	fail(VERB_CONNECT, PF, VERB_FAULT_REFUSE);
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF),
	       -proxy_errno(TSM_REFUSED));
	cr_assert_not(is_connected());
}

Test(emulated_door, there_and_back)
{
	struct tsm_proxy_request unbind = { .op = TSM_PROXY_OP_UNBIND };
	TsmTdiStatus status;

	prepare();
	connect_it();
	expect(ask(bind_request(TVM_A, 7), VF0), 0);
	cr_assert(status_of(VF0, &status));
	cr_assert(status.bound);
	cr_assert_eq(status.generation, 7);
	cr_assert_eq(status.state, TDISP_CONFIG_LOCKED);
	cr_assert_not(status.accepted, "the kernel's bind accepts nothing");
	expect(ask(unbind, VF0), 0);
	cr_assert_not(is_bound(VF0));
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_DISCONNECT }, PF), 0);
	cr_assert_not(is_connected());
}

Test(emulated_door, verbs_over_the_socket_are_refused)
{
	_cleanup_free_ char *error = NULL, *name = NULL;
	json_object *parameters, *reply = NULL;
	VarlinkServer *server = service->server;
	pid_t child;
	int status;

	cr_assert_eq(varlink_server_listen(server, config->socket, 0600, &error), 0, "%s", error);
	child = fork();
	if (child == 0) {
		json_build(&parameters, J_STRING("operation", "1"), J_STRING("dsm", PF));
		_exit(varlink_call_blocking(config->socket, NULL, "io.tdid.Tsm.Connect", parameters,
					    3000000, &reply, &name, &error) == 1 &&
				      strcmp(name, "io.tdid.Tsm.Refused") == 0
			      ? 0
			      : 1);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		cr_assert_geq(sd_event_run(event, 100000), 0);
	cr_assert_eq(status, 0);
	cr_assert_not(is_connected());
}

Test(emulated_door, unbind_that_the_device_does_not_confirm)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};

	prepare();
	connect_it();
	expect(ask(bind_request(TVM_A, 1), VF0), 0);
	cr_assert_eq(tsm_set_device_faults(service->tsm, testing_bdf(VF0), DEVICE_FAULT_NO_STOP,
					   &refusal),
		     0);
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_UNBIND }, VF0),
	       -proxy_errno(TSM_OUTCOME_UNKNOWN));
	cr_assert_not(is_bound(VF0));
}

/* The kernel does not know of such a bind, and never asks to end it. */
Test(emulated_door, disconnect_ends_what_was_said_to_have_failed)
{
	prepare();
	connect_it();
	fail(VERB_BIND, VF0, VERB_FAULT_DONE_BUT_FAILED);
	expect(ask(bind_request(TVM_A, 1), VF0), -proxy_errno(TSM_OUTCOME_UNKNOWN));
	cr_assert(is_bound(VF0));
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_DISCONNECT }, PF), 0);
	cr_assert_not(is_bound(VF0));
	cr_assert_not(is_connected());
}

Test(emulated_door, remove_ends_a_bind)
{
	prepare();
	connect_it();
	expect(ask(bind_request(TVM_A, 1), VF0), 0);
	ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_REMOVE }, VF0);
	expect_silence();
	cr_assert_not(is_bound(VF0));
}

/* The kernel takes it for not connected, and so the next connect is to be a new session. */
Test(emulated_door, remove_ends_a_session_that_was_said_to_have_failed)
{
	fail(VERB_CONNECT, PF, VERB_FAULT_DONE_BUT_FAILED);
	expect(ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF),
	       -proxy_errno(TSM_OUTCOME_UNKNOWN));
	cr_assert(is_connected());
	ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_REMOVE }, VF0);
	expect_silence();
	cr_assert(is_connected());
	ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_REMOVE }, PF);
	expect_silence();
	cr_assert_not(is_connected());
}

static void ask_for_nobody(struct tsm_proxy_request q, const char *function)
{
	unsigned int before = n_unheard;

	nobody_waits = true;
	ask(q, function);
	while (n_unheard == before)
		cr_assert_gt(sd_event_run(event, 3000000), 0, "nothing happens any more");
	nobody_waits = false;
}

/* Also what broke off half-way, when it was done. */
Test(emulated_door, what_nobody_waits_for_is_undone)
{
	struct tsm_proxy_request connect = { .op = TSM_PROXY_OP_CONNECT };

	prepare();
	ask_for_nobody(connect, PF);
	cr_assert_not(is_connected());
	fail(VERB_CONNECT, PF, VERB_FAULT_DONE_BUT_FAILED);
	ask_for_nobody(connect, PF);
	cr_assert_not(is_connected());
	connect_it();
	ask_for_nobody(bind_request(TVM_A, 1), VF0);
	cr_assert_not(is_bound(VF0));
	fail(VERB_BIND, VF0, VERB_FAULT_DONE_BUT_FAILED);
	ask_for_nobody(bind_request(TVM_A, 1), VF0);
	cr_assert_not(is_bound(VF0));
	expect(ask(bind_request(TVM_A, 1), VF0), 0);
}

static void cancel(uint64_t target)
{
	ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CANCEL, .target = target }, PF);
}

Test(emulated_door, cancel_of_what_hangs)
{
	uint64_t id;

	cancel(4711);
	expect_silence();
	fail(VERB_CONNECT, PF, VERB_FAULT_HANG);
	id = ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF);
	expect_silence();
	cancel(id);
	expect(id, -proxy_errno(TSM_REFUSED));
	cr_assert_not(is_connected());
	connect_it();
}

Test(emulated_door, cancel_of_what_waits)
{
	uint64_t first, second;

	fail(VERB_CONNECT, PF, VERB_FAULT_HANG);
	first = ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF);
	second = ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_CONNECT }, PF);
	cancel(second);
	expect(second, -proxy_errno(TSM_REFUSED));
	cancel(first);
	expect(first, -proxy_errno(TSM_REFUSED));
	cr_assert_not(is_connected());
}

Test(emulated_door, cancel_of_an_end_ends_it)
{
	uint64_t id;

	prepare();
	connect_it();
	expect(ask(bind_request(TVM_A, 1), VF0), 0);
	fail(VERB_UNBIND, VF0, VERB_FAULT_HANG);
	id = ask((struct tsm_proxy_request){ .op = TSM_PROXY_OP_UNBIND }, VF0);
	expect_silence();
	cr_assert(is_bound(VF0));
	cancel(id);
	expect(id, 0);
	cr_assert_not(is_bound(VF0));
}

Test(emulated_door, guest_request_of_a_stranger)
{
	struct {
		struct tsm_proxy_request q;
		char message[5];
	} __attribute__((packed)) m = {
		.q = { .op = TSM_PROXY_OP_GUEST_REQ, .reply_max = 60000, .payload_len = 5 },
		.message = "junk!",
	};
	_cleanup_(json_unrefp) json_object *o = NULL;
	struct tsm_proxy_reply reply;
	char payload[65536];

	prepare();
	m.q.id = 5;
	memcpy(m.q.tvm, testing_uuid(TVM_A).bytes, 16);
	send_bytes(&m, sizeof(m.q) + 5);
	reply = hear(payload, sizeof(payload));
	cr_assert_eq(reply.error, 0);
	cr_assert_eq(json_parse(&o, payload, reply.payload_len, NULL), 0, "%s", payload);
	cr_assert_str_eq(json_get_string(o, "error"), "GuestMessageRejected");
	cr_assert_str_eq(json_get_string(json_get_object(o, "parameters"), "tvm"), TVM_A);
	m.q.id = 6;
	m.q.reply_max = 4;
	send_bytes(&m, sizeof(m.q) + 5);
	expect(6, -EMSGSIZE);
}
