/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"

#include "cli/text.h"
#include "core/engine.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *words;
	TableTone tone;
} states[ASSIGNMENT_N_STATES] = {
	[ASSIGNMENT_DECLARED] = { "in the domain's XML; the domain does not run", TABLE_PLAIN },
	[ASSIGNMENT_WAITING] = { "waits until the TVM is ready for the bind", TABLE_BUSY },
	[ASSIGNMENT_ATTACHED] = { "in the TVM, not yet bound by the TSM", TABLE_BUSY },
	[ASSIGNMENT_CONNECTING] = { "it waits for device_connect of its DSM, or for its turn there",
				    TABLE_BUSY },
	[ASSIGNMENT_BINDING] = { "tdi_bind is under way", TABLE_BUSY },
	[ASSIGNMENT_BOUND] = { "bound; the TVM has to ask for the lock", TABLE_BUSY },
	[ASSIGNMENT_LOCKED] = { "locked; the TVM has to accept it", TABLE_BUSY },
	[ASSIGNMENT_RUNNING] = { "accepted by its TVM for this bind", TABLE_GOOD },
	[ASSIGNMENT_UNBINDING] = { "tdi_unbind is under way", TABLE_BUSY },
	[ASSIGNMENT_HELD] = { "unbound, still in the domain; somebody has to act", TABLE_BAD },
	[ASSIGNMENT_DETACHING] = { "unbound; the guest has to let the device go", TABLE_BUSY },
	[ASSIGNMENT_RELEASED] = { "gone from the domain, nothing is left of it", TABLE_PLAIN },
	[ASSIGNMENT_FAILED] = { "gone from the domain after a fault", TABLE_BAD },
	[ASSIGNMENT_QUARANTINED] = { "given to nobody: what the TSM holds of it is not known",
				     TABLE_BAD },
};

Assignment assignment_read(json_object *object)
{
	return (Assignment){
		.domain = json_get_string(object, "domain"),
		.domain_name = json_get_string(object, "domain_name"),
		.name = json_get_string(object, "name"),
		.device = json_get_string(object, "device"),
		.dsm = json_get_string(object, "dsm"),
		.guest_address = json_get_string(object, "guest_address"),
		.generation = json_get_int(object, "generation", 0),
		.state = json_get_string(object, "state"),
		.reason = json_get_string(object, "reason"),
		.tdi_state = json_get_string(object, "tdi_state"),
		.state_source = json_get_string(object, "state_source"),
		.tsm = json_get_string(object, "tsm"),
		.protection = json_get_bool(object, "protection", false),
		.timeline = json_get_array(object, "timeline"),
	};
}

bool assignment_is(const Assignment *assignment, const char *name)
{
	return strcmp(assignment->name, name) == 0 || strcasecmp(assignment->device, name) == 0;
}

char *assignment_tsm_words(const Assignment *assignment)
{
	static const char remark[] = "(no protection)";
	bool said;

	if (!assignment->tsm)
		return text_format("not known yet");
	said = assignment->protection || strstr(assignment->tsm, "no protection");
	return text_format("%s%s%s", assignment->tsm, said ? "" : " ", said ? "" : remark);
}

char *assignment_tdi_words(const Assignment *assignment)
{
	bool guest = strcmp(assignment->state_source, "guest") == 0;

	if (!assignment->tdi_state)
		return NULL;
	return text_format("%s%s", assignment->tdi_state, guest ? " (the TVM says)" : "");
}

const char *assignment_state_words(const char *state)
{
	AssignmentState known;

	return assignment_state_parse(&known, state) < 0 ? "" : states[known].words;
}

TableTone assignment_state_tone(const char *state)
{
	AssignmentState known;

	return assignment_state_parse(&known, state) < 0 ? TABLE_PLAIN : states[known].tone;
}
