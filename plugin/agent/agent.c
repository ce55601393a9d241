/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may have a driver: functions that the policy lists as unverified, unless they are offered as
 * trusted devices, and offered ones while they are accepted. Bridges keep theirs, since hot-plug
 * needs it. Everything else stays as it is at start (said once), and whatever binds later is
 * unbound again.
 *
 * The host decides what is offered. It may keep silent about a TDI: then that stays driverless. It
 * may offer what is none: then the TSM knows no such TDI, and it stays driverless too.
 *
 * With automatic probing off, a driver that is loaded later finds no function by itself: the
 * driver's own uevent makes us probe again.
 */
#include "agent/agent-private.h"

#include "agent/accepted.h"
#include "agent/program.h"
#include "agent/uevent.h"
#include "rpc/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/*
 * Each device may have a task and a relying party's command; besides: children that are to be
 * reaped, uevents, signals, the port, a chore's task, those who ask for TDREPORTs.
 */
_Static_assert(LOOP_MAX_FDS - 1 >= AGENT_MAX_DEVICES * (1 + PROGRAM_FDS) + LOOP_MAX_BURIED + 4 +
					   REPORT_PORT_FDS,
	       "an unbinding never lacks a place");

Device *agent_find(Agent *agent, Bdf address, size_t *ret_index)
{
	for (size_t i = 0; i < AGENT_MAX_DEVICES; i++) {
		if (!agent->devices[i] || !bdf_equal(device_address(agent->devices[i]), address))
			continue;
		if (ret_index)
			*ret_index = i;
		return agent->devices[i];
	}
	return NULL;
}

/* --- the kernel --- */

static void on_pci(Agent *agent, const Uevent *event)
{
	Device *device;
	Bdf address;
	size_t i;

	if (bdf_parse(&address, event->slot) < 0)
		return;
	device = agent_find(agent, address, &i);
	if (strcmp(event->action, "remove") == 0) {
		if (device) {
			device_removed(device);
			agent->devices[i] = device_free(device);
		} else {
			accepted_remove(agent->shared.tree, address);
		}
	} else if (device) {
		device_uevent(device, event);
	} else if (strcmp(event->action, "add") == 0) {
		agent_function_look(agent, address, true);
	} else if (strcmp(event->action, "bind") == 0) {
		agent_function_bound(agent, address, event->driver);
	}
}

static void look_again(Agent *agent, void (*look)(Device *device))
{
	agent_functions_look(agent, false);
	for (size_t i = 0; i < AGENT_MAX_DEVICES; i++)
		if (agent->devices[i])
			look(agent->devices[i]);
}

static void port_look(Agent *agent)
{
	int r = port_find(session_port(agent->shared.session));

	if (r < 0 && r != -ENOENT)
		log_warning("guest port %s: %s", PORT_NAME, strerror(-r));
}

static void on_uevents(void *userdata, short revents)
{
	char buffer[UEVENT_MAX_SIZE];
	Agent *agent = userdata;
	Uevent event;
	int r;

	for (;;) {
		r = uevent_receive(agent->uevent_fd, buffer, &event);
		if (r == -EBADMSG)
			continue;
		if (r == -ENOBUFS) {
			log_warning("uevents were lost, looking at everything again");
			port_look(agent);
			look_again(agent, device_events_lost);
			continue;
		}
		if (r < 0) {
			log_error("uevents: %s", strerror(-r));
			loop_fd_off(&agent->uevent_source);
		}
		if (r <= 0)
			return;
		if (strcmp(event.subsystem, "pci") == 0)
			on_pci(agent, &event);
		else if (strcmp(event.subsystem, "virtio-ports") == 0)
			port_look(agent);
		else if (strcmp(event.subsystem, "drivers") == 0 &&
			 strcmp(event.action, "add") == 0 &&
			 strncmp(event.devpath, "/bus/pci/drivers/", 17) == 0)
			look_again(agent, device_look);
	}
}

/* --- tdid --- */

typedef struct EventText {
	const char *name, *address, *reason;
	int64_t generation;
} EventText;

static const JsonField offer_fields[] = {
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, name) },
	{ "address", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, address) },
	{ 0 },
};

static const JsonField locked_fields[] = {
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, name) },
	{ "address", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, address) },
	{ "generation", JSON_FIELD_INT, JSON_REQUIRED, offsetof(EventText, generation), 1,
	  INT64_MAX },
	{ 0 },
};

static const JsonField withdrawn_fields[] = {
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, name) },
	{ "generation", JSON_FIELD_INT, JSON_REQUIRED, offsetof(EventText, generation), 1,
	  INT64_MAX },
	{ "reason", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(EventText, reason) },
	{ 0 },
};

/* The device of that name and address, made if need be. NULL: refused, and said why. */
static Device *device_for(Agent *agent, const EventText *event)
{
	size_t free_place = AGENT_MAX_DEVICES, i;
	Device *device;
	Bdf address;
	int r;

	if (bdf_parse(&address, event->address) < 0) {
		log_warning("guest port: \"%s\" is no address of a function", event->address);
		return NULL;
	}
	device = agent_find(agent, address, &i);
	if (device && strcmp(device_name(device), event->name) == 0)
		return device;
	if (device && device_is_accepted(device)) {
		log_warning("guest port: %s is accepted as %s and not offered again as %s",
			    event->address, device_name(device), event->name);
		return NULL;
	}
	for (i = 0; i < AGENT_MAX_DEVICES; i++) {
		if (!agent->devices[i])
			free_place = i;
		else if (strcmp(device_name(agent->devices[i]), event->name) == 0) {
			log_warning("guest port: %s is offered under a name that another function "
				    "has",
				    event->address);
			return NULL;
		}
	}
	if (!device && free_place == AGENT_MAX_DEVICES) {
		log_warning("guest port: more than %d devices are offered", AGENT_MAX_DEVICES);
		return NULL;
	}
	r = device ? device_rename(device, event->name)
		   : device_new(&device, &agent->shared, event->name, address);
	if (r < 0) {
		log_warning("guest port: the offer of %s is refused: %s", event->address,
			    r == -EINVAL ? "not a usable name" : strerror(-r));
		return NULL;
	}
	if (!agent_find(agent, address, NULL))
		agent->devices[free_place] = device;
	return device;
}

