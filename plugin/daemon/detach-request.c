/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that runs the device, and whose agent is there, is asked to release it first: the agent
 * unbinds the driver and revokes to the TSM, at whose word the engine unbinds and has the device
 * taken out. It has ten seconds for that, or half of the caller's time.
 *
 * Else, and after that, libvirt is asked to take the device out of the live domain, as by 'virsh
 * detach-device': the guest lets it go in its own time, QEMU tells, the engine unbinds, and the
 * assignment is released. A request ends when that has happened, or cannot; and when its time is
 * over, because what was asked of the guest then stands without us.
 *
 * "Busy" is not a no: another job of the domain, or a guest whose slot still blinks from the attach
 * (5 s, pciehp); nor is a libvirt that is away or does not answer. Nothing tells when that is over,
 * so it is asked again every second until the request's time is over. While its DSM is drained a
 * request starts anew instead of ending.
 */
#include "daemon/detach-private.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-port.h"
#include "daemon/records.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define AGAIN_USEC   UINT64_C(1000000)
#define RELEASE_USEC (10 * UINT64_C(1000000))

void detach_request_free(DetachRequest *request)
{
	DetachRequest **link = &request->requests->first;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	if (request->asking)
		request->asking->request = NULL;
	sd_event_source_disable_unref(request->again);
	sd_event_source_disable_unref(request->end);
	free(request->not_yet);
	free(request);
}

/* Nothing is done under it. */
static void forget_token(Tdid *tdid, Assignment *a)
{
	if (!a->detach_pending)
		return;
	a->detach_pending = false;
	client_token_set(&a->detach_token, NULL, 0);
	records_write_assignment(tdid, a);
}

void detach_request_fail(DetachRequest *request, const char *why)
{
	DetachRequests *requests = request->requests;
	DetachMoment moment = { .a = request->assignment, .why = why };
	_cleanup_free_ char *object = assignment_title(moment.a);

	log_warning("%s: detach: %s", object ?: "?", why);
	detach_request_free(request);
	forget_token(requests->tdid, moment.a);
	timed_calls_each(requests->calls, moment.a, detach_settle, &moment);
	requests->failed(requests->tdid, moment.a, why);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	DetachRequest *request = userdata;

	request->again = sd_event_source_disable_unref(request->again);
	detach_request_ask(request);
	return 0;
}

static void ask_after(DetachRequest *request, uint64_t usec)
{
	_cleanup_free_ char *object = NULL;
	int r;

	request->again = sd_event_source_disable_unref(request->again);
	r = sd_event_add_time_relative(request->requests->tdid->event, &request->again,
				       CLOCK_BOOTTIME, usec, 0, on_again, request);
	if (r >= 0)
		return;
	object = assignment_title(request->assignment);
	log_error("%s: detach: no timer can be set to ask libvirt again: %s; 'tdictl detach' asks "
		  "again",
		  object ?: request->assignment->alias, strerror(-r));
}

/* Once for a request. */
static bool ask_guest(DetachRequest *request)
{
	Assignment *a = request->assignment;
	const EngineAssignment *e = engine_assignment(request->requests->tdid->engine, a->id);
	uint64_t now = boottime_usec();
	uint64_t left = request->until_usec > now ? request->until_usec - now : 0;

	if (request->guest_asked || e->state != ASSIGNMENT_RUNNING ||
	    !guest_port_has_session(a->tvm->port))
		return false;
	request->guest_asked = true;
	director_mark(request->requests->tdid, a, "guest asked to release it", NULL);
	guest_port_tell_withdrawn(a, e->generation, "it is to be detached");
	ask_after(request, left / 2 < RELEASE_USEC ? left / 2 : RELEASE_USEC);
	return true;
}

/* What was asked for stands without it. The read gives the assignment its own policy back. */
void detach_request_let_be(DetachRequest *request)
{
	Tdid *tdid = request->requests->tdid;
	Domain *domain = request->assignment->tvm->domain;

	detach_request_free(request);
	if (domain)
		domains_read(tdid, domain);
}

static void not_yet(DetachRequest *request, int r, const char *message)
{
	const char *why = message ?: strerror(r < 0 ? -r : EBUSY);
	_cleanup_free_ char *object = NULL;

	if (!request->of_caller && !request->assignment->dsm->drained) {
		detach_request_let_be(request);
		return;
	}
	free(request->not_yet);
	request->not_yet = strdup(why);
	object = assignment_title(request->assignment);
	log_info("%s: detach: not done yet: %s; asked again", object ?: request->assignment->alias,
		 why);
	ask_after(request, AGAIN_USEC);
}

