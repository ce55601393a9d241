/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One host device as libvirt is to attach it. */
#pragma once

#include "core/bdf.h"

/*
 * The <hostdev managed='yes'> of `host` with this alias, which goes in only if it is a trusted
 * device's (DOMAIN_XML_ALIAS_PREFIX, and domain_xml_alias_valid): nothing that a caller wrote can
 * be anything but a name here. 0, -EINVAL, -ENOMEM; *ret is allocated.
 */
int hostdev_xml_make(char **ret, const char *alias, Bdf host);
