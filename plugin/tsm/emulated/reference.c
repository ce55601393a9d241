/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reference.h"

#include "core/measurement-block.h"
#include "core/refusal.h"
#include "firmware.h"
#include "interface-layout.h"
#include "pki.h"

#include <errno.h>
#include <string.h>

static int add_measurement(json_object *list, const MeasurementBlock *block)
{
	char text[DIGEST_STRING_SIZE];
	json_object *object = NULL;
	uint64_t svn;
	Digest digest;
	int r;

	if (measurement_block_svn(block, &svn) == 0) {
		r = json_build(&object, J_INT("index", block->index),
			       J_INT("minimum_svn", (int64_t)svn));
	} else {
		r = measurement_block_digest(block, &digest);
		if (r == 0)
			r = json_build(&object, J_INT("index", block->index),
				       J_STRING("digest", digest_format(&digest, text)));
	}
	return r < 0 ? r : json_append_take(list, object);
}

static int make_measurements(json_object **ret, const DeviceIdentity *identity,
			     const ConfigDevice *config)
{
	const Firmware firmware = {
		.identity = *identity,
		.name = config->firmware,
		.svn = config->svn,
		.debug = config->debug,
	};
	_cleanup_(json_unrefp) json_object *list = json_object_new_array();
	_cleanup_free_ MeasurementSet *set = calloc(1, sizeof(*set));
	uint8_t record[FIRMWARE_RECORD_SIZE];
	int r;

	if (!set || !list)
		return -ENOMEM;
	r = firmware_record(&firmware, record);
	if (r == 0)
		r = measurement_set_add(set, record, sizeof(record), FIRMWARE_N_BLOCKS, NULL);
	for (size_t i = 0; r == 0 && i < set->n_blocks; i++)
		r = add_measurement(list, &set->blocks[i]);
	if (r == 0)
		*ret = steal_ptr(list);
	return r;
}

static int make_devices(json_object **ret, const DeviceIdentity *identity,
			const ConfigDevice *config)
{
	char vendor[5], device[5], class[7], subsystem_vendor[5];
	json_object *list = json_object_new_array(), *measurements = NULL, *object = NULL;
	int r;

	r = make_measurements(&measurements, identity, config);
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	snprintf(vendor, sizeof(vendor), "%04x", identity->vendor);
	snprintf(device, sizeof(device), "%04x", identity->device);
	snprintf(class, sizeof(class), "%06x", identity->class_code & 0xffffff);
	snprintf(subsystem_vendor, sizeof(subsystem_vendor), "%04x", identity->subsystem_vendor);
	r = json_build(&object, J_STRING("vendor", vendor), J_STRING("device", device),
		       J_STRING("class", class), J_STRING("subsystem_vendor", subsystem_vendor),
		       J_TAKE("measurements", measurements));
	if (r == 0)
		r = json_append_take(list, object);
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	*ret = list;
	return 0;
}

static int make_shared_ranges(json_object **ret, const HostFunction *function, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *list = json_object_new_array();
	InterfaceReport report;
	int r;

	if (interface_layout_ranges(&report, function, false) != 0)
		return refuse(ret_error, -EINVAL,
			      "its BARs cannot be described by an interface report");
	for (uint32_t i = 0; i < report.n_ranges; i++) {
		const InterfaceRange *range = &report.ranges[i];
		uint64_t start = function->bars[range->id].start;
		json_object *object = NULL;

		if (!(range->attributes & INTERFACE_RANGE_NON_TEE_MEM))
			continue;
		r = json_build(
			&object, J_INT("bar", range->id),
			J_INT("offset", (int64_t)(range->first_page * INTERFACE_REPORT_PAGE_SIZE -
						  start / INTERFACE_REPORT_PAGE_SIZE *
							  INTERFACE_REPORT_PAGE_SIZE)),
			J_INT("size", (int64_t)range->n_pages * INTERFACE_REPORT_PAGE_SIZE));
		if (r == 0)
			r = json_append_take(list, object);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(list);
	return 0;
}

static int make_roots(json_object **ret, const Config *config, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *list = json_object_new_array();
	_cleanup_(pki_freep) Pki *pki = NULL;
	_cleanup_free_ char *pem = NULL;
	int r;

	r = pki_open(&pki, config->state, ret_error);
	if (r == 0)
		r = pki_root_pem(pki, &pem);
	if (r == 0)
		r = json_append_string(list, pem);
	if (r == 0)
		*ret = steal_ptr(list);
	return r;
}

int reference_make(json_object **ret, const Config *config, Bdf device, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *roots = NULL, *devices = NULL, *ranges = NULL;
	HostFunction function, physical;
	const ConfigDevice *found;
	char name[BDF_STRING_SIZE];
	int r;

	r = host_function_read(&function, config->sysfs, device, ret_error);
	if (r == 0)
		r = host_function_read(&physical, config->sysfs, function.physical, ret_error);
	if (r < 0)
		return r;
	found = config_find(config, physical.bdf);
	if (!found || !found->tee_io)
		return refuse(ret_error, -ENODEV, "%s: the configuration names no TEE-IO device %s",
			      bdf_format(device, name), bdf_format(physical.bdf, name));
	r = make_roots(&roots, config, ret_error);
	if (r == 0)
		r = make_devices(&devices, &physical.identity, found);
	if (r == 0)
		r = make_shared_ranges(&ranges, &function, ret_error);
	if (r < 0)
		return r;
	return json_build(ret, J_REF("roots", roots), J_REF("devices", devices),
			  J_REF("allow_shared_ranges", ranges));
}
