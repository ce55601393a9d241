/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An emulated quoting enclave in a folder of the test's own, and reports for it. */
#pragma once

#include "testing-host.h"

#include "core/tdreport.h"
#include "quote/emulated/enclave.h"

static const uint8_t testing_platform_key[TDREPORT_KEY_SIZE] = "the emulated platform's own key";

static inline PckChain *testing_pck_chain(void)
{
	_cleanup_free_ char *error = NULL;
	PckChain *chain = NULL;

	cr_assert_eq(pck_chain_open(&chain, testing_path("state"), &error), 0, "%s", error);
	return chain;
}

static inline Enclave *testing_enclave(void)
{
	_cleanup_(pck_chain_freep) PckChain *chain = testing_pck_chain();
	Enclave *enclave = NULL;

	cr_assert_eq(enclave_new(&enclave, testing_platform_key, chain), 0);
	return enclave;
}

/* Every measurement is told from every other. */
static inline void testing_report(uint8_t ret[static TDREPORT_SIZE])
{
	TdreportFields fields = { .attributes = 0x1122334455667788, .xfam = 0xe7 };

	memset(fields.report_data, 0xd0, sizeof(fields.report_data));
	memset(&fields.mr_td, 0xa0, sizeof(fields.mr_td));
	memset(&fields.mr_config_id, 0xa1, sizeof(fields.mr_config_id));
	memset(&fields.mr_owner, 0xa2, sizeof(fields.mr_owner));
	memset(&fields.mr_owner_config, 0xa3, sizeof(fields.mr_owner_config));
	for (uint8_t i = 0; i < TDREPORT_RTMRS; i++)
		memset(&fields.rt_mr[i], 0xb0 + i, sizeof(fields.rt_mr[i]));
	cr_assert_eq(tdreport_make(ret, &fields, testing_platform_key), 0);
}
