/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recursive descent over the grammar of varlink.org/Interface-Definition. Names of types are
 * resolved in a second pass, so a type may be used above its definition and inside itself.
 * The first mistake is recorded with its line and ends the parse.
 */
#include "rpc/idl.h"

#include "rpc/error.h"
#include "rpc/idl-model.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Names are compared with each other; this bounds the work. */
#define MEMBERS_MAX 1024u

typedef struct Parser {
	const char *at;
	unsigned line;
	unsigned depth;
	char **ret_error;
} Parser;

static int parse_type(Parser *p, IdlType **ret);

static int bad(Parser *p, const char *mistake)
{
	return error_set(p->ret_error, -EBADMSG, "interface description, line %u: %s", p->line,
			 mistake);
}

static void skip_space(Parser *p)
{
	for (;; p->at++) {
		if (*p->at == '#')
			p->at += strcspn(p->at, "\n");
		if (*p->at == '\n')
			p->line++;
		else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r')
			return;
	}
}

static bool take(Parser *p, const char *token)
{
	size_t n = strlen(token);

	skip_space(p);
	if (strncmp(p->at, token, n) != 0)
		return false;
	p->at += n;
	return true;
}

static int expect(Parser *p, const char *token)
{
	return take(p, token)
		       ? 0
		       : error_set(p->ret_error, -EBADMSG,
				   "interface description, line %u: expected '%s'", p->line, token);
}

/* The run of letters, digits and `also` at the cursor; *ret_len may be 0. */
static const char *take_run(Parser *p, const char *also, size_t *ret_len)
{
	const char *start;

	skip_space(p);
	start = p->at;
	while (*p->at && (isalnum((unsigned char)*p->at) || strchr(also, *p->at)))
		p->at++;
	*ret_len = (size_t)(p->at - start);
	return start;
}

static int copy(char **ret, const char *start, size_t len)
{
	*ret = strndup(start, len);
	return *ret ? 0 : -ENOMEM;
}

/* Field names: [A-Za-z](_?[A-Za-z0-9])*. */
static int parse_field_name(Parser *p, char **ret)
{
	size_t len;
	const char *name = take_run(p, "_", &len);

	if (len == 0 || !isalpha((unsigned char)name[0]) || name[len - 1] == '_')
		return bad(p, "expected a field's name");
	for (size_t i = 1; i < len; i++)
		if (name[i] == '_' && name[i - 1] == '_')
			return bad(p, "expected a field's name");
	return copy(ret, name, len);
}

/* Names of types, methods and errors: [A-Z][A-Za-z0-9]*. */
static int parse_member_name(Parser *p, char **ret)
{
	size_t len;
	const char *name = take_run(p, "", &len);

	if (len == 0 || !isupper((unsigned char)name[0]))
		return bad(p, "expected a name that begins with a capital letter");
	return copy(ret, name, len);
}

/* Two or more parts with dots between; letters, digits and inner dashes; a letter first. */
static int parse_interface_name(Parser *p, char **ret)
{
	size_t len, dots = 0;
	const char *name = take_run(p, ".-", &len);

	if (len == 0 || !isalpha((unsigned char)name[0]) || !isalnum((unsigned char)name[len - 1]))
		return bad(p, "malformed interface name");
	for (size_t i = 0; i < len; i++) {
		if (name[i] != '.')
			continue;
		dots++;
		if (!isalnum((unsigned char)name[i - 1]) || !isalnum((unsigned char)name[i + 1]))
			return bad(p, "malformed interface name");
	}
	if (dots == 0)
		return bad(p, "the interface's name needs a dot");
	return copy(ret, name, len);
}

