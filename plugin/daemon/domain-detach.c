/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that has to leave its domain, and libvirt's answers to that.
 *
 * While libvirt is away or busy it is asked for again at the next read of the domain, and, since
 * nothing need tell when that is over, after a while, less often each time. So it is where the
 * guest refuses to let the device go, but then only after a while: it could refuse very fast. And
 * where the guest does nothing at all, which nothing tells: one whose slot blinks from the attach,
 * or which has just booted, may have taken no notice. Until QEMU's own time for it is over (5 s) to
 * ask again is no use, and a guest takes a second push of the button within 5 s for a change of
 * mind.
 */
#include "daemon/domains.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define AGAIN_FIRST_USEC (1 * UINT64_C(1000000))
#define AGAIN_LAST_USEC	 (60 * UINT64_C(1000000))
#define AGAIN_GUEST_USEC (15 * UINT64_C(1000000)) /* the first time, where the guest was asked */

/*
 * The answer may come when another assignment has the id, or when this one is being taken out once
 * more: it counts only if it is the one that the assignment waits for.
 */
typedef struct Detach {
	Tdid *tdid;
	uint32_t assignment;
	uint64_t number;
} Detach;

static void detach_failed(Tdid *tdid, const Assignment *a, const char *why)
{
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason,
		     "%s; and it could not be taken out of the domain: %s. Detach it with "
		     "'virsh detach-device-alias'",
		     a->reason ?: "failed", why) < 0)
		reason = NULL;
	director_event(tdid, &(EngineEvent){ .type = EVENT_DETACH_FAILED, .id = a->id }, reason);
}

static void ask(Tdid *tdid, Assignment *a);

/* A whole wait is over since it was asked; once for each detach. */
static void tell_not_ejected(Assignment *a)
{
	_cleanup_free_ char *title = assignment_title(a);

	if (a->detach_told)
		return;
	a->detach_told = true;
	log_warning("%s: the guest has not let it go. It is unbound, and the guest is asked again, "
		    "at least every %u s; as long as it does not, the function is in its domain, "
		    "of which 'virsh destroy' is the end",
		    title ?: a->alias, (unsigned int)(AGAIN_LAST_USEC / 1000000));
	director_mark(a->tdid, a, "asked again", "the guest has not let it go");
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	Assignment *a = userdata;

	a->detach_timer = sd_event_source_disable_unref(a->detach_timer);
	if (engine_assignment(a->tdid->engine, a->id)->state != ASSIGNMENT_DETACHING)
		return 0;
	if (a->detach_guest_usec > 0 && a->deleted_usec == 0)
		tell_not_ejected(a);
	ask(a->tdid, a);
	return 0;
}

/* *wait: how long it was the last time, 0: it is the first. */
static void start_timer(Tdid *tdid, Assignment *a, uint64_t *wait, uint64_t first_usec)
{
	uint64_t usec = *wait ? 2 * *wait : first_usec;
	_cleanup_free_ char *object = NULL;
	int r;

	*wait = usec < AGAIN_LAST_USEC ? usec : AGAIN_LAST_USEC;
	a->detach_timer = sd_event_source_disable_unref(a->detach_timer);
	r = sd_event_add_time_relative(tdid->event, &a->detach_timer, CLOCK_BOOTTIME, *wait, 0,
				       on_again, a);
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: detach: no timer can be set to ask libvirt again: %s; %s asks again",
		  object ?: a->alias, strerror(-r),
		  a->detach_again ? "the domain's next event" : "'tdictl detach'");
}

static void again_later(Tdid *tdid, Assignment *a, bool at_next_read, const char *why)
{
	_cleanup_free_ char *object = assignment_title(a);
	bool first = a->detach_wait_usec == 0;

	a->detach_again = at_next_read;
	start_timer(tdid, a, &a->detach_wait_usec, AGAIN_FIRST_USEC);
	log_message(first ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
		    "%s: not taken out of the domain yet: %s; asked again in %.0f s%s",
		    object ?: a->alias, why, (double)a->detach_wait_usec / 1e6,
		    at_next_read ? ", or with the domain's next event" : "");
}

bool domains_detach_is_for_now(int r)
{
	return r == VMM_DETACH_BUSY || r == -ENOTCONN || r == -ETIMEDOUT || r == -EHOSTUNREACH ||
	       r == -EAGAIN || r == -ENOMEM;
}

static void on_detached(int r, const char *message, void *userdata)
{
	_cleanup_free_ Detach *detach = userdata;
	Tdid *tdid = detach->tdid;
	const EngineAssignment *e;
	Assignment *a;

	if (r == -ECANCELED) /* tdid ends, and the registry has gone already */
		return;
	e = engine_assignment(tdid->engine, detach->assignment);
	a = registry_assignment_at(tdid->registry, detach->assignment);
	/* It may have been let go meanwhile, and be there again. */
	if (!e || !a || a->detach_number != detach->number || e->state != ASSIGNMENT_DETACHING)
		return;
	if (r == VMM_DETACH_REQUESTED) {
		start_timer(tdid, a, &a->detach_guest_usec, AGAIN_GUEST_USEC);
		return;
	}
	if (domains_detach_is_for_now(r)) {
		again_later(tdid, a, true, message ?: strerror(r < 0 ? -r : EBUSY));
		return;
	}
	if (r == VMM_DETACH_GONE) {
		if (a->tvm->domain)
			domains_read(tdid, a->tvm->domain);
		return;
	}
	detach_failed(tdid, a, message ?: strerror(r < 0 ? -r : EIO));
}

static void ask(Tdid *tdid, Assignment *a)
{
	_cleanup_free_ Detach *detach = malloc(sizeof(*detach));
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE];
	int r = -ENOMEM;

	a->detach_again = false;
	a->detach_timer = sd_event_source_disable_unref(a->detach_timer);
	if (detach) {
		a->detach_number = ++tdid->n_detaches;
		*detach = (Detach){ tdid, a->id, a->detach_number };
		r = vmm_detach(tdid->vmm, uuid_format(a->tvm->uuid, uuid), a->alias,
			       bdf_format(a->tdi->bdf, device), 0, on_detached, detach);
	}
	if (r >= 0)
		steal_ptr(detach);
	else if (domains_detach_is_for_now(r))
		again_later(tdid, a, true, strerror(-r));
	else
		detach_failed(tdid, a, strerror(-r));
}

void domains_detach(Tdid *tdid, Assignment *a)
{
	if (!a || !engine_assignment(tdid->engine, a->id))
		return;
	a->detach_wait_usec = a->detach_guest_usec = 0;
	a->detach_told = false;
	ask(tdid, a);
}

void domains_not_let_go(Tdid *tdid, const Tvm *tvm, const char *alias)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));)
		if (strcmp(a->alias, alias) == 0 &&
		    engine_assignment(tdid->engine, a->id)->state == ASSIGNMENT_DETACHING)
			again_later(tdid, a, false, "the guest refuses to let it go");
}
