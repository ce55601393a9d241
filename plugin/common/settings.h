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

/* Reads a configuration file; *ret is allocated. The sentence names the file. */
int settings_read(char **ret, size_t *ret_size, const char *path, char **ret_error);
