/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/xml-tree.h"

#include "core/cleanup.h"
#include "core/refusal.h"

#include <libxml/parser.h>

#include <errno.h>
#include <string.h>

/* What stopped the parser, in its context's _private. */
typedef enum Stop { STOP_NOT, STOP_DOCTYPE, STOP_DEPTH } Stop;

static inline void xml_context_freep(xmlParserCtxt **context)
{
	xmlFreeParserCtxt(*context);
}

const char *xml_shown(const char *text)
{
	size_t n = strnlen(text, 65);

	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return "(not printable)";
	return n > 64 ? "(too long to show)" : text;
}

static void on_doctype(void *data, const xmlChar *name, const xmlChar *external_id,
		       const xmlChar *system_id)
{
	xmlParserCtxt *context = data;

	*(Stop *)context->_private = STOP_DOCTYPE;
	xmlStopParser(context);
}

static void on_element(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
		       int n_namespaces, const xmlChar **namespaces, int n_attributes,
		       int n_defaulted, const xmlChar **attributes)
{
	xmlParserCtxt *context = data;

	if (context->nodeNr >= (int)XML_TREE_MAX_DEPTH) {
		*(Stop *)context->_private = STOP_DEPTH;
		xmlStopParser(context);
		return;
	}
	xmlSAX2StartElementNs(context, name, prefix, uri, n_namespaces, namespaces, n_attributes,
			      n_defaulted, attributes);
}

/* With libxml2's words, which quote the text: first line, bounded, printable. */
static int refuse_malformed(char **ret_error, const xmlError *error)
{
	char words[160];

	snprintf(words, sizeof(words), "%s",
		 error && error->message ? error->message : "unknown error");
	words[strcspn(words, "\n")] = '\0';
	for (char *c = words; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	return refuse(ret_error, -EBADMSG, "XML, line %d: not well-formed: %s",
		      error ? error->line : 0, words);
}

int xml_tree_parse(xmlDoc **ret, const char *text, size_t size, char **ret_error)
{
	_cleanup_(xml_context_freep) xmlParserCtxt *context = NULL;
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	Stop stop = STOP_NOT;

	if (size > XML_TREE_MAX_SIZE)
		return refuse(ret_error, -E2BIG, "XML: %zu bytes, at most %u are read", size,
			      XML_TREE_MAX_SIZE);
	if (size == 0)
		return refuse(ret_error, -EBADMSG, "XML: empty");
	context = xmlNewParserCtxt();
	if (!context)
		return -ENOMEM;
	context->_private = &stop;
	context->sax->internalSubset = on_doctype;
	context->sax->startElementNs = on_element;
	/* NOERROR and NOWARNING keep libxml2 from printing; it still records the error. */
	doc = xmlCtxtReadMemory(context, text, (int)size, NULL, "UTF-8",
				XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
					XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES |
					XML_PARSE_COMPACT);
	context->_private = NULL;
	if (stop == STOP_DOCTYPE)
		return refuse(ret_error, -EBADMSG, "XML: a DOCTYPE is not accepted");
	if (stop == STOP_DEPTH)
		return refuse(ret_error, -E2BIG, "XML: elements nest deeper than %u",
			      XML_TREE_MAX_DEPTH);
	if (!doc || !context->wellFormed || !context->nsWellFormed) {
		const xmlError *error = xmlCtxtGetLastError(context);

		if (error && error->code == XML_ERR_NO_MEMORY)
			return -ENOMEM;
		return refuse_malformed(ret_error, error);
	}
	*ret = steal_ptr(doc);
	return 0;
}

static const xmlNode *element_or_next(const xmlNode *node)
{
	while (node && node->type != XML_ELEMENT_NODE)
		node = node->next;
	return node;
}

const xmlNode *xml_first_child(const xmlNode *node)
{
	return element_or_next(node->children);
}

const xmlNode *xml_next(const xmlNode *node)
{
	return element_or_next(node->next);
}

bool xml_is_element(const xmlNode *node, const char *name)
{
	return !node->ns && strcmp((const char *)node->name, name) == 0;
}

const char *xml_attribute(const xmlNode *node, const char *name)
{
	const xmlAttr *found = xmlHasNsProp((xmlNode *)node, (const xmlChar *)name, NULL);

	if (!found)
		return NULL;
	return found->children && found->children->content ? (char *)found->children->content : "";
}

bool xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
	const char *found = xml_attribute(node, name);

	return found && strcmp(found, value) == 0;
}

int xml_only_child(const xmlNode **ret, const xmlNode *parent, const char *name, char **ret_error)
{
	*ret = NULL;
	for (const xmlNode *child = xml_first_child(parent); child; child = xml_next(child)) {
		if (!xml_is_element(child, name))
			continue;
		if (*ret)
			return xml_refuse(ret_error, child, -EINVAL, "a second <%s> in <%s>", name,
					  (const char *)parent->name);
		*ret = child;
	}
	return 0;
}

int xml_child_text(const char **ret, const xmlNode *parent, const char *name, char **ret_error)
{
	const xmlNode *child;
	int r;

	r = xml_only_child(&child, parent, name, ret_error);
	if (r < 0)
		return r;
	if (!child)
		return xml_refuse(ret_error, parent, -EINVAL, "<%s> has no <%s>",
				  (const char *)parent->name, name);
	if (!child->children || child->children->next || child->children->type != XML_TEXT_NODE)
		return xml_refuse(ret_error, child, -EINVAL, "<%s> has to hold a text", name);
	*ret = (const char *)child->children->content;
	return 0;
}
