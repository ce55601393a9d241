/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdreport.h"
#include "core/bytes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define TCB_INFO_PADDING                                                                           \
	(TDREPORT_TD_INFO_OFFSET - TDREPORT_TCB_INFO_OFFSET - TDREPORT_TCB_INFO_SIZE)
/* TEE_TCB_INFO of the emulated platform: which of the fields behind are there, then the TCB's
 * security version numbers. */
#define TCB_INFO_VALID	    0x1ffu
#define TCB_INFO_VALID_SIZE 8u
#define TCB_INFO_TCB_SVN    3u
#define TD_INFO_RESERVED    112u /* SERVTD_HASH and what is behind it */

_Static_assert(TDREPORT_MACED_SIZE + TDREPORT_MAC_SIZE == TDREPORT_TCB_INFO_OFFSET,
	       "REPORTMACSTRUCT ends where TEE_TCB_INFO begins");
_Static_assert(TDREPORT_TD_INFO_OFFSET + TDREPORT_TD_INFO_SIZE == TDREPORT_SIZE,
	       "TDINFO is the report's end");

static int refuse_form(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -EBADMSG;
}

static void take_td_info(Tdreport *report, ByteReader *r)
{
	report->td_info = r->at;
	report->attributes = bytes_take(r, 8);
	report->xfam = bytes_take(r, 8);
	report->mr_td = bytes_take(r, DIGEST_SIZE);
	report->mr_config_id = bytes_take(r, DIGEST_SIZE);
	report->mr_owner = bytes_take(r, DIGEST_SIZE);
	report->mr_owner_config = bytes_take(r, DIGEST_SIZE);
	for (unsigned int i = 0; i < TDREPORT_RTMRS; i++)
		report->rt_mr[i] = bytes_take(r, DIGEST_SIZE);
	bytes_take(r, TD_INFO_RESERVED); /* not zero with a service TD bound */
}

static bool version_known(uint8_t version)
{
	return version == 0 || version == 1 || version == 3;
}

int tdreport_parse(Tdreport *ret, const void *data, size_t size, const char **ret_why)
{
	ByteReader r = byte_reader(data, size);
	Tdreport report = {};
	uint8_t type;

	if (size != TDREPORT_SIZE)
		return refuse_form(ret_why, "it is not of 1,024 bytes");
	type = bytes_take_u8(&r);
	if (type != TDREPORT_TYPE)
		return refuse_form(ret_why, "its type is not that of a TD");
	if (bytes_take_u8(&r) > 1)
		return refuse_form(ret_why, "its subtype is unknown");
	report.version = bytes_take_u8(&r);
	if (!version_known(report.version))
		return refuse_form(ret_why, "its version is unknown");
	bytes_take_zero(&r, 1 + 12);
	report.cpu_svn = bytes_take(&r, TDREPORT_CPUSVN_SIZE);
	report.tcb_info_hash = bytes_take(&r, DIGEST_SIZE);
	report.td_info_hash = bytes_take(&r, DIGEST_SIZE);
	report.report_data = bytes_take(&r, TDREPORT_DATA_SIZE);
	bytes_take_zero(&r, 32);
	report.mac = bytes_take(&r, TDREPORT_MAC_SIZE);
	report.tcb_info = bytes_take(&r, TDREPORT_TCB_INFO_SIZE);
	bytes_take_zero(&r, TCB_INFO_PADDING);
	if (r.failed)
		return refuse_form(ret_why, "bytes that are reserved are not zero");
	take_td_info(&report, &r);
	if (!bytes_taken_all(&r))
		return refuse_form(ret_why, "its parts are not its size");
	*ret = report;
	return 0;
}

int tdreport_check_hashes(const Tdreport *report, const char **ret_why)
{
	Digest digest;
	int r;

	r = digest_of(&digest, report->tcb_info, TDREPORT_TCB_INFO_SIZE);
	if (r < 0)
		return r;
	if (CRYPTO_memcmp(digest.bytes, report->tcb_info_hash, DIGEST_SIZE) != 0)
		return refuse_form(ret_why,
				   "TEE_TCB_INFO does not have the hash that the MAC covers");
	r = digest_of(&digest, report->td_info, TDREPORT_TD_INFO_SIZE);
	if (r < 0)
		return r;
	if (CRYPTO_memcmp(digest.bytes, report->td_info_hash, DIGEST_SIZE) != 0)
		return refuse_form(ret_why, "TDINFO does not have the hash that the MAC covers");
	return 0;
}

