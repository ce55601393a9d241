/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who runs where:
 *
 *   loop (LibvirtLoop)  one thread: libvirt's sockets and timers, event callbacks, channel pumps.
 *                       It never makes a call that waits for libvirtd
 *   calls (Calls)       four threads: the calls on domains, keyed by UUID
 *   link (Link)         one thread: opening the connection
 *   closer (Closer)     a thread for each connection that is being closed
 *   the sd-event loop   everything else, and all that the user sees
 *
 * When all four calls hang, they take nearly all that libvirtd serves one client at a time. The
 * link then opens another connection, the hanging calls are written off with the old one, and
 * their domains stay unreachable until the calls return.
 */
#include "vmm/vmm.h"

#include "core/bdf.h"
#include "core/hostdev-xml.h"
#include "core/uuid.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"
#include "vmm/calls.h"
#include "vmm/domain-calls.h"
#include "vmm/link.h"
#include "vmm/loop.h"
#include "vmm/ports.h"
#include "vmm/sentence.h"

#include <libxml/parser.h>

#include <errno.h>
#include <string.h>

/* Together the three seconds that vmm.h promises. */
#define FREE_CALLS_USEC	 (1000 * UINT64_C(1000))
#define FREE_LINK_USEC	 (500 * UINT64_C(1000))
#define FREE_PORTS_USEC	 (500 * UINT64_C(1000))
#define FREE_CLOSER_USEC (1000 * UINT64_C(1000))

struct Vmm {
	char *uri;
	LibvirtLoop *loop;
	Closer *closer;
	Ports *ports;
	Calls *calls;
	Link *link;
	VmmHandlers handlers;
	void *userdata;
};

typedef struct DomainCall DomainCall;

typedef struct DomainCallType {
	const char *step; /* for messages */
	int (*work)(DomainCall *call, virConnectPtr conn);
	void (*reply)(DomainCall *call, int r, const char *message);
	bool slow;
} DomainCallType;

struct DomainCall {
	const DomainCallType *type;
	char uuid[VMM_UUID_MAX];
	uint64_t timeout_usec;
	void *userdata;

	/* the worker's */
	Current *current;
	Ports *ports;
	char *uri;
	int r;
	char *message;

	unsigned flags;
	VmmDomain domain;
	VmmReadFn read_fn;

	char *alias;
	Bdf host;
	VmmDetachFn detach_fn;
	VmmAttachFn attach_fn;

	char *port;
	int fd;
	VmmChannelFn channel_fn;
};

static void call_work(void *data)
{
	DomainCall *call = data;
	_cleanup_(connection_unrefp) Connection *connection = current_get(call->current);

	if (!connection) {
		call->r = sentence(&call->message, -ENOTCONN,
				   "domain %s: %s: not connected to libvirtd (connecting again by "
				   "itself; see that it runs)",
				   call->uuid, call->type->step);
		return;
	}
	call->r = call->type->work(call, connection_get(connection));
}

/* The sentence for an answer that is not libvirt's. */
static char *explain(const DomainCall *call, int r, bool started)
{
	char *text = NULL;
	const char *u = call->uuid, *step = call->type->step;
	double seconds = (double)call->timeout_usec / 1e6;

	if (r == -ETIMEDOUT && started)
		sentence(&text, 0,
			 "domain %s: %s: libvirt has not answered in %.1f s; whether it still "
			 "happens is not known, and the domain counts as unreachable until libvirt "
			 "answers (does its QEMU hang? see virsh domstate %s)",
			 u, step, seconds, u);
	else if (r == -ETIMEDOUT)
		sentence(&text, 0,
			 "domain %s: %s: not begun within %.1f s, because earlier calls take so "
			 "long "
			 "(does libvirtd hang?)",
			 u, step, seconds);
	else if (r == -EHOSTUNREACH)
		sentence(
			&text, 0,
			"domain %s: %s: not tried, an earlier call of this domain hangs in libvirt "
			"(does its QEMU hang? see virsh domstate %s)",
			u, step, u);
	else if (r == -ECANCELED)
		sentence(&text, 0, "domain %s: %s: given up, shutting down", u, step);
	else
		sentence(&text, 0, "domain %s: %s: %s", u, step, strerror(-r));
	return text;
}

static void call_done(int r, bool started, void *data)
{
	DomainCall *call = data;
	_cleanup_free_ char *text = NULL;
	const char *message = NULL;

	if (r == 0) {
		r = call->r;
		message = call->message;
	}
	/* Also when there was no memory for the worker's sentence. */
	if (r < 0 && !message)
		message = text = explain(call, r, started);
	if (r < 0 && !message)
		message = "no memory";
	call->type->reply(call, r, message);
}

static void call_free(void *data)
{
	DomainCall *call = data;

	current_unref(call->current);
	ports_unref(call->ports);
	domain_clear(&call->domain);
	free(call->uri);
	free(call->message);
	free(call->alias);
	free(call->port);
	if (call->fd >= 0)
		close(call->fd);
	free(call);
}

