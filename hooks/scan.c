/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A substring search, not a parser: a marker in a title costs one needless call to tdid, which
 * reads the XML properly, while a marker that is missed would start a domain behind tdid's back.
 *
 * None is missed, because what libvirt hands to its hooks is its own serialisation of the domain.
 * It writes a character of the markers never as an entity or character reference: values go
 * through virBufferEscapeString, which escapes < > & " ' only, and the metadata through libxml2's
 * xmlNodeDump, which escapes those, line ends, and what is not ASCII. A reference in the user's XML
 * is resolved when libvirt parses it; one to an entity of the user's own DTD stays as it is and
 * names nothing, since the DTD is not kept. The text is UTF-8 throughout.
 */
#include "scan.h"

#include <string.h>

static const struct {
	ScanMarker marker;
	const char text[SCAN_MARKER_SIZE];
	const char *words;
} markers[SCAN_MARKERS] = {
	{ SCAN_ALIAS, "ua-tdi-", "the device alias ua-tdi-..." },
	{ SCAN_METADATA, "urn:tdid:domain:1", "the metadata of urn:tdid:domain:1" },
	{ SCAN_GUEST_PORT, "io.tdid.guest.0", "the guest port io.tdid.guest.0" },
	{ SCAN_FW_CFG, "opt/io.tdid/", "the fw_cfg entry opt/io.tdid/..." },
	{ SCAN_QUOTE_SOCKET, "/run/tdid/", "the quote socket in /run/tdid/" },
};

_Static_assert(sizeof("urn:tdid:domain:1") == SCAN_MARKER_SIZE, "longest marker");

static unsigned search(const char *data, size_t size)
{
	unsigned found = 0;

	for (unsigned i = 0; i < SCAN_MARKERS; i++)
		if (memmem(data, size, markers[i].text, strlen(markers[i].text)))
			found |= markers[i].marker;
	return found;
}

void scan_feed(Scan *scan, const char *data, size_t size)
{
	char seam[2 * sizeof(scan->carry)];
	size_t head = size < sizeof(scan->carry) ? size : sizeof(scan->carry);
	size_t joined = scan->carried + head;
	size_t keep;

	if (size == 0)
		return;
	scan->found |= search(data, size);

	memcpy(seam, scan->carry, scan->carried);
	memcpy(seam + scan->carried, data, head);
	if (scan->carried)
		scan->found |= search(seam, joined);

	if (size >= sizeof(scan->carry)) {
		scan->carried = sizeof(scan->carry);
		memcpy(scan->carry, data + size - scan->carried, scan->carried);
		return;
	}
	keep = joined < sizeof(scan->carry) ? joined : sizeof(scan->carry);
	memcpy(scan->carry, seam + joined - keep, keep);
	scan->carried = keep;
}

const char *scan_marker_text(unsigned index)
{
	return markers[index].text;
}

const char *scan_words(unsigned found, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (unsigned i = 0; i < SCAN_MARKERS; i++) {
		unsigned left = found & ~(markers[i].marker | (markers[i].marker - 1u));
		const char *parts[] = { used == 0 ? "" : left ? ", " : " and ", markers[i].words };

		if (!(found & markers[i].marker))
			continue;
		for (unsigned p = 0; p < 2; p++) {
			size_t n = strnlen(parts[p], size - used - 1);

			memcpy(buffer + used, parts[p], n);
			used += n;
		}
		buffer[used] = '\0';
	}
	return buffer;
}
