/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each request of the kernel becomes an operation, and the operation's outcome its reply:
 *
 *	read --> queued --> started --> run --> reply written --> gone
 *	                                        reply refused (ENOENT) --> undone
 *	CANCEL:  queued --> taken back
 *	         started, hangs --> given up, unless it is an end: that is run
 *	         started --> goes on; its reply is refused
 *
 * The kernel decides at the reply whether somebody still waits. So what was done for nobody is
 * undone there, and a CANCEL has only to end what would not come to its reply by itself.
 */
#include "door.h"

#include "core/refusal.h"
#include "kmod/tsm-proxy.h"
#include "rpc/log.h"
#include "tsm/common/proxy-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define MESSAGE_MAX (sizeof(struct tsm_proxy_request) + TSM_PROXY_PAYLOAD_MAX)

typedef struct DoorCall {
	struct DoorCall *next;
	Door *door;
	uint64_t id;
	char operation[32];
	uint32_t op, queue, reply_max;
	Bdf function;
} DoorCall;

struct Door {
	Service *service;
	int fd;
	sd_event_source *source;
	DoorCall *calls;
	uint8_t message[MESSAGE_MAX];
};

Door *door_free(Door *door)
{
	if (!door)
		return NULL;
	while (door->calls) {
		DoorCall *call = door->calls;

		door->calls = call->next;
		operations_unwatch(door->service->operations, call);
		free(call);
	}
	sd_event_source_disable_unref(door->source);
	close(door->fd);
	free(door);
	return NULL;
}

static void call_end(DoorCall *call)
{
	DoorCall **p = &call->door->calls;

	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
	free(call);
}

static DoorCall *find_call(Door *door, uint64_t id)
{
	for (DoorCall *call = door->calls; call; call = call->next)
		if (call->id == id)
			return call;
	return NULL;
}

static int write_reply(Door *door, uint64_t id, const void *message, size_t size)
{
	ssize_t n = write(door->fd, message, size);

	if (n < 0 && errno != ENOENT)
		log_error("the kernel does not take the reply %" PRIu64 ": %s", id,
			  strerror(errno));
	return n < 0 ? -errno : 0;
}

/* -ENOENT: nobody waits for it any more. One without a payload needs no memory. */
static int reply(Door *door, uint64_t id, int error, const char *payload, size_t size)
{
	struct tsm_proxy_reply head = { .id = id, .error = error, .payload_len = (uint32_t)size };
	_cleanup_free_ uint8_t *message = size ? malloc(sizeof(head) + size) : NULL;

	if (size && message) {
		memcpy(message, &head, sizeof(head));
		memcpy(message + sizeof(head), payload, size);
		return write_reply(door, id, message, sizeof(head) + size);
	}
	if (size) {
		head.payload_len = 0;
		head.error = -ENOMEM;
	}
	return write_reply(door, id, &head, sizeof(head));
}

static int result_errno(int result)
{
	if (result <= 0)
		return result;
	return -proxy_errno((TsmOutcome)result);
}

static bool is_connected(Tsm *tsm, Bdf dsm)
{
	_cleanup_free_ TsmDsmStatus *list = NULL;
	size_t n = 0;

	if (tsm_query_dsms(tsm, &list, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(list[i].dsm, dsm))
			return list[i].connected;
	return false;
}

/* Whatever its outcome says: one that broke off may have been done. */
static bool is_done(const DoorCall *call)
{
	Tsm *tsm = call->door->service->tsm;

	if (call->op == TSM_PROXY_OP_BIND)
		return tsm_is_bound(tsm, call->function);
	return call->op == TSM_PROXY_OP_CONNECT && is_connected(tsm, call->function);
}

static void undo(Door *door, uint32_t op, Bdf function)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	Tsm *tsm = door->service->tsm;
	char name[BDF_STRING_SIZE];
	TsmUnbound unbound;
	int r = 0;

	if (op == TSM_PROXY_OP_CONNECT)
		r = tsm_disconnect(tsm, function, &refusal);
	else if (op == TSM_PROXY_OP_BIND)
		r = tsm_unbind(tsm, function, &unbound, &refusal);
	else
		return;
	log_warning("%s: undone, nobody waits for it any more%s%s", bdf_format(function, name),
		    r != 0 ? ": " : "", r != 0 ? refusal.reason ?: "failed" : "");
}

/* --- outcomes --- */

static int guest_payload(const OperationOutcome *outcome, char **ret, size_t *ret_size)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	if (!outcome->error)
		return json_format(ret, ret_size, outcome->parameters);
	if (json_build(&o, J_STRING("error", outcome->error),
		       J_REF("parameters", outcome->parameters)) < 0)
		return -ENOMEM;
	return json_format(ret, ret_size, o);
}

