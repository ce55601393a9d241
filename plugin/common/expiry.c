/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/expiry.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

static void set_timer(Expiries *expiries, uint64_t at_usec)
{
	int r = sd_event_source_set_time(expiries->timer, at_usec);

	if (r >= 0)
		r = sd_event_source_set_enabled(expiries->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error(
			"the timer that ends %s cannot be set: %s; what is overdue stays until the "
			"next one begins",
			expiries->what, strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Expiries *expiries = userdata;
	uint64_t now;
	Expiry *expiry;
	int r = sd_event_now(sd_event_source_get_event(source), expiries->clock, &now);

	if (r < 0)
		return r;
	while ((expiry = expiries->first) && expiry->at_usec <= now) {
		expiry_end(expiry);
		expiry->expired(expiry->userdata);
	}
	if (expiries->first)
		set_timer(expiries, expiries->first->at_usec);
	return 0;
}

int expiries_init(Expiries *expiries, sd_event *event, const char *what, clockid_t clock,
		  uint64_t length_usec)
{
	int r;

	*expiries = (Expiries){ .what = what, .clock = clock, .length_usec = length_usec };
	r = sd_event_add_time(event, &expiries->timer, clock, 0, 1000, on_timer, expiries);
	return r < 0 ? r : sd_event_source_set_enabled(expiries->timer, SD_EVENT_OFF);
}

void expiries_done(Expiries *expiries)
{
	expiries->timer = sd_event_source_disable_unref(expiries->timer);
}

void expiry_end(Expiry *expiry)
{
	Expiries *expiries = expiry->in;

	if (!expiries)
		return;
	*(expiry->before ? &expiry->before->after : &expiries->first) = expiry->after;
	*(expiry->after ? &expiry->after->before : &expiries->last) = expiry->before;
	expiry->in = NULL;
}

void expiry_begin(Expiry *expiry, Expiries *expiries, uint64_t now_usec, Expired expired,
		  void *userdata)
{
	int enabled = SD_EVENT_OFF;

	expiry_end(expiry);
	*expiry = (Expiry){
		.in = expiries,
		.before = expiries->last,
		.at_usec = now_usec + expiries->length_usec,
		.expired = expired,
		.userdata = userdata,
	};
	*(expiries->last ? &expiries->last->after : &expiries->first) = expiry;
	expiries->last = expiry;
	if (sd_event_source_get_enabled(expiries->timer, &enabled) < 0 || enabled == SD_EVENT_OFF)
		set_timer(expiries, expiries->first->at_usec);
}
