// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOE exchanges on the user-space TSM's behalf: it makes and reads the SPDM messages, the kernel
 * carries them, as SEV-TIO has the host do.
 *
 * The mailbox lives as long as the PCI device. An exchange counts as a use of the DSM's context,
 * and the kernel's PCI/TSM, which removes that context before the mailbox, waits for the uses.
 * An exchange takes a second per mailbox timeout at most, so the waiting is bounded.
 */
#include <linux/pci.h>
#include <linux/pci-doe.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

static struct proxy_function *dsm_get(u32 number)
{
	struct proxy_function *function;

	guard(mutex)(&proxy_functions_lock);
	function = proxy_function_find(number);
	if (function && function->dsm != number)
		function = NULL;
	if (function)
		function->doe_users++;
	return function;
}
DEFINE_FREE(dsm_put, struct proxy_function *, if (_T) proxy_function_doe_put(_T))

int doe_exchange(struct tsm_proxy_doe __user *argument)
{
	struct tsm_proxy_doe doe;
	struct pci_doe_mb *mailbox;
	int length;

	if (copy_from_user(&doe, argument, sizeof(doe)))
		return -EFAULT;
	if (doe.type != PCI_DOE_FEATURE_CMA && doe.type != PCI_DOE_FEATURE_SSESSION)
		return -EINVAL;
	if (!doe.request_len || doe.request_len > TSM_PROXY_DOE_MAX ||
	    doe.response_len > TSM_PROXY_DOE_MAX)
		return -EMSGSIZE;

	void *request __free(kvfree) = vmemdup_user(u64_to_user_ptr(doe.request), doe.request_len);

	if (IS_ERR(request))
		return PTR_ERR(no_free_ptr(request));

	void *response __free(kvfree) = kvzalloc(TSM_PROXY_DOE_MAX, GFP_KERNEL_ACCOUNT);

	if (!response)
		return -ENOMEM;

	struct proxy_function *dsm __free(dsm_put) = dsm_get(doe.function);

	if (!dsm)
		return -ENODEV;
	mailbox = pci_find_doe_mailbox(dsm->pf0.base_tsm.pdev, PCI_VENDOR_ID_PCI_SIG, doe.type);
	if (!mailbox)
		return -EOPNOTSUPP;
	length = pci_doe(mailbox, PCI_VENDOR_ID_PCI_SIG, doe.type, request, doe.request_len,
			 response, TSM_PROXY_DOE_MAX);
	if (length < 0)
		return length;

	if (copy_to_user(u64_to_user_ptr(doe.response), response,
			 min_t(u32, length, doe.response_len)) ||
	    put_user((u32)length, &argument->response_len))
		return -EFAULT;
	return length > doe.response_len ? -EMSGSIZE : 0;
}
