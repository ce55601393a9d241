/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/access.h"

#include "core/refusal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#define IDS_MAX	     256u
#define LOOKUP_BYTES 65536u /* of getpwnam_r and getgrnam_r; a group may have many members */

typedef struct Ids {
	uint32_t *list;
	size_t n;
} Ids;

struct Access {
	bool given[ACCESS_N];
	Ids users[ACCESS_N], groups[ACCESS_N];
};

const char *access_class_name(AccessClass class)
{
	return class == ACCESS_READ ? "read" : "act";
}

AccessClass access_class_of(const char *method)
{
	static const char *const telling[] = { "List",	  "Get",     "Monitor", "Evidence",
					       "Devices", "Metrics", "Wait" };
	const char *dot = strrchr(method, '.');

	for (size_t i = 0; dot && i < ELEMENTSOF(telling); i++)
		if (strcmp(dot + 1, telling[i]) == 0)
			return ACCESS_READ;
	return ACCESS_ACT;
}

Access *access_free(Access *access)
{
	if (!access)
		return NULL;
	for (int c = 0; c < ACCESS_N; c++) {
		free(access->users[c].list);
		free(access->groups[c].list);
	}
	free(access);
	return NULL;
}

/* 0; -ENOENT: nobody has this name; another errno of looking. */
static int look_up(const char *name, bool group, uint32_t *ret)
{
	_cleanup_free_ char *buffer = malloc(LOOKUP_BYTES);
	struct passwd user, *found_user = NULL;
	struct group entry, *found_group = NULL;
	int r;

	if (!buffer)
		return -ENOMEM;
	r = group ? getgrnam_r(name, &entry, buffer, LOOKUP_BYTES, &found_group)
		  : getpwnam_r(name, &user, buffer, LOOKUP_BYTES, &found_user);
	if (!found_group && !found_user)
		return r > 0 && r != ESRCH ? -r : -ENOENT;
	*ret = group ? found_group->gr_gid : found_user->pw_uid;
	return 0;
}

static int read_id(json_object *o, bool group, uint32_t *ret)
{
	int64_t number;

	if (json_object_is_type(o, json_type_string))
		return look_up(json_object_get_string(o), group, ret);
	number = json_object_is_type(o, json_type_int) ? json_object_get_int64(o) : -1;
	/* (uid_t)-1 means "none" to the kernel. */
	if (number < 0 || number >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

static int read_ids(Ids *ids, json_object *array, AccessClass class, bool group, char **ret_error)
{
	size_t n = array ? json_object_array_length(array) : 0;
	const char *key = group ? "groups" : "users";

	if (n > IDS_MAX)
		return refuse(ret_error, -EINVAL, "access: %s.%s: more than %u entries",
			      access_class_name(class), key, IDS_MAX);
	ids->list = calloc(n ?: 1, sizeof(*ids->list));
	if (!ids->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);
		int r = read_id(o, group, &ids->list[i]);

		if (r == -ENOMEM)
			return r;
		if (r < 0)
			return refuse(ret_error, -EINVAL, "access: %s.%s: %s %s",
				      access_class_name(class), key,
				      json_object_is_type(o, json_type_string)
					      ? json_shown(json_object_get_string(o))
					      : "an entry",
				      r == -EINVAL   ? "is neither a name nor an id"
				      : r == -ENOENT ? (group ? "is no group of this host"
							      : "is no user of this host")
						     : "cannot be looked up");
		ids->n = i + 1;
	}
	return 0;
}

static int read_class(Access *access, AccessClass class, json_object *object, char **ret_error)
{
	struct {
		json_object *users, *groups;
	} raw = {};
	static const JsonField fields[] = {
		{ "users", JSON_FIELD_ARRAY, 0, offsetof(typeof(raw), users) },
		{ "groups", JSON_FIELD_ARRAY, 0, offsetof(typeof(raw), groups) },
		{},
	};
	_cleanup_free_ char *why = NULL;
	int r;

	if (!object)
		return 0;
	r = json_dispatch(object, fields, &raw, 0, &why);
	if (r < 0)
		return refuse(ret_error, r, "access: %s: %s", access_class_name(class),
			      why ?: "malformed");
	access->given[class] = true;
	r = read_ids(&access->users[class], raw.users, class, false, ret_error);
	return r < 0 ? r : read_ids(&access->groups[class], raw.groups, class, true, ret_error);
}

int access_parse(Access **ret, json_object *object, char **ret_error)
{
	_cleanup_(access_freep) Access *access = calloc(1, sizeof(*access));
	struct {
		json_object *read, *act;
	} raw = {};
	static const JsonField fields[] = {
		{ "read", JSON_FIELD_OBJECT, 0, offsetof(typeof(raw), read) },
		{ "act", JSON_FIELD_OBJECT, 0, offsetof(typeof(raw), act) },
		{},
	};
	_cleanup_free_ char *why = NULL;
	int r = 0;

	if (!access)
		return -ENOMEM;
	if (object)
		r = json_dispatch(object, fields, &raw, 0, &why);
	if (r < 0)
		return refuse(ret_error, r, "access: %s", why ?: "malformed");
	r = read_class(access, ACCESS_READ, raw.read, ret_error);
	if (r >= 0)
		r = read_class(access, ACCESS_ACT, raw.act, ret_error);
	if (r < 0)
		return r;
	*ret = steal_ptr(access);
	return 0;
}

static bool has(const Ids *ids, uint32_t id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ids->list[i] == id)
			return true;
	return false;
}

static bool is_listed(const Access *access, AccessClass class, const struct ucred *peer,
		      const gid_t *groups, size_t n_groups)
{
	if (has(&access->users[class], peer->uid) || has(&access->groups[class], peer->gid))
		return true;
	for (size_t i = 0; i < n_groups; i++)
		if (has(&access->groups[class], groups[i]))
			return true;
	return false;
}

AccessClass access_deciding(const Access *access, AccessClass class)
{
	return access && !access->given[class] ? ACCESS_READ : class;
}

bool access_allows(const Access *access, AccessClass class, const struct ucred *peer,
		   const gid_t *groups, size_t n_groups)
{
	class = access_deciding(access, class);
	if (peer->uid == 0 || !access || !access->given[class])
		return true;
	if (is_listed(access, class, peer, groups, n_groups))
		return true;
	/* Who may act may look. */
	return class == ACCESS_READ && access->given[ACCESS_ACT] &&
	       is_listed(access, ACCESS_ACT, peer, groups, n_groups);
}
