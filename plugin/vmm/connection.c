/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt keeps a reference of the connection for every registered callback, so closing means
 * taking the callbacks back first. Each event callback has a reference of the Watcher, which
 * libvirt drops when it is done with it; the Watcher knows the mailboxes and nothing else, so that
 * a callback that comes late finds only them, shut.
 *
 * There is no libvirt event for a virtio-serial port that a guest process opens, unless it is
 * qemu-ga's (agent lifecycle); and libvirt's device-removed comes after its own clean-up. For both
 * QEMU's own events are taken as libvirt passes them on, where it does (libvirt-qemu).
 */
#include "vmm/connection.h"

#include "rpc/event-loop.h"
#include "rpc/json.h"
#include "rpc/log.h"
#include "vmm/sentence.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

typedef struct Watcher {
	atomic_uint refs;
	Mailbox *dirty, *control;
	uint64_t generation;
} Watcher;

enum { N_DOMAIN_EVENTS = 6 };

struct Connection {
	atomic_uint refs;
	virConnectPtr conn;
	int domain_events[N_DOMAIN_EVENTS];
	size_t n_domain_events;
	int monitor_event; /* -1: none */
	Watcher *watcher;  /* of the close callback */
};

static void watcher_unref(void *opaque)
{
	Watcher *w = opaque;

	if (atomic_fetch_sub(&w->refs, 1) > 1)
		return;
	mailbox_unref(w->dirty);
	mailbox_unref(w->control);
	free(w);
}

static Watcher *watcher_ref(Watcher *w)
{
	atomic_fetch_add(&w->refs, 1);
	return w;
}

static Watcher *watcher_new(Mailbox *dirty, Mailbox *control, uint64_t generation)
{
	Watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->refs = 1;
	w->dirty = mailbox_ref(dirty);
	w->control = mailbox_ref(control);
	w->generation = generation;
	return w;
}

static void mark(Watcher *w, virDomainPtr domain, VmmDirtyReason reason, const char *alias)
{
	DirtyPost *post = calloc(1, sizeof(*post));

	if (!post || virDomainGetUUIDString(domain, post->uuid) < 0 ||
	    (alias && !(post->alias = strdup(alias)))) {
		log_error("libvirt: an event (%s) was lost: no memory",
			  vmm_dirty_reason_to_string(reason));
		free(post);
		return;
	}
	post->reason = reason;
	post->boottime_usec = boottime_usec();
	mailbox_post(w->dirty, &post->post);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
			void *opaque)
{
	VmmDirtyReason reason = VMM_DIRTY_LIFECYCLE;

	switch (event) {
	case VIR_DOMAIN_EVENT_STARTED: reason = VMM_DIRTY_STARTED; break;
	case VIR_DOMAIN_EVENT_STOPPED:
	case VIR_DOMAIN_EVENT_CRASHED: reason = VMM_DIRTY_STOPPED; break;
	case VIR_DOMAIN_EVENT_SUSPENDED: reason = VMM_DIRTY_PAUSED; break;
	case VIR_DOMAIN_EVENT_RESUMED: reason = VMM_DIRTY_RESUMED; break;
	}
	mark(opaque, domain, reason, NULL);
	return 0;
}

static void on_reboot(virConnectPtr conn, virDomainPtr domain, void *opaque)
{
	mark(opaque, domain, VMM_DIRTY_REBOOT, NULL);
}

static void on_metadata(virConnectPtr conn, virDomainPtr domain, int type, const char *uri,
			void *opaque)
{
	mark(opaque, domain, VMM_DIRTY_METADATA, NULL);
}

static void on_device_added(virConnectPtr conn, virDomainPtr domain, const char *alias,
			    void *opaque)
{
	mark(opaque, domain, VMM_DIRTY_DEVICE_ADDED, alias);
}

static void on_device_removed(virConnectPtr conn, virDomainPtr domain, const char *alias,
			      void *opaque)
{
	mark(opaque, domain, VMM_DIRTY_DEVICE_REMOVED, alias);
}

