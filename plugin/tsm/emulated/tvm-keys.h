/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TVMs' keys on disk, which should be a tmpfs: UUID.key is what the domain's fw_cfg entry
 * names. libvirt gives that file to QEMU's user when it starts the domain, so there is a second one
 * for the TSM itself, UUID.tsm: after a restart of the TSM, running TVMs can still be talked to.
 *
 * Whoever can read either file can speak for the TVM. On this TSM that is the limit of what its
 * sealed messages are worth: root on the host can.
 */
#pragma once

#include "core/cleanup.h"
#include "core/guest-message.h"
#include "core/uuid.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct TvmKeys TvmKeys;

/* group: STATE_FILE_NO_GROUP, or who may read key files too (mode 0440, else 0400). */
int tvm_keys_open(TvmKeys **ret, const char *directory, gid_t group, char **ret_error);
TvmKeys *tvm_keys_free(TvmKeys *keys);
DEFINE_CLEANUP(TvmKeys, tvm_keys_free);

/* Makes a new key, in place of the TVM's former one. *ret_path is allocated. */
int tvm_keys_make(TvmKeys *keys, Uuid tvm, uint8_t ret_key[static GUEST_MESSAGE_KEY_SIZE],
		  char **ret_path, char **ret_error);

/* Success if there is none. */
int tvm_keys_remove(TvmKeys *keys, Uuid tvm, char **ret_error);

/*
 * Calls back for every TVM whose key is there; what is not a TVM's key is passed over with a
 * warning. The key is wiped afterwards. A negative result of the callback ends it.
 */
typedef int (*TvmKeyFound)(void *userdata, Uuid tvm, const uint8_t *key);
int tvm_keys_each(TvmKeys *keys, TvmKeyFound found, void *userdata);
