// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/tsm-proxy-vmm: the kernel exports bind, unbind and guest request without a caller of its
 * own; this is one.
 *
 * A bind has to be for the VM that VFIO has the function open for. The descriptor's file keeps its
 * struct kvm, and VFIO's word that this very pointer is the VM makes the descriptor one of it; the
 * file's name alone would prove nothing.
 *
 * A call makes a claim to the function before it asks, and the driver's hold of the function is
 * looked at under the device's lock when the claim is made. The lock is not held any longer: VFIO
 * tries it for resets, and would not get it while a TSM takes its time. When the driver lets go,
 * claims to the function are marked as gone, what the TSM still owes them is given up, and when
 * those to bind are over the function is unbound. No new one can come meanwhile, because the
 * device is locked then.
 */
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vfio_pci_core.h>
#include <linux/wait.h>

#include "internal.h"

static DEFINE_SPINLOCK(claims_lock);
static LIST_HEAD(claims);
static DECLARE_WAIT_QUEUE_HEAD(claims_over);

static atomic64_t changes = ATOMIC64_INIT(1);
static DECLARE_WAIT_QUEUE_HEAD(changed);

void vmm_changed(void)
{
	atomic64_inc(&changes);
	wake_up_all(&changed);
}

/* --- claims --- */

static void claim_begin(struct vmm_claim *claim, struct pci_dev *pdev)
{
	claim->task = current;
	claim->pdev = pdev;
	guard(spinlock)(&claims_lock);
	list_add(&claim->link, &claims);
}

static void claim_end(struct vmm_claim *claim)
{
	scoped_guard(spinlock, &claims_lock)
		list_del(&claim->link);
	wake_up_all(&claims_over);
}

struct vmm_claim *vmm_claim_of(struct pci_dev *pdev)
{
	struct vmm_claim *claim;

	guard(spinlock)(&claims_lock);
	list_for_each_entry(claim, &claims, link)
		if (claim->task == current && claim->pdev == pdev)
			return claim;
	return NULL;
}

/* True if one of them is to bind. */
static bool claims_gone(struct pci_dev *pdev)
{
	struct vmm_claim *claim;
	bool any = false;

	guard(spinlock)(&claims_lock);
	list_for_each_entry(claim, &claims, link) {
		if (claim->pdev != pdev)
			continue;
		WRITE_ONCE(claim->gone, true);
		any |= claim->binds;
	}
	return any;
}

/* --- the driver's hold --- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/*
 * vfio-pci and its variants for single devices (mlx5_vfio_pci, ...): all are built on
 * vfio_pci_core, which insists on being their driver data.
 */
static struct vfio_pci_core_device *vfio_device(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core;

	device_lock_assert(&pdev->dev);
	if (!pdev->dev.driver || (!ends_with(pdev->dev.driver->name, "vfio-pci") &&
				  !ends_with(pdev->dev.driver->name, "vfio_pci")))
		return NULL;
	core = dev_get_drvdata(&pdev->dev);
	return core && core->vdev.dev == &pdev->dev ? core : NULL;
}

static bool is_kvm_name(struct file *file)
{
	struct name_snapshot name;
	bool result;

	take_dentry_name_snapshot(&name, file->f_path.dentry);
	result = strcmp((const char *)name.name.name, "kvm-vm") == 0;
	release_dentry_name_snapshot(&name);
	return result;
}

/* Makes the claim if VFIO holds the function for the VM behind @file. */
static int claim_for_vm(struct vmm_claim *claim, struct pci_dev *pdev, struct file *file)
{
	struct vfio_pci_core_device *vfio;
	int result;

	if (!is_kvm_name(file))
		return -EBADF;
	result = device_lock_interruptible(&pdev->dev);
	if (result)
		return result;
	vfio = vfio_device(pdev);
	if (!vfio)
		result = -EACCES;
	else if (!file->private_data || READ_ONCE(vfio->vdev.kvm) != file->private_data)
		result = -EXDEV;
	else
		claim_begin(claim, pdev);
	device_unlock(&pdev->dev);
	return result;
}

static u32 function_state(u32 number)
{
	struct proxy_function *function;

	guard(mutex)(&proxy_functions_lock);
	function = proxy_function_find(number);
	return function ? function->state : 0;
}

static bool claimed_to_bind(struct pci_dev *pdev)
{
	struct vmm_claim *claim;

	guard(spinlock)(&claims_lock);
	list_for_each_entry(claim, &claims, link)
		if (claim->pdev == pdev && claim->binds)
			return true;
	return false;
}

