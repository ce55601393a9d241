/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"

#include "fuzz.h"
#include "../scratch-folder.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static void remove_all(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
	const char *above = getenv("TDID_FUZZ_FOLDER");

	if (*folder)
		return folder;
	CHECK(scratch_folder(folder, sizeof(folder), above));
	atexit(remove_all);
	return folder;
}

void fuzz_folder_put(const char *path, const void *data, size_t size)
{
	char full[PATH_MAX];
	size_t begin = strlen(fuzz_folder()) + 1;
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", fuzz_folder(), path);
	for (char *slash = strchr(full + begin, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "we");
	CHECK(file);
	CHECK(fwrite(data, 1, size, file) == size);
	CHECK(fclose(file) == 0);
}

void fuzz_folder_remove(const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", fuzz_folder(), path);
	nftw(full, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
