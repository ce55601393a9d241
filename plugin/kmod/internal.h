/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the module share; tsm-proxy.h is the interface to user space. */
#ifndef TSM_PROXY_INTERNAL_H
#define TSM_PROXY_INTERNAL_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-tsm.h>
#include <linux/tsm.h>

#include "tsm-proxy.h"

struct file;
struct poll_table_struct;

/* --- main.c --- */

unsigned int proxy_deadline_ms(void);

/* TSM_PROXY_FUNCTION() of @pdev; false if its segment does not fit. */
static inline bool proxy_function_number(struct pci_dev *pdev, u32 *number)
{
	int segment = pci_domain_nr(pdev->bus);

	if (segment < 0 || segment > 0xffff)
		return false;
	*number = TSM_PROXY_FUNCTION(segment, pdev->bus->number, 0, 0) | pdev->devfn;
	return true;
}

/* The caller puts it. */
static inline struct pci_dev *proxy_pci_get(u32 number)
{
	return pci_get_domain_bus_and_slot(TSM_PROXY_SEGMENT(number), TSM_PROXY_BUS(number),
					   number & 0xff);
}

/* --- capable.c: which functions count as TEE-IO capable --- */

int capable_init(const char *list);
void capable_exit(void);
bool capable_has(struct pci_dev *pdev);

/* --- channel.c: requests to the user-space TSM, and its replies --- */

/**
 * struct proxy_call - one request, from asking to the answer
 * @request: @op, @function, @dsm and what the operation needs; the rest is filled in
 * @payload: what follows the request, kvmalloc()ed; the channel frees it
 * @gone: set (before channel_abort()) when the function goes away; may be NULL
 * @uninterruptible: a kill does not end the waiting
 * @final: the operation takes effect whatever the answer: the TSM gets to read it, be it too late
 * @reply: out: the reply's payload, kvmalloc()ed; the caller frees it
 * @reply_len: out: its length
 * @code: out: from the reply
 */
struct proxy_call {
	struct tsm_proxy_request request;
	void *payload;
	const bool *gone;
	bool uninterruptible;
	bool final;
	void *reply;
	u32 reply_len;
	u64 code;
};

void channel_open(void);
void channel_close(void);
int channel_call(struct proxy_call *call);
void channel_tell(const struct tsm_proxy_request *request);
void channel_abort(u32 function);
ssize_t channel_read(struct file *file, char __user *buf, size_t len);
ssize_t channel_write(const char __user *buf, size_t len);
__poll_t channel_poll(struct file *file, struct poll_table_struct *wait);

/* --- tsm-device.c: /dev/tsm-proxy --- */

int tsm_device_init(struct device *parent);
void tsm_device_exit(void);
/* N of tsmN, or -1 while there is no user-space TSM */
int tsm_device_id(void);

/* --- tsm-ops.c: what the kernel's PCI/TSM calls --- */

/**
 * struct proxy_function - a function that the user-space TSM serves
 * @pf0: what the kernel knows it by; lock and mailbox are a DSM's only
 * @link: among all of them
 * @number: TSM_PROXY_FUNCTION()
 * @dsm: the same of its DSM
 * @connected: of a DSM: CONNECT succeeded
 * @state: TSM_PROXY_STATE_BOUND and _BINDING
 * @bind: the BIND's request, while one of those is set
 * @tdisp: what the TSM said last of the bound TDI
 * @doe_users: exchanges under way with its mailboxes; they are over before it goes
 *
 * All but @pf0, @number and @dsm is protected by proxy_functions_lock, under which nobody waits.
 */
struct proxy_function {
	struct pci_tsm_pf0 pf0;
	struct list_head link;
	u32 number;
	u32 dsm;
	bool connected;
	u32 state;
	struct tsm_proxy_request bind;
	u32 tdisp;
	unsigned int doe_users;
};

extern struct mutex proxy_functions_lock;
extern struct pci_tsm_ops proxy_tsm_ops;

/* NULL if the user-space TSM does not serve it */
struct proxy_function *proxy_function_find(u32 number);
/* Ends a use of the mailboxes that began by counting @doe_users up. */
void proxy_function_doe_put(struct proxy_function *function);
int proxy_function_set_tdisp(u32 number, u32 state);

/* --- doe.c --- */

int doe_exchange(struct tsm_proxy_doe __user *argument);

/* --- vmm.c: /dev/tsm-proxy-vmm --- */

/**
 * struct vmm_claim - a caller that is about to bind, unbind or ask for a function
 * @link: among all claims
 * @task: whose call it is; the operations run in its context
 * @pdev: the function
 * @binds: it is to bind, and the VFIO driver held the function when it was made
 * @gone: the driver's hold of the function ends
 * @asked: the operation got as far as the TSM
 * @flags: for BIND
 * @tvm: for BIND
 * @error: of UNBIND: what became of it
 * @code: from the reply
 */
struct vmm_claim {
	struct list_head link;
	struct task_struct *task;
	struct pci_dev *pdev;
	bool binds;
	bool gone;
	bool asked;
	u32 flags;
	u8 tvm[16];
	int error;
	u64 code;
};

int vmm_init(void);
void vmm_exit(void);
/* The running task's own claim to @pdev, or NULL if the operation comes from elsewhere */
struct vmm_claim *vmm_claim_of(struct pci_dev *pdev);
/* Something changed that STATE shows */
void vmm_changed(void);

#endif /* TSM_PROXY_INTERNAL_H */