static int bus_notify(struct notifier_block *block, unsigned long action, void *data)
{
	struct device *dev = data;
	struct pci_dev *pdev;
	bool binding;
	u32 number;

	if (action != BUS_NOTIFY_UNBIND_DRIVER || !dev_is_pci(dev))
		return NOTIFY_DONE;
	pdev = to_pci_dev(dev);
	if (!proxy_function_number(pdev, &number))
		return NOTIFY_DONE;
	binding = claims_gone(pdev);
	channel_abort(number);
	if (binding)
		wait_event(claims_over, !claimed_to_bind(pdev));
	if (function_state(number) & TSM_PROXY_STATE_BOUND)
		pci_tsm_unbind(pdev);
	return NOTIFY_DONE;
}

static struct notifier_block bus_notifier = { .notifier_call = bus_notify };

/* --- calls --- */

/* The function if this module's TSM serves it; the caller puts it. */
static struct pci_dev *served(u32 number)
{
	struct pci_dev *pdev __free(pci_dev_put) = proxy_pci_get(number);

	if (!pdev)
		return ERR_PTR(-ENODEV);
	if (tsm_device_id() < 0)
		return ERR_PTR(-ENOTCONN);
	guard(mutex)(&proxy_functions_lock);
	return proxy_function_find(number) ? no_free_ptr(pdev) : ERR_PTR(-ENXIO);
}
DEFINE_FREE(put_served, struct pci_dev *, if (!IS_ERR_OR_NULL(_T)) pci_dev_put(_T))

/* pci_tsm_bind() found it bound to that VM already: is that the binding that is asked for? */
static int same_binding(const struct tsm_proxy_bind *bind)
{
	struct proxy_function *function;

	guard(mutex)(&proxy_functions_lock);
	function = proxy_function_find(bind->function);
	if (!function || !function->state)
		return -ENXIO;
	if (function->bind.tdi_id != bind->tdi_id ||
	    memcmp(function->bind.tvm, bind->tvm, sizeof(bind->tvm)) != 0)
		return -EALREADY;
	return 0;
}

static int vmm_bind(struct tsm_proxy_bind __user *argument)
{
	struct vmm_claim claim = { .binds = true };
	struct tsm_proxy_bind bind;
	int result;

	if (copy_from_user(&bind, argument, sizeof(bind)))
		return -EFAULT;

	CLASS(fd, vm)(bind.kvm_fd);
	if (fd_empty(vm))
		return -EBADF;

	struct pci_dev *pdev __free(put_served) = served(bind.function);

	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	claim.flags = bind.flags;
	memcpy(claim.tvm, bind.tvm, sizeof(claim.tvm));
	result = claim_for_vm(&claim, pdev, fd_file(vm));
	if (result)
		return result;
	result = pci_tsm_bind(pdev, fd_file(vm)->private_data, bind.tdi_id);
	claim_end(&claim);
	if (!claim.asked && result == -EINVAL)
		return -ENXIO; /* disconnected meanwhile */
	if (!claim.asked && result == 0)
		return same_binding(&bind);
	if (put_user(claim.code, &argument->code))
		return -EFAULT;
	return result;
}

static int vmm_unbind(struct tsm_proxy_unbind __user *argument)
{
	struct vmm_claim claim = { .error = -ENXIO };
	struct tsm_proxy_unbind unbind;

	if (copy_from_user(&unbind, argument, sizeof(unbind)))
		return -EFAULT;

	struct pci_dev *pdev __free(pci_dev_put) = proxy_pci_get(unbind.function);

	if (!pdev)
		return -ENODEV;
	if (function_state(unbind.function)) {
		claim_begin(&claim, pdev);
		pci_tsm_unbind(pdev);
		claim_end(&claim);
	}
	unbind.error = claim.error;
	unbind.code = claim.code;
	return copy_to_user(argument, &unbind, sizeof(unbind)) ? -EFAULT : 0;
}

static int vmm_guest_req(struct tsm_proxy_guest_req __user *argument)
{
	struct tsm_proxy_guest_req ask;
	struct vmm_claim claim = {};
	ssize_t result;
	u64 code = 0;

	if (copy_from_user(&ask, argument, sizeof(ask)))
		return -EFAULT;
	if (!ask.request_len || ask.request_len > TSM_PROXY_PAYLOAD_MAX ||
	    ask.reply_len > TSM_PROXY_PAYLOAD_MAX)
		return -EMSGSIZE;

	void *request __free(kvfree) = vmemdup_user(u64_to_user_ptr(ask.request), ask.request_len);

	if (IS_ERR(request))
		return PTR_ERR(no_free_ptr(request));

	void *reply __free(kvfree) = kvzalloc(max(ask.reply_len, 1U), GFP_KERNEL_ACCOUNT);

	if (!reply)
		return -ENOMEM;

	struct pci_dev *pdev __free(put_served) = served(ask.function);

	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	claim_begin(&claim, pdev);
	result = pci_tsm_guest_req(pdev, ask.scope, KERNEL_SOCKPTR(request), ask.request_len,
				   KERNEL_SOCKPTR(reply), ask.reply_len, &code);
	claim_end(&claim);
	if (put_user(code, &argument->code))
		return -EFAULT;
	if (result < 0)
		return result;
	/* A positive result is what was left of the room. */
	ask.reply_len -= result;
	if (copy_to_user(u64_to_user_ptr(ask.reply), reply, ask.reply_len) ||
	    put_user(ask.reply_len, &argument->reply_len))
		return -EFAULT;
	return 0;
}