static void send_outcome(DoorCall *call, const OperationOutcome *outcome)
{
	int error = result_errno(outcome_result(outcome)), r;
	_cleanup_free_ char *payload = NULL;
	size_t size = 0;

	if (call->op == TSM_PROXY_OP_GUEST_REQ) {
		error = guest_payload(outcome, &payload, &size);
		if (error == 0 && size > call->reply_max)
			error = -EMSGSIZE;
	}
	/* An unbind that the device did not confirm has freed everything all the same. */
	if (call->op == TSM_PROXY_OP_UNBIND && error == 0 &&
	    !json_get_bool(outcome->parameters, "device_confirmed", false))
		error = result_errno(TSM_OUTCOME_UNKNOWN);
	r = reply(call->door, call->id, error, payload, error ? 0 : size);
	if (r == -ENOENT && is_done(call))
		undo(call->door, call->op, call->function);
}

static void on_progress(void *watcher, OperationProgress progress, const OperationOutcome *outcome)
{
	DoorCall *call = watcher;

	if (progress != OPERATION_DONE)
		return;
	send_outcome(call, outcome);
	call_end(call);
}

/* --- requests --- */

static DoorCall *call_begin(Door *door, const struct tsm_proxy_request *q)
{
	DoorCall *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->door = door;
	call->id = q->id;
	call->op = q->op;
	call->reply_max = q->reply_max;
	call->function = bdf_from_requester_id(q->function);
	snprintf(call->operation, sizeof(call->operation), "kernel-%" PRIu64, call->id);
	call->next = door->calls;
	door->calls = call;
	return call;
}

static int submit(Door *door, const struct tsm_proxy_request *q, OperationRequest *request)
{
	DoorCall *call = call_begin(door, q);
	char name[BDF_STRING_SIZE];
	json_object *empty;
	int r;

	if (!call) {
		request->free(request->userdata);
		return -ENOMEM;
	}
	empty = json_object_new_object();
	call->queue = request->queue;
	request->id = call->operation;
	request->device = bdf_format(call->function, name);
	request->parameters = empty;
	r = operations_submit(door->service->operations, request, on_progress, call);
	json_object_put(empty);
	if (r < 0)
		call_end(call);
	return r;
}

static int take_verb(Door *door, const struct tsm_proxy_request *q)
{
	VerbWork work = { .service = door->service, .device = bdf_from_requester_id(q->function) };
	OperationRequest request;
	int r;

	switch (q->op) {
	case TSM_PROXY_OP_CONNECT: work.verb = VERB_CONNECT; break;
	case TSM_PROXY_OP_DISCONNECT:
		work.verb = VERB_DISCONNECT;
		work.disconnect.unbinds = true;
		break;
	case TSM_PROXY_OP_UNBIND: work.verb = VERB_UNBIND; break;
	default:
		work.verb = VERB_BIND;
		work.bind = (TsmBind){
			.device = work.device,
			.guest_rid = q->tdi_id,
			.generation = q->flags,
			.lock_flags = TDISP_LOCK_NO_FW_UPDATE,
		};
		memcpy(work.bind.tvm.bytes, q->tvm, sizeof(q->tvm));
		break;
	}
	r = service_verb_request(&work, &request);
	return r < 0 ? r : submit(door, q, &request);
}

static int take_guest(Door *door, const struct tsm_proxy_request *q, const uint8_t *payload)
{
	bool info = q->scope == TSM_PROXY_SCOPE_INFO;
	DoorCall call = { .door = door, .id = q->id, .op = q->op, .reply_max = q->reply_max };
	OperationOutcome outcome = {};
	OperationRequest request;
	Uuid tvm;
	int r;

	memcpy(tvm.bytes, q->tvm, sizeof(tvm.bytes));
	r = service_guest_request(door->service, tvm,
				  info ? TSM_SCOPE_INFO : TSM_SCOPE_STATE_CHANGE, payload,
				  q->payload_len, &request, &outcome);
	if (r > 0)
		return submit(door, q, &request);
	if (r == 0)
		send_outcome(&call, &outcome);
	operation_outcome_done(&outcome);
	return r;
}

static int answer_probe(Door *door, const struct tsm_proxy_request *q)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const ConfigDevice *config;
	int r;

	r = tsm_find_dsm(door->service->tsm, bdf_from_requester_id(q->function), &config, &refusal);
	if (r == 0 && bdf_requester_id(config->device) != q->dsm)
		r = TSM_NOT_TEE_IO;
	reply(door, q->id, result_errno(r), NULL, 0);
	return 0;
}

static int take_cancel(Door *door, uint64_t target)
{
	Operations *operations = door->service->operations;
	DoorCall *call = find_call(door, target);
	OperationOutcome outcome = {};
	bool cancelled;

	if (!call)
		return 0;
	/* Ends are ends, whether anybody waits for them or not. */
	if (call->op == TSM_PROXY_OP_UNBIND || call->op == TSM_PROXY_OP_DISCONNECT) {
		operations_resume(operations, call->queue, false);
		return 0;
	}
	outcome_text(&outcome, TSM_REFUSED, call->operation, "the kernel gave it up");
	if (operations_is_queued(operations, call->operation))
		return operations_cancel(operations, call->operation, &outcome, &cancelled);
	operations_settle(operations, call->queue, &outcome);
	return 0;
}

