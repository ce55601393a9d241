/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/hostdev-xml.h"

#include "core/domain-xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int hostdev_xml_make(char **ret, const char *alias, Bdf host)
{
	char *text;

	if (strncmp(alias, DOMAIN_XML_ALIAS_PREFIX, strlen(DOMAIN_XML_ALIAS_PREFIX)) != 0 ||
	    !domain_xml_alias_valid(alias))
		return -EINVAL;
	if (asprintf(&text,
		     "<hostdev mode='subsystem' type='pci' managed='yes'>\n"
		     "  <source>\n"
		     "    <address domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n"
		     "  </source>\n"
		     "  <alias name='%s'/>\n"
		     "</hostdev>\n",
		     host.segment, host.bus, host.device, host.function, alias) < 0)
		return -ENOMEM;
	*ret = text;
	return 0;
}
