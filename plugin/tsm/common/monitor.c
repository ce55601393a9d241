/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/monitor.h"

#include <errno.h>

typedef struct Subscriber {
	struct Subscriber *next;
	VarlinkCall *call;
} Subscriber;

struct Monitor {
	const char *instance;
	int64_t sequence;
	Subscriber *subscribers;
};

int monitor_new(Monitor **ret, const char *instance)
{
	Monitor *monitor = calloc(1, sizeof(*monitor));

	if (!monitor)
		return -ENOMEM;
	monitor->instance = instance;
	*ret = monitor;
	return 0;
}

Monitor *monitor_free(Monitor *monitor)
{
	if (!monitor)
		return NULL;
	while (monitor->subscribers) {
		Subscriber *s = monitor->subscribers;

		monitor->subscribers = s->next;
		varlink_call_on_gone(s->call, NULL, NULL);
		varlink_call_unref(s->call);
		free(s);
	}
	free(monitor);
	return NULL;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	Monitor *monitor = userdata;

	for (Subscriber **p = &monitor->subscribers; *p; p = &(*p)->next) {
		Subscriber *s = *p;

		if (s->call != call)
			continue;
		*p = s->next;
		free(s);
		varlink_call_unref(call);
		return;
	}
}

int monitor_add(Monitor *monitor, VarlinkCall *call)
{
	Subscriber *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = varlink_call_notifyb(call, J_STRING("instance", monitor->instance),
				 J_INT("sequence", monitor->sequence));
	if (r < 0) {
		free(s);
		return r;
	}
	s->call = varlink_call_ref(call);
	s->next = monitor->subscribers;
	monitor->subscribers = s;
	varlink_call_on_gone(call, on_gone, monitor);
	return 0;
}

void monitor_publish(Monitor *monitor, json_object *tdi, json_object *dsm, const char *reason)
{
	monitor->sequence++;
	for (Subscriber *s = monitor->subscribers; s; s = s->next)
		/* One that does not read is dropped by the server, and then on_gone() runs. */
		varlink_call_notifyb(s->call, J_STRING("instance", monitor->instance),
				     J_INT("sequence", monitor->sequence), J_REF("tdi", tdi),
				     J_REF("dsm", dsm), J_STRING("reason", reason));
	json_object_put(tdi);
	json_object_put(dsm);
}

void monitor_publish_note(Monitor *monitor, const char *reason)
{
	monitor_publish(monitor, NULL, NULL, reason);
}

void monitor_end(Monitor *monitor, const char *reason)
{
	monitor->sequence++;
	while (monitor->subscribers) {
		Subscriber *s = monitor->subscribers;

		monitor->subscribers = s->next;
		varlink_call_on_gone(s->call, NULL, NULL);
		varlink_call_replyb(s->call, J_STRING("instance", monitor->instance),
				    J_INT("sequence", monitor->sequence),
				    J_STRING("reason", reason));
		varlink_call_unref(s->call);
		free(s);
	}
}
