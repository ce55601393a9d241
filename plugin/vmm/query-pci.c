/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/query-pci.h"

#include "rpc/json.h"
#include "vmm/sentence.h"

#include <errno.h>
#include <string.h>

/* QEMU qapi/pci.json: PciInfo, PciDeviceInfo, PciBridgeInfo. Members not named here are skipped. */
typedef struct Bus {
	uint32_t number;
	json_object *devices;
} Bus;

static const JsonField bus_fields[] = {
	{ "bus", JSON_FIELD_U32, JSON_REQUIRED, offsetof(Bus, number), 0, 255 },
	{ "devices", JSON_FIELD_ARRAY, JSON_REQUIRED, offsetof(Bus, devices) },
	{}
};

typedef struct Device {
	uint32_t bus, slot, function;
	const char *qdev_id;
	json_object *bridge;
} Device;

static const JsonField device_fields[] = {
	{ "bus", JSON_FIELD_U32, JSON_REQUIRED, offsetof(Device, bus), 0, 255 },
	{ "slot", JSON_FIELD_U32, JSON_REQUIRED, offsetof(Device, slot), 0, 31 },
	{ "function", JSON_FIELD_U32, JSON_REQUIRED, offsetof(Device, function), 0, 7 },
	{ "qdev_id", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(Device, qdev_id) },
	{ "pci_bridge", JSON_FIELD_OBJECT, 0, offsetof(Device, bridge) },
	{}
};

typedef struct Bridge {
	json_object *bus;
	json_object *devices;
} Bridge;

static const JsonField bridge_fields[] = {
	{ "bus", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(Bridge, bus) },
	{ "devices", JSON_FIELD_ARRAY, 0, offsetof(Bridge, devices) },
	{}
};

typedef struct BridgeBus {
	uint32_t secondary;
} BridgeBus;

static const JsonField bridge_bus_fields[] = {
	{ "secondary", JSON_FIELD_U32, JSON_REQUIRED, offsetof(BridgeBus, secondary), 0, 255 }, {}
};

typedef struct Walk {
	QueryPci *q;
	size_t n_seen;
	char **ret_error;
} Walk;

static int dispatch(Walk *walk, json_object *object, const JsonField *fields, void *dest,
		    const char *what)
{
	_cleanup_free_ char *error = NULL;
	int r = json_dispatch(object, fields, dest, JSON_ALLOW_UNKNOWN, &error);

	if (r == -EINVAL)
		return sentence(walk->ret_error, -EBADMSG, "query-pci: %s: %s", what,
				error ?: "malformed");
	return r;
}

static int remember(Walk *walk, const Device *device, bool assigned)
{
	QueryPci *q = walk->q;
	GuestPciFunction *f;

	if (query_pci_find(q, device->qdev_id))
		return sentence(
			walk->ret_error, -EBADMSG,
			"query-pci: %s is listed twice: the guest gave two bridges the same "
			"bus number",
			device->qdev_id);
	f = reallocarray(q->functions, q->n_functions + 1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	q->functions = f;
	f += q->n_functions;
	*f = (GuestPciFunction){ .alias = strdup(device->qdev_id),
				 .bus = (uint8_t)device->bus,
				 .slot = (uint8_t)device->slot,
				 .function = (uint8_t)device->function,
				 .assigned = assigned };
	if (!f->alias)
		return -ENOMEM;
	q->n_functions++;
	return 0;
}

/* `bus` is the number that the devices must repeat; depth counts the bridges above them. */
static int walk_devices(Walk *walk, json_object *devices, uint32_t bus, unsigned depth)
{
	if (depth > QUERY_PCI_MAX_DEPTH)
		return sentence(walk->ret_error, -E2BIG,
				"query-pci: more than %u bridges behind each other",
				QUERY_PCI_MAX_DEPTH);

	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		Device device = {};
		Bridge bridge = {};
		BridgeBus below = {};
		int r;

		if (++walk->n_seen > QUERY_PCI_MAX_DEVICES)
			return sentence(walk->ret_error, -E2BIG, "query-pci: more than %u devices",
					QUERY_PCI_MAX_DEVICES);
		r = dispatch(walk, json_object_array_get_idx(devices, i), device_fields, &device,
			     "a device");
		if (r < 0)
			return r;
		if (device.bus != bus)
			return sentence(walk->ret_error, -EBADMSG,
					"query-pci: '%s' says bus %u, but is listed on bus %u",
					device.qdev_id, device.bus, bus);
		/* Devices that nobody named have an empty id. */
		if (device.qdev_id[0]) {
			/* Bus 0 is always a root bus, so behind a bridge it means "none yet". */
			r = remember(walk, &device, depth == 0 || bus != 0);
			if (r < 0)
				return r;
		}
		if (!device.bridge)
			continue;
		r = dispatch(walk, device.bridge, bridge_fields, &bridge, "a bridge");
		if (r < 0)
			return r;
		r = dispatch(walk, bridge.bus, bridge_bus_fields, &below, "a bridge's bus");
		if (r < 0)
			return r;
		if (bridge.devices) {
			r = walk_devices(walk, bridge.devices, below.secondary, depth + 1);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int walk_buses(Walk *walk, json_object *reply)
{
	json_object *buses = json_get_array(reply, "return");
	json_object *error = json_get_object(reply, "error");

	if (error)
		return sentence(walk->ret_error, -EREMOTEIO, "query-pci: QEMU answered: %s",
				json_shown(json_get_string(error, "desc")
						   ?: "an error without description"));
	if (!buses)
		return sentence(walk->ret_error, -EBADMSG,
				"query-pci: the answer has no array 'return'");
	for (size_t i = 0; i < json_object_array_length(buses); i++) {
		Bus bus = {};
		int r;

		r = dispatch(walk, json_object_array_get_idx(buses, i), bus_fields, &bus, "a bus");
		if (r < 0)
			return r;
		r = walk_devices(walk, bus.devices, bus.number, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int query_pci_parse(QueryPci **ret, const char *text, size_t len, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *reply = NULL;
	_cleanup_(query_pci_freep) QueryPci *q = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	r = json_parse_limited(&reply, text, len, QUERY_PCI_MAX_BYTES, &error);
	if (r < 0)
		return sentence(ret_error, r, "query-pci: %s", error ?: "no memory");
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	r = walk_buses(&(Walk){ .q = q, .ret_error = ret_error }, reply);
	if (r < 0)
		return r;
	*ret = steal_ptr(q);
	return 0;
}

QueryPci *query_pci_free(QueryPci *q)
{
	if (!q)
		return NULL;
	for (size_t i = 0; i < q->n_functions; i++)
		free(q->functions[i].alias);
	free(q->functions);
	free(q);
	return NULL;
}

const GuestPciFunction *query_pci_find(const QueryPci *q, const char *alias)
{
	for (size_t i = 0; i < q->n_functions; i++)
		if (strcmp(q->functions[i].alias, alias) == 0)
			return &q->functions[i];
	return NULL;
}
