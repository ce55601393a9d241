/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include "core/measurement-block.h"
#include "tsm/emulated/firmware.h"
#include "tsm/emulated/reference.h"

#include <errno.h>

static json_object *reference(const char *device_extra, const char *device)
{
	_cleanup_(config_freep) Config *config = testing_config("", device_extra);
	_cleanup_free_ char *error = NULL;
	json_object *object = NULL;
	int r = reference_make(&object, config, testing_bdf(device), &error);

	cr_assert_eq(r < 0, error != NULL);
	cr_assert_eq(r < 0, object == NULL);
	return object;
}

/* The member of the measurement with that index, as text. */
static const char *measurement(json_object *object, unsigned int i, const char *member)
{
	json_object *device = json_object_array_get_idx(json_get_array(object, "devices"), 0);
	json_object *list = json_get_array(device, "measurements");

	return json_get_string(json_object_array_get_idx(list, i), member);
}

TestSuite(emulated_reference, .init = testing_host_new, .fini = testing_host_remove);

Test(emulated_reference, refuses_what_is_no_device)
{
	cr_assert_null(reference("", ABSENT));
	cr_assert_null(reference("", OTHER_PF));
	cr_assert_null(reference("", PLAIN_PF));
}

Test(emulated_reference, a_vf_is_named_by_its_pf)
{
	_cleanup_(json_unrefp) json_object *pf = reference("", PF), *vf = reference("", VF0);
	json_object *device = json_object_array_get_idx(json_get_array(vf, "devices"), 0), *shared;

	cr_assert_str_eq(json_get_string(device, "vendor"), "8086");
	cr_assert_str_eq(json_get_string(device, "device"), "10c9");
	cr_assert_str_eq(json_get_string(device, "class"), "020000");
	cr_assert_str_eq(json_get_string(device, "subsystem_vendor"), "8086");
	cr_assert_str_eq(json_object_to_json_string(json_get_array(pf, "roots")),
			 json_object_to_json_string(json_get_array(vf, "roots")));
	cr_assert(strstr(json_object_get_string(
				 json_object_array_get_idx(json_get_array(vf, "roots"), 0)),
			 "-----BEGIN CERTIFICATE-----") != NULL);
	shared = json_get_array(vf, "allow_shared_ranges");
	cr_assert_eq(json_object_array_length(shared), 2);
	cr_assert_eq(json_get_int(json_object_array_get_idx(shared, 1), "bar", -1), 3);
	cr_assert_eq(json_get_int(json_object_array_get_idx(shared, 1), "offset", -1), 0x2000);
	cr_assert_eq(json_get_int(json_object_array_get_idx(shared, 1), "size", -1), 0x1000);
}

/* Another firmware is another measurement of the firmware, and of nothing else. */
Test(emulated_reference, firmware_counts)
{
	_cleanup_(json_unrefp) json_object *one = reference("", PF);
	_cleanup_(json_unrefp) json_object *again = reference("", PF);
	_cleanup_(json_unrefp) json_object *two = reference(", \"firmware\": \"2.0\"", PF);
	_cleanup_(json_unrefp) json_object *debug = reference(", \"debug\": true", PF);

	for (unsigned int i = 0; i < 4; i++) {
		const char *digest = measurement(one, i, "digest");

		cr_assert_eq(strlen(digest), 96);
		cr_assert_str_eq(digest, measurement(again, i, "digest"));
		cr_assert_eq(strcmp(digest, measurement(two, i, "digest")) == 0, i == 0 || i == 2,
			     "block %u", i + 1);
	}
	cr_assert_str_eq(measurement(one, 5, "digest"), measurement(two, 5, "digest"));
	cr_assert_str_neq(measurement(one, 5, "digest"), measurement(debug, 5, "digest"));
}

Test(emulated_reference, record_says_what_is_configured)
{
	const Firmware firmware = { .identity = { .vendor = 0x8086 },
				    .name = "x",
				    .svn = 0x0102030405060708,
				    .debug = true };
	_cleanup_free_ MeasurementSet *set = calloc(1, sizeof(*set));
	uint8_t record[FIRMWARE_RECORD_SIZE];
	MeasurementDeviceMode mode;
	uint64_t svn;

	cr_assert_eq(firmware_record(&firmware, record), 0);
	cr_assert_eq(measurement_set_add(set, record, sizeof(record), FIRMWARE_N_BLOCKS, NULL), 0);
	cr_assert_eq(measurement_block_svn(measurement_set_find(set, FIRMWARE_INDEX_SVN), &svn), 0);
	cr_assert_eq(svn, firmware.svn);
	cr_assert_eq(measurement_block_device_mode(
			     measurement_set_find(set, MEASUREMENT_INDEX_DEVICE_MODE), &mode),
		     0);
	cr_assert_eq(mode.operational_state, MEASUREMENT_OPERATIONAL_NORMAL);
	cr_assert_eq(mode.mode_state, MEASUREMENT_DEBUG_NON_INVASIVE_ACTIVE);
}
