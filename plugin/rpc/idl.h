/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Varlink interface descriptions (varlink.org/Interface-Definition) as an enforced contract. */
#pragma once

#include "rpc/json.h"

#define IDL_TEXT_MAX  (1024u * 1024)
#define IDL_DEPTH_MAX 16u /* structs, arrays and dicts inside each other in one declaration */

typedef struct IdlInterface IdlInterface;
typedef struct IdlType IdlType; /* belongs to its interface */

typedef struct IdlMethod {
	const char *name;
	const IdlType *input;
	const IdlType *output;
} IdlMethod;

/*
 * Every named type must be defined in the same text, every name only once.
 * Returns 0; -EBADMSG with a sentence naming the line; -E2BIG; -ENOMEM.
 */
int idl_parse(IdlInterface **ret, const char *text, char **ret_error);
IdlInterface *idl_free(IdlInterface *interface);
DEFINE_CLEANUP(IdlInterface, idl_free);

const char *idl_name(const IdlInterface *interface);
const char *idl_text(const IdlInterface *interface); /* as it was parsed */

/* In the text's order; NULL behind the last. */
const IdlMethod *idl_method_at(const IdlInterface *interface, size_t index);
/* By the name without the interface; NULL when there is none. */
const IdlMethod *idl_method_find(const IdlInterface *interface, const char *name);
const IdlType *idl_error_find(const IdlInterface *interface, const char *name);

/*
 * Holds a value against a type: members that the type does not name, missing ones that are not
 * optional, wrong kinds, strings that are no member of the enum. `value` NULL counts as {} where
 * a struct is asked for; null is the same as absent.
 * Returns 0; -EINVAL; -ENOMEM. On -EINVAL *ret_field is the path ("flags.lock_msix",
 * "devices[2]"), *ret_error a sentence that contains it (as
 * far as it can be shown, json_shown()); both allocated, both may be NULL.
 */
int idl_check(const IdlType *type, json_object *value, char **ret_field, char **ret_error);
