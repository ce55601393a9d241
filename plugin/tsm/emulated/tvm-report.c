/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tvm-report.h"

#include <stdio.h>
#include <string.h>

#define NOTHING_MEASURED "tdid emulated TVM, nothing measured"
#define TVM_TEXT	 "tdid emulated TVM "

int tvm_report_make(uint8_t ret[static TDREPORT_SIZE], Uuid tvm,
		    const uint8_t report_data[static TDREPORT_DATA_SIZE],
		    const uint8_t key[static TDREPORT_KEY_SIZE])
{
	TdreportFields fields = { .attributes = TVM_REPORT_ATTRIBUTES_DEBUG,
				  .xfam = TVM_REPORT_XFAM };
	char name[sizeof(TVM_TEXT) + UUID_STRING_SIZE] = TVM_TEXT;
	int r;

	uuid_format(tvm, name + strlen(TVM_TEXT));
	memcpy(fields.report_data, report_data, TDREPORT_DATA_SIZE);
	r = digest_of(&fields.mr_td, NOTHING_MEASURED, strlen(NOTHING_MEASURED));
	if (r == 0)
		r = digest_of(&fields.mr_config_id, name, strlen(name));
	return r < 0 ? r : tdreport_make(ret, &fields, key);
}