static void on_device_removal_failed(virConnectPtr conn, virDomainPtr domain, const char *alias,
				     void *opaque)
{
	mark(opaque, domain, VMM_DIRTY_DEVICE_REMOVAL_FAILED, alias);
}

static const struct {
	int id;
	virConnectDomainEventGenericCallback fn;
} domain_events[N_DOMAIN_EVENTS] = {
	{ VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
	{ VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
	{ VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added) },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed) },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
	  VIR_DOMAIN_EVENT_CALLBACK(on_device_removal_failed) },
};

/* QEMU qapi/char.json VSERPORT_CHANGE {id, open}, qapi/qdev.json DEVICE_DELETED {device?, path}.
 * A device that has no id is none of ours. */
static void on_monitor_event(virConnectPtr conn, virDomainPtr domain, const char *event,
			     long long seconds, unsigned micros, const char *details, void *opaque)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	bool is_port = strcmp(event, "VSERPORT_CHANGE") == 0;
	const char *alias;

	if (!details || json_parse(&object, details, strlen(details), NULL) < 0)
		return;
	alias = json_get_string(object, is_port ? "id" : "device");
	if (alias)
		mark(opaque, domain, is_port ? VMM_DIRTY_CHANNEL : VMM_DIRTY_DEVICE_DELETED, alias);
}

static void on_closed(virConnectPtr conn, int reason, void *opaque)
{
	Watcher *w = opaque;
	ClosedPost *post = calloc(1, sizeof(*post));

	if (!post)
		return;
	post->generation = w->generation;
	switch (reason) {
	case VIR_CONNECT_CLOSE_REASON_EOF: post->reason = "libvirtd closed the connection"; break;
	case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
		post->reason = "libvirtd did not answer any more (keepalive)";
		break;
	case VIR_CONNECT_CLOSE_REASON_CLIENT: post->reason = "closed on this side"; break;
	default: post->reason = "the connection failed"; break;
	}
	mailbox_post(w->control, &post->post);
}

int connection_error(virConnectPtr conn, char **ret_error, const char *object, const char *step)
{
	virErrorPtr e = virGetLastError();
	_cleanup_free_ char *words = e && e->message ? strdup(e->message) : NULL;
	/* After the words are kept: this resets the thread's error. */
	bool gone = conn && virConnectIsAlive(conn) == 0;

	return sentence(ret_error, gone ? -ENOTCONN : -EREMOTEIO, "%s: %s: %s%s", object, step,
			words ?: "libvirt gave no reason",
			gone ? " (connecting again by itself; see that libvirtd runs)" : "");
}

/* True when the last error only says that this driver does not have the function. */
static bool unsupported(void)
{
	int code = virGetLastErrorCode();

	return code == VIR_ERR_NO_SUPPORT || code == VIR_ERR_OPERATION_UNSUPPORTED ||
	       code == VIR_ERR_ARGUMENT_UNSUPPORTED;
}

int connection_dial(virConnectPtr *ret, const char *uri, char **ret_error)
{
	virConnectPtr conn = virConnectOpen(uri);

	if (!conn)
		return sentence(ret_error, -ENOTCONN,
				"libvirt %s: cannot connect: %s (does libvirtd run, and may this "
				"user use its socket?)",
				uri, virGetLastErrorMessage());
	/* > 0: the other end cannot; < 0: a driver in this process has no need of it. */
	if (virConnectSetKeepAlive(conn, CONNECTION_KEEPALIVE_INTERVAL,
				   CONNECTION_KEEPALIVE_COUNT) != 0)
		log_debug("libvirt %s: no keepalive", uri);
	*ret = conn;
	return 0;
}

