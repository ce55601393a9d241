/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealed messages between a TVM and its TSM, that the host carries: an image of SEV-SNP guest
 * messages (AMD SEV-SNP firmware ABI, "Guest messages"). All little-endian:
 *
 *    0  u32     magic "TGM1"            12  u32     zero
 *    4  u8      header version, 1       16  u8[16]  session id
 *    5  u8      direction               32  u64     sequence
 *    6  u8      type                    40  u64     request id
 *    7  u8      zero                    48  payload, encrypted
 *    8  u32     size of the payload     ..  u8[16]  GCM tag
 *
 * The header is authenticated as a whole. OPEN is the exception: neither encrypted nor tagged, its
 * payload is a nonce, and it proves nothing until the first sealed message under the keys that come
 * of it. Differences from SEV-SNP: sessions, one key per direction (there: one key of the guest).
 *
 * Keys: HKDF-SHA384(key of the TVM, salt = agent's nonce || TSM's nonce,
 * info = "tdid guest message v1" || session id || TVM's UUID || direction byte), AES-256-GCM,
 * IV = 4 zero bytes || u64 sequence.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GUEST_MESSAGE_MAGIC	  0x314d4754U /* "TGM1" */
#define GUEST_MESSAGE_HEADER_SIZE 48
#define GUEST_MESSAGE_MAX_PAYLOAD 4096
#define GUEST_MESSAGE_TAG_SIZE	  16
#define GUEST_MESSAGE_MAX_SIZE                                                                     \
	(GUEST_MESSAGE_HEADER_SIZE + GUEST_MESSAGE_MAX_PAYLOAD + GUEST_MESSAGE_TAG_SIZE)
#define GUEST_MESSAGE_KEY_SIZE	   32
#define GUEST_MESSAGE_NONCE_SIZE   32
#define GUEST_MESSAGE_SESSION_SIZE 16
#define GUEST_MESSAGE_UUID_SIZE	   16
#define GUEST_MESSAGE_OPEN_SIZE	   (GUEST_MESSAGE_HEADER_SIZE + GUEST_MESSAGE_NONCE_SIZE)

typedef enum GuestMessageType {
	GUEST_MESSAGE_OPEN = 1,
	GUEST_MESSAGE_TDI_INFO = 2,
	GUEST_MESSAGE_TDI_VALIDATE = 3,
	GUEST_MESSAGE_MMIO_VALIDATE = 4,
	GUEST_MESSAGE_TDI_STATE = 5,
	GUEST_MESSAGE_TDREPORT = 6, /* of the emulated platform only: TDX has an instruction */
	GUEST_MESSAGE_TDI_LOCK = 7, /* where LOCK is the TVM's to ask for */
} GuestMessageType;

#define GUEST_MESSAGE_RESPONSE 0x80 /* or'ed to the request's type */

typedef enum GuestMessageDirection {
	GUEST_MESSAGE_TO_TSM = 0,
	GUEST_MESSAGE_TO_TVM = 1,
} GuestMessageDirection;

typedef struct GuestMessageHeader {
	uint8_t direction;
	uint8_t type; /* with GUEST_MESSAGE_RESPONSE in responses */
	uint32_t payload_size;
	uint8_t session[GUEST_MESSAGE_SESSION_SIZE];
	uint64_t sequence;
	uint64_t request_id;
} GuestMessageHeader;

/* What became of a message that came in. Everything but OK leaves all state as it was. */
typedef enum GuestMessageOutcome {
	GUEST_MESSAGE_OK = 0,
	GUEST_MESSAGE_DUPLICATE,  /* the last request again; here is the same answer */
	GUEST_MESSAGE_UNANSWERED, /* the last request is still being worked on */
	GUEST_MESSAGE_MALFORMED,
	GUEST_MESSAGE_UNKNOWN_SESSION, /* none such, or replaced: OPEN anew */
	GUEST_MESSAGE_OUT_OF_SEQUENCE,
	GUEST_MESSAGE_UNRELATED,  /* a response to something else than what was asked */
	GUEST_MESSAGE_FORGED,	  /* the tag does not fit: another key, or altered on the way */
	GUEST_MESSAGE_UNEXPECTED, /* nothing was asked */
	_GUEST_MESSAGE_OUTCOME_MAX,
} GuestMessageOutcome;

/* One sentence for an operator. */
const char *guest_message_outcome_sentence(GuestMessageOutcome outcome);

/* "tdi_info" and so on, "unknown" for what is none; a response has the name of its request. */
const char *guest_message_type_name(uint8_t type);

/*
 * Reads and checks the header of a whole message of `size` bytes, that it is followed by exactly
 * the payload and the tag (none for OPEN) and that its type and direction fit. Nothing is
 * authenticated by that. 0 or -EBADMSG.
 */
int guest_message_header_parse(GuestMessageHeader *ret, const void *message, size_t size);
void guest_message_header_write(const GuestMessageHeader *header,
				uint8_t ret[static GUEST_MESSAGE_HEADER_SIZE]);

/* The keys of one session. Wipe with guest_message_keys_wipe(). */
typedef struct GuestMessageKeys {
	uint8_t key[2][GUEST_MESSAGE_KEY_SIZE]; /* by GuestMessageDirection */
} GuestMessageKeys;

/* 0 or -EIO. */
int guest_message_keys_derive(GuestMessageKeys *ret, const uint8_t *tvm_key,
			      const uint8_t *agent_nonce, const uint8_t *tsm_nonce,
			      const uint8_t *session, const uint8_t *tvm_uuid);
void guest_message_keys_wipe(GuestMessageKeys *keys);

/*
 * Writes header, ciphertext and tag to `ret` (header->payload_size + 64 bytes). The caller answers
 * for it that no sequence is ever used for two different plaintexts. 0 or -EIO.
 */
int guest_message_seal(const GuestMessageKeys *keys, const GuestMessageHeader *header,
		       const void *payload, uint8_t *ret);

/*
 * Decrypts a message whose header has been parsed into `payload` (header->payload_size bytes). 0,
 * -EKEYREJECTED (nothing is left in `payload` then) or -EIO.
 */
int guest_message_unseal(const GuestMessageKeys *keys, const GuestMessageHeader *header,
			 const void *message, void *payload);
