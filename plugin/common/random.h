/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random bytes from libcrypto. */
#pragma once

#include <errno.h>
#include <openssl/rand.h>
#include <stddef.h>

/* For what goes on a wire: nonces, session ids. 0 or -EIO. */
static inline int random_public(void *ret, size_t size)
{
	return RAND_bytes(ret, (int)size) == 1 ? 0 : -EIO;
}

/* For what must stay secret: keys. 0 or -EIO. */
static inline int random_secret(void *ret, size_t size)
{
	return RAND_priv_bytes(ret, (int)size) == 1 ? 0 : -EIO;
}
