/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "tsm/linux/verb-lock.h"

#include <sys/file.h>

static sd_event *event;
static VerbLock *lock;
static char *error;
static bool told;

static void set_up(void)
{
	testing_host_new();
	cr_assert_geq(sd_event_new(&event), 0);
}

static void tear_down(void)
{
	verb_lock_free(lock);
	sd_event_unref(event);
	free(error);
	testing_host_remove();
}

TestSuite(linux_verb_lock, .init = set_up, .fini = tear_down);

static void on_taken(void *userdata)
{
	cr_assert_eq(userdata, event);
	cr_assert(verb_lock_is_taken(lock));
	told = true;
}

static int take(const char *folder)
{
	return verb_lock_new(&lock, event, folder, NULL, on_taken, event, &error);
}

Test(linux_verb_lock, no_folder)
{
	cr_assert_lt(take(testing_path("nowhere")), 0);
	cr_assert_not_null(strstr(error, "nowhere/lock"));
}

Test(linux_verb_lock, free)
{
	cr_assert_eq(take(testing_root), 0, "%s", error);
	cr_assert(verb_lock_is_taken(lock));
	cr_assert_geq(verb_lock_fd(lock), 0);
}

Test(linux_verb_lock, held_by_a_predecessors_child)
{
	int other = open(testing_path("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(flock(other, LOCK_EX), 0);
	cr_assert_eq(take(testing_root), 0, "%s", error);
	cr_assert_not(verb_lock_is_taken(lock));
	close(other);
	while (!told)
		cr_assert_gt(sd_event_run(event, 5000000), 0, "nothing happens any more");
	other = open(testing_path("lock"), O_RDWR | O_CLOEXEC);
	cr_assert_lt(flock(other, LOCK_EX | LOCK_NB), 0, "the child had it, not we");
	close(other);
}