static int add_field(Parser *p, IdlType *type, char *name, IdlType *field_type)
{
	IdlField *fields;

	for (size_t i = 0; i < type->n_fields; i++)
		if (strcmp(type->fields[i].name, name) == 0)
			return bad(p, "a field's name occurs twice");
	if (type->n_fields == MEMBERS_MAX)
		return bad(p, "too many fields");
	fields = reallocarray(type->fields, type->n_fields + 1, sizeof(*fields));
	if (!fields)
		return -ENOMEM;
	type->fields = fields;
	type->fields[type->n_fields++] = (IdlField){ .name = name, .type = field_type };
	return 0;
}

/* One member of what stands in parentheses. The first one's colon, or its absence, tells a struct
 * from an enum. */
static int parse_field(Parser *p, IdlType *type)
{
	_cleanup_(idl_type_freep) IdlType *field_type = NULL;
	_cleanup_free_ char *name = NULL;
	bool typed;
	int r;

	r = parse_field_name(p, &name);
	if (r < 0)
		return r;
	typed = take(p, ":");
	if (type->n_fields == 0)
		type->kind = typed ? IDL_STRUCT : IDL_ENUM;
	if (typed != (type->kind == IDL_STRUCT))
		return bad(p, typed ? "a type inside an enum" : "a field without a type");
	if (typed) {
		r = parse_type(p, &field_type);
		if (r < 0)
			return r;
	}
	r = add_field(p, type, name, field_type);
	if (r < 0)
		return r;
	(void)steal_ptr(name);
	(void)steal_ptr(field_type);
	return 0;
}

/* A struct or an enum, from its opening parenthesis on. */
static int parse_parentheses(Parser *p, IdlType *type)
{
	int r;

	type->kind = IDL_STRUCT;
	r = expect(p, "(");
	if (r < 0)
		return r;
	if (take(p, ")"))
		return 0;
	do {
		r = parse_field(p, type);
		if (r < 0)
			return r;
	} while (take(p, ","));
	return expect(p, ")");
}

static int parse_word(Parser *p, IdlType *type)
{
	static const char *const basic[] = {
		[IDL_BOOL] = "bool",	 [IDL_INT] = "int",	  [IDL_FLOAT] = "float",
		[IDL_STRING] = "string", [IDL_OBJECT] = "object",
	};
	size_t len;
	const char *word;

	skip_space(p);
	if (isupper((unsigned char)*p->at)) {
		type->kind = IDL_NAMED;
		return parse_member_name(p, &type->name);
	}
	word = take_run(p, "_", &len);
	for (size_t i = 0; i < ELEMENTSOF(basic); i++)
		if (strlen(basic[i]) == len && memcmp(basic[i], word, len) == 0) {
			type->kind = (IdlKind)i;
			return 0;
		}
	return bad(p, "expected a type");
}

static int parse_type_body(Parser *p, IdlType *type)
{
	type->maybe = take(p, "?");
	type->line = p->line;
	if (take(p, "[string]"))
		type->kind = IDL_DICT;
	else if (take(p, "[]"))
		type->kind = IDL_ARRAY;
	else {
		skip_space(p);
		return *p->at == '(' ? parse_parentheses(p, type) : parse_word(p, type);
	}
	return parse_type(p, &type->element);
}

static int parse_type(Parser *p, IdlType **ret)
{
	_cleanup_(idl_type_freep) IdlType *type = NULL;
	int r;

	if (++p->depth > IDL_DEPTH_MAX)
		return bad(p, "nested too deeply");
	type = calloc(1, sizeof(*type));
	if (!type)
		return -ENOMEM;
	r = parse_type_body(p, type);
	if (r < 0)
		return r;
	p->depth--;
	*ret = steal_ptr(type);
	return 0;
}

/* A type that has to be in parentheses: a definition, or the parameters of a method or an error. */
static int parse_definition(Parser *p, IdlType **ret, bool allow_enum)
{
	int r;

	skip_space(p);
	if (*p->at != '(')
		return bad(p, "expected '('");
	r = parse_type(p, ret);
	if (r < 0)
		return r;
	if ((*ret)->kind == IDL_ENUM && !allow_enum)
		return bad(p, "parameters need types");
	return 0;
}

