/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quotes by configfs-tsm on a made-up tree. A kernel is played where it matters: inblob and outblob
 * are pipes, at whose other ends a thread changes what the kernel would.
 */
#include "agent/configfs-report.h"
#include "core/cleanup.h"
#include "testing-quote.h"
#include "testing-tree.h"

#include <errno.h>
#include <pthread.h>

#define REPORT CONFIGFS_REPORTS "/r"

static TestingTree t;
static const uint8_t data[TDREPORT_DATA_SIZE] = { 1, [63] = 2 };

typedef struct Kernel {
	const char *generation; /* after the write */
	uint8_t quote[TESTING_QUOTE_ROOM];
	size_t quote_size;
	uint8_t got[TDREPORT_DATA_SIZE + 1];
	ssize_t got_size;
} Kernel;

static void set_up(void)
{
	testing_tree_init(&t);
}

static void tear_down(void)
{
	testing_tree_done(&t);
}

TestSuite(agent_configfs_report, .init = set_up, .fini = tear_down, .timeout = 20);

static void make_pipe(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", t.root, path);
	cr_assert_eq(mkfifo(full, 0600), 0);
}

static void *kernel(void *userdata)
{
	Kernel *k = userdata;
	int fd = tree_open(&t.tree, O_RDONLY, REPORT "/inblob");

	k->got_size = read(fd, k->got, sizeof(k->got));
	close(fd);
	testing_put(&t, REPORT "/generation", "%s\n", k->generation);
	fd = tree_open(&t.tree, O_WRONLY, REPORT "/outblob");
	if (k->quote_size)
		cr_assert_eq(write(fd, k->quote, k->quote_size), (ssize_t)k->quote_size);
	close(fd);
	return NULL;
}

static int read_from(Kernel *k, uint8_t **ret, size_t *ret_size, char **ret_error)
{
	pthread_t thread;
	int r;

	testing_put(&t, REPORT "/provider", "tdx_guest\n");
	testing_put(&t, REPORT "/generation", "4\n");
	make_pipe(REPORT "/inblob");
	make_pipe(REPORT "/outblob");
	cr_assert_eq(pthread_create(&thread, NULL, kernel, k), 0);
	r = configfs_report_read(ret, ret_size, &t.tree, "r", data, ret_error);
	pthread_join(thread, NULL);
	return r;
}

static void refused(Kernel *k, const char *words)
{
	_cleanup_free_ char *error = NULL;
	uint8_t *quote = NULL;
	size_t size;

	cr_assert_lt(read_from(k, &quote, &size, &error), 0);
	cr_assert_null(quote);
	cr_assert(error && strstr(error, words), "\"%s\" does not say %s", error, words);
}

Test(agent_configfs_report, none)
{
	uint8_t *quote;
	char *error = NULL;
	size_t size;

	cr_assert_eq(configfs_report_quote(&quote, &size, &t.tree, data, &error), -ENOENT);
	cr_assert_null(error);
}

Test(agent_configfs_report, folder_is_removed_when_it_fails)
{
	_cleanup_free_ char *error = NULL;
	char path[256];
	uint8_t *quote;
	size_t size;

	testing_put(&t, CONFIGFS_REPORTS "/.keep", "%s", "");
	cr_assert_lt(configfs_report_quote(&quote, &size, &t.tree, data, &error), 0);
	cr_assert(error && strstr(error, "configfs: provider"), "%s", error);
	snprintf(path, sizeof(path), "%s" CONFIGFS_REPORTS "/tdi-agent-%d", t.root, (int)getpid());
	cr_assert_lt(access(path, F_OK), 0);
}

Test(agent_configfs_report, folder_is_there_already)
{
	_cleanup_free_ char *error = NULL;
	char path[256];
	uint8_t *quote;
	size_t size;

	snprintf(path, sizeof(path), CONFIGFS_REPORTS "/tdi-agent-%d/provider", (int)getpid());
	testing_put(&t, path, "tdx_guest\n");
	cr_assert_eq(configfs_report_quote(&quote, &size, &t.tree, data, &error), -EEXIST);
	cr_assert(error && strstr(error, "tdi-agent-"), "%s", error);
}

Test(agent_configfs_report, another_platform)
{
	_cleanup_free_ char *error = NULL;
	uint8_t *quote;
	size_t size;

	testing_put(&t, REPORT "/provider", "sev_guest\n");
	testing_put(&t, REPORT "/generation", "0\n");
	cr_assert_eq(configfs_report_read(&quote, &size, &t.tree, "r", data, &error), -EOPNOTSUPP);
	cr_assert(strstr(error, "tdx_guest"), "%s", error);
}

Test(agent_configfs_report, write_that_the_kernel_did_not_take)
{
	Kernel k = { .generation = "4", .quote_size = 10 };

	refused(&k, "generation: went from 4 to 4");
}

Test(agent_configfs_report, somebody_else_wrote_too)
{
	Kernel k = { .generation = "6", .quote_size = 10 };

	refused(&k, "somebody else wrote");
}

Test(agent_configfs_report, empty)
{
	Kernel k = { .generation = "5" };

	refused(&k, "the VMM answered with an error");
}

Test(agent_configfs_report, quote)
{
	Kernel k = { .generation = "5" };
	_cleanup_free_ char *error = NULL;
	_cleanup_free_ uint8_t *quote = NULL;
	size_t size;

	k.quote_size = testing_quote_make(k.quote, 4, data);
	cr_assert_eq(read_from(&k, &quote, &size, &error), 0, "%s", error);
	cr_assert_eq(k.got_size, TDREPORT_DATA_SIZE);
	cr_assert_arr_eq(k.got, data, TDREPORT_DATA_SIZE);
	cr_assert_eq(size, k.quote_size);
	cr_assert_arr_eq(quote, k.quote, size);
}
