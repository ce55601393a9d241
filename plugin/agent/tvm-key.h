/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key that this TVM shares with its TSM. */
#pragma once

#include "agent/tree.h"
#include "core/guest-message.h"

#define TVM_KEY_PATH "/sys/firmware/qemu_fw_cfg/by_name/opt/io.tdid/tvm-key/raw"

typedef struct TvmKey {
	uint8_t bytes[GUEST_MESSAGE_KEY_SIZE];
} TvmKey;

/* Exactly 32 bytes. Negative errno with a sentence; nothing of the key is left behind then. */
int tvm_key_read(TvmKey *ret, const Tree *tree, char **ret_error);
void tvm_key_wipe(TvmKey *key);
