/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes in here is the guest's word: framed, bounded, parsed strictly, held against the
 * interface, and believed about that guest's own devices only. It can start verification, reject,
 * and talk to the TSM; it cannot bring a TDI to RUN in tdid's records, which only the TSM can
 * (unless the platform's TSM cannot tell the host: tsm-report.h).
 *
 * One session at a time: Hello opens it, frames of any other are dropped. Output is bounded: a
 * guest that does not read loses its port, and opens a new session when it reads again.
 */
#include "daemon/guest-port.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-boot.h"
#include "daemon/guest-tsm.h"
#include "daemon/tdid.h"
#include "daemon/tsm-report.h"
#include "rpc/frame.h"
#include "rpc/idl.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#define PORT_NAME  "io.tdid.guest.0"
#define READ_SIZE  4096
#define OUTPUT_MAX (512 * 1024)
#define RETRY_USEC (1000 * UINT64_C(1000))
#define LINES_MAX  16 /* in the log, that a guest can cause, per opened port */

struct GuestPort {
	Tdid *tdid;
	Tvm *tvm;
	IdlInterface *idl;
	bool opening;
	bool orphan; /* freed while an open was under way; the answer frees it */
	int fd;
	sd_event_source *io, *retry;
	FrameReader *reader;
	char session[GUEST_SESSION_LEN + 1]; /* "" before the first Hello */
	char *output;
	size_t output_used;
	unsigned int lines;
	GuestTsm *tsm;
};

static const char *domain_name(const GuestPort *port)
{
	return port->tvm->domain ? port->tvm->domain->name : "?";
}

static void say(GuestPort *port, LogLevel level, const char *what, const char *detail)
{
	if (port->lines >= LINES_MAX)
		return;
	port->lines++;
	log_message(level, "%s: guest port: %s%s%s", domain_name(port), what, detail,
		    port->lines == LINES_MAX ? " (no more is said until it is opened again)" : "");
}

static void complain(GuestPort *port, const char *what)
{
	say(port, LOG_LEVEL_WARNING, what, "");
}

static void close_port(GuestPort *port)
{
	port->io = sd_event_source_disable_unref(port->io);
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
	port->output_used = 0;
	port->session[0] = '\0';
	guest_tsm_end_session(port->tsm);
	frame_reader_reset(port->reader);
}

static void destroy(GuestPort *port)
{
	close_port(port);
	sd_event_source_disable_unref(port->retry);
	port->tsm = guest_tsm_free(port->tsm);
	frame_reader_free(port->reader);
	idl_free(port->idl);
	free(port->output);
	free(port);
}

void guest_port_provider_ready(GuestPort *port)
{
	if (port)
		guest_tsm_provider_ready(port->tsm);
}

GuestPort *guest_port_free(GuestPort *port)
{
	if (!port)
		return NULL;
	if (port->opening) {
		/* Its TVM goes; nothing but the answer to the open may touch it from here on. */
		port->tsm = guest_tsm_free(port->tsm);
		port->orphan = true;
		return NULL;
	}
	destroy(port);
	return NULL;
}

static void try_open(GuestPort *port);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	GuestPort *port = userdata;

	port->retry = sd_event_source_disable_unref(port->retry);
	try_open(port);
	return 0;
}

/* libvirt tells nothing when another opener has let go of the port, so this is on a timer too. */
static void retry_later(GuestPort *port)
{
	port->retry = sd_event_source_disable_unref(port->retry);
	sd_event_add_time_relative(port->tdid->event, &port->retry, CLOCK_MONOTONIC, RETRY_USEC, 0,
				   on_retry, port);
}

static void give_up_connection(GuestPort *port, const char *why)
{
	log_info("%s: guest port closed: %s", domain_name(port), why);
	close_port(port);
	retry_later(port);
}

void guest_port_end_session(GuestPort *port)
{
	if (!port || port->fd < 0)
		return;
	log_info("%s: guest port closed: the guest was reset", domain_name(port));
	close_port(port);
	try_open(port);
}

/* Writes what is queued. False when the port had to be closed. */
static bool flush(GuestPort *port)
{
	while (port->output_used > 0) {
		ssize_t n = write(port->fd, port->output, port->output_used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			give_up_connection(port, strerror(errno));
			return false;
		}
		port->output_used -= (size_t)n;
		memmove(port->output, port->output + n, port->output_used);
	}
	sd_event_source_set_io_events(port->io, EPOLLIN | (port->output_used > 0 ? EPOLLOUT : 0));
	return true;
}

