/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a domain's XML carries one of tdid's markers. */
#pragma once

#include <stddef.h>

typedef enum ScanMarker {
	SCAN_ALIAS = 1 << 0,	     /* a trusted device by its alias */
	SCAN_METADATA = 1 << 1,	     /* our element in <metadata> */
	SCAN_GUEST_PORT = 1 << 2,    /* the agent's virtio-serial port */
	SCAN_FW_CFG = 1 << 3,	     /* the TVM's key, or anything else of ours in fw_cfg */
	SCAN_QUOTE_SOCKET = 1 << 4, /* TDX quotes go through a socket of ours */
} ScanMarker;

#define SCAN_MARKERS	 5
#define SCAN_MARKER_SIZE 18 /* of the longest marker's text, its NUL included */

/* Zeroed to begin with. */
typedef struct Scan {
	unsigned found; /* of ScanMarker */
	size_t carried;
	char carry[SCAN_MARKER_SIZE -
		   2]; /* the end of what came before, one byte short of a marker */
} Scan;

/* The next bytes of the text, cut wherever read(2) cut them. */
void scan_feed(Scan *scan, const char *data, size_t size);

/* The text that is searched for; `index` below SCAN_MARKERS. */
const char *scan_marker_text(unsigned index);

/*
 * The markers in words, for a sentence: "the device alias ua-tdi-... and the guest port
 * io.tdid.guest.0". Cut to `size`. Returns `buffer`.
 */
#define SCAN_WORDS_SIZE 256
const char *scan_words(unsigned found, char *buffer, size_t size);