static inline DomainCall *domain_call_free(DomainCall *call)
{
	call_free(call);
	return NULL;
}
DEFINE_CLEANUP(DomainCall, domain_call_free);

static const CallType call_type = { .work = call_work, .done = call_done, .free = call_free };
/* Minutes, where VFIO has much memory to pin. */
static const CallType slow_call_type = {
	.work = call_work, .done = call_done, .free = call_free, .slow = true
};

static int call_new(DomainCall **ret, Vmm *vmm, const char *uuid, const DomainCallType *type,
		    uint64_t timeout_usec, void *userdata)
{
	DomainCall *call;
	Uuid checked;

	if (uuid_from_string(&checked, uuid) < 0)
		return -EINVAL;
	if (!link_is_up(vmm->link))
		return -ENOTCONN;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->type = type;
	call->timeout_usec = timeout_usec ?: VMM_CALL_TIMEOUT_USEC;
	call->userdata = userdata;
	call->current = current_ref(link_current(vmm->link));
	call->fd = -1;
	uuid_format(checked, call->uuid);
	*ret = call;
	return 0;
}

/* Takes the call when it returns 0. */
static int call_add(Vmm *vmm, DomainCall **call)
{
	int r = calls_add(vmm->calls, (*call)->uuid,
			  (*call)->type->slow ? &slow_call_type : &call_type, *call,
			  (*call)->timeout_usec);

	if (r == 0)
		steal_ptr(*call);
	return r;
}

static int read_work(DomainCall *call, virConnectPtr conn)
{
	return domain_read(conn, call->uuid, call->flags, &call->domain, &call->message);
}

static void read_reply(DomainCall *call, int r, const char *message)
{
	call->read_fn(r, r < 0 ? NULL : &call->domain, message, call->userdata);
}

int vmm_read_domain(Vmm *vmm, const char *uuid, unsigned flags, uint64_t timeout_usec, VmmReadFn fn,
		    void *userdata)
{
	static const DomainCallType type = { "read", read_work, read_reply };
	_cleanup_(domain_call_freep) DomainCall *call = NULL;
	int r;

	r = call_new(&call, vmm, uuid, &type, timeout_usec, userdata);
	if (r < 0)
		return r;
	call->flags = flags;
	call->read_fn = fn;
	return call_add(vmm, &call);
}

static int detach_work(DomainCall *call, virConnectPtr conn)
{
	return domain_detach(conn, call->uuid, call->alias, call->host, &call->message);
}

static void detach_reply(DomainCall *call, int r, const char *message)
{
	call->detach_fn(r, message, call->userdata);
}

int vmm_detach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata)
{
	static const DomainCallType type = { "detach", detach_work, detach_reply };
	_cleanup_(domain_call_freep) DomainCall *call = NULL;
	Bdf host;
	int r;

	if (!alias[0] || bdf_parse(&host, bdf) < 0)
		return -EINVAL;
	r = call_new(&call, vmm, uuid, &type, timeout_usec, userdata);
	if (r < 0)
		return r;
	call->host = host;
	call->detach_fn = fn;
	call->alias = strdup(alias);
	if (!call->alias)
		return -ENOMEM;
	return call_add(vmm, &call);
}

static int attach_work(DomainCall *call, virConnectPtr conn)
{
	return domain_attach(conn, call->uuid, call->alias, call->host, &call->message);
}

static void attach_reply(DomainCall *call, int r, const char *message)
{
	call->attach_fn(r, r == VMM_ATTACH_DONE ? NULL : message, call->userdata);
}

int vmm_attach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmAttachFn fn, void *userdata)
{
	static const DomainCallType type = { "attach", attach_work, attach_reply, .slow = true };
	_cleanup_(domain_call_freep) DomainCall *call = NULL;
	_cleanup_free_ char *device = NULL;
	Bdf host;
	int r;

	if (bdf_parse(&host, bdf) < 0)
		return -EINVAL;
	r = hostdev_xml_make(&device, alias, host);
	if (r < 0)
		return r;
	r = call_new(&call, vmm, uuid, &type, timeout_usec ?: VMM_ATTACH_TIMEOUT_USEC, userdata);
	if (r < 0)
		return r;
	call->host = host;
	call->attach_fn = fn;
	call->alias = strdup(alias);
	if (!call->alias)
		return -ENOMEM;
	return call_add(vmm, &call);
}

static int channel_work(DomainCall *call, virConnectPtr conn)
{
	return ports_open(call->ports, call->uri, call->uuid, call->port, &call->fd,
			  &call->message);
}

static void channel_reply(DomainCall *call, int r, const char *message)
{
	call->channel_fn(r, r < 0 ? -1 : steal_fd(&call->fd), message, call->userdata);
}

