// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's PCI/TSM calls, carried to the user-space TSM.
 *
 * A function's context is made by probe and freed by remove. PCI/TSM calls both, and connect and
 * disconnect, under its own host-wide lock, and everything but remove of a DSM under the DSM's lock
 * as well. The list of contexts has a lock of its own for those who look from outside: the VMM's
 * STATE, the TSM's DOE exchanges and its word on a TDI's state.
 *
 * bind, unbind and guest_req run in the thread of whoever called pci_tsm_bind() and so on. If that
 * was the VMM's device, its claim holds what the kernel's interface has no room for.
 */
#include <linux/kvm_host.h>
#include <linux/pci-doe.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "internal.h"

DEFINE_MUTEX(proxy_functions_lock);
static LIST_HEAD(functions);
static DECLARE_WAIT_QUEUE_HEAD(doe_over);

static struct proxy_function *to_function(struct pci_tsm *tsm)
{
	return container_of(tsm, struct proxy_function, pf0.base_tsm);
}

struct proxy_function *proxy_function_find(u32 number)
{
	struct proxy_function *function;

	lockdep_assert_held(&proxy_functions_lock);
	list_for_each_entry(function, &functions, link)
		if (function->number == number)
			return function;
	return NULL;
}

void proxy_function_doe_put(struct proxy_function *function)
{
	guard(mutex)(&proxy_functions_lock);
	if (--function->doe_users == 0)
		wake_up_all(&doe_over);
}

int proxy_function_set_tdisp(u32 number, u32 state)
{
	struct proxy_function *function;

	scoped_guard(mutex, &proxy_functions_lock) {
		function = proxy_function_find(number);
		if (!function || !function->state)
			return -ENXIO;
		function->tdisp = state;
	}
	vmm_changed();
	return 0;
}

static void set_connected(struct proxy_function *function, bool connected)
{
	scoped_guard(mutex, &proxy_functions_lock)
		function->connected = connected;
	vmm_changed();
}

static void set_state(struct proxy_function *function, u32 state)
{
	scoped_guard(mutex, &proxy_functions_lock)
		function->state = state;
	vmm_changed();
}

static struct proxy_call call_for(struct proxy_function *function, enum tsm_proxy_op op)
{
	return (struct proxy_call){
		.request = {
			.op = op,
			.function = function->number,
			.dsm = function->dsm,
		},
	};
}

/* Without a mailbox the TSM has its own way to the device, or there is none to reach. */
static int construct(struct pci_dev *pdev, struct proxy_function *function, struct tsm_dev *tsm_dev)
{
	if (is_pci_tsm_pf0(pdev) &&
	    pci_find_doe_mailbox(pdev, PCI_VENDOR_ID_PCI_SIG, PCI_DOE_FEATURE_CMA))
		return pci_tsm_pf0_constructor(pdev, &function->pf0, tsm_dev);
	mutex_init(&function->pf0.lock);
	return pci_tsm_link_constructor(pdev, &function->pf0.base_tsm, tsm_dev);
}

static bool tsm_serves(struct proxy_function *function)
{
	struct proxy_call call = call_for(function, TSM_PROXY_OP_PROBE);

	call.uninterruptible = true;
	return channel_call(&call) == 0;
}

static struct pci_tsm *proxy_probe(struct tsm_dev *tsm_dev, struct pci_dev *pdev)
{
	struct pci_dev *dsm;

	/*
	 * A VF that shares its PF's slot is walked twice, as a VF and as a function of the slot.
	 * The caller stores what it is given, so it is given the same again.
	 */
	if (pdev->tsm)
		return pdev->tsm->tsm_dev == tsm_dev ? pdev->tsm : NULL;

	struct proxy_function *function __free(kfree) = kzalloc(sizeof(*function), GFP_KERNEL);

	if (!function || !proxy_function_number(pdev, &function->number))
		return NULL;
	if (construct(pdev, function, tsm_dev))
		return NULL;
	dsm = function->pf0.base_tsm.dsm_dev;
	function->tdisp = TSM_PROXY_UNKNOWN;
	if (!proxy_function_number(dsm, &function->dsm))
		return NULL;
	/* What the DSM itself has to say, connect says; an error of probe would be lost. */
	if (dsm != pdev && !tsm_serves(function)) {
		pci_dbg(pdev, "tsm-proxy: not served by the user-space TSM\n");
		return NULL;
	}
	scoped_guard(mutex, &proxy_functions_lock)
		list_add_tail(&function->link, &functions);
	vmm_changed();
	return &no_free_ptr(function)->pf0.base_tsm;
}

static void proxy_remove(struct pci_tsm *tsm)
{
	struct proxy_function *function = to_function(tsm);
	struct proxy_call forget = call_for(function, TSM_PROXY_OP_REMOVE);

	scoped_guard(mutex, &proxy_functions_lock)
		list_del(&function->link);
	/* None comes any more: they look for it in the list. */
	wait_event(doe_over, !READ_ONCE(function->doe_users));
	channel_tell(&forget.request);
	vmm_changed();
	pci_tsm_pf0_destructor(&function->pf0);
	kfree(function);
}

static int proxy_connect(struct pci_dev *pdev)
{
	struct proxy_function *function = to_function(pdev->tsm);
	struct proxy_call call = call_for(function, TSM_PROXY_OP_CONNECT);
	int result = channel_call(&call);

	if (result == 0)
		set_connected(function, true);
	return result;
}

static int ask_bind(struct proxy_function *function, const struct tsm_proxy_request *bind,
		    struct vmm_claim *claim)
{
	struct proxy_call call = { .request = *bind, .gone = claim ? &claim->gone : NULL };
	int result;

