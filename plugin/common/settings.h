/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the configurations of several of our processes have in common. */
#pragma once

#include "rpc/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SETTINGS_FILE_MAX (1024u * 1024)
#define SETTINGS_UIDS_MAX 64
/* Half of them for one user: tdid has one for each verb, each guest's message and its watch. */
#define TSM_CONNECTIONS_MAX 256

/* Who may connect. */
typedef struct SettingsUids {
	uid_t *list; /* malloc'ed */
	size_t n;
} SettingsUids;

/* `array`: numbers and users' names; NULL: 0 and the own uid. -EINVAL with a sentence that names
 * the member `name`. */
int settings_uids(SettingsUids *ret, json_object *array, const char *name, char **ret_error);
bool settings_uids_have(const SettingsUids *uids, uid_t uid);

/* *ret is allocated. -EINVAL with a sentence unless the path is absolute. */
int settings_path(char **ret, const char *value, const char *name, char **ret_error);

/*
 * A configuration's text, a JSON object, into the struct `parsed` by its fields; strings and arrays
 * in there are those of *ret. -EINVAL, -EBADMSG, -E2BIG with a sentence that names the member.
 */
int settings_parse(json_object **ret, const char *text, size_t size, const JsonField *fields,
		   void *parsed, char **ret_error);

/* Makes a configuration of its text: `ret` is what settings_load() was called with. */
typedef int (*SettingsParser)(void *ret, const char *text, size_t size, char **ret_error);

/* Of a file, at most SETTINGS_FILE_MAX bytes long. The sentence names the file. */
int settings_load(void *ret, const char *path, SettingsParser parser, char **ret_error);
