/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/measurement-block.h"
#include "core/refusal.h"

#include <errno.h>
#include <string.h>

#define SPECIFICATION_DMTF 1
#define VALUE_HEADER_SIZE  3 /* type and size, counted in the block's size */
#define SVN_SIZE	   8
#define DEVICE_MODE_SIZE   16
#define INDEX_LAST	   0xfe
#define TYPE_LAST	   MEASUREMENT_STRUCTURED_MANIFEST

void measurement_block_put(ByteWriter *w, const MeasurementBlock *block)
{
	if (block->value_size > UINT16_MAX - VALUE_HEADER_SIZE) {
		w->failed = true;
		return;
	}
	bytes_put_u8(w, block->index);
	bytes_put_u8(w, SPECIFICATION_DMTF);
	bytes_put_u16(w, (uint16_t)(block->value_size + VALUE_HEADER_SIZE));
	bytes_put_u8(w, (uint8_t)(block->type | (block->raw ? MEASUREMENT_RAW : 0)));
	bytes_put_u16(w, block->value_size);
	bytes_put(w, block->value, block->value_size);
}

static int block_take(ByteReader *r, MeasurementBlock *ret, char **ret_error)
{
	uint8_t index = bytes_take_u8(r);
	uint8_t specification = bytes_take_u8(r);
	uint16_t size = bytes_take_u16(r);
	uint8_t type = bytes_take_u8(r);
	uint16_t value_size = bytes_take_u16(r);
	const uint8_t *value = bytes_take(r, value_size);

	if (r->failed)
		return refuse(ret_error, -EBADMSG, "measurement record ends inside a block");
	if (index == 0 || index > INDEX_LAST)
		return refuse(ret_error, -EBADMSG,
			      "measurement block with the reserved index 0x%02x", index);
	if (specification != SPECIFICATION_DMTF)
		return refuse(ret_error, -EBADMSG,
			      "measurement block 0x%02x follows specification 0x%02x, not DMTF's",
			      index, specification);
	if (size != value_size + VALUE_HEADER_SIZE)
		return refuse(ret_error, -EBADMSG,
			      "measurement block 0x%02x: size %u does not fit a value of %u bytes",
			      index, size, value_size);
	*ret = (MeasurementBlock){ .index = index,
				   .type = type & 0x7f,
				   .raw = type & MEASUREMENT_RAW,
				   .value_size = value_size,
				   .value = value };
	if (ret->type > TYPE_LAST)
		return refuse(ret_error, -EBADMSG, "measurement block 0x%02x is of unknown type %u",
			      index, ret->type);
	if (!ret->raw && value_size != DIGEST_SIZE)
		return refuse(ret_error, -EBADMSG,
			      "measurement block 0x%02x: a digest of %u bytes, SHA-384 has %u",
			      index, value_size, DIGEST_SIZE);
	return 0;
}

int measurement_set_add(MeasurementSet *set, const void *record, size_t size, unsigned int n_blocks,
			char **ret_error)
{
	ByteReader r = byte_reader(record, size);
	size_t n_before = set->n_blocks;
	int k = 0;

	for (unsigned int i = 0; i < n_blocks && k == 0; i++) {
		MeasurementBlock block;

		k = block_take(&r, &block, ret_error);
		if (k == 0 && measurement_set_find(set, block.index))
			k = refuse(ret_error, -EBADMSG, "measurement block 0x%02x appears twice",
				   block.index);
		/* Distinct indices: there is always room. */
		if (k == 0)
			set->blocks[set->n_blocks++] = block;
	}
	if (k == 0 && r.left)
		k = refuse(ret_error, -EBADMSG, "%zu bytes after the last of %u measurement blocks",
			   r.left, n_blocks);
	if (k < 0)
		set->n_blocks = n_before;
	return k;
}

const MeasurementBlock *measurement_set_find(const MeasurementSet *set, uint8_t index)
{
	for (size_t i = 0; i < set->n_blocks; i++)
		if (set->blocks[i].index == index)
			return &set->blocks[i];
	return NULL;
}

int measurement_block_digest(const MeasurementBlock *block, Digest *ret)
{
	if (block->raw)
		return digest_of(ret, block->value, block->value_size);
	memcpy(ret->bytes, block->value, DIGEST_SIZE);
	return 0;
}

int measurement_block_svn(const MeasurementBlock *block, uint64_t *ret)
{
	ByteReader r = byte_reader(block->value, block->value_size);

	if (block->type != MEASUREMENT_SVN || !block->raw || block->value_size != SVN_SIZE)
		return -ENODATA;
	*ret = bytes_take_u64(&r);
	return 0;
}

int measurement_block_device_mode(const MeasurementBlock *block, MeasurementDeviceMode *ret)
{
	ByteReader r = byte_reader(block->value, block->value_size);

	if (block->type != MEASUREMENT_DEVICE_MODE || !block->raw ||
	    block->value_size != DEVICE_MODE_SIZE)
		return -ENODATA;
	ret->operational_capabilities = bytes_take_u32(&r);
	ret->operational_state = bytes_take_u32(&r);
	ret->mode_capabilities = bytes_take_u32(&r);
	ret->mode_state = bytes_take_u32(&r);
	return 0;
}
