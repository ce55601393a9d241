/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One host device cut out of a live domain XML, to be handed back to libvirt for the detach. */
#pragma once

#include <stddef.h>

#include "core/bdf.h"

/* libvirt's own limit for one string in its protocol (VIR_NET_MESSAGE_STRING_MAX is 4 MiB). */
#define DEVICE_XML_MAX_DOMAIN (4u << 20)

enum {
	DEVICE_XML_GONE = 1,	 /* no device has the alias */
	DEVICE_XML_MISMATCH = 2, /* the one that has it is another host device, or none */
};

/*
 * Finds the <hostdev mode='subsystem' type='pci'> or <interface type='hostdev'> whose alias is
 * `alias` and whose source address is `host`, both as they must be, and returns its element as
 * text in *ret (allocated). Returns 0; a positive value from above, with a sentence in *ret_error;
 * -EBADMSG (not a domain's XML, an alias twice, an address out of range), -E2BIG, -ENOMEM.
 * ret_error may be NULL. xmlInitParser must have been called when threads are about.
 */
int device_xml_cut(char **ret, const char *xml, size_t len, const char *alias, Bdf host,
		   char **ret_error);
