/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mkdir -> provider, generation -> inblob -> outblob -> generation -> rmdir.
 *
 * The kernel takes what was written to inblob when the file is closed, and drops its own verdict on
 * it: only the generation, one more than before, shows that it was taken, and that nobody else
 * wrote into this folder meanwhile.
 *
 * A read of outblob that a signal interrupts leaves the kernel's one buffer with the VMM, and every
 * quote of this guest fails (EBUSY) until that is answered. So signals that end this program wait.
 */
#include "agent/configfs-report.h"

#include "core/cleanup.h"
#include "core/refusal.h"
#include "core/tdx-quote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROVIDER "tdx_guest"

static int read_generation(const Tree *tree, const char *name, uint64_t *ret, char **ret_error)
{
	int r = tree_read_number(tree, ret, CONFIGFS_REPORTS "/%s/generation", name);

	if (r < 0)
		refuse(ret_error, r, "configfs: generation: %s", strerror(-r));
	return r;
}

static int check_provider(const Tree *tree, const char *name, char **ret_error)
{
	char provider[64];
	int r;

	r = tree_read_line(tree, provider, sizeof(provider), CONFIGFS_REPORTS "/%s/provider", name);
	if (r < 0)
		return refuse(ret_error, r, "configfs: provider: %s", strerror(-r));
	if (strcmp(provider, PROVIDER) != 0)
		return refuse(ret_error, -EOPNOTSUPP,
			      "configfs: provider: this kernel's reports are of another platform, "
			      "expected " PROVIDER " (its outblob is no TDX quote)");
	return 0;
}

static int write_data(const Tree *tree, const char *name, const uint8_t *report_data,
		      char **ret_error)
{
	_cleanup_close_ int fd = tree_open(tree, O_WRONLY, CONFIGFS_REPORTS "/%s/inblob", name);
	ssize_t n;

	if (fd < 0)
		return refuse(ret_error, fd, "configfs: inblob: %s", strerror(-fd));
	n = write(fd, report_data, TDREPORT_DATA_SIZE);
	if (n != (ssize_t)TDREPORT_DATA_SIZE) {
		int r = n < 0 ? -errno : -EIO;

		return refuse(ret_error, r, "configfs: inblob: %s", strerror(-r));
	}
	return 0;
}

static const char *explain(int error)
{
	switch (error) {
	case EBUSY:
		return "an earlier request of this guest is still with the VMM, which never "
		       "answered it: quotes fail until it does, or until the guest is started anew";
	case ETIMEDOUT:
		return "the VMM had no answer within the kernel's 30 s: quote socket in the "
		       "domain's XML? tdi-quoted or QGS running?";
	case EIO:
		return "the VMM answered with an error: its log, and the quoting service's, say "
		       "why";
	case EFBIG: return "the quote is larger than this kernel hands on";
	case ENXIO: return "the platform's driver is gone: module tdx_guest loaded?";
	default: return "dmesg of this guest may say more";
	}
}

/* The wait. */
static int read_quote(uint8_t **ret, size_t *ret_size, const Tree *tree, const char *name,
		      char **ret_error)
{
	char *quote;
	int r;

	r = tree_read(tree, &quote, ret_size, TDX_QUOTE_MAX, CONFIGFS_REPORTS "/%s/outblob", name);
	if (r < 0)
		return refuse(ret_error, r, "configfs: outblob: %s (%s)", strerror(-r),
			      explain(-r));
	if (*ret_size == 0) {
		free(quote);
		return refuse(ret_error, -EIO, "configfs: outblob: empty (%s)", explain(EIO));
	}
	*ret = (uint8_t *)quote;
	return 0;
}

int configfs_report_read(uint8_t **ret, size_t *ret_size, const Tree *tree, const char *name,
			 const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error)
{
	_cleanup_free_ uint8_t *quote = NULL;
	uint64_t before, after;
	int r;

	r = check_provider(tree, name, ret_error);
	if (r == 0)
		r = read_generation(tree, name, &before, ret_error);
	if (r == 0)
		r = write_data(tree, name, report_data, ret_error);
	if (r == 0)
		r = read_quote(&quote, ret_size, tree, name, ret_error);
	if (r == 0)
		r = read_generation(tree, name, &after, ret_error);
	if (r < 0)
		return r;
	if (after != before + 1)
		return refuse(
			ret_error, -EAGAIN,
			"configfs: generation: went from %llu to %llu, expected one more: the "
			"kernel did not take the report data, or somebody else wrote into %s",
			(unsigned long long)before, (unsigned long long)after, name);
	*ret = steal_ptr(quote);
	return 0;
}

int configfs_report_quote(uint8_t **ret, size_t *ret_size, const Tree *tree,
			  const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error)
{
	_cleanup_free_ char *path = NULL;
	sigset_t late, before;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "tdi-agent-%d", (int)getpid());
	r = tree_path(tree, &path, CONFIGFS_REPORTS "/%s", name);
	if (r < 0)
		return r;
	sigemptyset(&late);
	sigaddset(&late, SIGINT);
	sigaddset(&late, SIGTERM);
	sigaddset(&late, SIGHUP);
	sigaddset(&late, SIGQUIT);
	sigprocmask(SIG_BLOCK, &late, &before);
	if (mkdir(path, 0700) < 0) {
		/* ENXIO: configfs-tsm is there, and no platform's driver. */
		r = errno == ENXIO ? -ENOENT : -errno;
		if (r != -ENOENT)
			refuse(ret_error, r, "configfs: %s: %s", path, strerror(-r));
	} else {
		r = configfs_report_read(ret, ret_size, tree, name, report_data, ret_error);
		rmdir(path);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
