/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vca.h"
#include "core/refusal.h"

#include <errno.h>
#include <stdbool.h>

static bool at_most_one(uint32_t bits)
{
	return (bits & (bits - 1)) == 0;
}

/* What was chosen has to be one of what was offered, or nothing. */
static bool choice(uint32_t chosen, uint32_t offered)
{
	return at_most_one(chosen) && (chosen & ~offered) == 0;
}

static bool versions_contain(const SpdmVersions *versions, uint8_t version)
{
	for (unsigned int i = 0; i < versions->n_entries; i++)
		if (versions->entries[i] >> 8 == version)
			return true;
	return false;
}

static int take_all(Vca *ret, SpdmVersions *ret_versions, ByteReader *r, const char **ret_message)
{
	int k;

	*ret_message = "GET_VERSION";
	k = spdm_get_version_take(r);
	if (k < 0)
		return k;
	*ret_message = "VERSION";
	k = spdm_version_take(r, ret_versions);
	if (k < 0)
		return k;
	*ret_message = "GET_CAPABILITIES";
	k = spdm_get_capabilities_take(r, &ret->requester);
	if (k < 0)
		return k;
	*ret_message = "CAPABILITIES";
	k = spdm_capabilities_take(r, &ret->responder);
	if (k < 0)
		return k;
	*ret_message = "NEGOTIATE_ALGORITHMS";
	k = spdm_negotiate_algorithms_take(r, &ret->offered);
	if (k < 0)
		return k;
	*ret_message = "ALGORITHMS";
	return spdm_algorithms_take(r, &ret->chosen);
}

int vca_parse(Vca *ret, const void *data, size_t size, char **ret_error)
{
	Vca vca = { .version = SPDM_VERSION_1_2 };
	ByteReader r = byte_reader(data, size);
	const SpdmAlgorithms *c = &vca.chosen, *o = &vca.offered;
	const char *message;
	SpdmVersions versions;
	int k;

	k = take_all(&vca, &versions, &r, &message);
	if (k == -EPROTONOSUPPORT)
		return refuse(ret_error, k, "VCA: %s is not of SPDM 1.2", message);
	if (k < 0)
		return refuse(ret_error, k, "VCA: %s is malformed", message);
	if (!bytes_taken_all(&r))
		return refuse(ret_error, -EBADMSG, "VCA: %zu bytes after ALGORITHMS", r.left);
	if (!versions_contain(&versions, SPDM_VERSION_1_2))
		return refuse(ret_error, -EPROTONOSUPPORT,
			      "VCA: the device did not offer SPDM 1.2, but it was used");
	if (!choice(c->base_asym, o->base_asym) || !choice(c->base_hash, o->base_hash) ||
	    !choice(c->measurement_spec, o->measurement_spec) ||
	    !choice(c->other_params, o->other_params) || !at_most_one(c->measurement_hash) ||
	    (c->tables & ~o->tables) || !choice(c->dhe, o->dhe) || !choice(c->aead, o->aead) ||
	    !choice(c->request_asym, o->request_asym) || !choice(c->key_schedule, o->key_schedule))
		return refuse(ret_error, -EBADMSG,
			      "VCA: the device chose algorithms that had not been offered");
	*ret = vca;
	return 0;
}