static int register_all(Connection *c, Watcher *w, const char *uri, char **ret_error)
{
	/* Without a destructor: a driver that has no such callback says success and forgets it. */
	if (virConnectRegisterCloseCallback(c->conn, on_closed, w, NULL) < 0)
		return connection_error(c->conn, ret_error, uri, "cannot watch for its end");
	c->watcher = watcher_ref(w);

	for (size_t i = 0; i < N_DOMAIN_EVENTS; i++) {
		int id = virConnectDomainEventRegisterAny(c->conn, NULL, domain_events[i].id,
							  domain_events[i].fn, watcher_ref(w),
							  watcher_unref);

		if (id < 0) {
			watcher_unref(w);
			return connection_error(c->conn, ret_error, uri,
						"cannot register for events");
		}
		c->domain_events[c->n_domain_events++] = id;
	}

	c->monitor_event = virConnectDomainQemuMonitorEventRegister(
		c->conn, NULL, "^(VSERPORT_CHANGE|DEVICE_DELETED)$", on_monitor_event,
		watcher_ref(w), watcher_unref,
		VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX);
	if (c->monitor_event < 0) {
		watcher_unref(w);
		if (!unsupported())
			return connection_error(c->conn, ret_error, uri,
						"cannot register for QEMU's events");
		log_debug("libvirt %s: no events from QEMU itself", uri);
	}
	return 0;
}

static int list_active(Connection *c, const char *uri, VmmDomainName **ret, size_t *ret_n,
		       char **ret_error)
{
	virDomainPtr *list = NULL;
	VmmDomainName *names;
	int n, r = 0;

	n = virConnectListAllDomains(c->conn, &list, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	if (n < 0)
		return connection_error(c->conn, ret_error, uri, "cannot list the domains");
	names = calloc((size_t)n + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		if (names) {
			virDomainGetUUIDString(list[i], names[i].uuid);
			names[i].name = strdup(virDomainGetName(list[i]));
			names[i].id = (int)virDomainGetID(list[i]);
		}
		if (!names || !names[i].name)
			r = -ENOMEM;
		virDomainFree(list[i]);
	}
	free(list);
	if (!names || r < 0) {
		domain_names_free(names, names ? (size_t)n : 0);
		return sentence(ret_error, -ENOMEM, "libvirt %s: no memory for the list of domains",
				uri);
	}
	*ret = names;
	*ret_n = (size_t)n;
	return 0;
}

int connection_open(Connection **ret, const char *uri, Mailbox *dirty, Mailbox *control,
		    uint64_t generation, VmmDomainName **ret_domains, size_t *ret_n_domains,
		    char **ret_error)
{
	Connection *c = calloc(1, sizeof(*c));
	Watcher *w = watcher_new(dirty, control, generation);
	int r = -ENOMEM;

	if (!c || !w)
		goto fail;
	c->refs = 1;
	c->monitor_event = -1;
	r = connection_dial(&c->conn, uri, ret_error);
	if (r < 0)
		goto fail;
	r = register_all(c, w, uri, ret_error);
	if (r == 0)
		r = list_active(c, uri, ret_domains, ret_n_domains, ret_error);
	if (r < 0)
		goto fail;
	watcher_unref(w);
	*ret = c;
	return 0;
fail:
	if (w)
		watcher_unref(w);
	if (c && c->conn)
		connection_close(c);
	else
		free(c);
	return r;
}

void connection_close(Connection *c)
{
	for (size_t i = 0; i < c->n_domain_events; i++)
		virConnectDomainEventDeregisterAny(c->conn, c->domain_events[i]);
	if (c->monitor_event >= 0)
		virConnectDomainQemuMonitorEventDeregister(c->conn, c->monitor_event);
	if (c->watcher) {
		/* Waits for a callback that is running. */
		virConnectUnregisterCloseCallback(c->conn, on_closed);
		watcher_unref(c->watcher);
	}
	connection_unref(c);
}

Connection *connection_ref(Connection *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

Connection *connection_unref(Connection *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return NULL;
	virConnectClose(c->conn);
	free(c);
	return NULL;
}

virConnectPtr connection_get(Connection *c)
{
	return c->conn;
}

void domain_names_free(VmmDomainName *domains, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(domains[i].name);
	free(domains);
}
