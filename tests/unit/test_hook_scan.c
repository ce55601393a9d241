/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hooks/scan.h"

#include <ctype.h>
#include <string.h>

#include <criterion/criterion.h>

static unsigned scan_text(const char *text)
{
	Scan scan = { 0 };

	scan_feed(&scan, text, strlen(text));
	return scan.found;
}

Test(hook_scan, empty)
{
	Scan scan = { 0 };

	scan_feed(&scan, "", 0);
	cr_assert_eq(scan.found, 0);
}

Test(hook_scan, short_of_a_marker)
{
	for (unsigned i = 0; i < SCAN_MARKERS; i++) {
		const char *text = scan_marker_text(i);
		Scan scan = { 0 };

		scan_feed(&scan, text, strlen(text) - 1);
		cr_expect_eq(scan.found, 0, "%s", text);
		scan_feed(&scan, "!", 1);
		cr_expect_eq(scan.found, 0, "%s", text);
	}
}

Test(hook_scan, near_misses)
{
	cr_expect_eq(scan_text("<alias name='ua-nic0'/>"), 0);
	cr_expect_eq(scan_text("<alias name='ua_tdi-nic0'/>"), 0);
	cr_expect_eq(scan_text("<tdi:domain xmlns:tdi='urn:tdid:domain:2'/>"), 0);
	cr_expect_eq(scan_text("<target type='virtio' name='io.tdid.guest.1'/>"), 0);
	cr_expect_eq(scan_text("<entry name='opt/io.tdidx/key'/>"), 0);
	cr_expect_eq(scan_text("<quoteGenerationService path='/run/tdx-qgs/qgs.socket'/>"), 0);
}

/* Nothing that libvirt or libxml2 would write in another form: see the head of scan.c. */
Test(hook_scan, markers_need_no_escape)
{
	for (unsigned i = 0; i < SCAN_MARKERS; i++) {
		const char *text = scan_marker_text(i);

		cr_expect_lt(strlen(text), (size_t)SCAN_MARKER_SIZE);
		for (const char *p = text + (*text == '<'); *p; p++)
			cr_expect(isalnum((unsigned char)*p) || strchr("-.:/", *p), "%s", text);
	}
}

Test(hook_scan, each_marker_by_itself)
{
	cr_expect_eq(scan_text("<alias name='ua-tdi-nic0'/>"), SCAN_ALIAS);
	cr_expect_eq(scan_text("<tdi:domain xmlns:tdi=\"urn:tdid:domain:1\"/>"), SCAN_METADATA);
	cr_expect_eq(scan_text("<target name='io.tdid.guest.0'/>"), SCAN_GUEST_PORT);
	cr_expect_eq(scan_text("<entry name='opt/io.tdid/tvm-key'/>"), SCAN_FW_CFG);
	cr_expect_eq(scan_text("<quoteGenerationService path='/run/tdid/quote/1'/>"),
		     SCAN_QUOTE_SOCKET);
}

/* However read(2) cuts it in two, and however long what stands around it. */
Test(hook_scan, split_in_two_anywhere)
{
	for (unsigned i = 0; i < SCAN_MARKERS; i++) {
		const char *marker = scan_marker_text(i);
		size_t size = strlen(marker);

		for (size_t pad = 0; pad < 60; pad += 3) {
			char text[256];
			size_t whole = 2 * pad + size;

			memset(text, 'u', sizeof(text));
			memcpy(text + pad, marker, size);
			for (size_t cut = 0; cut <= whole; cut++) {
				Scan scan = { 0 };

				scan_feed(&scan, text, cut);
				scan_feed(&scan, text + cut, whole - cut);
				cr_expect_eq(scan.found, 1u << i, "%s pad %zu cut %zu", marker, pad,
					     cut);
			}
		}
	}
}

/* Pieces shorter than the carry, among them single bytes. */
Test(hook_scan, split_into_pieces)
{
	char text[512];
	size_t size = 0;

	for (unsigned i = 0; i < SCAN_MARKERS; i++) {
		memcpy(text + size, "<a/>", 4);
		size += 4;
		memcpy(text + size, scan_marker_text(i), strlen(scan_marker_text(i)));
		size += strlen(scan_marker_text(i));
	}
	for (size_t piece = 1; piece <= 2 * SCAN_MARKER_SIZE; piece++) {
		Scan scan = { 0 };

		for (size_t at = 0; at < size; at += piece)
			scan_feed(&scan, text + at, size - at < piece ? size - at : piece);
		cr_expect_eq(scan.found, (1u << SCAN_MARKERS) - 1, "piece %zu", piece);
	}
}

/* The parts of a marker with something between them are no marker. */
Test(hook_scan, interrupted)
{
	Scan scan = { 0 };

	scan_feed(&scan, "ua-", 3);
	scan_feed(&scan, " ", 1);
	scan_feed(&scan, "tdi-", 4);
	cr_expect_eq(scan.found, 0);
}

Test(hook_scan, binary)
{
	static const char text[] = "\0\xff\0ua-tdi-\0io.tdid.guest.0";
	Scan scan = { 0 };

	scan_feed(&scan, text, sizeof(text));
	cr_expect_eq(scan.found, SCAN_ALIAS | SCAN_GUEST_PORT);
}

Test(hook_scan, words)
{
	char words[SCAN_WORDS_SIZE];
	char tight[12];

	cr_expect_str_eq(scan_words(0, words, sizeof(words)), "");
	cr_expect_str_eq(scan_words(SCAN_GUEST_PORT, words, sizeof(words)),
			 "the guest port io.tdid.guest.0");
	cr_expect_str_eq(scan_words(SCAN_ALIAS | SCAN_FW_CFG, words, sizeof(words)),
			 "the device alias ua-tdi-... and the fw_cfg entry opt/io.tdid/...");
	cr_expect_str_eq(
		scan_words(SCAN_ALIAS | SCAN_METADATA | SCAN_QUOTE_SOCKET, words, sizeof(words)),
		"the device alias ua-tdi-..., the metadata of urn:tdid:domain:1 and "
		"the quote socket in /run/tdid/");
	scan_words((1u << SCAN_MARKERS) - 1, words, sizeof(words));
	cr_expect_lt(strlen(words), sizeof(words) - 1, "all of them fit");
	cr_expect_str_eq(scan_words(SCAN_ALIAS, tight, sizeof(tight)), "the device ");
}