static void send_bytes(GuestPort *port, const char *data, size_t len)
{
	if (port->fd < 0)
		return;
	if (len > OUTPUT_MAX - port->output_used) {
		give_up_connection(port, "the guest does not read");
		return;
	}
	memcpy(port->output + port->output_used, data, len);
	port->output_used += len;
	flush(port);
}

static void send_frame(GuestPort *port, const GuestFrame *frame)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = guest_frame_format(&text, &len, frame, FRAME_SIZE_MAX);

	if (r < 0)
		log_error("%s: guest port: %s cannot be sent: %s", domain_name(port), frame->method,
			  strerror(-r));
	else
		send_bytes(port, text, len);
}

static void send_event(GuestPort *port, const char *method, json_object *parameters)
{
	if (port && port->session[0])
		send_frame(port, &(GuestFrame){ .kind = GUEST_FRAME_EVENT,
						.session = port->session,
						.id = -1,
						.method = method,
						.parameters = parameters });
}

static void send_reply(GuestPort *port, const char *session, int64_t id, const char *method,
		       json_object *parameters)
{
	if (strcmp(session, port->session) == 0)
		send_frame(port, &(GuestFrame){ .kind = GUEST_FRAME_REPLY,
						.session = session,
						.id = id,
						.method = method,
						.parameters = parameters });
}

static void send_error(GuestPort *port, const char *session, int64_t id, const char *method,
		       const char *error, const char *reason)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;

	if (strcmp(session, port->session) != 0 ||
	    json_build(&parameters, J_STRING("reason", reason)) < 0)
		return;
	send_frame(port, &(GuestFrame){ .kind = GUEST_FRAME_REPLY,
					.session = session,
					.id = id,
					.method = method,
					.parameters = parameters,
					.error = error });
}

void guest_port_tell_offer(Assignment *a)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char address[BDF_STRING_SIZE];

	if (a->guest_known && json_build(&parameters, J_STRING("name", a->alias),
					 J_STRING("address", bdf_format(a->guest, address))) >= 0)
		send_event(a->tvm->port, "Offer", parameters);
}

void guest_port_tell_locked(Assignment *a, uint64_t generation)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char address[BDF_STRING_SIZE];

	if (json_build(&parameters, J_STRING("name", a->alias),
		       J_STRING("address", bdf_format(a->guest, address)),
		       J_INT("generation", (int64_t)generation)) >= 0)
		send_event(a->tvm->port, "Locked", parameters);
}

bool guest_port_has_session(const GuestPort *port)
{
	return port && port->fd >= 0 && port->session[0];
}

void guest_port_tell_withdrawn(Assignment *a, uint64_t generation, const char *reason)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;

	if (json_build(&parameters, J_STRING("name", a->alias),
		       J_INT("generation", (int64_t)generation), J_STRING("reason", reason)) >= 0)
		send_event(a->tvm->port, "Withdrawn", parameters);
}

/* What the agent has to know after its Hello. */
static void tell_everything(GuestPort *port)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(port->tvm, &p));) {
		const EngineAssignment *e = engine_assignment(port->tdid->engine, a->id);

		if (!e->present)
			continue;
		guest_port_tell_offer(a);
		if (e->state == ASSIGNMENT_BOUND || e->state == ASSIGNMENT_LOCKED ||
		    e->state == ASSIGNMENT_RUNNING)
			guest_port_tell_locked(a, e->generation);
	}
}

/*
 * A cold-plugged device has an address in the guest only when the firmware has run, and no event
 * tells that. The agent's Hello does.
 */
static void ask_addresses(GuestPort *port)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(port->tvm, &p));)
		if (!a->guest_known && port->tvm->domain &&
		    engine_assignment(port->tdid->engine, a->id)->present) {
			domains_read(port->tdid, port->tvm->domain);
			return;
		}
}

