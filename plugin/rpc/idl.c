/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface as a thing to ask and to free. idl-parse.c makes it, idl-check.c applies it. */
#include "rpc/idl.h"

#include "rpc/idl-model.h"

#include <stdlib.h>
#include <string.h>

IdlType *idl_type_free(IdlType *type)
{
	if (!type)
		return NULL;
	for (size_t i = 0; i < type->n_fields; i++) {
		free(type->fields[i].name);
		idl_type_free(type->fields[i].type);
	}
	free(type->fields);
	idl_type_free(type->element);
	free(type->name);
	free(type);
	return NULL;
}

IdlInterface *idl_free(IdlInterface *interface)
{
	if (!interface)
		return NULL;
	for (size_t i = 0; i < interface->n_members; i++) {
		free(interface->members[i].name);
		idl_type_free(interface->members[i].type);
		idl_type_free(interface->members[i].output);
	}
	free(interface->members);
	free(interface->name);
	free(interface->text);
	free(interface);
	return NULL;
}

const char *idl_name(const IdlInterface *interface)
{
	return interface->name;
}

const char *idl_text(const IdlInterface *interface)
{
	return interface->text;
}

const IdlMethod *idl_method_at(const IdlInterface *interface, size_t index)
{
	for (size_t i = 0; i < interface->n_members; i++)
		if (interface->members[i].kind == IDL_MEMBER_METHOD && index-- == 0)
			return &interface->members[i].method;
	return NULL;
}

const IdlMember *idl_member_find(const IdlInterface *interface, const char *name,
				 IdlMemberKind kind)
{
	for (size_t i = 0; i < interface->n_members; i++)
		if (interface->members[i].kind == kind &&
		    strcmp(interface->members[i].name, name) == 0)
			return &interface->members[i];
	return NULL;
}

const IdlMethod *idl_method_find(const IdlInterface *interface, const char *name)
{
	const IdlMember *member = idl_member_find(interface, name, IDL_MEMBER_METHOD);

	return member ? &member->method : NULL;
}

const IdlType *idl_error_find(const IdlInterface *interface, const char *name)
{
	const IdlMember *member = idl_member_find(interface, name, IDL_MEMBER_ERROR);

	return member ? member->type : NULL;
}
