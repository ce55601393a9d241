/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * tsm-proxy: the interface between the kernel module and its two callers.
 *
 * /dev/tsm-proxy      the user-space TSM: read() takes requests, write() gives replies. One opener.
 *                     A TSM is registered with the kernel while it is open, and only then.
 * /dev/tsm-proxy-vmm  a VMM-side caller: bind, unbind, guest request, state.
 *
 * What opens /dev/tsm-proxy begins with nothing connected and nothing bound: whatever an earlier
 * opener held is void, and the kernel has forgotten it (tsm/connect and tsm/bound are empty).
 * While it has a request to answer, it must not touch the tsm/ attributes, SR-IOV or drivers of the
 * functions: they may be waiting for that answer.
 * ESTALE from read() or write(): so much was left unread that the kernel gave up; close and open.
 *
 * Integers are the machine's own. A function is named by TSM_PROXY_FUNCTION(), segment << 16 |
 * bus << 8 | device << 3 | function; a guest's requester id has the same form. Reserved fields are
 * zero, and refused (EINVAL) otherwise.
 */
#ifndef TSM_PROXY_H
#define TSM_PROXY_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TSM_PROXY_DEVICE     "/dev/tsm-proxy"
#define TSM_PROXY_VMM_DEVICE "/dev/tsm-proxy-vmm"

/* Changes whenever a structure or a number below changes its meaning. */
#define TSM_PROXY_VERSION 1

#define TSM_PROXY_FUNCTION(segment, bus, device, function) \
	((__u32)(segment) << 16 | (__u32)(bus) << 8 | (__u32)(device) << 3 | (__u32)(function))
#define TSM_PROXY_SEGMENT(f) ((f) >> 16)
#define TSM_PROXY_BUS(f)     ((f) >> 8 & 0xff)
#define TSM_PROXY_SLOT(f)    ((f) >> 3 & 0x1f)
#define TSM_PROXY_FUNC(f)    ((f)&0x7)

/* Most bytes that follow a request or a reply; so much has to fit into a buffer for read(). */
#define TSM_PROXY_PAYLOAD_MAX (256 * 1024)
/* Most bytes of a DOE object's payload, either way. */
#define TSM_PROXY_DOE_MAX (64 * 1024)

/*
 * --- the user-space TSM ---
 *
 * What the kernel asks, in tsm_proxy_request::op. Every request is answered by one reply with its
 * id, in any order, before its deadline; CANCEL and REMOVE are told and not answered.
 */
enum tsm_proxy_op {
	/* Does this TSM serve the function? For every other function of a DSM once the DSM is
	 * connected, and for each that appears later. What CONNECT names is not asked before. */
	TSM_PROXY_OP_PROBE = 1,
	/* device_connect and device_reclaim of the DSM `function`. UNBIND of what is still bound is
	 * asked before DISCONNECT. DISCONNECT and UNBIND take effect whatever the reply says, and
	 * are there to be read even when nobody waits for the reply any more (ENOENT). */
	TSM_PROXY_OP_CONNECT = 2,
	TSM_PROXY_OP_DISCONNECT = 3,
	/* tdi_bind and tdi_unbind. */
	TSM_PROXY_OP_BIND = 4,
	TSM_PROXY_OP_UNBIND = 5,
	/* A TVM's message for a bound function; the payloads of request and reply are opaque. */
	TSM_PROXY_OP_GUEST_REQ = 6,
	/* Request `target` was given up after it had been read: its deadline passed, its caller was
	 * killed, or its function goes away. Stop it, and undo CONNECT or BIND if it was done;
	 * finish UNBIND or DISCONNECT. A reply to it is refused (ENOENT). */
	TSM_PROXY_OP_CANCEL = 7,
	/* The kernel forgets a function that was probed or connected (or failed to be). */
	TSM_PROXY_OP_REMOVE = 8,
};

/* One read(): this, then payload_len bytes. */
struct tsm_proxy_request {
	__u64 id;	   /*  0: never used again while the device is open */
	__u32 op;	   /*  8: enum tsm_proxy_op */
	__u32 payload_len; /* 12: GUEST_REQ: bytes that follow */
	__u32 function;	   /* 16 */
	__u32 dsm;	   /* 20: the function 0 that serves it; for a DSM, itself */
	__u32 tdi_id;	   /* 24: BIND, UNBIND, GUEST_REQ: the guest's requester id */
	__u32 flags;	   /* 28: BIND: as given by the VMM, not looked at by the kernel */
	__u32 scope;	   /* 32: GUEST_REQ: enum tsm_proxy_scope */
	__u32 reply_max;   /* 36: GUEST_REQ: most bytes of the reply's payload */
	__u32 remaining;   /* 40: milliseconds until the deadline, at the time of the read() */
	__s32 vm_pid; /* 44: BIND, UNBIND, GUEST_REQ: who created the KVM VM (first namespace) */
	__u64 target; /* 48: CANCEL: id of the request that was given up */
	__u8 tvm[16]; /* 56: BIND, UNBIND, GUEST_REQ: the TVM's UUID as the VMM gave it */
};

