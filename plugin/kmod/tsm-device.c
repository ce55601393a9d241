// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/tsm-proxy: while it is open, its opener is a TSM of this kernel.
 *
 * Registration follows open and release, so that tsm/connect and tsm/bound cannot outlive whoever
 * stands behind them: the end of the user-space TSM, however it comes, fails what it was asked and
 * has the kernel forget all that it held. The order matters. First nobody waits for this TSM any
 * more, then it is unregistered: unregistering waits for every operation, and takes the tsm/
 * attributes away from whoever may be reading them.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "internal.h"

static struct device *tsm_parent;
static struct tsm_dev *tsm;
static DEFINE_MUTEX(open_lock);
static int tsm_id = -1;

int tsm_device_id(void)
{
	return READ_ONCE(tsm_id);
}

static int tsm_device_open(struct inode *inode, struct file *file)
{
	struct tsm_dev *registered;
	int result;

	ACQUIRE(mutex_intr, opening)(&open_lock);
	result = ACQUIRE_ERR(mutex_intr, &opening);
	if (result)
		return result;
	if (tsm)
		return -EBUSY;
	channel_open();
	registered = tsm_register(tsm_parent, &proxy_tsm_ops);
	if (IS_ERR(registered)) {
		channel_close();
		return PTR_ERR(registered);
	}
	tsm = registered;
	WRITE_ONCE(tsm_id, registered->id);
	vmm_changed();
	return stream_open(inode, file);
}

static int tsm_device_release(struct inode *inode, struct file *file)
{
	guard(mutex)(&open_lock);
	channel_close();
	WRITE_ONCE(tsm_id, -1);
	tsm_unregister(tsm);
	tsm = NULL;
	vmm_changed();
	return 0;
}

static ssize_t tsm_device_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	return channel_read(file, buf, len);
}

static ssize_t tsm_device_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	return channel_write(buf, len);
}

static int tell_info(struct tsm_proxy_info __user *argument)
{
	struct tsm_proxy_info info = {
		.version = TSM_PROXY_VERSION,
		.tsm = tsm_device_id(),
		.deadline = proxy_deadline_ms(),
	};

	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static int note_tdi_state(struct tsm_proxy_tdi_state __user *argument)
{
	struct tsm_proxy_tdi_state told;

	if (copy_from_user(&told, argument, sizeof(told)))
		return -EFAULT;
	if (told.state > TSM_PROXY_ERROR)
		return -EINVAL;
	return proxy_function_set_tdisp(told.function, told.state);
}

static long tsm_device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case TSM_PROXY_IOCTL_INFO:
		return tell_info(user);
	case TSM_PROXY_IOCTL_DOE:
		return doe_exchange(user);
	case TSM_PROXY_IOCTL_TDI_STATE:
		return note_tdi_state(user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations tsm_device_fops = {
	.owner = THIS_MODULE,
	.open = tsm_device_open,
	.release = tsm_device_release,
	.read = tsm_device_read,
	.write = tsm_device_write,
	.poll = channel_poll,
	.unlocked_ioctl = tsm_device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice tsm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tsm-proxy",
	.fops = &tsm_device_fops,
	.mode = 0600,
};

int tsm_device_init(struct device *parent)
{
	tsm_parent = parent;
	return misc_register(&tsm_device);
}

void tsm_device_exit(void)
{
	misc_deregister(&tsm_device);
}
