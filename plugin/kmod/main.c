// SPDX-License-Identifier: GPL-2.0-only
/*
 * tsm-proxy: puts a user-space TSM behind the kernel's PCI/TSM, for trying, testing and bring-up.
 * It protects nothing. README.md says what it is for; tsm-proxy.h is its interface.
 *
 * Unloading: both devices pin the module while they are open, and whatever the module has
 * registered or bound ends when /dev/tsm-proxy is closed. So nothing is left when exit runs.
 */
#include <linux/device/faux.h>
#include <linux/module.h>

#include "internal.h"

#define DEADLINE_MIN_MS 100
#define DEADLINE_MAX_MS 60000 /* below the hung task detector's two minutes */

static char *capable_list = "";
module_param_named(capable, capable_list, charp, 0444);
MODULE_PARM_DESC(
	capable,
	"functions that count as TEE-IO capable: vvvv:dddd or ssss:bb:dd.f, separated by commas");

static unsigned int deadline_ms = 10000;

static int set_deadline(const char *value, const struct kernel_param *param)
{
	return param_set_uint_minmax(value, param, DEADLINE_MIN_MS, DEADLINE_MAX_MS);
}

static const struct kernel_param_ops deadline_ops = {
	.set = set_deadline,
	.get = param_get_uint,
};
module_param_cb(deadline_ms, &deadline_ops, &deadline_ms, 0644);
MODULE_PARM_DESC(deadline_ms,
		 "milliseconds that the user-space TSM has for an operation (100 to 60000)");

static struct faux_device *faux;

unsigned int proxy_deadline_ms(void)
{
	return READ_ONCE(deadline_ms);
}

static int __init proxy_init(void)
{
	int result;

	faux = faux_device_create("tsm-proxy", NULL, NULL);
	if (!faux)
		return -ENODEV;
	result = capable_init(capable_list);
	if (result)
		goto destroy_faux;
	result = vmm_init();
	if (result)
		goto exit_capable;
	result = tsm_device_init(&faux->dev);
	if (result)
		goto exit_vmm;
	return 0;

exit_vmm:
	vmm_exit();
exit_capable:
	capable_exit();
destroy_faux:
	faux_device_destroy(faux);
	return result;
}

static void __exit proxy_exit(void)
{
	tsm_device_exit();
	vmm_exit();
	capable_exit();
	faux_device_destroy(faux);
}

module_init(proxy_init);
module_exit(proxy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION(
	"Puts a user-space TSM behind PCI/TSM, for trying and testing; protects nothing");
