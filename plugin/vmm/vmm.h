/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's domains seen from an sd-event loop: dirty marks, re-reads, attach, detach, guest
 * channels. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"
#include "core/domain-xml.h"
#include "vmm/query-pci.h"

/*
 * Everything here is called on the thread of the sd-event loop, and every callback runs there.
 * At most one Vmm per process at a time, because libvirt's event loop is the process's.
 *
 * Domains are named by UUID: 36 characters, lower case (upper case is accepted as input). Names
 * and ids are for display.
 *
 * A call answers exactly once, later, never from inside the function that started it (vmm_free
 * answers what is left with -ECANCELED). A function that returns a negative errno has not started
 * anything and will not answer. `timeout_usec` counts from the call, waiting in the queue
 * included; 0 means VMM_CALL_TIMEOUT_USEC. The calls of one domain are done one after the other in
 * their order, at most VMM_MAX_CALLS at a time over all domains, attaches two fewer: they may take
 * minutes, and everybody else's reads and detaches go on.
 *
 * Errors common to all calls (the `r` of a reply):
 *   -ENOTCONN      not connected to libvirtd, or the connection broke during the call
 *   -ETIMEDOUT     no answer in time. Whether the call still takes effect is unknown. If it had
 *                  been handed to libvirt, the domain is *unreachable* until it returns, and then
 *                  a domain_dirty(VMM_DIRTY_REACHABLE) says so
 *   -EHOSTUNREACH  the domain is unreachable, nothing was tried
 *   -ECANCELED     vmm_free
 *   -EREMOTEIO     libvirt refused; the message has its words
 * `message` is NULL when r is 0, else a sentence for an operator, valid during the callback.
 */
typedef struct Vmm Vmm;

#define VMM_URI_DEFAULT	      "qemu:///system"
#define VMM_UUID_MAX	      37 /* with its NUL */
#define VMM_MAX_CALLS	      4	 /* libvirtd serves five requests of one client at a time */
#define VMM_CALL_TIMEOUT_USEC (10 * UINT64_C(1000000))

typedef struct VmmDomainName {
	char uuid[VMM_UUID_MAX];
	char *name;
	int id; /* libvirt's number of this run of the domain, -1 when it is not active */
} VmmDomainName;

/* Why a domain should be read again. A mark says nothing about the state: that is the re-read's. */
typedef enum VmmDirtyReason {
	VMM_DIRTY_STARTED,
	VMM_DIRTY_STOPPED, /* shut down, destroyed, crashed, migrated away */
	VMM_DIRTY_PAUSED,
	VMM_DIRTY_RESUMED,
	VMM_DIRTY_LIFECYCLE, /* any other lifecycle event: defined, undefined, suspended to RAM ...
			      */
	VMM_DIRTY_REBOOT,    /* the guest was reset */
	VMM_DIRTY_METADATA,  /* somebody has changed the metadata */
	VMM_DIRTY_DEVICE_ADDED,
	VMM_DIRTY_DEVICE_DELETED, /* QEMU has let the device go; libvirt may still list it */
	VMM_DIRTY_DEVICE_REMOVED, /* libvirt no longer lists it */
	VMM_DIRTY_DEVICE_REMOVAL_FAILED,
	VMM_DIRTY_CHANNEL,   /* a guest process opened or closed a virtio-serial port */
	VMM_DIRTY_REACHABLE, /* a call that was stuck has returned */
	_VMM_DIRTY_MAX,
} VmmDirtyReason;

const char *vmm_dirty_reason_to_string(VmmDirtyReason reason);

typedef struct VmmDirty {
	const char *uuid;
	VmmDirtyReason reason;
	const char *alias;	/* DEVICE_* and CHANNEL: the device's alias, else NULL */
	uint64_t boottime_usec; /* CLOCK_BOOTTIME when libvirt's thread received the event */
} VmmDirty;

typedef struct VmmHandlers {
	/*
	 * After each connect: the active domains. The event callbacks were registered before the
	 * list was made, so nothing falls between; a domain that ended or started meanwhile has a
	 * dirty mark that is delivered after this call.
	 */
	void (*connected)(const VmmDomainName *domains, size_t n_domains, void *userdata);

	/*
	 * Once per connection that broke, and once per attempt that failed; `reason` is a sentence.
	 * Another attempt follows by itself. When libvirtd went, all fds of vmm_open_channel see
	 * end of file.
	 */
	void (*disconnected)(const char *reason, void *userdata);

	/* Not before `connected`. */
	void (*domain_dirty)(const VmmDirty *dirty, void *userdata);
} VmmHandlers;

/*
 * Starts connecting to `uri` (NULL: VMM_URI_DEFAULT) and keeps at it; `connected` or
 * `disconnected` tell how it goes. Returns 0, -EBUSY (this process has a Vmm), -ENOMEM, or what
 * starting threads returned. `handlers` is copied.
 */
int vmm_new(Vmm **ret, sd_event *event, const char *uri, const VmmHandlers *handlers,
	    void *userdata);

/*
 * Answers every pending call with -ECANCELED, closes the channels and the connection and joins the
 * threads. Waits three seconds at most: a libvirt call that hangs longer is left behind with its
 * thread, which is logged. Not from inside a callback of this Vmm.
 */
Vmm *vmm_free(Vmm *vmm);
DEFINE_CLEANUP(Vmm, vmm_free);

bool vmm_is_connected(const Vmm *vmm);

