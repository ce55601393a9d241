/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes in here is the guest's word: framed, bounded, parsed strictly, held against the
 * interface, and believed about that guest's own devices only. It can start verification, reject,
 * and talk to the TSM; it cannot bring a TDI to RUN in tdid's records, which only the TSM can
 * (unless the platform's TSM cannot tell the host: tsm-report.h).
 *
 * One session at a time: Hello opens it, frames of any other are dropped.
 */
#include "daemon/guest-port-private.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-boot.h"
#include "daemon/tsm-report.h"

#include <string.h>

static void complain(GuestPort *port, const char *what)
{
	guest_port_say(port, LOG_LEVEL_WARNING, what, "");
}

static void send_event(GuestPort *port, const char *method, json_object *parameters)
{
	if (port && port->session[0])
		guest_port_send(port, &(GuestFrame){ .kind = GUEST_FRAME_EVENT,
						     .session = port->session,
						     .id = -1,
						     .method = method,
						     .parameters = parameters });
}

static void send_reply(GuestPort *port, const char *session, int64_t id, const char *method,
		       json_object *parameters)
{
	if (strcmp(session, port->session) == 0)
		guest_port_send(port, &(GuestFrame){ .kind = GUEST_FRAME_REPLY,
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
	guest_port_send(port, &(GuestFrame){ .kind = GUEST_FRAME_REPLY,
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
	const char *boot_id = json_get_string(frame->parameters, "boot_id");
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];

	if (guest_boot_is_too_soon(port->tvm, boot_id)) {
		/* Nothing of either boot is listened to: the one has ended. */
		port->session[0] = '\0';
		guest_tsm_end_session(port->tsm);
		complain(port, "Hello of another boot more often than a guest boots: not answered");
		return;
	}
	if (strcmp(port->session, frame->session) != 0)
		guest_tsm_end_session(port->tsm);
	snprintf(port->session, sizeof(port->session), "%s", frame->session);
	guest_port_say(port, LOG_LEVEL_INFO, "hello of agent ",
		       json_get_string(frame->parameters, "agent"));
	if (json_build(&parameters, J_INT("protocol", 1),
		       J_STRING("tvm", uuid_format(port->tvm->uuid, uuid))) < 0)
		return;
	send_reply(port, port->session, frame->id, "Hello", parameters);
	guest_boot_said(port->tdid, port->tvm, boot_id);
	tell_everything(port);
	ask_addresses(port);
}

void guest_session_tsm_answered(void *userdata, const GuestTsmAnswer *answer)
{
	GuestPort *port = userdata;

	if (!answer->error) {
		send_reply(port, answer->session, answer->id, "TsmRequest", answer->reply);
		return;
	}
	guest_port_say(port, LOG_LEVEL_WARNING, "TSM request: ", answer->reason);
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

void guest_session_frame(GuestPort *port, const char *text, size_t len)
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
	if (!frame->parameters || idl_check(method->input, frame->parameters, NULL, &why) < 0) {
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