static void on_hello(GuestPort *port, const GuestFrame *frame)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];

	if (strcmp(port->session, frame->session) != 0)
		guest_tsm_end_session(port->tsm);
	snprintf(port->session, sizeof(port->session), "%s", frame->session);
	say(port, LOG_LEVEL_INFO, "hello of agent ", json_get_string(frame->parameters, "agent"));
	if (json_build(&parameters, J_INT("protocol", 1),
		       J_STRING("tvm", uuid_format(port->tvm->uuid, uuid))) < 0)
		return;
	send_reply(port, port->session, frame->id, "Hello", parameters);
	guest_boot_said(port->tdid, port->tvm, json_get_string(frame->parameters, "boot_id"));
	tell_everything(port);
	ask_addresses(port);
}

static void on_tsm_answered(void *userdata, const GuestTsmAnswer *answer)
{
	GuestPort *port = userdata;

	if (!answer->error) {
		send_reply(port, answer->session, answer->id, "TsmRequest", answer->reply);
		return;
	}
	say(port, LOG_LEVEL_WARNING, "TSM request: ", answer->reason);
	send_error(port, answer->session, answer->id, "TsmRequest", answer->error, answer->reason);
}

/* The TVM's assignment of this alias that is in the domain. */
static Assignment *assignment_named(GuestPort *port, const char *name)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(port->tvm, &p));)
		if (strcmp(a->alias, name) == 0 &&
		    engine_assignment(port->tdid->engine, a->id)->present)
			return a;
	return NULL;
}

static void on_ready(GuestPort *port, Assignment *a, json_object *parameters)
{
	Bdf address;

	if (bdf_parse(&address, json_get_string(parameters, "address")) < 0 || !a->guest_known ||
	    !bdf_equal(address, a->guest)) {
		complain(port, "Ready for an address that was not offered");
		return;
	}
	if (engine_assignment(port->tdid->engine, a->id)->guest_ready)
		return;
	director_mark(port->tdid, a, "guest ready", NULL);
	director_event(port->tdid, &(EngineEvent){ .type = EVENT_GUEST_READY, .id = a->id }, NULL);
}

static void on_verdict(GuestPort *port, Assignment *a, uint64_t generation, json_object *parameters)
{
	const char *step = json_get_string(parameters, "step");
	const char *why = json_get_string(parameters, "reason");
	_cleanup_free_ char *reason = NULL;

	if (strcmp(json_get_string(parameters, "verdict"), "accepted") == 0) {
		director_guest_mark(port->tdid, a, "guest: accepted", why);
		tsm_report_accepted(port->tdid, a, generation);
		return;
	}
	if (asprintf(&reason, "rejected by the guest at %.200s: %s", step,
		     why ?: "no reason given") < 0)
		return;
	director_event(port->tdid,
		       &(EngineEvent){ .type = EVENT_GUEST_REJECTED,
				       .id = a->id,
				       .generation = generation },
		       reason);
}

static void on_event(GuestPort *port, const GuestFrame *frame)
{
	json_object *parameters = frame->parameters;
	const char *name = json_get_string(parameters, "name");
	Assignment *a = name ? assignment_named(port, name) : NULL;
	uint64_t generation = (uint64_t)json_get_int(parameters, "generation", 0);
	_cleanup_free_ char *mark = NULL;

	if (!a)
		return; /* gone meanwhile */
	if (strcmp(frame->method, "Ready") == 0) {
		on_ready(port, a, parameters);
		return;
	}
	if (engine_assignment(port->tdid->engine, a->id)->generation != generation)
		return; /* of an earlier bind */
	if (strcmp(frame->method, "Verdict") == 0)
		on_verdict(port, a, generation, parameters);
	else if (strcmp(frame->method, "DriverBound") == 0)
		director_guest_mark(port->tdid, a, "guest: driver bound",
				    json_get_string(parameters, "driver"));
	else if (strcmp(frame->method, "Progress") == 0 &&
		 asprintf(&mark, "guest: %s", json_get_string(parameters, "step")) >= 0)
		director_guest_mark(port->tdid, a, mark, NULL);
}

static bool is_guests(const GuestFrame *frame)
{
	static const char *const calls[] = { "Hello", "TsmRequest" };
	static const char *const events[] = { "Ready", "Verdict", "Progress", "DriverBound" };
	const char *const *names = frame->kind == GUEST_FRAME_CALL ? calls : events;
	size_t n = frame->kind == GUEST_FRAME_CALL ? ELEMENTSOF(calls) : ELEMENTSOF(events);

	for (size_t i = 0; frame->kind != GUEST_FRAME_REPLY && i < n; i++)
		if (strcmp(frame->method, names[i]) == 0)
			return true;
	return false;
}

