/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/accepted.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BOOT_ID_SIZE 64

static int boot_id_read(const Tree *tree, char ret[static BOOT_ID_SIZE])
{
	return tree_read_line(tree, ret, BOOT_ID_SIZE, "/proc/sys/kernel/random/boot_id");
}

static int line_parse(AcceptedBind *ret, char *line, const char *boot_id)
{
	char *boot, *tvm, *address, *generation, *end, *rest;
	AcceptedBind bind;

	boot = strtok_r(line, " ", &rest);
	tvm = strtok_r(NULL, " ", &rest);
	address = strtok_r(NULL, " ", &rest);
	generation = strtok_r(NULL, " ", &rest);
	if (!generation || strtok_r(NULL, " ", &rest) || strcmp(boot, boot_id) != 0 ||
	    uuid_from_string(&bind.tvm, tvm) < 0 || bdf_parse(&bind.address, address) < 0)
		return -EBADMSG;
	errno = 0;
	bind.generation = strtoull(generation, &end, 10);
	if (errno || *end || *generation < '0' || *generation > '9')
		return -EBADMSG;
	*ret = bind;
	return 0;
}

/* *ret is allocated. Lines that do not parse are left out. */
static int record_read(const Tree *tree, AcceptedBind **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ AcceptedBind *binds = NULL;
	char boot_id[BOOT_ID_SIZE], *rest;
	size_t size, n = 0, max = 1;
	int r;

	r = boot_id_read(tree, boot_id);
	if (r < 0)
		return r;
	r = tree_read(tree, &text, &size, ACCEPTED_MAX_SIZE, "%s", ACCEPTED_PATH);
	if (r < 0 && r != -ENOENT)
		return r;
	for (const char *p = text; p && *p; p++)
		max += *p == '\n';
	binds = calloc(max, sizeof(*binds));
	if (!binds)
		return -ENOMEM;
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line && n < max;
	     line = strtok_r(NULL, "\n", &rest))
		if (line_parse(&binds[n], line, boot_id) == 0)
			n++;
	*ret = steal_ptr(binds);
	*ret_n = n;
	return 0;
}

static int record_write(const Tree *tree, const AcceptedBind *binds, size_t n)
{
	_cleanup_free_ char *folder = NULL, *path = NULL, *temporary = NULL;
	char boot_id[BOOT_ID_SIZE], tvm[UUID_STRING_SIZE], address[BDF_STRING_SIZE];
	_cleanup_fclose_ FILE *file = NULL;
	int fd, r;

	r = boot_id_read(tree, boot_id);
	if (r == 0)
		r = tree_path(tree, &folder, ACCEPTED_FOLDER);
	if (r == 0)
		r = tree_path(tree, &path, ACCEPTED_PATH);
	if (r == 0)
		r = tree_path(tree, &temporary, ACCEPTED_PATH ".new");
	if (r < 0)
		return r;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		fprintf(file, "%s %s %s %" PRIu64 "\n", boot_id, uuid_format(binds[i].tvm, tvm),
			bdf_format(binds[i].address, address), binds[i].generation);
	/* /run is memory: there is no crash that the rename has to be ordered against. */
	if (fflush(file) != 0)
		return -errno;
	return rename(temporary, path) < 0 ? -errno : 0;
}

bool accepted_knows(const Tree *tree, const AcceptedBind *bind)
{
	_cleanup_free_ AcceptedBind *binds = NULL;
	size_t n;

	if (record_read(tree, &binds, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(binds[i].address, bind->address) &&
		    uuid_equal(binds[i].tvm, bind->tvm) && binds[i].generation == bind->generation)
			return true;
	return false;
}

bool accepted_knows_address(const Tree *tree, Bdf address)
{
	_cleanup_free_ AcceptedBind *binds = NULL;
	size_t n;

	if (record_read(tree, &binds, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(binds[i].address, address))
			return true;
	return false;
}

static int record_change(const Tree *tree, Bdf address, const AcceptedBind *add)
{
	_cleanup_free_ AcceptedBind *binds = NULL, *grown = NULL;
	size_t n, kept = 0;
	int r;

	r = record_read(tree, &binds, &n);
	if (r < 0)
		return r;
	grown = calloc(n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!bdf_equal(binds[i].address, address))
			grown[kept++] = binds[i];
	if (!add && kept == n)
		return 0;
	if (add)
		grown[kept++] = *add;
	return record_write(tree, grown, kept);
}

int accepted_add(const Tree *tree, const AcceptedBind *bind)
{
	return record_change(tree, bind->address, bind);
}

int accepted_remove(const Tree *tree, Bdf address)
{
	return record_change(tree, address, NULL);
}