static void on_withdrawn(Agent *agent, const EventText *event)
{
	for (size_t i = 0; i < AGENT_MAX_DEVICES; i++)
		if (agent->devices[i] && strcmp(device_name(agent->devices[i]), event->name) == 0)
			device_withdrawn(agent->devices[i], (uint64_t)event->generation,
					 event->reason);
}

static void on_event(void *userdata, const char *method, json_object *parameters)
{
	const JsonField *fields = NULL;
	_cleanup_free_ char *error = NULL;
	Agent *agent = userdata;
	EventText event = { 0 };
	Device *device;

	if (strcmp(method, "Offer") == 0)
		fields = offer_fields;
	else if (strcmp(method, "Locked") == 0)
		fields = locked_fields;
	else if (strcmp(method, "Withdrawn") == 0)
		fields = withdrawn_fields;
	if (!fields || json_dispatch(parameters, fields, &event, 0, &error) < 0) {
		log_warning("guest port: dropped event %.32s: %s", method,
			    fields ? error : "it is not known");
		return;
	}
	if (fields == withdrawn_fields) {
		on_withdrawn(agent, &event);
		return;
	}
	device = device_for(agent, &event);
	if (device && fields == offer_fields)
		device_offered(device);
	else if (device)
		device_locked(device, (uint64_t)event.generation);
}

static void on_established(void *userdata, Uuid tvm)
{
	char text[UUID_STRING_SIZE];
	Agent *agent = userdata;
	int r;

	log_info("session with tdid, TVM %s", uuid_format(tvm, text));
	agent->shared.tvm = tvm;
	r = tsm_client_start(agent->shared.client, tvm);
	if (r < 0)
		log_error("the channel to the TSM could not be set up: %s", strerror(-r));
}

static void on_ended(void *userdata)
{
	Agent *agent = userdata;

	log_info("the session with tdid ended");
	/* Verifications go on in the next one: its end is the host's to bring about. */
	tsm_client_stop(agent->shared.client);
}

/* --- start and end --- */

/* What it is for can do without; verifying devices cannot wait for it. */
static void reports_open(Agent *agent)
{
	const ReportPortOptions options = {
		.loop = agent->shared.loop,
		.tree = agent->shared.tree,
		.client = agent->shared.client,
		.allow_emulated = agent->shared.policy->evidence.allow_emulated,
	};
	int r = report_port_new(&agent->report_port, &options);

	if (r < 0)
		log_warning("%s: %s (tdi-agent quote will have no TDREPORT from the TSM)",
			    REPORT_PORT_PATH, strerror(-r));
}

int agent_new(Agent **ret, const AgentOptions *options)
{
	static const SessionHandlers handlers = { .established = on_established,
						  .ended = on_ended,
						  .event = on_event };
	_cleanup_(agent_freep) Agent *agent = calloc(1, sizeof(*agent));
	int r;

	if (!agent) {
		close(options->uevent_fd);
		return -ENOMEM;
	}
	agent->shared.loop = options->loop;
	agent->shared.tree = options->tree;
	agent->shared.policy = options->policy;
	agent->uevent_fd = options->uevent_fd;
	TAILQ_INIT(&agent->chores);
	r = session_new(&agent->shared.session, options->loop, options->tree, &handlers, agent);
	if (r == 0)
		r = tsm_client_new(&agent->shared.client, options->loop, agent->shared.session,
				   options->key, options->times);
	if (r == 0)
		r = loop_fd_on(options->loop, &agent->uevent_source, agent->uevent_fd, POLLIN,
			       on_uevents, agent);
	if (r < 0)
		return r;
	reports_open(agent);
	*ret = steal_ptr(agent);
	return 0;
}

Agent *agent_free(Agent *agent)
{
	for (size_t i = 0; i < AGENT_MAX_DEVICES; i++)
		if (agent->devices[i])
			device_free(agent->devices[i]);
	agent_functions_stop(agent);
	loop_fd_off(&agent->uevent_source);
	close(agent->uevent_fd);
	if (agent->report_port)
		report_port_free(agent->report_port);
	if (agent->shared.client)
		tsm_client_free(agent->shared.client);
	if (agent->shared.session)
		session_free(agent->shared.session);
	free(agent);
	return NULL;
}

int agent_start(Agent *agent)
{
	int r = tree_write(agent->shared.tree, "0", "/sys/bus/pci/drivers_autoprobe");

	if (r < 0)
		return r;
	agent_functions_look(agent, true);
	r = port_find(session_port(agent->shared.session));
	if (r < 0)
		log_info("guest port %s is not there yet: %s", PORT_NAME, strerror(-r));
	return 0;
}

Session *agent_session(Agent *agent)
{
	return agent->shared.session;
}