/*
 * One write(): this, then payload_len bytes. ENOENT: nobody waits for that id (any more). EMSGSIZE:
 * longer than reply_max; the request still waits.
 */
struct tsm_proxy_reply {
	__u64 id;	   /*  0 */
	__s32 error;	   /*  8: 0, or a negative errno (-1 to -133) that the caller will see */
	__u32 payload_len; /* 12: GUEST_REQ only, at most its reply_max */
	__u64 code;	   /* 16: BIND, UNBIND, GUEST_REQ: handed to the VMM as it is */
};

struct tsm_proxy_info {
	__u32 version;	/*  0: TSM_PROXY_VERSION */
	__u32 tsm;	/*  4: N of tsmN, under which the kernel knows this TSM */
	__u32 deadline; /*  8: milliseconds that an operation may take */
	__u32 reserved; /* 12 */
};

/*
 * One DOE exchange with a mailbox of a DSM that was probed. request and response are addresses;
 * lengths in bytes, without the DOE header. response_len: room on entry, the object's length on
 * return. EMSGSIZE: the object is longer than the room, its beginning is there.
 * ENODEV: no such DSM (any more). EOPNOTSUPP: no mailbox for that type.
 */
struct tsm_proxy_doe {
	__u32 function;	    /*  0 */
	__u32 type;	    /*  4: 1 CMA/SPDM, 2 secured CMA/SPDM (vendor: PCI-SIG) */
	__u64 request;	    /*  8 */
	__u64 response;	    /* 16 */
	__u32 request_len;  /* 24: 1 to TSM_PROXY_DOE_MAX */
	__u32 response_len; /* 28: up to TSM_PROXY_DOE_MAX */
};

/* The TSM's word on a bound TDI, for whoever asks with STATE. ENXIO: it is not bound. */
struct tsm_proxy_tdi_state {
	__u32 function; /* 0 */
	__u32 state;	/* 4: enum tsm_proxy_tdisp */
};

enum tsm_proxy_tdisp {
	TSM_PROXY_CONFIG_UNLOCKED = 0, /* TDISP 1.0, table 11-10: TDI_STATE */
	TSM_PROXY_CONFIG_LOCKED = 1,
	TSM_PROXY_RUN = 2,
	TSM_PROXY_ERROR = 3,
};
#define TSM_PROXY_UNKNOWN 0xffffffffU /* the TSM has not said since the bind */

#define TSM_PROXY_IOCTL_INFO	  _IOR('T', 0xd0, struct tsm_proxy_info)
#define TSM_PROXY_IOCTL_DOE	  _IOWR('T', 0xd1, struct tsm_proxy_doe)
#define TSM_PROXY_IOCTL_TDI_STATE _IOW('T', 0xd2, struct tsm_proxy_tdi_state)

/*
 * --- the VMM-side caller ---
 *
 * A binding outlives the descriptor that asked for it. It ends with UNBIND, with the VFIO driver's
 * hold of the function, with the DSM's disconnect, and with the user-space TSM.
 *
 * Common errors: ENODEV no such function, or it goes away · ENXIO no context with this TSM (DSM not
 * connected, or probe was refused) · ENOTCONN no user-space TSM, or it closed before it took the
 * request: nothing was done · ECONNRESET it closed after it took the request · ETIME deadline
 * passed, request was never taken: nothing was done · ETIMEDOUT deadline passed after it was taken:
 * the outcome is unknown and a CANCEL was sent · ECANCELED the function went away after it was
 * taken: the same · ENOBUFS too much is left unread: nothing was done · EINTR the caller was killed
 * · anything else: the TSM's reply. A write to tsm/connect gives the same errors.
 */
enum tsm_proxy_scope {
	TSM_PROXY_SCOPE_INFO = 0, /* as in linux/pci-tsm.h: enum pci_tsm_req_scope */
	TSM_PROXY_SCOPE_STATE_CHANGE = 1,
};