static int compute_mac(uint8_t mac[static TDREPORT_MAC_SIZE], const uint8_t *report,
		       const uint8_t key[static TDREPORT_KEY_SIZE])
{
	unsigned int n = 0;

	if (!HMAC(EVP_sha256(), key, TDREPORT_KEY_SIZE, report, TDREPORT_MACED_SIZE, mac, &n) ||
	    n != TDREPORT_MAC_SIZE)
		return -EIO;
	return 0;
}

static void put_tcb_info(ByteWriter *w)
{
	size_t start = w->used;

	bytes_put_le(w, TCB_INFO_VALID, TCB_INFO_VALID_SIZE);
	for (unsigned int i = 0; i < 16; i++)
		bytes_put_u8(w, i < 2 ? TCB_INFO_TCB_SVN : 0);
	bytes_put_zero(w, TDREPORT_TCB_INFO_SIZE - (w->used - start));
}

static void put_td_info(ByteWriter *w, const TdreportFields *fields)
{
	bytes_put_u64(w, fields->attributes);
	bytes_put_u64(w, fields->xfam);
	bytes_put(w, fields->mr_td.bytes, DIGEST_SIZE);
	bytes_put(w, fields->mr_config_id.bytes, DIGEST_SIZE);
	bytes_put(w, fields->mr_owner.bytes, DIGEST_SIZE);
	bytes_put(w, fields->mr_owner_config.bytes, DIGEST_SIZE);
	for (unsigned int i = 0; i < TDREPORT_RTMRS; i++)
		bytes_put(w, fields->rt_mr[i].bytes, DIGEST_SIZE);
	bytes_put_zero(w, TD_INFO_RESERVED);
}

int tdreport_make(uint8_t ret[static TDREPORT_SIZE], const TdreportFields *fields,
		  const uint8_t key[static TDREPORT_KEY_SIZE])
{
	ByteWriter body = byte_writer(ret + TDREPORT_TCB_INFO_OFFSET,
				      TDREPORT_SIZE - TDREPORT_TCB_INFO_OFFSET);
	ByteWriter head = byte_writer(ret, TDREPORT_MACED_SIZE);
	Digest tcb_info, td_info;
	int r;

	put_tcb_info(&body);
	bytes_put_zero(&body, TCB_INFO_PADDING);
	put_td_info(&body, fields);
	r = digest_of(&tcb_info, ret + TDREPORT_TCB_INFO_OFFSET, TDREPORT_TCB_INFO_SIZE);
	if (r < 0)
		return r;
	r = digest_of(&td_info, ret + TDREPORT_TD_INFO_OFFSET, TDREPORT_TD_INFO_SIZE);
	if (r < 0)
		return r;
	bytes_put_u8(&head, TDREPORT_TYPE);
	bytes_put_zero(&head, 3 + 12 + TDREPORT_CPUSVN_SIZE);
	bytes_put(&head, tcb_info.bytes, DIGEST_SIZE);
	bytes_put(&head, td_info.bytes, DIGEST_SIZE);
	bytes_put(&head, fields->report_data, TDREPORT_DATA_SIZE);
	bytes_put_zero(&head, 32);
	return compute_mac(ret + TDREPORT_MAC_OFFSET, ret, key);
}

int tdreport_verify(const Tdreport *report, const uint8_t key[static TDREPORT_KEY_SIZE],
		    const char **ret_why)
{
	/* The MAC lies behind what it covers. */
	const uint8_t *start = report->mac - TDREPORT_MAC_OFFSET;
	uint8_t mac[TDREPORT_MAC_SIZE];
	int r;

	r = compute_mac(mac, start, key);
	if (r < 0)
		return r;
	if (CRYPTO_memcmp(mac, report->mac, sizeof(mac)) != 0)
		return refuse_form(ret_why, "its MAC is not this platform's");
	return tdreport_check_hashes(report, ret_why);
}
