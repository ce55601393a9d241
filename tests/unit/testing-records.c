/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-records.h"

#include "daemon/journal.h"
#include "daemon/store.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "journal"

static JournalImage read_journal(const char *directory)
{
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	JournalImage image = {};
	int r = fd < 0 ? -errno : journal_read(&image, fd, FILE_NAME);

	cr_assert(r == 0 || r == -ENOENT, "%s: %s", directory, strerror(-r));
	return image;
}

unsigned int testing_records_count(const char *directory, const char *kind, const char *contains)
{
	_cleanup_(journal_image_done) JournalImage image = read_journal(directory);
	unsigned int n = 0;

	for (size_t i = 0; i < image.n_lines; i++)
		n += image.lines[i].name && strncmp(image.lines[i].name, kind, strlen(kind)) == 0 &&
		     (!contains || strstr(image.lines[i].text, contains));
	return n;
}

static FILE *open_file(const char *directory, const char *name, const char *mode)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return fopen(path, mode);
}

unsigned int testing_records_lines(const char *directory)
{
	_cleanup_fclose_ FILE *f = open_file(directory, FILE_NAME, "re");
	unsigned int n = 0;
	int c;

	cr_assert_not_null(f);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	return n - 1;
}

void testing_records_put(const char *directory, const char *name, const char *text)
{
	_cleanup_fclose_ FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re"), *f = NULL;
	char id[64] = "";

	cr_assert_eq(fscanf(boot, "%63s", id), 1);
	cr_assert(mkdir(directory, 0700) == 0 || errno == EEXIST);
	f = open_file(directory, FILE_NAME, "ae");
	cr_assert_not_null(f);
	if (ftell(f) == 0)
		fprintf(f, "{\"version\":%d,\"boot\":\"%s\"}\n", STORE_VERSION, id);
	fprintf(f, "%s %s\n", name, text);
}

void testing_records_remove(const char *directory, const char *kind)
{
	_cleanup_(journal_image_done) JournalImage image = read_journal(directory);

	for (size_t i = 0; i < image.n_lines; i++)
		if (strncmp(image.lines[i].name, kind, strlen(kind)) == 0)
			testing_records_put(directory, image.lines[i].name, "");
}

bool testing_records_set_aside(const char *directory, const char *name)
{
	_cleanup_fclose_ FILE *f = open_file(directory, "journal.unreadable", "re");
	char line[4096];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
			return true;
	return false;
}