int vmm_open_channel(Vmm *vmm, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata)
{
	static const DomainCallType type = { "open its port", channel_work, channel_reply };
	_cleanup_(domain_call_freep) DomainCall *call = NULL;
	int r;

	r = call_new(&call, vmm, uuid, &type, timeout_usec, userdata);
	if (r < 0)
		return r;
	call->channel_fn = fn;
	call->ports = ports_ref(vmm->ports);
	call->uri = strdup(vmm->uri);
	call->port = strdup(name);
	if (!call->uri || !call->port)
		return -ENOMEM;
	return call_add(vmm, &call);
}

static void on_unstuck(const char *uuid, void *userdata)
{
	Vmm *vmm = userdata;
	if (!link_is_up(vmm->link))
		return; /* the next list makes up for it */
	vmm->handlers.domain_dirty(&(VmmDirty){ .uuid = uuid,
						.reason = VMM_DIRTY_REACHABLE,
						.boottime_usec = boottime_usec() },
				   vmm->userdata);
}

static void on_exhausted(void *userdata)
{
	Vmm *vmm = userdata;

	link_replace(vmm->link, "libvirt: all calls of this connection hang; opening another one");
}

static void on_up(const VmmDomainName *domains, size_t n_domains, void *userdata)
{
	Vmm *vmm = userdata;
	int r;

	/* What hangs, hangs in a connection before this one. */
	r = calls_write_off(vmm->calls);
	if (r < 0)
		log_warning("libvirt: calls that hang cannot be replaced: %s", strerror(-r));
	vmm->handlers.connected(domains, n_domains, vmm->userdata);
}

static void on_down(const char *reason, bool lost, void *userdata)
{
	Vmm *vmm = userdata;

	if (lost)
		ports_stop(vmm->ports);
	vmm->handlers.disconnected(reason, vmm->userdata);
}

static void on_dirty(const VmmDirty *dirty, void *userdata)
{
	Vmm *vmm = userdata;

	vmm->handlers.domain_dirty(dirty, vmm->userdata);
}

int vmm_new(Vmm **ret, sd_event *event, const char *uri, const VmmHandlers *handlers,
	    void *userdata)
{
	static const CallsHandlers calls_handlers = { on_unstuck, on_exhausted };
	static const LinkHandlers link_handlers = { on_up, on_down, on_dirty };
	_cleanup_(vmm_freep) Vmm *vmm = calloc(1, sizeof(*vmm));
	int r;

	if (!vmm)
		return -ENOMEM;
	vmm->handlers = *handlers;
	vmm->userdata = userdata;
	vmm->uri = strdup(uri ?: VMM_URI_DEFAULT);
	if (!vmm->uri)
		return -ENOMEM;
	/* libxml2 wants that before there are threads that use it. */
	xmlInitParser();
	r = libvirt_loop_new(&vmm->loop);
	if (r < 0)
		return r;
	r = closer_new(&vmm->closer);
	if (r < 0)
		return r;
	r = ports_new(&vmm->ports, vmm->closer);
	if (r < 0)
		return r;
	r = calls_new(&vmm->calls, event, "vmm-call", VMM_MAX_CALLS, &calls_handlers, vmm);
	if (r < 0)
		return r;
	r = link_new(&vmm->link, event, vmm->uri, vmm->closer, &link_handlers, vmm);
	if (r < 0)
		return r;
	*ret = steal_ptr(vmm);
	return 0;
}

/* The connections close while libvirt's loop still runs: it is what ends those that hang. */
Vmm *vmm_free(Vmm *vmm)
{
	if (!vmm)
		return NULL;
	calls_free_wait(vmm->calls, FREE_CALLS_USEC);
	ports_free_wait(vmm->ports, FREE_PORTS_USEC);
	link_free_wait(vmm->link, FREE_LINK_USEC);
	closer_free_wait(vmm->closer, FREE_CLOSER_USEC);
	libvirt_loop_free(vmm->loop);
	free(vmm->uri);
	free(vmm);
	return NULL;
}

bool vmm_is_connected(const Vmm *vmm)
{
	return link_is_up(vmm->link);
}

const char *vmm_dirty_reason_to_string(VmmDirtyReason reason)
{
	static const char *const names[_VMM_DIRTY_MAX] = {
		[VMM_DIRTY_STARTED] = "started",
		[VMM_DIRTY_STOPPED] = "stopped",
		[VMM_DIRTY_PAUSED] = "paused",
		[VMM_DIRTY_RESUMED] = "resumed",
		[VMM_DIRTY_LIFECYCLE] = "lifecycle",
		[VMM_DIRTY_REBOOT] = "reboot",
		[VMM_DIRTY_METADATA] = "metadata",
		[VMM_DIRTY_DEVICE_ADDED] = "device-added",
		[VMM_DIRTY_DEVICE_DELETED] = "device-deleted",
		[VMM_DIRTY_DEVICE_REMOVED] = "device-removed",
		[VMM_DIRTY_DEVICE_REMOVAL_FAILED] = "device-removal-failed",
		[VMM_DIRTY_CHANNEL] = "channel",
		[VMM_DIRTY_REACHABLE] = "reachable",
	};

	return (unsigned)reason < ELEMENTSOF(names) ? names[reason] : "unknown";
}
