/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XML from others as a tree: read under bounds, without a word printed and without anything loaded
 * from elsewhere. A DOCTYPE is refused, and with it every entity of its own; so an attribute's
 * value is one text node, and values are read where they lie in the tree.
 */
#pragma once

#include "core/refusal.h"

#include <libxml/tree.h>

#include <stdbool.h>
#include <stddef.h>

#define XML_TREE_MAX_SIZE  (4u << 20) /* bytes */
#define XML_TREE_MAX_DEPTH 64u	      /* elements within each other */

static inline void xml_doc_freep(xmlDoc **doc)
{
	xmlFreeDoc(*doc);
}

/*
 * `text` is UTF-8 and needs no NUL. 0; -EBADMSG (empty, not well-formed, DOCTYPE) or -E2BIG (beyond
 * a bound) with a sentence in *ret_error (may be NULL); -ENOMEM.
 */
int xml_tree_parse(xmlDoc **ret, const char *text, size_t size, char **ret_error);

/* Refuses with the line of `node` in front of the sentence. */
#define xml_refuse(ret_error, node, code, format, ...)                                             \
	refuse(ret_error, code, "XML, line %ld: " format, xmlGetLineNo((xmlNode *)(node)),         \
	       ##__VA_ARGS__)

/* Foreign text for a message: `text` if it is short and printable, else words in its place. */
const char *xml_shown(const char *text);

/* Elements only: the first child of `node`, the next sibling of `node`, or NULL. */
const xmlNode *xml_first_child(const xmlNode *node);
const xmlNode *xml_next(const xmlNode *node);

/* An element of this name in no namespace, as libvirt's own are. */
bool xml_is_element(const xmlNode *node, const char *name);

/* Lies in the tree. NULL when there is no such attribute. */
const char *xml_attribute(const xmlNode *node, const char *name);
bool xml_attribute_is(const xmlNode *node, const char *name, const char *value);

/* The only child element of this name, NULL if there is none. Several are refused: -EINVAL. */
int xml_only_child(const xmlNode **ret, const xmlNode *parent, const char *name, char **ret_error);

/*
 * The text, in the tree, of a child element that has to be there, once, and to hold text only;
 * otherwise -EINVAL.
 */
int xml_child_text(const char **ret, const xmlNode *parent, const char *name, char **ret_error);