static int parse_member(Parser *p, IdlMember *member)
{
	size_t len;
	const char *word = take_run(p, "", &len);
	int r;

	if (len == 4 && memcmp(word, "type", len) == 0)
		member->kind = IDL_MEMBER_TYPE;
	else if (len == 6 && memcmp(word, "method", len) == 0)
		member->kind = IDL_MEMBER_METHOD;
	else if (len == 5 && memcmp(word, "error", len) == 0)
		member->kind = IDL_MEMBER_ERROR;
	else
		return bad(p, "expected type, method or error");

	r = parse_member_name(p, &member->name);
	if (r < 0)
		return r;
	r = parse_definition(p, &member->type, member->kind == IDL_MEMBER_TYPE);
	if (r < 0 || member->kind != IDL_MEMBER_METHOD)
		return r;
	r = expect(p, "->");
	if (r < 0)
		return r;
	return parse_definition(p, &member->output, false);
}

static int add_member(Parser *p, IdlInterface *interface)
{
	IdlMember *members, *member;
	int r;

	if (interface->n_members == MEMBERS_MAX)
		return bad(p, "too many members");
	members = reallocarray(interface->members, interface->n_members + 1, sizeof(*members));
	if (!members)
		return -ENOMEM;
	interface->members = members;
	member = &members[interface->n_members];
	*member = (IdlMember){ 0 };
	interface->n_members++; /* from here on idl_free releases what it has */
	r = parse_member(p, member);
	if (r < 0)
		return r;
	for (size_t i = 0; i + 1 < interface->n_members; i++)
		if (strcmp(members[i].name, member->name) == 0)
			return bad(p, "the name is defined twice");
	member->method = (IdlMethod){ .name = member->name,
				      .input = member->type,
				      .output = member->output };
	return 0;
}

static int resolve(const IdlInterface *interface, IdlType *type, char **ret_error)
{
	const IdlMember *member;
	int r;

	if (!type)
		return 0;
	if (type->kind == IDL_NAMED) {
		member = idl_member_find(interface, type->name, IDL_MEMBER_TYPE);
		if (!member)
			return error_set(ret_error, -EBADMSG,
					 "interface description, line %u: type %s is not defined",
					 type->line, type->name);
		type->resolved = member->type;
	}
	for (size_t i = 0; i < type->n_fields; i++) {
		r = resolve(interface, type->fields[i].type, ret_error);
		if (r < 0)
			return r;
	}
	return resolve(interface, type->element, ret_error);
}

int idl_parse(IdlInterface **ret, const char *text, char **ret_error)
{
	_cleanup_(idl_freep) IdlInterface *interface = calloc(1, sizeof(*interface));
	Parser p = { .line = 1, .ret_error = ret_error };
	size_t len = strnlen(text, IDL_TEXT_MAX + 1);
	int r;

	if (!interface)
		return -ENOMEM;
	if (len > IDL_TEXT_MAX)
		return error_set(ret_error, -E2BIG, "interface description: more than %u bytes",
				 IDL_TEXT_MAX);
	if (!json_utf8_valid(text, len))
		return error_set(ret_error, -EBADMSG, "interface description: malformed UTF-8");
	r = copy(&interface->text, text, len);
	if (r < 0)
		return r;

	p.at = interface->text;
	if (!take(&p, "interface") || (*p.at != ' ' && *p.at != '\t'))
		return bad(&p, "expected 'interface' and its name");
	r = parse_interface_name(&p, &interface->name);
	if (r < 0)
		return r;
	for (skip_space(&p); *p.at; skip_space(&p)) {
		r = add_member(&p, interface);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < interface->n_members; i++) {
		r = resolve(interface, interface->members[i].type, ret_error);
		if (r == 0)
			r = resolve(interface, interface->members[i].output, ret_error);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(interface);
	return 0;
}