static void on_detached(int r, const char *message, void *userdata)
{
	_cleanup_free_ Asking *asking = userdata;
	DetachRequest *request = asking->request;
	_cleanup_free_ char *why = NULL;
	Domain *domain;

	if (!request)
		return;
	request->asking = NULL;
	domain = request->assignment->tvm->domain;
	if (r == VMM_DETACH_REQUESTED) {
		request->is_taken = true;
		free(request->not_yet);
		request->not_yet = NULL;
		return;
	}
	if (r == VMM_DETACH_GONE && domain) {
		domains_read(request->requests->tdid, domain);
		return;
	}
	if (domains_detach_is_for_now(r)) {
		not_yet(request, r, message);
		return;
	}
	if (asprintf(&why, "libvirt: %s. Look into that and ask again",
		     message ?: strerror(r < 0 ? -r : EIO)) < 0)
		why = NULL;
	detach_request_fail(request, why ?: "libvirt refused");
}

void detach_request_ask(DetachRequest *request)
{
	Assignment *a = request->assignment;
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], why[128];
	int r = -ENOMEM;

	/* It is gone from there, and being unbound. */
	if (!engine_assignment(tdid->engine, a->id)->present || request->asking ||
	    ask_guest(request))
		return;
	request->asking = calloc(1, sizeof(*request->asking));
	if (request->asking) {
		request->asking->request = request;
		r = vmm_detach(tdid->vmm, uuid_format(a->tvm->uuid, uuid), a->alias,
			       bdf_format(a->tdi->bdf, device), 0, on_detached, request->asking);
	}
	if (r >= 0)
		return;
	free(request->asking);
	request->asking = NULL;
	if (domains_detach_is_for_now(r)) {
		not_yet(request, r, NULL);
		return;
	}
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again", strerror(-r));
	detach_request_fail(request, why);
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata);

int detach_request_extend(DetachRequest *request, uint64_t usec)
{
	uint64_t until_usec = boottime_usec() + usec;
	int r;

	if (request->until_usec >= until_usec)
		return 0;
	request->until_usec = until_usec;
	request->end = sd_event_source_disable_unref(request->end);
	r = sd_event_add_time(request->requests->tdid->event, &request->end, CLOCK_BOOTTIME,
			      until_usec, 1000, on_end, request);
	/* A caller whose time is over as well is answered first. */
	return r < 0 ? r : sd_event_source_set_priority(request->end, SD_EVENT_PRIORITY_NORMAL + 1);
}

/* Its caller's time is over; a drain's is not until it is ended. */
static int on_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	DetachRequest *request = userdata;
	Assignment *a = request->assignment;
	_cleanup_free_ char *object = NULL;

	if (!a->dsm->drained || a->dsm->drain_stuck) {
		detach_request_let_be(request);
		return 0;
	}
	object = assignment_title(a);
	log_warning("%s: detach: not done in time; its DSM is drained, so it is asked for anew",
		    object ?: a->alias);
	request->guest_asked = request->of_caller = false;
	if (detach_request_extend(request, DETACH_DRAIN_USEC) < 0)
		detach_request_fail(request, "out of memory");
	else if (!request->again)
		detach_request_ask(request);
	return 0;
}

int detach_request_begin(DetachRequests *requests, Assignment *a, uint64_t usec,
			 DetachRequest **ret)
{
	DetachRequest *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return -ENOMEM;
	*request =
		(DetachRequest){ .requests = requests, .assignment = a, .next = requests->first };
	requests->first = request;
	r = detach_request_extend(request, usec);
	if (r < 0) {
		detach_request_free(request);
		return r;
	}
	*ret = request;
	return 0;
}

/* The guest may have released it: then the engine does the rest, unless it stays in the domain. */
void detach_request_follow(DetachRequest *request, AssignmentState state)
{
	if (request->assignment->reset) {
		request->is_reset = true;
		return;
	}
	/* The guest that was asked, and the slot that was told, are of the boot before. */
	if (request->is_reset && state != ASSIGNMENT_UNBINDING) {
		request->is_reset = request->is_taken = request->guest_asked = false;
		ask_after(request, state == ASSIGNMENT_DETACHING ? AGAIN_USEC : 0);
		return;
	}
	if (!request->guest_asked)
		return;
	if (state == ASSIGNMENT_UNBINDING)
		request->again = sd_event_source_disable_unref(request->again);
	else if (state != ASSIGNMENT_RUNNING)
		ask_after(request, state == ASSIGNMENT_DETACHING ? AGAIN_USEC : 0);
}