typedef struct VmmDomain {
	char uuid[VMM_UUID_MAX];
	bool present;	 /* libvirt knows it (running or only defined) */
	bool active;	 /* has a QEMU */
	bool paused;	 /* active, and its vCPUs stand still */
	bool persistent; /* stays defined when it ends */
	int id;		 /* as in VmmDomainName */
	char *name;	 /* NULL when not present */
	const char *
		reason; /* why it is paused or off: "migration", "i/o error", "crashed" ...; NULL */
	/* One of the two when it is active: the live XML, or what is wrong with it, a sentence. */
	DomainXml *xml;
	char *xml_error;
	QueryPci *pci;	 /* with VMM_READ_GUEST_PCI and active, else NULL */
	char *pci_error; /* then, a sentence when pci is NULL all the same */
} VmmDomain;

typedef enum VmmReadFlags {
	/*
	 * Also ask QEMU's monitor where the guest sees its devices. libvirt marks the domain
	 * tainted (custom-monitor), which lasts until it ends: only ask for domains that have a
	 * TDI.
	 */
	VMM_READ_GUEST_PCI = 1 << 0,
} VmmReadFlags;

/* `domain` is valid during the callback and NULL when r is negative. A domain that is not there is
 * r == 0 with present false: another event will come if it appears. The guest has a hand in what
 * query-pci says, so an answer that makes no sense is pci_error, and the rest is still good. */
typedef void (*VmmReadFn)(int r, const VmmDomain *domain, const char *message, void *userdata);
int vmm_read_domain(Vmm *vmm, const char *uuid, unsigned flags, uint64_t timeout_usec, VmmReadFn fn,
		    void *userdata);

typedef enum VmmDetachOutcome {
	/* libvirt has asked the guest, or the device is gone already: a DEVICE_REMOVED or
	 * DEVICE_REMOVAL_FAILED mark follows, without bound in time if the guest does nothing. */
	VMM_DETACH_REQUESTED = 1,
	/* The domain is not active or has no device of that alias. */
	VMM_DETACH_GONE,
	/* The alias now belongs to another host device: nothing was detached. */
	VMM_DETACH_MISMATCH,
	/* The guest or libvirt is busy with it (power indicator blinking, an unplug under way,
	 * another job on the domain): try again after the next event of this domain. */
	VMM_DETACH_BUSY,
	/* libvirt or QEMU refuse for good; the message has the reason. */
	VMM_DETACH_REFUSED,
} VmmDetachOutcome;

/*
 * Detaches, live only, the <hostdev> or <interface type='hostdev'> whose alias is `alias` *and*
 * whose host address is `bdf` ("0000:01:10.0"), both as the live XML has them at that moment.
 * libvirt itself waits up to 5 s for the guest. r is a VmmDetachOutcome when positive, else one of
 * the errors above; message is NULL for VMM_DETACH_REQUESTED. -EINVAL from the function: uuid,
 * alias or bdf is malformed.
 */
typedef void (*VmmDetachFn)(int r, const char *message, void *userdata);
int vmm_detach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmDetachFn fn, void *userdata);

typedef enum VmmAttachOutcome {
	/* It is in the domain, and libvirt's DEVICE_ADDED has come or is to come. */
	VMM_ATTACH_DONE = 1,
	/* The domain is not active. */
	VMM_ATTACH_GONE,
	/* libvirt is busy with another job of the domain: nothing was done. */
	VMM_ATTACH_BUSY,
	/* libvirt or QEMU refuse, and have undone what they had begun; the message has the reason.
	 */
	VMM_ATTACH_REFUSED,
} VmmAttachOutcome;

/*
 * Attaches, live only, the host's function `bdf` as <hostdev managed='yes'> with this alias, which
 * has to be a trusted device's. VFIO pins all of the domain's memory in there (0.25 s per GiB with
 * 4 KiB pages), so `timeout_usec` has to be generous: 0 means VMM_ATTACH_TIMEOUT_USEC. r is a
 * VmmAttachOutcome when positive, else one of the errors above; message is NULL for
 * VMM_ATTACH_DONE. -EINVAL from the function: uuid, alias or bdf is malformed.
 */
#ifndef VMM_ATTACH_TIMEOUT_USEC /* the sweep does not wait so long */
#define VMM_ATTACH_TIMEOUT_USEC (300 * UINT64_C(1000000))
#endif

typedef void (*VmmAttachFn)(int r, const char *message, void *userdata);
int vmm_attach(Vmm *vmm, const char *uuid, const char *alias, const char *bdf,
	       uint64_t timeout_usec, VmmAttachFn fn, void *userdata);

/*
 * Opens the host's end of the virtio-serial port `name`, as <target type='virtio' name=.../> has
 * it, through libvirtd. r == 0: `fd` is one end of a stream socketpair (non-blocking,
 * close-on-exec) and is the callee's. Either side's end shows as end of file on the other; closing
 * fd frees the port for the next opener. libvirt allows one opener at a time (-EBUSY: somebody has
 * it).
 *
 * libvirt has no flow control for this, so memory is bounded by cutting off: a guest that sends
 * more than 1 MiB ahead of what is read from fd is cut off. Always read.
 *
 * In the other direction, what the guest leaves unread piles up in libvirtd, which (11.3) is no
 * longer sound when the domain ends then. The pump stops when 48 KiB, or about 40 messages, have
 * gone out since the guest last said anything, and fd meets EAGAIN. That holds for a guest that is
 * dead, not for one that talks and does not read: against that one, do not let more than 48 KiB or
 * 40 messages go unanswered, where only what the guest cannot know without having read counts as
 * an answer. A guest that makes the pump hang all the same is cut off after 30 s, and until then
 * closing fd does not free the port.
 * -ENOENT: the domain is not active or has no such port.
 */
typedef void (*VmmChannelFn)(int r, int fd, const char *message, void *userdata);
int vmm_open_channel(Vmm *vmm, const char *uuid, const char *name, uint64_t timeout_usec,
		     VmmChannelFn fn, void *userdata);
