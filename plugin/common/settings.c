/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/settings.h"

#include "common/state-file.h"
#include "core/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>

/* A number, or the name of a user of this host. */
static int parse_uid(uid_t *ret, json_object *item)
{
	char buffer[4096];
	struct passwd entry, *found = NULL;
	int64_t v;

	if (json_object_is_type(item, json_type_string)) {
		if (getpwnam_r(json_object_get_string(item), &entry, buffer, sizeof(buffer),
			       &found) != 0 ||
		    !found)
			return -EINVAL;
		*ret = found->pw_uid;
		return 0;
	}
	v = json_object_get_int64(item);
	/* (uid_t)-1 means "no user" in every interface that takes one. */
	if (!json_object_is_type(item, json_type_int) || v < 0 || v >= UINT32_MAX)
		return -EINVAL;
	*ret = (uid_t)v;
	return 0;
}

int settings_uids(SettingsUids *ret, json_object *array, const char *name, char **ret_error)
{
	size_t n = array ? json_object_array_length(array) : 2;
	_cleanup_free_ uid_t *list = NULL;

	if (n > SETTINGS_UIDS_MAX)
		return refuse(ret_error, -EINVAL, "%s: more than %d", name, SETTINGS_UIDS_MAX);
	list = calloc(n ?: 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	if (!array)
		list[1] = geteuid();
	for (size_t i = 0; array && i < n; i++)
		if (parse_uid(&list[i], json_object_array_get_idx(array, i)) < 0)
			return refuse(ret_error, -EINVAL,
				      "%s[%zu]: neither a user id nor a user of this host", name,
				      i);
	*ret = (SettingsUids){ steal_ptr(list), n };
	return 0;
}

bool settings_uids_have(const SettingsUids *uids, uid_t uid)
{
	for (size_t i = 0; i < uids->n; i++)
		if (uids->list[i] == uid)
			return true;
	return false;
}

int settings_path(char **ret, const char *value, const char *name, char **ret_error)
{
	if (value[0] != '/')
		return refuse(ret_error, -EINVAL, "%s: \"%s\" is not an absolute path", name,
			      value);
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

int settings_parse(json_object **ret, const char *text, size_t size, const JsonField *fields,
		   void *parsed, char **ret_error)
{
	int r = json_parse_limited(ret, text, size, SETTINGS_FILE_MAX, ret_error);

	return r < 0 ? r : json_dispatch(*ret, fields, parsed, 0, ret_error);
}

int settings_load(void *ret, const char *path, SettingsParser parser, char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	_cleanup_blob_ Blob text = {};
	int r;

	r = state_file_read(&text, AT_FDCWD, path, SETTINGS_FILE_MAX);
	if (r == -EBADF)
		return refuse(ret_error, r, "%s: not a regular file", path);
	if (r < 0)
		return refuse(ret_error, r, "%s: cannot be read: %s", path, strerror(-r));
	r = parser(ret, (const char *)text.data, text.size, &error);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", path, error ?: strerror(-r));
	return 0;
}