/*
 * EBADF: kvm_fd is no KVM VM · EACCES: no VFIO driver holds the function · EXDEV: VFIO has it open
 * for another VM, or for none · EBUSY: bound to another VM · EALREADY: bound to this VM, under
 * another tdi_id or TVM. The same bind once more is success and does nothing.
 */
struct tsm_proxy_bind {
	__u32 function; /*  0 */
	__s32 kvm_fd;	/*  4: the VM's descriptor, as in this process */
	__u32 tdi_id;	/*  8: the guest's requester id */
	__u32 flags;	/* 12: for the TSM */
	__u8 tvm[16];	/* 16: for the TSM */
	__u64 code;	/* 32: out: from the reply */
};

/* Succeeds for every function there is; of one that is not bound, error is ENXIO. */
struct tsm_proxy_unbind {
	__u32 function; /* 0 */
	__s32 error;	/* 4: out: 0, or why the TSM did not confirm (negative errno) */
	__u64 code;	/* 8: out: from the reply */
};

/* reply_len: room on entry, length on return. */
struct tsm_proxy_guest_req {
	__u32 function;	   /*  0 */
	__u32 scope;	   /*  4: enum tsm_proxy_scope */
	__u64 request;	   /*  8: address */
	__u64 reply;	   /* 16: address */
	__u32 request_len; /* 24: 1 to TSM_PROXY_PAYLOAD_MAX */
	__u32 reply_len;   /* 28: up to TSM_PROXY_PAYLOAD_MAX */
	__u64 code;	   /* 32: out: from the reply, also if that was an error */
};

#define TSM_PROXY_STATE_TSM	  (1U << 0) /* there is a user-space TSM */
#define TSM_PROXY_STATE_CAPABLE	  (1U << 1) /* counts as TEE-IO capable */
#define TSM_PROXY_STATE_CONNECTED (1U << 2) /* its DSM is connected */
#define TSM_PROXY_STATE_PROBED	  (1U << 3) /* the TSM serves the function */
#define TSM_PROXY_STATE_BOUND	  (1U << 4)
#define TSM_PROXY_STATE_BINDING	  (1U << 5) /* a bind or unbind is under way */

/* Never waits for the TSM. */
struct tsm_proxy_state {
	__u32 function; /*  0 */
	__u32 flags;	/*  4: out: TSM_PROXY_STATE_* */
	__u32 tsm;	/*  8: out: N of tsmN, if TSM */
	__u32 dsm;	/* 12: out: if PROBED */
	__u32 tdi_id;	/* 16: out: if BOUND, as the rest */
	__u32 tdisp;	/* 20: out: what the TSM said last: enum tsm_proxy_tdisp or UNKNOWN */
	__s32 vm_pid;	/* 24: out */
	__u32 reserved; /* 28 */
	__u8 tvm[16];	/* 32: out */
};

#define TSM_PROXY_VMM_IOCTL_BIND      _IOWR('T', 0xd8, struct tsm_proxy_bind)
#define TSM_PROXY_VMM_IOCTL_UNBIND    _IOWR('T', 0xd9, struct tsm_proxy_unbind)
#define TSM_PROXY_VMM_IOCTL_GUEST_REQ _IOWR('T', 0xda, struct tsm_proxy_guest_req)
#define TSM_PROXY_VMM_IOCTL_STATE     _IOWR('T', 0xdb, struct tsm_proxy_state)

/*
 * read() of 8 bytes on /dev/tsm-proxy-vmm gives a counter of the changes that STATE of any function
 * could show, a __u64; it waits until there was one since this descriptor's last read (the first
 * read does not wait). poll: POLLIN when read() would not wait.
 */

#if defined(__cplusplus) || !defined(__STDC_VERSION__) || __STDC_VERSION__ < 201112L
#define TSM_PROXY_SIZE(type, size)
#else
#define TSM_PROXY_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#endif
TSM_PROXY_SIZE(tsm_proxy_request, 72);
TSM_PROXY_SIZE(tsm_proxy_reply, 24);
TSM_PROXY_SIZE(tsm_proxy_info, 16);
TSM_PROXY_SIZE(tsm_proxy_doe, 32);
TSM_PROXY_SIZE(tsm_proxy_tdi_state, 8);
TSM_PROXY_SIZE(tsm_proxy_bind, 40);
TSM_PROXY_SIZE(tsm_proxy_unbind, 16);
TSM_PROXY_SIZE(tsm_proxy_guest_req, 40);
TSM_PROXY_SIZE(tsm_proxy_state, 48);

#endif /* TSM_PROXY_H */
