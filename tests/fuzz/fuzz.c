/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "core/cleanup.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

	if (!file || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode))
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

	while (stream && (entry = readdir(stream))) {
		_cleanup_free_ char *path = NULL;

		CHECK(asprintf(&path, "%s/%s", folder, entry->d_name) >= 0);
		judge_file(path, wanted);
	}
	if (stream)
		closedir(stream);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_set_level(LOG_NOTHING);
	for (int i = 1; i < *argc; i++) {
		if (ends_with((*argv)[i], "/good"))
			judge_folder((*argv)[i], true);
		else if (ends_with((*argv)[i], "/bad"))
			judge_folder((*argv)[i], false);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_one(data, size);
	return 0;
}
