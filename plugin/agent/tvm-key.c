/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/tvm-key.h"

#include "core/cleanup.h"
#include "core/refusal.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int tvm_key_read(TvmKey *ret, const Tree *tree, char **ret_error)
{
	/* One byte more shows a file that is too long. */
	uint8_t buffer[GUEST_MESSAGE_KEY_SIZE + 1];
	_cleanup_close_ int fd = -1;
	size_t used = 0;
	ssize_t n = 1;
	int r = 0;

	fd = tree_open(tree, O_RDONLY, "%s", TVM_KEY_PATH);
	if (fd < 0)
		return refuse(ret_error, fd,
			      "TVM key %s: %s (module qemu_fw_cfg loaded? domain started with "
			      "tdid's hook installed?)",
			      TVM_KEY_PATH, strerror(-fd));
	while (n > 0 && used < sizeof(buffer)) {
		n = read(fd, buffer + used, sizeof(buffer) - used);
		if (n < 0)
			r = -errno;
		else
			used += (size_t)n;
	}
	if (r < 0)
		refuse(ret_error, r, "TVM key %s: %s", TVM_KEY_PATH, strerror(-r));
	else if (used != GUEST_MESSAGE_KEY_SIZE)
		r = refuse(ret_error, -EBADMSG,
			   "TVM key %s: must be exactly %d bytes, found %s%zu (key file replaced "
			   "by hand?)",
			   TVM_KEY_PATH, GUEST_MESSAGE_KEY_SIZE,
			   used > GUEST_MESSAGE_KEY_SIZE ? "at least " : "", used);
	else
		memcpy(ret->bytes, buffer, GUEST_MESSAGE_KEY_SIZE);
	OPENSSL_cleanse(buffer, sizeof(buffer));
	return r;
}

void tvm_key_wipe(TvmKey *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}
