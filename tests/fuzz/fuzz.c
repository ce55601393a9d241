/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "core/cleanup.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A log level below all there are: set-aside records and the like are expected here. */
#define LOG_NOTHING 0

void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

bool fuzz_is_shown(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return false;
	return json_utf8_valid(text, strlen(text));
}

bool fuzz_good_or_silent(int r, char *sentence)
{
	CHECK(r != 0 || !sentence);
	CHECK(!sentence || *sentence);
	if (sentence && !fuzz_is_shown(sentence)) {
		fprintf(stderr, "sentence: '%s'\n", sentence);
		CHECK(!"the sentence is UTF-8 without control characters");
	}
	free(sentence);
	return r == 0;
}

bool fuzz_good(int r, char *sentence)
{
	CHECK(r == 0 || r == -ENOMEM || sentence);
	return fuzz_good_or_silent(r, sentence);
}

bool fuzz_good_own(int r, char *sentence)
{
	CHECK(!r == !sentence && (!sentence || json_utf8_valid(sentence, strlen(sentence))));
	free(sentence);
	return r == 0;
}

char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text;

	if (size && memchr(data, '\0', size))
		return NULL;
	text = strndup((const char *)data, size);
	CHECK(text);
	return text;
}

static void judge_file(const char *path, bool wanted)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ uint8_t *data = NULL;
	struct stat st;

	CHECK(file && fstat(fileno(file), &st) == 0);
	if (!S_ISREG(st.st_mode))
		return;
	data = malloc((size_t)st.st_size ?: 1);
	CHECK(data && fread(data, 1, (size_t)st.st_size, file) == (size_t)st.st_size);
	if (fuzz_one(data, (size_t)st.st_size) != wanted) {
		fprintf(stderr, "%s: was to be %s\n", path, wanted ? "accepted" : "refused");
		exit(EXIT_FAILURE);
	}
}

static void judge_folder(const char *folder, bool wanted)
{
	DIR *stream = opendir(folder);
	struct dirent *entry;

	CHECK(stream);
	while ((entry = readdir(stream))) {
		_cleanup_free_ char *path = NULL;

		CHECK(asprintf(&path, "%s/%s", folder, entry->d_name) >= 0);
		judge_file(path, wanted);
	}
	closedir(stream);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/*
 * libFuzzer counts time in whole seconds, and so is told here to end: by the signal upon which it
 * ends in order, raised between two inputs, since its handler does more than a handler may.
 */
static int64_t end_msec; /* 0: no end, or it has been said */

static int64_t now_msec(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end_when_due(void)
{
	if (!end_msec || now_msec() < end_msec)
		return;
	end_msec = 0;
	raise(SIGUSR1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *msec = getenv("TDID_FUZZ_MSEC");

	log_set_level(LOG_NOTHING);
	for (int i = 1; i < *argc; i++) {
		if (ends_with((*argv)[i], "/good"))
			judge_folder((*argv)[i], true);
		else if (ends_with((*argv)[i], "/bad"))
			judge_folder((*argv)[i], false);
	}
	if (msec)
		end_msec = now_msec() + strtol(msec, NULL, 10);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_one(data, size);
	end_when_due();
	return 0;
}
