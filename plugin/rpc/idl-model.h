/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What idl-parse.c builds and idl-check.c walks. */
#pragma once

#include "rpc/idl.h"

typedef enum IdlKind {
	IDL_BOOL,
	IDL_INT,
	IDL_FLOAT,
	IDL_STRING,
	IDL_OBJECT,
	IDL_ENUM,
	IDL_STRUCT,
	IDL_ARRAY,
	IDL_DICT,
	IDL_NAMED,
} IdlKind;

typedef struct IdlField {
	char *name;
	IdlType *type; /* NULL: a member of an enum */
} IdlField;

struct IdlType {
	IdlKind kind;
	bool maybe;
	IdlField *fields; /* of structs and enums */
	size_t n_fields;
	IdlType *element;	 /* of arrays and dicts */
	char *name;		 /* of what IDL_NAMED refers to */
	const IdlType *resolved; /* the same, found; belongs to the interface */
	unsigned line;
};

typedef enum IdlMemberKind {
	IDL_MEMBER_TYPE,
	IDL_MEMBER_METHOD,
	IDL_MEMBER_ERROR,
} IdlMemberKind;

typedef struct IdlMember {
	IdlMemberKind kind;
	char *name;
	IdlType *type;	  /* the type, the error's parameters, or the method's input */
	IdlType *output;  /* of methods */
	IdlMethod method; /* borrows the above */
} IdlMember;

struct IdlInterface {
	char *text;
	char *name;
	IdlMember *members;
	size_t n_members;
};

IdlType *idl_type_free(IdlType *type);
DEFINE_CLEANUP(IdlType, idl_type_free);

const IdlMember *idl_member_find(const IdlInterface *interface, const char *name,
				 IdlMemberKind kind);
