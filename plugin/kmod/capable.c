// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which functions count as TEE-IO capable: those that say so themselves, and those that the
 * module's parameter names. For the latter the bit is set in the kernel's copy of the Device
 * Capabilities register, which is what PCI/TSM goes by; the device is not touched. It is cleared
 * again when the module goes.
 *
 * The kernel decides about a function's tsm/ attributes before a module hears of a function that
 * appears later; so for those the decision is made once more.
 */
#include <linux/module.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>

#include "internal.h"

#define ENTRIES_MAX 64

struct entry {
	bool by_id;
	u16 vendor, device;
	u32 number;
};

static struct entry entries[ENTRIES_MAX];
static unsigned int entry_count;
/* Functions in which this module has set the bit, by number */
static DEFINE_XARRAY(marked);

static bool parse_entry(const char *text, struct entry *entry)
{
	unsigned int segment, bus, slot, function;
	int end = 0;

	*entry = (struct entry){};
	if (sscanf(text, "%4hx:%4hx%n", &entry->vendor, &entry->device, &end) == 2 && end == 9 &&
	    !text[end]) {
		entry->by_id = true;
		return true;
	}
	end = 0;
	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &segment, &bus, &slot, &function, &end) == 4 &&
	    end == 12 && !text[end] && slot < 32 && function < 8) {
		entry->number = TSM_PROXY_FUNCTION(segment, bus, slot, function);
		return true;
	}
	return false;
}

static int parse(const char *list)
{
	char *copy __free(kfree) = kstrdup(list, GFP_KERNEL);
	char *rest = copy, *text;

	if (!copy)
		return -ENOMEM;
	while ((text = strsep(&rest, ",")) != NULL) {
		if (!*text)
			continue;
		if (entry_count == ENTRIES_MAX) {
			pr_err("tsm-proxy: capable: more than %d entries\n", ENTRIES_MAX);
			return -E2BIG;
		}
		if (!parse_entry(text, &entries[entry_count])) {
			pr_err("tsm-proxy: capable: '%s' is neither vvvv:dddd nor ssss:bb:dd.f\n",
			       text);
			return -EINVAL;
		}
		entry_count++;
	}
	return 0;
}

static bool is_listed(struct pci_dev *pdev, u32 number)
{
	for (unsigned int i = 0; i < entry_count; i++) {
		struct entry *entry = &entries[i];

		if (entry->by_id ? entry->vendor == pdev->vendor && entry->device == pdev->device :
				   entry->number == number)
			return true;
	}
	return false;
}

static bool mark(struct pci_dev *pdev)
{
	u32 number;

	if (pdev->is_virtfn || !pci_is_pcie(pdev) || (pdev->devcap & PCI_EXP_DEVCAP_TEE) ||
	    !proxy_function_number(pdev, &number) || !is_listed(pdev, number))
		return false;
	if (xa_err(xa_store(&marked, number, xa_mk_value(1), GFP_KERNEL)))
		return false;
	pdev->devcap |= PCI_EXP_DEVCAP_TEE;
	pci_info(pdev, "tsm-proxy: counts as TEE-IO capable by the module's parameter\n");
	return true;
}

static void unmark(struct pci_dev *pdev)
{
	u32 number;

	if (proxy_function_number(pdev, &number) && xa_erase(&marked, number))
		pdev->devcap &= ~PCI_EXP_DEVCAP_TEE;
}

bool capable_has(struct pci_dev *pdev)
{
	return pdev->devcap & PCI_EXP_DEVCAP_TEE;
}

static bool is_tsm_group(const struct attribute_group *group)
{
	if (group->name)
		return strcmp(group->name, "tsm") == 0;
	return group->attrs && group->attrs[0] &&
	       strcmp(group->attrs[0]->name, "authenticated") == 0;
}

static void refresh_attributes(struct pci_dev *pdev)
{
	const struct attribute_group **groups = NULL;

	if (pdev->dev.type)
		groups = (const struct attribute_group **)pdev->dev.type->groups;
	for (; groups && *groups; groups++)
		if (is_tsm_group(*groups) && sysfs_update_group(&pdev->dev.kobj, *groups))
			pci_warn(pdev,
				 "tsm-proxy: its tsm attributes come at the next TSM's start\n");
}

static int bus_notify(struct notifier_block *block, unsigned long action, void *data)
{
	struct device *dev = data;

	if (!dev_is_pci(dev))
		return NOTIFY_DONE;
	if (action == BUS_NOTIFY_ADD_DEVICE && mark(to_pci_dev(dev)))
		refresh_attributes(to_pci_dev(dev));
	else if (action == BUS_NOTIFY_REMOVED_DEVICE)
		unmark(to_pci_dev(dev));
	return NOTIFY_DONE;
}

static struct notifier_block bus_notifier = { .notifier_call = bus_notify };

int capable_init(const char *list)
{
	struct pci_dev *pdev = NULL;
	int result = parse(list);

	if (result)
		return result;
	result = bus_register_notifier(&pci_bus_type, &bus_notifier);
	if (result)
		return result;
	for_each_pci_dev(pdev)
		mark(pdev);
	return 0;
}

void capable_exit(void)
{
	struct pci_dev *pdev = NULL;

	bus_unregister_notifier(&pci_bus_type, &bus_notifier);
	for_each_pci_dev(pdev)
		unmark(pdev);
	xa_destroy(&marked);
}