	scoped_guard(mutex, &proxy_functions_lock) {
		function->bind = *bind;
		function->tdisp = TSM_PROXY_UNKNOWN;
	}
	set_state(function, TSM_PROXY_STATE_BINDING);
	result = channel_call(&call);
	set_state(function, result ? 0 : TSM_PROXY_STATE_BOUND);
	if (claim) {
		claim->asked = true;
		claim->code = call.code;
	}
	return result;
}

static struct pci_tdi *proxy_bind(struct pci_dev *pdev, struct kvm *kvm, u32 tdi_id)
{
	struct proxy_function *function = to_function(pdev->tsm);
	struct vmm_claim *claim = vmm_claim_of(pdev);
	struct tsm_proxy_request bind = {
		.op = TSM_PROXY_OP_BIND,
		.function = function->number,
		.dsm = function->dsm,
		.tdi_id = tdi_id,
		.vm_pid = kvm->userspace_pid,
	};
	int result;

	struct pci_tdi *tdi __free(kfree) = kzalloc(sizeof(*tdi), GFP_KERNEL);

	if (!tdi)
		return ERR_PTR(-ENOMEM);
	if (claim) {
		bind.flags = claim->flags;
		memcpy(bind.tvm, claim->tvm, sizeof(bind.tvm));
	}
	/* The binding keeps the VM, so that no other can be taken for it. */
	if (!kvm_get_kvm_safe(kvm))
		return ERR_PTR(-ENODEV);
	result = ask_bind(function, &bind, claim);
	if (result) {
		kvm_put_kvm(kvm);
		return ERR_PTR(result);
	}
	pci_tsm_tdi_constructor(pdev, tdi, kvm, tdi_id);
	return no_free_ptr(tdi);
}

static void proxy_unbind(struct pci_tdi *tdi)
{
	struct proxy_function *function = to_function(tdi->pdev->tsm);
	struct vmm_claim *claim = vmm_claim_of(tdi->pdev);
	struct proxy_call call = { .request = function->bind };
	int result;

	call.request.op = TSM_PROXY_OP_UNBIND;
	call.request.flags = 0;
	call.uninterruptible = true;
	call.final = true;
	set_state(function, TSM_PROXY_STATE_BOUND | TSM_PROXY_STATE_BINDING);
	result = channel_call(&call);
	set_state(function, 0);
	if (claim) {
		claim->asked = true;
		claim->error = result;
		claim->code = call.code;
	}
	kvm_put_kvm(tdi->kvm);
	kfree(tdi);
}

static struct proxy_function *first_of(struct proxy_function *dsm)
{
	struct proxy_function *function;

	guard(mutex)(&proxy_functions_lock);
	list_for_each_entry(function, &functions, link)
		if (function != dsm && function->dsm == dsm->number)
			return function;
	return NULL;
}

/*
 * VFs get their contexts one by one while SR-IOV is being enabled, but the kernel finds them by the
 * number of VFs, which is set when all are there. A disconnect in between misses them, and the
 * kernel would later look for the DSM of contexts whose DSM is gone. It holds its lock for
 * writing, so they can be taken back here just as it would have done.
 */
static void remove_missed(struct proxy_function *dsm)
{
	struct proxy_function *function;

	while ((function = first_of(dsm)) != NULL) {
		struct pci_tsm *tsm = &function->pf0.base_tsm;
		struct pci_dev *pdev = tsm->pdev;

		if (tsm->tdi)
			proxy_unbind(tsm->tdi);
		proxy_remove(tsm);
		pdev->tsm = NULL;
	}
}

static void proxy_disconnect(struct pci_dev *pdev)
{
	struct proxy_function *function = to_function(pdev->tsm);
	struct proxy_call call = call_for(function, TSM_PROXY_OP_DISCONNECT);

	remove_missed(function);
	call.uninterruptible = true;
	call.final = true;
	channel_call(&call);
	set_connected(function, false);
}

static ssize_t proxy_guest_req(struct pci_tdi *tdi, enum pci_tsm_req_scope scope, sockptr_t req_in,
			       size_t in_len, sockptr_t req_out, size_t out_len, u64 *tsm_code)
{
	struct proxy_function *function = to_function(tdi->pdev->tsm);
	struct vmm_claim *claim = vmm_claim_of(tdi->pdev);
	struct proxy_call call = { .request = function->bind, .gone = claim ? &claim->gone : NULL };
	ssize_t result;

	if (in_len > TSM_PROXY_PAYLOAD_MAX)
		return -EMSGSIZE;
	call.request.op = TSM_PROXY_OP_GUEST_REQ;
	call.request.flags = 0;
	call.request.scope = scope;
	call.request.reply_max = min_t(size_t, out_len, TSM_PROXY_PAYLOAD_MAX);
	call.request.payload_len = in_len;
	if (in_len) {
		call.payload = kvmalloc(in_len, GFP_KERNEL_ACCOUNT);
		if (!call.payload)
			return -ENOMEM;
		if (copy_from_sockptr(call.payload, req_in, in_len)) {
			kvfree(call.payload);
			return -EFAULT;
		}
	}
	result = channel_call(&call);
	if (tsm_code)
		*tsm_code = call.code;
	if (result == 0 && call.reply_len && copy_to_sockptr(req_out, call.reply, call.reply_len))
		result = -EFAULT;
	if (result == 0)
		result = out_len - call.reply_len;
	kvfree(call.reply);
	return result;
}

struct pci_tsm_ops proxy_tsm_ops = {
	.probe = proxy_probe,
	.remove = proxy_remove,
	.connect = proxy_connect,
	.disconnect = proxy_disconnect,
	.bind = proxy_bind,
	.unbind = proxy_unbind,
	.guest_req = proxy_guest_req,
};
