/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/guest-message.h"
#include "core/bytes.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>

#define HEADER_VERSION 1
#define IV_SIZE	       12
#define INFO_TEXT      "tdid guest message v1"
#define INFO_TEXT_SIZE (sizeof(INFO_TEXT) - 1)
#define INFO_SIZE      (INFO_TEXT_SIZE + GUEST_MESSAGE_SESSION_SIZE + GUEST_MESSAGE_UUID_SIZE + 1)

_Static_assert(GUEST_MESSAGE_HEADER_SIZE % 16 == 0, "the payload is aligned");

static const char *const outcomes[_GUEST_MESSAGE_OUTCOME_MAX] = {
	[GUEST_MESSAGE_OK] = "The message is authentic.",
	[GUEST_MESSAGE_DUPLICATE] = "The last request came again and gets the same answer.",
	[GUEST_MESSAGE_UNANSWERED] = "The last request is still being worked on.",
	[GUEST_MESSAGE_MALFORMED] = "The message is malformed.",
	[GUEST_MESSAGE_UNKNOWN_SESSION] =
		"The session is unknown or has been replaced: a new OPEN is needed.",
	[GUEST_MESSAGE_OUT_OF_SEQUENCE] = "The message is out of sequence.",
	[GUEST_MESSAGE_UNRELATED] = "The response belongs to another request.",
	[GUEST_MESSAGE_FORGED] =
		("The message is not authentic: it was altered on the way, or the other side "
		 "has another key."),
	[GUEST_MESSAGE_UNEXPECTED] = "There is no request that this could answer.",
};

const char *guest_message_outcome_sentence(GuestMessageOutcome outcome)
{
	return (unsigned int)outcome < _GUEST_MESSAGE_OUTCOME_MAX ? outcomes[outcome] : "Unknown.";
}

const char *guest_message_type_name(uint8_t type)
{
	switch (type & ~GUEST_MESSAGE_RESPONSE) {
	case GUEST_MESSAGE_OPEN: return "open";
	case GUEST_MESSAGE_TDI_INFO: return "tdi_info";
	case GUEST_MESSAGE_TDI_VALIDATE: return "tdi_validate";
	case GUEST_MESSAGE_MMIO_VALIDATE: return "mmio_validate";
	case GUEST_MESSAGE_TDI_STATE: return "tdi_state";
	case GUEST_MESSAGE_TDREPORT: return "tdreport";
	case GUEST_MESSAGE_TDI_LOCK: return "tdi_lock";
	default: return "unknown";
	}
}

/* An unknown request type is let through: a sealed "unsupported" answers it. */
static bool header_sane(const GuestMessageHeader *h, size_t size)
{
	bool response = h->type & GUEST_MESSAGE_RESPONSE;
	bool open = (h->type & ~GUEST_MESSAGE_RESPONSE) == GUEST_MESSAGE_OPEN;
	size_t tag = open ? 0 : GUEST_MESSAGE_TAG_SIZE;

	if (h->direction > GUEST_MESSAGE_TO_TVM ||
	    response != (h->direction == GUEST_MESSAGE_TO_TVM) ||
	    h->payload_size > GUEST_MESSAGE_MAX_PAYLOAD)
		return false;
	if (open && (h->payload_size != GUEST_MESSAGE_NONCE_SIZE || h->sequence != 0))
		return false;
	return size == GUEST_MESSAGE_HEADER_SIZE + (size_t)h->payload_size + tag;
}

int guest_message_header_parse(GuestMessageHeader *ret, const void *message, size_t size)
{
	ByteReader r = byte_reader(message, size);
	GuestMessageHeader h;

	if (bytes_take_u32(&r) != GUEST_MESSAGE_MAGIC || bytes_take_u8(&r) != HEADER_VERSION)
		return -EBADMSG;
	h.direction = bytes_take_u8(&r);
	h.type = bytes_take_u8(&r);
	bytes_take_zero(&r, 1);
	h.payload_size = bytes_take_u32(&r);
	bytes_take_zero(&r, 4);
	bytes_take_copy(&r, h.session, sizeof(h.session));
	h.sequence = bytes_take_u64(&r);
	h.request_id = bytes_take_u64(&r);
	if (r.failed || !header_sane(&h, size))
		return -EBADMSG;
	*ret = h;
	return 0;
}

void guest_message_header_write(const GuestMessageHeader *header,
				uint8_t ret[static GUEST_MESSAGE_HEADER_SIZE])
{
	ByteWriter w = byte_writer(ret, GUEST_MESSAGE_HEADER_SIZE);

	bytes_put_u32(&w, GUEST_MESSAGE_MAGIC);
	bytes_put_u8(&w, HEADER_VERSION);
	bytes_put_u8(&w, header->direction);
	bytes_put_u8(&w, header->type);
	bytes_put_zero(&w, 1);
	bytes_put_u32(&w, header->payload_size);
	bytes_put_zero(&w, 4);
	bytes_put(&w, header->session, sizeof(header->session));
	bytes_put_u64(&w, header->sequence);
	bytes_put_u64(&w, header->request_id);
}

