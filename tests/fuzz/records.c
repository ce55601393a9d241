/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store's journal: what makes no sense is set aside and never keeps tdid from starting, and
 * what was put back is written as it was. Input: the journal.
 */
#include "daemon/journal.h"
#include "daemon/records.h"
#include "daemon/store.h"
#include "fuzz.h"
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BOOT "00000000-0000-0000-0000-000000000000"

typedef struct Counts {
	unsigned int tvms, dsms, drains, tdis, assignments;
} Counts;

/* As tdid_start() does, as far as records need it. */
static int restore(Tdid *tdid, const char *folder, char **ret_error)
{
	static Config config;
	_cleanup_free_ char *path = NULL;
	int r;

	CHECK(asprintf(&path, "%s/%s", fuzz_folder(), folder) > 0);
	config.records = path;
	tdid->config = &config;
	CHECK(sd_event_new(&tdid->event) >= 0);
	CHECK(registry_new(&tdid->registry, tdid) == 0);
	CHECK(engine_new(&tdid->engine, 1000) == 0);
	r = store_open(&tdid->store, path, BOOT, ret_error);
	return r < 0 ? r : records_restore(tdid, ret_error);
}

static void done(Tdid *tdid)
{
	registry_free(tdid->registry);
	engine_free(tdid->engine);
	store_free(tdid->store);
	sd_event_unref(tdid->event);
}

/* Counts, and writes everything that there is. */
static Counts walk(Tdid *tdid, Store *store)
{
	Counts counts = {};
	Store *own = tdid->store;
	Assignment *a;
	Tvm *tvm;
	Dsm *dsm;
	Tdi *tdi;

	tdid->store = store ?: own;
	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p)); counts.tvms++)
		CHECK(!store || records_write_tvm(tdid, tvm) == 0);
	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));) {
		const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);

		counts.dsms += e && e->state != DSM_IDLE;
		counts.drains += dsm->drained;
		CHECK(!store || !e || records_write_dsm(tdid, dsm) == 0);
		CHECK(!store || records_write_drain(tdid, dsm) == 0);
	}
	for (uint32_t p = 0; (tdi = registry_next_tdi(tdid->registry, &p)); counts.tdis++)
		CHECK(!store || records_write_tdi(tdid, tdi) == 0);
	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));
	     counts.assignments++)
		CHECK(!store || records_write_assignment(tdid, a) == 0);
	tdid->store = own;
	return counts;
}

static void check_again(Tdid *tdid)
{
	_cleanup_(store_freep) Store *store = NULL;
	_cleanup_free_ char *path = NULL;
	Counts counts, again;
	Tdid other = {};

	CHECK(asprintf(&path, "%s/again", fuzz_folder()) > 0);
	CHECK(store_open(&store, path, BOOT, NULL) == 0);
	counts = walk(tdid, store);
	CHECK(restore(&other, "again", NULL) == 0);
	again = walk(&other, NULL);
	CHECK(memcmp(&counts, &again, sizeof(counts)) == 0);
	done(&other);
	fuzz_folder_remove("again");
}

/* What counts is what counted, also when it has been written anew, and what comes goes behind it.
 */
static void check_journal(void)
{
	_cleanup_(journal_image_done) JournalImage before = {}, after = {};
	_cleanup_(journal_freep) Journal *journal = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	size_t nameless = 0;

	CHECK(asprintf(&path, "%s/records", fuzz_folder()) > 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journal_read(&before, fd, "journal") < 0)
		return;
	while (nameless < before.n_lines && !before.lines[nameless].name)
		nameless++;
	CHECK(journal_open(&journal, fd, "journal", path, before.header, &before) == 0);
	CHECK(journal_append(journal, "~", "x", 1) == -EINVAL);
	CHECK(journal_append(journal, "zzz", "{}", 2) == 0);
	CHECK(journal_append(journal, "zzz", "", 0) == 0);
	CHECK(journal_compact(journal) == 0);
	CHECK(journal_append(journal, "zzz", "", 0) == 0);
	CHECK(journal_read(&after, fd, "journal") == 0);
	CHECK(!after.torn && strcmp(after.header, before.header) == 0);
	for (size_t i = nameless, k = 0; i < before.n_lines; i++) {
		const JournalLine *was = &before.lines[i], *is = &after.lines[k];

		if (strcmp(was->name, "zzz") == 0)
			continue;
		CHECK(k < after.n_lines && strcmp(is->name, was->name) == 0);
		CHECK(is->len == was->len && memcmp(is->text, was->text, is->len) == 0);
		k++;
	}
}

static bool is_set_aside(void)
{
	_cleanup_free_ char *path = NULL;

	CHECK(asprintf(&path, "%s/records/journal.unreadable", fuzz_folder()) > 0);
	return access(path, F_OK) == 0;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	char *error = NULL;
	Tdid tdid = {};
	int r;

	fuzz_folder_remove("records");
	fuzz_folder_put("records/journal", data, size);
	r = restore(&tdid, "records", &error);
	/* Only a newer tdid's journal ends it. */
	CHECK(r == 0 || r == -EPROTO);
	if (fuzz_good(r, error))
		check_again(&tdid);
	done(&tdid);
	check_journal();
	return r == 0 && !is_set_aside();
}