/* Nothing of a function that the kernel forgets may stay bound, and no session of a DSM: the kernel
 * takes a CONNECT that failed for one that was not done. */
static int take_remove(Door *door, Bdf function)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	char name[BDF_STRING_SIZE];
	TsmUnbound unbound;
	int r = 0;

	if (tsm_is_bound(door->service->tsm, function))
		r = tsm_unbind(door->service->tsm, function, &unbound, &refusal);
	if (r == 0 && is_connected(door->service->tsm, function))
		r = tsm_disconnect(door->service->tsm, function, &refusal);
	if (r != 0)
		log_warning("%s: the kernel forgets it: %s", bdf_format(function, name),
			    refusal.reason ?: "failed");
	return 0;
}

static int take(Door *door, const struct tsm_proxy_request *q, const uint8_t *payload)
{
	switch (q->op) {
	case TSM_PROXY_OP_PROBE: return answer_probe(door, q);
	case TSM_PROXY_OP_CONNECT:
	case TSM_PROXY_OP_DISCONNECT:
	case TSM_PROXY_OP_BIND:
	case TSM_PROXY_OP_UNBIND: return take_verb(door, q);
	case TSM_PROXY_OP_GUEST_REQ: return take_guest(door, q, payload);
	case TSM_PROXY_OP_CANCEL: return take_cancel(door, q->target);
	case TSM_PROXY_OP_REMOVE: return take_remove(door, bdf_from_requester_id(q->function));
	default: return -EOPNOTSUPP;
	}
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct tsm_proxy_request q;
	Door *door = userdata;
	ssize_t n = read(fd, door->message, sizeof(door->message));
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		log_error("the kernel's end of the proxy is closed: %s",
			  n < 0 ? strerror(errno) : "no more requests");
		door->source = sd_event_source_disable_unref(door->source);
		return sd_event_exit(operations_event(door->service->operations), EXIT_FAILURE);
	}
	if ((size_t)n < sizeof(q)) {
		log_error("a request of %zd bytes is none of the kernel's", n);
		return 0;
	}
	memcpy(&q, door->message, sizeof(q));
	if (q.payload_len != (size_t)n - sizeof(q)) {
		log_error("a request says that %u bytes follow, %zu do", q.payload_len,
			  (size_t)n - sizeof(q));
		reply(door, q.id, -EINVAL, NULL, 0);
		return 0;
	}
	r = take(door, &q, door->message + sizeof(q));
	if (r < 0)
		reply(door, q.id, r == -ENOMEM ? r : -EINVAL, NULL, 0);
	return 0;
}

int door_new(Door **ret, Service *service, int fd)
{
	Door *door = calloc(1, sizeof(*door));
	int r;

	if (!door) {
		close(fd);
		return -ENOMEM;
	}
	door->service = service;
	door->fd = fd;
	r = sd_event_add_io(operations_event(service->operations), &door->source, fd, EPOLLIN,
			    on_readable, door);
	if (r < 0) {
		door_free(door);
		return r;
	}
	*ret = door;
	return 0;
}

int door_open(Door **ret, Service *service, const char *path, char **ret_error)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct tsm_proxy_info info = {};
	int r;

	if (fd < 0)
		return refuse(ret_error, -errno, "%s: %s%s", path, strerror(errno),
			      errno == ENOENT  ? " (is the tsm-proxy module loaded?)"
			      : errno == EBUSY ? " (another user-space TSM serves it)"
					       : "");
	if (ioctl(fd, TSM_PROXY_IOCTL_INFO, &info) < 0 || info.version != TSM_PROXY_VERSION) {
		close(fd);
		return refuse(ret_error, -EPROTO,
			      "%s: the module does not speak version %u of the interface", path,
			      TSM_PROXY_VERSION);
	}
	r = door_new(ret, service, fd);
	if (r == 0)
		log_info("behind the kernel as tsm%u; operations may take %u ms", info.tsm,
			 info.deadline);
	return r;
}

void door_tell_state(Door *door, const TsmTdiStatus *status)
{
	struct tsm_proxy_tdi_state state = {
		.function = bdf_requester_id(status->device),
		.state = (uint32_t)status->state,
	};

	/* ENXIO: the kernel's end of the bind has not begun, or is over. */
	if (ioctl(door->fd, TSM_PROXY_IOCTL_TDI_STATE, &state) < 0 && errno != ENXIO)
		log_debug("the kernel does not take a TDI's state: %s", strerror(errno));
}
