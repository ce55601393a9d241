/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every target shares. A target is one file with fuzz_one() in it; fuzz.c is what libFuzzer
 * calls. See README.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One input: reads it, and holds the outcome against what the headers promise. Returns whether it
 * was accepted: all of corpus/NOUN/good is, nothing of corpus/NOUN/bad (fuzz.c sees to that). It
 * is reentered for each input: what it allocates it frees, or the leak is reported.
 */
bool fuzz_one(const uint8_t *data, size_t size);

/* Says where and what, and aborts: libFuzzer keeps the input. */
__attribute__((noreturn)) void fuzz_fail(const char *file, int line, const char *what);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)

/*
 * A result and its sentence, which is freed: success has none, a refusal has one, and that one can
 * be shown and sent (UTF-8, no control characters). Returns whether `r` is success, 0.
 */
bool fuzz_good(int r, char *sentence);
/* The same where a refusal need not have a sentence. */
bool fuzz_good_or_silent(int r, char *sentence);
/* The same for a file of the operator's own, whose words may be quoted as they are. */
bool fuzz_good_own(int r, char *sentence);

/* An allocated copy with a NUL behind, NULL if there is one within: C strings end there. */
char *fuzz_text(const uint8_t *data, size_t size);

/* UTF-8 without control characters. */
bool fuzz_is_shown(const char *text);
