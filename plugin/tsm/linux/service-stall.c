/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keeps this provider from doing anything, as Query's `stalled` says it. */
#include "service-private.h"

#include "rpc/log.h"

#include <string.h>

const char *service_stuck(const Service *service)
{
	if (service->stuck)
		return service->stalled ?: "a verb hangs in the kernel";
	if (service->lock && !verb_lock_is_taken(service->lock))
		return "a verb that this provider began before it was started anew is still inside "
		       "the kernel, or another tdi-tsm-linux uses the same state folder; verbs are "
		       "taken again when it is over. If it hangs there, connecting, binding and "
		       "hot-plugging any device of this host may hang too: then restart the TSM's "
		       "driver or the TSM behind it, or reboot the host";
	return NULL;
}

const char *service_stalled(const Service *service)
{
	return service_stuck(service) ?: service->no_tsm;
}

void service_stall(Service *service, Worker *worker, KernelVerb verb, Bdf device)
{
	char name[BDF_STRING_SIZE];

	service->stuck = worker;
	if (asprintf(&service->stalled,
		     "%s of %s hangs in the kernel and cannot be killed; it holds the host-wide "
		     "PCI/TSM lock: connecting, binding and hot-plugging any device of this host "
		     "may hang too, until it returns. If the TSM's driver or the TSM behind it "
		     "cannot be restarted, the host has to be rebooted",
		     kernel_verb_name(verb), bdf_format(device, name)) < 0)
		service->stalled = NULL;
	log_error("stalled: %s", service_stuck(service));
	monitor_publish_note(service->monitor, service_stuck(service));
}

static void go_on(Service *service, const char *sentence)
{
	log_warning("%s", sentence);
	monitor_publish_note(service->monitor, sentence);
	service_look(service, "seen after the kernel came back");
}

void service_unstall(Service *service)
{
	service->stuck = worker_free(service->stuck);
	free(service->stalled);
	service->stalled = NULL;
	go_on(service, "the child that hung has come out of the kernel: verbs are taken again");
}

static void on_lock_taken(void *userdata)
{
	go_on(userdata, "what this provider began before it was started anew is over: verbs are "
			"taken again");
}

int service_open_lock(Service *service, char **ret_error)
{
	int r = verb_lock_new(&service->lock, service->event, service->config->state, service->kill,
			      on_lock_taken, service, ret_error);

	if (r == 0 && service_stuck(service))
		log_warning("stalled: %s", service_stuck(service));
	return r;
}

void service_stall_done(Service *service)
{
	worker_free(service->stuck);
	free(service->stalled);
	verb_lock_free(service->lock);
}
