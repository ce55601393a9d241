/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "explain.h"

#include "core/cleanup.h"
#include "tsm/common/proxy-wire.h"

#include <errno.h>

#define ANY (-1)

typedef struct Explanation {
	int verb; /* KernelVerb, or ANY */
	int error;
	bool unknown; /* whether the outcome is */
	const char *cause;
} Explanation;

/* The first that fits. */
static const Explanation explanations[] = {
	{ KERNEL_CONNECT, EBUSY, false,
	  "the kernel says that it is connected already; look at tsm/connect and the other users "
	  "of "
	  "this host" },
	{ KERNEL_CONNECT, ENXIO, false,
	  "the kernel knows no such TSM; its driver or the user-space TSM behind it is gone: look "
	  "at "
	  "/sys/class/tsm" },
	{ KERNEL_CONNECT, EINVAL, false, "the kernel does not take the TSM's name" },
	{ KERNEL_CONNECT, ENOSPC, false,
	  "no IDE stream is left for it on its root port; disconnect another device below it" },
	{ KERNEL_CONNECT, EIO, false,
	  "the TSM could not set up the SPDM session or the link's encryption; the kernel's log "
	  "(dmesg) may say why" },
	{ KERNEL_DISCONNECT, EINVAL, false, "the kernel says that it is connected to another TSM" },
	{ KERNEL_BIND, EBUSY, false,
	  "the kernel says that it is bound to another TVM; end that domain or detach it there" },
	{ KERNEL_BIND, EALREADY, false,
	  "it is bound to this VM under another requester id; unbind it first" },
	{ KERNEL_BIND, EACCES, false,
	  "no VFIO driver holds it; attach it to the domain first (managed='yes', or virsh "
	  "nodedev-detach)" },
	{ KERNEL_BIND, EXDEV, false,
	  "VFIO has it open for another VM, or for none; is it attached to this domain?" },
	{ KERNEL_BIND, EBADF, false, "what was taken from QEMU is no KVM VM" },
	{ KERNEL_BIND, ENXIO, false,
	  "the kernel has no TSM context for it: its DSM is not connected, or the TSM does not "
	  "serve "
	  "this function" },
	{ KERNEL_GUEST_REQUEST, ENXIO, false, "it is not bound (any more)" },
	{ ANY, ENOTCONN, false,
	  "no user-space TSM serves the tsm-proxy module; start it (tdi-tsm-emulated) and try "
	  "again" },
	{ ANY, ECONNRESET, true,
	  "the user-space TSM ended while it had the request; start it again: every connection and "
	  "bind of it is void then" },
	{ ANY, ETIME, false, "the TSM did not take the request before its deadline" },
	{ ANY, ETIMEDOUT, true,
	  "the TSM or the device did not answer before the deadline; disconnect the device, and "
	  "reset "
	  "it if that does not help" },
	{ ANY, EINTR, true, "it was interrupted" },
	{ ANY, ENODEV, false, "the function goes away" },
	{ ANY, ECANCELED, true,
	  "the function went away while the TSM had the request; look at what took it (SR-IOV, its "
	  "driver, hot-unplug)" },
	{ ANY, ENOBUFS, false,
	  "too many requests wait for the user-space TSM; is it alive? Try again later" },
	{ ANY, ENOENT, false, "the kernel has no such attribute or device file (any more)" },
	{ ANY, EACCES, false, "the kernel does not allow it; this program has to run as root" },
	{ ANY, EOPNOTSUPP, false,
	  "the TSM's driver or the device does not support it; is TEE-IO enabled in the device's "
	  "firmware?" },
	/* Of the module and the TSM behind it: before anything else is looked at. */
	{ ANY, EINVAL, false, "the kernel, or the TSM behind it, does not take such a request" },
	{ ANY, EKEYREJECTED, false,
	  "the device's certificates were rejected; is the device provisioned (certificate slot "
	  "0)?" },
	{ ANY, ENOMEM, false, "the kernel has no memory for it" },
	{ ANY, EIO, true, "the TSM or the device failed on the way" },
};

static const char *const proxied[] = {
	[TSM_UNKNOWN_DEVICE] = "the TSM does not know this function",
	[TSM_NOT_TEE_IO] = "the TSM says that the device has no TEE-IO",
	[TSM_UNKNOWN_TVM] = "the TSM does not know this TVM: it was never prepared, or released",
	[TSM_TVM_BUSY] = "the TSM says that the TVM still has bound TDIs",
	[TSM_DEVICE_BUSY] = "the TSM says that it is bound to another TVM",
	[TSM_INVALID_STATE] = "the TSM says that the device is not in the state for it",
	[TSM_REFUSED] = "the TSM refused; its log says why",
	[TSM_OUTCOME_UNKNOWN] = "the TSM says that it broke off half-way",
	[TSM_GUEST_MESSAGE_REJECTED] = "the TSM could not authenticate or order the message",
};

TsmOutcome explain_errno(KernelVerb verb, KernelBinder binder, int error, const char **ret_cause)
{
	int outcome;

	for (size_t i = 0; i < ELEMENTSOF(explanations); i++) {
		const Explanation *e = &explanations[i];

		if ((e->verb != ANY && e->verb != (int)verb) || e->error != error)
			continue;
		/* The user-space TSM's word goes before what the same number means elsewhere. */
		if (e->verb == ANY && binder == KERNEL_BINDER_PROXY && proxy_outcome(error) > 0)
			break;
		*ret_cause = e->cause;
		return e->unknown ? TSM_OUTCOME_UNKNOWN : TSM_REFUSED;
	}
	outcome = binder == KERNEL_BINDER_PROXY ? proxy_outcome(error) : -ENOENT;
	if (outcome > 0) {
		*ret_cause = proxied[outcome];
		return outcome == TSM_OUTCOME_UNKNOWN ? TSM_OUTCOME_UNKNOWN : TSM_REFUSED;
	}
	*ret_cause =
		"the kernel gave an error that this program knows no more about; its log (dmesg) "
		"may say why";
	/* A connect that fails is undone by the kernel (drivers/pci/tsm.c, pci_tsm_connect()). */
	return verb == KERNEL_CONNECT ? TSM_REFUSED : TSM_OUTCOME_UNKNOWN;
}