static int hkdf(EVP_KDF_CTX *context, uint8_t *ret, const uint8_t *key, uint8_t *salt,
		uint8_t *info)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA384", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key,
						  GUEST_MESSAGE_KEY_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt,
						  2 * GUEST_MESSAGE_NONCE_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, INFO_SIZE),
		OSSL_PARAM_construct_end(),
	};

	return EVP_KDF_derive(context, ret, GUEST_MESSAGE_KEY_SIZE, parameters) == 1 ? 0 : -EIO;
}

int guest_message_keys_derive(GuestMessageKeys *ret, const uint8_t *tvm_key,
			      const uint8_t *agent_nonce, const uint8_t *tsm_nonce,
			      const uint8_t *session, const uint8_t *tvm_uuid)
{
	uint8_t salt[2 * GUEST_MESSAGE_NONCE_SIZE], info[INFO_SIZE];
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	int r = kdf ? 0 : -EIO;

	memcpy(salt, agent_nonce, GUEST_MESSAGE_NONCE_SIZE);
	memcpy(salt + GUEST_MESSAGE_NONCE_SIZE, tsm_nonce, GUEST_MESSAGE_NONCE_SIZE);
	memcpy(info, INFO_TEXT, INFO_TEXT_SIZE);
	memcpy(info + INFO_TEXT_SIZE, session, GUEST_MESSAGE_SESSION_SIZE);
	memcpy(info + INFO_TEXT_SIZE + GUEST_MESSAGE_SESSION_SIZE, tvm_uuid,
	       GUEST_MESSAGE_UUID_SIZE);
	for (uint8_t direction = 0; r == 0 && direction <= GUEST_MESSAGE_TO_TVM; direction++) {
		EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);

		info[INFO_SIZE - 1] = direction;
		r = context ? hkdf(context, ret->key[direction], tvm_key, salt, info) : -EIO;
		EVP_KDF_CTX_free(context);
	}
	EVP_KDF_free(kdf);
	if (r < 0)
		guest_message_keys_wipe(ret);
	return r;
}

void guest_message_keys_wipe(GuestMessageKeys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

static void make_iv(uint8_t iv[static IV_SIZE], uint64_t sequence)
{
	ByteWriter w = byte_writer(iv, IV_SIZE);

	bytes_put_zero(&w, 4);
	bytes_put_u64(&w, sequence);
}

int guest_message_seal(const GuestMessageKeys *keys, const GuestMessageHeader *header,
		       const void *payload, uint8_t *ret)
{
	uint8_t *body = ret + GUEST_MESSAGE_HEADER_SIZE, *tag = body + header->payload_size;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = (int)header->payload_size, out;
	uint8_t iv[IV_SIZE];
	bool ok;

	guest_message_header_write(header, ret);
	make_iv(iv, header->sequence);
	ok = c &&
	     EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, keys->key[header->direction], iv) ==
		     1 &&
	     EVP_EncryptUpdate(c, NULL, &out, ret, GUEST_MESSAGE_HEADER_SIZE) == 1 &&
	     (n == 0 || EVP_EncryptUpdate(c, body, &out, payload, n) == 1) &&
	     EVP_EncryptFinal_ex(c, tag, &out) == 1 &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, GUEST_MESSAGE_TAG_SIZE, tag) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -EIO;
}

int guest_message_unseal(const GuestMessageKeys *keys, const GuestMessageHeader *header,
			 const void *message, void *payload)
{
	const uint8_t *body = (const uint8_t *)message + GUEST_MESSAGE_HEADER_SIZE;
	const uint8_t *tag = body + header->payload_size;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = (int)header->payload_size, out, r = 0;
	uint8_t iv[IV_SIZE], end[GUEST_MESSAGE_TAG_SIZE];

	make_iv(iv, header->sequence);
	if (!c ||
	    EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, keys->key[header->direction], iv) != 1 ||
	    EVP_DecryptUpdate(c, NULL, &out, message, GUEST_MESSAGE_HEADER_SIZE) != 1 ||
	    (n && EVP_DecryptUpdate(c, payload, &out, body, n) != 1) ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, GUEST_MESSAGE_TAG_SIZE, (void *)tag) != 1)
		r = -EIO;
	else if (EVP_DecryptFinal_ex(c, end, &out) != 1)
		r = -EKEYREJECTED;
	EVP_CIPHER_CTX_free(c);
	if (r < 0 && n)
		OPENSSL_cleanse(payload, (size_t)n);
	return r;
}
