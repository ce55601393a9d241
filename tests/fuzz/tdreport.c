/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said to be a TDREPORT; those that are the emulated platform's are of its key 0, 1, 2...
 */
#include "core/tdreport.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static bool within(const uint8_t *data, const uint8_t *field, size_t size)
{
	return field >= data && field + size <= data + TDREPORT_SIZE;
}

static void check_fields(const Tdreport *t, const uint8_t *data)
{
	CHECK(within(data, t->cpu_svn, TDREPORT_CPUSVN_SIZE));
	CHECK(within(data, t->tcb_info_hash, DIGEST_SIZE));
	CHECK(t->td_info_hash == t->tcb_info_hash + DIGEST_SIZE);
	CHECK(t->report_data == t->td_info_hash + DIGEST_SIZE);
	CHECK(t->mac == data + TDREPORT_MAC_OFFSET);
	CHECK(t->tcb_info == data + TDREPORT_TCB_INFO_OFFSET);
	CHECK(t->td_info == data + TDREPORT_TD_INFO_OFFSET && t->attributes == t->td_info);
	CHECK(t->xfam == t->attributes + 8 && t->mr_td == t->xfam + 8);
	CHECK(t->mr_owner_config == t->mr_td + (size_t)3 * DIGEST_SIZE);
	CHECK(within(data, t->rt_mr[TDREPORT_RTMRS - 1], DIGEST_SIZE));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t key[TDREPORT_KEY_SIZE];
	const char *why = NULL;
	Tdreport t;
	int r = tdreport_parse(&t, data, size, &why);

	if (r < 0) {
		CHECK(r == -EBADMSG && why && fuzz_is_shown(why));
		return false;
	}
	CHECK(r == 0 && size == TDREPORT_SIZE && data[0] == TDREPORT_TYPE);
	check_fields(&t, data);
	for (uint8_t i = 0; i < sizeof(key); i++)
		key[i] = i;
	r = tdreport_verify(&t, key, &why);
	CHECK(r == 0 || (r == -EBADMSG && why && fuzz_is_shown(why)));
	CHECK(r < 0 || tdreport_check_hashes(&t, NULL) == 0);
	return true;
}
