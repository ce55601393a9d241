/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tvm-keys.h"

#include "common/random.h"
#include "common/state-file.h"
#include "core/refusal.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>

#define SUFFIX_GUEST ".key"
#define SUFFIX_TSM   ".tsm"
#define NAME_SIZE    (UUID_STRING_SIZE + 4)

struct TvmKeys {
	int directory;
	char *path;
	gid_t group;
};

int tvm_keys_open(TvmKeys **ret, const char *directory, gid_t group, char **ret_error)
{
	_cleanup_(tvm_keys_freep) TvmKeys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	keys->group = group;
	/* Others may pass through: the files have modes of their own. */
	keys->directory = state_directory_open(directory, 0711, ret_error);
	if (keys->directory < 0)
		return keys->directory;
	keys->path = strdup(directory);
	if (!keys->path)
		return -ENOMEM;
	*ret = steal_ptr(keys);
	return 0;
}

TvmKeys *tvm_keys_free(TvmKeys *keys)
{
	if (!keys)
		return NULL;
	if (keys->directory >= 0)
		close(keys->directory);
	free(keys->path);
	free(keys);
	return NULL;
}

static const char *file_name(Uuid tvm, const char *suffix, char buffer[static NAME_SIZE])
{
	char uuid[UUID_STRING_SIZE];

	snprintf(buffer, NAME_SIZE, "%s%s", uuid_format(tvm, uuid), suffix);
	return buffer;
}

int tvm_keys_make(TvmKeys *keys, Uuid tvm, uint8_t ret_key[static GUEST_MESSAGE_KEY_SIZE],
		  char **ret_path, char **ret_error)
{
	bool shared = keys->group != STATE_FILE_NO_GROUP;
	_cleanup_free_ char *path = NULL;
	char name[NAME_SIZE];
	int r;

	if (asprintf(&path, "%s/%s", keys->path, file_name(tvm, SUFFIX_GUEST, name)) < 0)
		return -ENOMEM;
	r = random_secret(ret_key, GUEST_MESSAGE_KEY_SIZE);
	if (r == 0)
		r = state_file_write(keys->directory, file_name(tvm, SUFFIX_TSM, name), 0400,
				     STATE_FILE_NO_GROUP, ret_key, GUEST_MESSAGE_KEY_SIZE);
	if (r == 0)
		r = state_file_write(keys->directory, file_name(tvm, SUFFIX_GUEST, name),
				     shared ? 0440 : 0400, keys->group, ret_key,
				     GUEST_MESSAGE_KEY_SIZE);
	if (r < 0) {
		OPENSSL_cleanse(ret_key, GUEST_MESSAGE_KEY_SIZE);
		return refuse(ret_error, r, "%s: the TVM's key cannot be written: %s", path,
			      strerror(-r));
	}
	*ret_path = steal_ptr(path);
	return 0;
}

int tvm_keys_remove(TvmKeys *keys, Uuid tvm, char **ret_error)
{
	char name[NAME_SIZE];
	int r, k;

	r = state_file_remove(keys->directory, file_name(tvm, SUFFIX_GUEST, name));
	k = state_file_remove(keys->directory, file_name(tvm, SUFFIX_TSM, name));
	r = r < 0 ? r : k;
	if (r < 0)
		return refuse(ret_error, r, "%s/%s: the TVM's key cannot be removed: %s",
			      keys->path, name, strerror(-r));
	return 0;
}

/* -ENOENT for a name that is none of a key. */
static int tvm_of_name(Uuid *ret, const char *name)
{
	char uuid[UUID_STRING_SIZE];

	if (strlen(name) != NAME_SIZE - 1 || strcmp(name + UUID_STRING_SIZE - 1, SUFFIX_TSM) != 0)
		return -ENOENT;
	memcpy(uuid, name, UUID_STRING_SIZE - 1);
	uuid[UUID_STRING_SIZE - 1] = '\0';
	return uuid_from_string(ret, uuid) < 0 ? -ENOENT : 0;
}

static int found_one(TvmKeys *keys, const char *name, TvmKeyFound found, void *userdata)
{
	_cleanup_blob_ Blob key = {};
	Uuid tvm;
	int r;

	if (tvm_of_name(&tvm, name) < 0)
		return 0;
	r = state_file_read(&key, keys->directory, name, GUEST_MESSAGE_KEY_SIZE);
	if (r == 0 && key.size != GUEST_MESSAGE_KEY_SIZE)
		r = -EBADMSG;
	if (r < 0) {
		log_warning("%s/%s: not a TVM's key, passed over: %s", keys->path, name,
			    strerror(-r));
		return 0;
	}
	r = found(userdata, tvm, key.data);
	OPENSSL_cleanse(key.data, key.size);
	return r;
}

int tvm_keys_each(TvmKeys *keys, TvmKeyFound found, void *userdata)
{
	int fd = openat(keys->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	if (fd < 0)
		return -errno;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return -ENOMEM;
	}
	while (r >= 0 && (entry = readdir(directory)))
		r = found_one(keys, entry->d_name, found, userdata);
	closedir(directory);
	return r;
}
