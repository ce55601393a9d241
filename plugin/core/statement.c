/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/statement.h"
#include "core/bytes.h"

#include <errno.h>
#include <stdbool.h>

#define ALL_FLAGS                                                                                  \
	(STATEMENT_EMULATED | STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS |                     \
	 STATEMENT_INTEGRATED | STATEMENT_FRESH_MEASUREMENTS | STATEMENT_ACCEPTED)
#define LAST_TDISP_STATE 3
#define ALL_LOCK_FLAGS	 0x1f /* of TDISP LOCK_INTERFACE */
#define SLOTS		 8

static const char *const link_names[_STATEMENT_LINK_MAX] = {
	[STATEMENT_LINK_NONE] = "none",
	[STATEMENT_LINK_SELECTIVE_IDE] = "selective IDE",
	[STATEMENT_LINK_INTEGRATED] = "integrated",
	[STATEMENT_LINK_EMULATED] = "emulated",
};

const char *statement_link_name(StatementLink link)
{
	return (unsigned int)link < _STATEMENT_LINK_MAX ? link_names[link] : "unknown";
}

static bool statement_sane(const Statement *s)
{
	bool integrated = s->flags & STATEMENT_INTEGRATED;

	if ((s->flags & ~(uint32_t)ALL_FLAGS) || s->tdisp_state > LAST_TDISP_STATE ||
	    (s->lock_flags & ~ALL_LOCK_FLAGS) || s->slot >= SLOTS || s->link >= _STATEMENT_LINK_MAX)
		return false;
	if (s->link == STATEMENT_LINK_EMULATED && !(s->flags & STATEMENT_EMULATED))
		return false;
	return integrated == (s->link == STATEMENT_LINK_INTEGRATED);
}

int statement_parse(Statement *ret, const void *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	Statement s;

	if (size != STATEMENT_SIZE || bytes_take_u16(&r) != STATEMENT_VERSION ||
	    bytes_take_u16(&r) != STATEMENT_SIZE)
		return -EBADMSG;
	s.flags = bytes_take_u32(&r);
	bytes_take_copy(&r, s.tvm, sizeof(s.tvm));
	s.guest_rid = bytes_take_u32(&r);
	bytes_take_zero(&r, 4);
	s.generation = bytes_take_u64(&r);
	s.tdisp_state = bytes_take_u8(&r);
	s.spdm_version = bytes_take_u8(&r);
	s.slot = bytes_take_u8(&r);
	s.link = bytes_take_u8(&r);
	s.lock_flags = bytes_take_u16(&r);
	bytes_take_zero(&r, 2);
	s.base_asym = bytes_take_u32(&r);
	s.base_hash = bytes_take_u32(&r);
	s.aead = bytes_take_u16(&r);
	s.dhe = bytes_take_u16(&r);
	bytes_take_zero(&r, 4);
	bytes_take_copy(&r, s.evidence.certificates.bytes, DIGEST_SIZE);
	bytes_take_copy(&r, s.leaf_key.bytes, DIGEST_SIZE);
	bytes_take_copy(&r, s.evidence.vca.bytes, DIGEST_SIZE);
	bytes_take_copy(&r, s.evidence.measurements.bytes, DIGEST_SIZE);
	bytes_take_copy(&r, s.evidence.report.bytes, DIGEST_SIZE);
	s.evidence.identity_sequence = bytes_take_u64(&r);
	s.evidence.measurements_sequence = bytes_take_u64(&r);
	s.evidence.report_sequence = bytes_take_u64(&r);
	bytes_take_copy(&r, s.instance, sizeof(s.instance));
	bytes_take_copy(&r, s.nonce, sizeof(s.nonce));
	if (!bytes_taken_all(&r) || !statement_sane(&s))
		return -EBADMSG;
	*ret = s;
	return 0;
}

int statement_write(const Statement *s, uint8_t ret[static STATEMENT_SIZE])
{
	ByteWriter w = byte_writer(ret, STATEMENT_SIZE);

	if (!statement_sane(s))
		return -EINVAL;
	bytes_put_u16(&w, STATEMENT_VERSION);
	bytes_put_u16(&w, STATEMENT_SIZE);
	bytes_put_u32(&w, s->flags);
	bytes_put(&w, s->tvm, sizeof(s->tvm));
	bytes_put_u32(&w, s->guest_rid);
	bytes_put_zero(&w, 4);
	bytes_put_u64(&w, s->generation);
	bytes_put_u8(&w, s->tdisp_state);
	bytes_put_u8(&w, s->spdm_version);
	bytes_put_u8(&w, s->slot);
	bytes_put_u8(&w, s->link);
	bytes_put_u16(&w, s->lock_flags);
	bytes_put_zero(&w, 2);
	bytes_put_u32(&w, s->base_asym);
	bytes_put_u32(&w, s->base_hash);
	bytes_put_u16(&w, s->aead);
	bytes_put_u16(&w, s->dhe);
	bytes_put_zero(&w, 4);
	bytes_put(&w, s->evidence.certificates.bytes, DIGEST_SIZE);
	bytes_put(&w, s->leaf_key.bytes, DIGEST_SIZE);
	bytes_put(&w, s->evidence.vca.bytes, DIGEST_SIZE);
	bytes_put(&w, s->evidence.measurements.bytes, DIGEST_SIZE);
	bytes_put(&w, s->evidence.report.bytes, DIGEST_SIZE);
	bytes_put_u64(&w, s->evidence.identity_sequence);
	bytes_put_u64(&w, s->evidence.measurements_sequence);
	bytes_put_u64(&w, s->evidence.report_sequence);
	bytes_put(&w, s->instance, sizeof(s->instance));
	bytes_put(&w, s->nonce, sizeof(s->nonce));
	return w.failed || w.used != STATEMENT_SIZE ? -EINVAL : 0;
}
