/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TVMs: the beginning and the end of their keys. */
#include "tsm-private.h"

#include "core/refusal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static Tvm *tvm_free(Tvm *tvm)
{
	if (!tvm)
		return NULL;
	guest_message_tsm_free(tvm->messages);
	tsm_evidence_done(&tvm->evidence);
	free(tvm);
	return NULL;
}

DEFINE_CLEANUP(Tvm, tvm_free);

Tvm *tsm_find_tvm(Tsm *tsm, Uuid uuid)
{
	for (size_t i = 0; i < tsm->n_tvms; i++)
		if (uuid_equal(tsm->tvms[i]->uuid, uuid))
			return tsm->tvms[i];
	return NULL;
}

static void remove_tvm(Tsm *tsm, Uuid uuid)
{
	for (size_t i = 0; i < tsm->n_tvms; i++) {
		if (!uuid_equal(tsm->tvms[i]->uuid, uuid))
			continue;
		tvm_free(tsm->tvms[i]);
		tsm->tvms[i] = tsm->tvms[--tsm->n_tvms];
		return;
	}
}

static int add_tvm(void *userdata, Uuid uuid, const uint8_t *key)
{
	_cleanup_(tvm_freep) Tvm *tvm = calloc(1, sizeof(*tvm));
	Tsm *tsm = userdata;
	Tvm **list;
	int r;

	if (!tvm)
		return -ENOMEM;
	tvm->uuid = uuid;
	r = guest_message_tsm_new(&tvm->messages, key, uuid.bytes);
	if (r < 0)
		return r;
	list = reallocarray(tsm->tvms, tsm->n_tvms + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	tsm->tvms = list;
	list[tsm->n_tvms++] = steal_ptr(tvm);
	return 0;
}

int tsm_load_tvms(Tsm *tsm, char **ret_error)
{
	int r = tvm_keys_each(tsm->keys, add_tvm, tsm);

	if (r < 0)
		return refuse(ret_error, r, "%s: the TVMs' keys cannot be read: %s",
			      tsm->config->keys, strerror(-r));
	return 0;
}

void tsm_free_tvms(Tsm *tsm)
{
	for (size_t i = 0; i < tsm->n_tvms; i++)
		tvm_free(tsm->tvms[i]);
	free(tsm->tvms);
	tsm->tvms = NULL;
	tsm->n_tvms = 0;
}

/* TSM_TVM_BUSY with the devices that are bound to the TVM, or 0. */
static int refuse_busy(Tsm *tsm, Uuid uuid, TsmRefusal *refusal)
{
	size_t n = 0;

	for (size_t i = 0; i < tsm->n_tdis; i++)
		n += tsm->tdis[i]->bound && uuid_equal(tsm->tdis[i]->tvm, uuid);
	if (n == 0)
		return 0;
	refusal->has_tvm = true;
	refusal->tvm = uuid;
	refusal->devices = calloc(n, sizeof(*refusal->devices));
	if (!refusal->devices)
		return -ENOMEM;
	for (size_t i = 0; i < tsm->n_tdis; i++)
		if (tsm->tdis[i]->bound && uuid_equal(tsm->tdis[i]->tvm, uuid))
			refusal->devices[refusal->n_devices++] = tsm->tdis[i]->bdf;
	return tsm_refuse(refusal, TSM_TVM_BUSY, "%zu of its TDIs are bound", n);
}

int tsm_prepare_tvm(Tsm *tsm, Uuid uuid, char **ret_key_file, TsmRefusal *refusal)
{
	uint8_t key[GUEST_MESSAGE_KEY_SIZE];
	_cleanup_free_ char *path = NULL;
	int r;

	r = refuse_busy(tsm, uuid, refusal);
	if (r != 0)
		return r;
	/* From here on the former key is worth nothing, whether the new one can be written or not.
	 */
	remove_tvm(tsm, uuid);
	r = tvm_keys_make(tsm->keys, uuid, key, &path, &refusal->reason);
	if (r < 0)
		return r;
	r = add_tvm(tsm, uuid, key);
	OPENSSL_cleanse(key, sizeof(key));
	if (r < 0)
		return r;
	*ret_key_file = steal_ptr(path);
	return 0;
}

int tsm_release_tvm(Tsm *tsm, Uuid uuid, TsmRefusal *refusal)
{
	int r;

	if (!tsm_find_tvm(tsm, uuid)) {
		refusal->has_tvm = true;
		refusal->tvm = uuid;
		return tsm_refuse(refusal, TSM_UNKNOWN_TVM, "it was never prepared, or released");
	}
	r = refuse_busy(tsm, uuid, refusal);
	if (r != 0)
		return r;
	remove_tvm(tsm, uuid);
	return tvm_keys_remove(tsm->keys, uuid, &refusal->reason);
}