static void on_frame(GuestPort *port, const char *text, size_t len)
{
	_cleanup_(guest_frame_freep) GuestFrame *frame = NULL;
	_cleanup_(json_unrefp) json_object *none = NULL;
	_cleanup_free_ char *why = NULL;
	const IdlMethod *method;
	bool hello;

	if (guest_frame_parse(&frame, text, len, &why) < 0) {
		complain(port, why ?: "a frame that cannot be parsed");
		return;
	}
	hello = frame->kind == GUEST_FRAME_CALL && strcmp(frame->method, "Hello") == 0;
	if (!hello && strcmp(frame->session, port->session) != 0)
		return;
	method = idl_method_find(port->idl, frame->method);
	if (!method || !is_guests(frame)) {
		complain(port, "a frame that is not the agent's to send");
		return;
	}
	if (!frame->parameters)
		frame->parameters = none = json_object_new_object();
	if (!frame->parameters ||
	    idl_check(port->idl, method->input, frame->parameters, NULL, &why) < 0) {
		complain(port, why ?: "a frame whose parameters are wrong");
		return;
	}
	if (hello && json_get_int(frame->parameters, "protocol", 0) != 1)
		complain(port, "Hello of another protocol than 1");
	else if (hello)
		on_hello(port, frame);
	else if (frame->kind == GUEST_FRAME_CALL)
		guest_tsm_request(port->tsm, frame);
	else
		on_event(port, frame);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	GuestPort *port = userdata;
	char buffer[READ_SIZE];
	const char *data = buffer, *text;
	size_t len, text_len;
	ssize_t n;
	int r;

	if ((revents & EPOLLOUT) && !flush(port))
		return 0;
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = read(fd, buffer, sizeof(buffer));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		give_up_connection(port, n < 0 ? strerror(errno) : "end of file");
		return 0;
	}
	len = (size_t)n;
	while (port->fd == fd &&
	       (r = frame_reader_next(port->reader, &data, &len, &text, &text_len)) > 0) {
		if (r == FRAME_OVERSIZE)
			complain(port, "a frame over 64 KiB was dropped");
		else
			on_frame(port, text, text_len);
	}
	return 0;
}

static void on_opened(int r, int fd, const char *message, void *userdata)
{
	GuestPort *port = userdata;

	port->opening = false;
	if (port->orphan) {
		if (fd >= 0)
			close(fd);
		destroy(port);
		return;
	}
	if (r < 0) {
		log_debug("%s: guest port: %s", domain_name(port), message ?: strerror(-r));
		retry_later(port);
		return;
	}
	port->fd = fd;
	port->lines = 0;
	r = sd_event_add_io(port->tdid->event, &port->io, fd, EPOLLIN, on_io, port);
	if (r < 0) {
		give_up_connection(port, strerror(-r));
		return;
	}
	log_info("%s: guest port open", domain_name(port));
	send_bytes(port, "", 1);
}

static void try_open(GuestPort *port)
{
	char uuid[UUID_STRING_SIZE];
	int r;

	if (port->opening || port->fd >= 0)
		return;
	port->retry = sd_event_source_disable_unref(port->retry);
	r = vmm_open_channel(port->tdid->vmm, uuid_format(port->tvm->uuid, uuid), PORT_NAME, 0,
			     on_opened, port);
	if (r < 0)
		retry_later(port);
	else
		port->opening = true;
}

int guest_port_open(Tvm *tvm)
{
	GuestPort *port;
	int r;

	if (tvm->port)
		return 0;
	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->tdid = tvm->tdid;
	port->tvm = tvm;
	port->fd = -1;
	port->output = malloc(OUTPUT_MAX);
	r = port->output ? frame_reader_new(&port->reader, FRAME_SIZE_MAX) : -ENOMEM;
	if (r >= 0)
		r = idl_parse(&port->idl, schema_io_tdid_guest, NULL);
	if (r >= 0)
		r = guest_tsm_new(&port->tsm, port->tdid, tvm, on_tsm_answered, port);
	if (r < 0) {
		destroy(port);
		return r;
	}
	tvm->port = port;
	try_open(port);
	return 0;
}

void guest_port_nudge(GuestPort *port)
{
	if (port)
		try_open(port);
}