static void describe(struct tsm_proxy_state *state)
{
	struct proxy_function *function, *dsm;

	guard(mutex)(&proxy_functions_lock);
	function = proxy_function_find(state->function);
	if (!function)
		return;
	dsm = proxy_function_find(function->dsm);
	if (dsm && dsm->connected)
		state->flags |= TSM_PROXY_STATE_CONNECTED;
	state->flags |= TSM_PROXY_STATE_PROBED | function->state;
	state->dsm = function->dsm;
	if (!(function->state & TSM_PROXY_STATE_BOUND))
		return;
	state->tdi_id = function->bind.tdi_id;
	state->tdisp = function->tdisp;
	state->vm_pid = function->bind.vm_pid;
	memcpy(state->tvm, function->bind.tvm, sizeof(state->tvm));
}

static int vmm_state(struct tsm_proxy_state __user *argument)
{
	struct tsm_proxy_state state = { .tdisp = TSM_PROXY_UNKNOWN };
	int tsm = tsm_device_id();

	if (get_user(state.function, &argument->function))
		return -EFAULT;

	struct pci_dev *pdev __free(pci_dev_put) = proxy_pci_get(state.function);

	if (!pdev)
		return -ENODEV;
	if (tsm >= 0) {
		state.flags |= TSM_PROXY_STATE_TSM;
		state.tsm = tsm;
	}
	if (capable_has(pdev))
		state.flags |= TSM_PROXY_STATE_CAPABLE;
	describe(&state);
	return copy_to_user(argument, &state, sizeof(state)) ? -EFAULT : 0;
}

static long vmm_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case TSM_PROXY_VMM_IOCTL_BIND:
		return vmm_bind(user);
	case TSM_PROXY_VMM_IOCTL_UNBIND:
		return vmm_unbind(user);
	case TSM_PROXY_VMM_IOCTL_GUEST_REQ:
		return vmm_guest_req(user);
	case TSM_PROXY_VMM_IOCTL_STATE:
		return vmm_state(user);
	default:
		return -ENOTTY;
	}
}

/* --- the counter of changes --- */

struct watch {
	struct mutex lock;
	u64 seen;
};

static int vmm_open(struct inode *inode, struct file *file)
{
	struct watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL);

	if (!watch)
		return -ENOMEM;
	mutex_init(&watch->lock);
	file->private_data = watch;
	return nonseekable_open(inode, file);
}

static int vmm_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static bool has_changed(struct watch *watch)
{
	return (u64)atomic64_read(&changes) != READ_ONCE(watch->seen);
}

static ssize_t vmm_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct watch *watch = file->private_data;
	u64 now;
	int result;

	if (len < sizeof(now))
		return -EINVAL;
	if (!has_changed(watch)) {
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		result = wait_event_interruptible(changed, has_changed(watch));
		if (result)
			return result;
	}
	guard(mutex)(&watch->lock);
	now = atomic64_read(&changes);
	if (copy_to_user(buf, &now, sizeof(now)))
		return -EFAULT;
	WRITE_ONCE(watch->seen, now);
	return sizeof(now);
}

static __poll_t vmm_poll(struct file *file, struct poll_table_struct *wait)
{
	poll_wait(file, &changed, wait);
	return has_changed(file->private_data) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations vmm_fops = {
	.owner = THIS_MODULE,
	.open = vmm_open,
	.release = vmm_release,
	.read = vmm_read,
	.poll = vmm_poll,
	.unlocked_ioctl = vmm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice vmm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tsm-proxy-vmm",
	.fops = &vmm_fops,
	.mode = 0600,
};

int vmm_init(void)
{
	int result = bus_register_notifier(&pci_bus_type, &bus_notifier);

	if (result)
		return result;
	result = misc_register(&vmm_device);
	if (result)
		bus_unregister_notifier(&pci_bus_type, &bus_notifier);
	return result;
}

void vmm_exit(void)
{
	misc_deregister(&vmm_device);
	bus_unregister_notifier(&pci_bus_type, &bus_notifier);
}
