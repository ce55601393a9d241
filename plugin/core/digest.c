/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

int digest_of_parts(Digest *ret, const struct iovec *parts, size_t n_parts)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	Digest digest;
	int ok = context && EVP_DigestInit_ex(context, EVP_sha384(), NULL) == 1;

	for (size_t i = 0; ok && i < n_parts; i++)
		ok = EVP_DigestUpdate(context, parts[i].iov_base, parts[i].iov_len) == 1;
	ok = ok && EVP_DigestFinal_ex(context, digest.bytes, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!ok)
		return -EIO;
	*ret = digest;
	return 0;
}

int digest_of(Digest *ret, const void *data, size_t size)
{
	return digest_of_parts(ret, &(struct iovec){ (void *)data, size }, 1);
}

bool digest_equal(const Digest *a, const Digest *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

bool digest_is_zero(const Digest *digest)
{
	static const Digest zero;

	return digest_equal(digest, &zero);
}

const char *digest_format(const Digest *digest, char buffer[static DIGEST_STRING_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		buffer[2 * i] = digits[digest->bytes[i] >> 4];
		buffer[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	buffer[2 * DIGEST_SIZE] = '\0';
	return buffer;
}
