/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-pool.h"
#include "raw-peer.h"
#include "testing-daemon.h"

#include <signal.h>

#define CALL   "{\"method\":\"io.example.Sample.Watch\"}|"
#define ANSWER "{\"parameters\":{\"n\":1}}|"

static sd_event *event;
static char path[64];
static int listening;
static ProviderPool *pool;
static uint64_t epoch; /* of what was taken last */
static unsigned int n_replies;
static int last_status;

static void set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	cr_assert_geq(sd_event_new(&event), 0);
	raw_path(path);
	listening = raw_listen(path, PROVIDER_POOL_MAX + 8);
	cr_assert_eq(provider_pool_new(&pool, event, path, getuid(), NULL), 0);
}

static void tear_down(void)
{
	provider_pool_free(pool);
	close(listening);
	sd_event_unref(event);
	raw_done(path);
}

TestSuite(daemon_provider_pool, .init = set_up, .fini = tear_down);

static VarlinkClient *taken(void)
{
	VarlinkClient *client = NULL;

	cr_assert_geq(provider_pool_take(pool, &client, &epoch, NULL), 0);
	return client;
}

/* The other end of a new one. */
static int kept(VarlinkClient **ret)
{
	*ret = taken();
	provider_pool_give(pool, *ret, epoch);
	return raw_accept(listening);
}

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	n_replies++;
	last_status = reply->status;
	provider_pool_give(pool, client, epoch);
}

static void call(VarlinkClient *client, uint64_t timeout_usec)
{
	cr_assert_eq(varlink_client_call(client, "io.example.Sample.Watch", NULL, 0, timeout_usec,
					 on_reply, NULL),
		     0);
}

Test(daemon_provider_pool, nobody_serves)
{
	VarlinkClient *client;

	close(listening);
	unlink(path);
	cr_assert_eq(provider_pool_take(pool, &client, &epoch, NULL), -ENOENT);
	listening = raw_listen(path, 1);
}

Test(daemon_provider_pool, somebody_else_serves)
{
	VarlinkClient *client;

	provider_pool_free(pool);
	cr_assert_eq(provider_pool_new(&pool, event, path, getuid() + 1, NULL), 0);
	cr_assert_eq(provider_pool_take(pool, &client, &epoch, NULL), -EPERM);
}

Test(daemon_provider_pool, used_again)
{
	VarlinkClient *first, *second;
	int fd = kept(&first);

	cr_assert_eq(provider_pool_count(pool), 1);
	cr_assert_eq(taken(), first);
	cr_assert_eq(provider_pool_count(pool), 0);
	/* Nothing is kept now, so it has to be another one. */
	second = taken();
	cr_assert_neq(second, first);
	call(first, 0);
	EXPECT_RECEIVED(fd, CALL);
	raw_send(fd, ANSWER);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(provider_pool_count(pool), 1);
	varlink_client_free(second);
	close(fd);
}

Test(daemon_provider_pool, within_the_answer_of_the_call_before)
{
	VarlinkClient *client;
	int fd = kept(&client);

	call(taken(), 0);
	raw_send(fd, ANSWER);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(taken(), client);
	varlink_client_free(client);
	close(fd);
}

/* The provider dies while the connection is kept, seen by the loop and not yet. */
Test(daemon_provider_pool, closed_meanwhile)
{
	VarlinkClient *client;

	close(kept(&client));
	testing_idle(event);
	cr_assert_eq(provider_pool_count(pool), 0);
	close(kept(&client));
	cr_assert_eq(provider_pool_count(pool), 1);
	client = taken();
	cr_assert(varlink_client_is_idle(client));
	close(raw_accept(listening));
	varlink_client_free(client);
}

/* Its answer is still to come, and would be the next call's. */
Test(daemon_provider_pool, given_up)
{
	VarlinkClient *client;
	int fd = kept(&client);

	call(taken(), 1000);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(last_status, -ETIME);
	cr_assert_eq(provider_pool_count(pool), 0);
	EXPECT_RECEIVED(fd, CALL "<end>");
	close(fd);
}

Test(daemon_provider_pool, says_more_than_it_was_asked)
{
	static const char *const texts[] = { ANSWER ANSWER, ANSWER "{", ANSWER "{}|" };
	VarlinkClient *client;
	int fd;

	for (unsigned int i = 0; i < ELEMENTSOF(texts); i++) {
		fd = kept(&client);
		call(taken(), 0);
		raw_send(fd, texts[i]);
		UNTIL(event, n_replies == i + 1);
		cr_assert_eq(provider_pool_count(pool), 0, "%s", texts[i]);
		close(fd);
	}
	/* When nobody has asked at all. */
	fd = kept(&client);
	raw_send(fd, ANSWER);
	cr_assert_neq(client = taken(), NULL);
	close(raw_accept(listening));
	varlink_client_free(client);
	EXPECT_RECEIVED(fd, "<end>");
	close(fd);
}

Test(daemon_provider_pool, so_many_and_no_more)
{
	VarlinkClient *clients[PROVIDER_POOL_MAX + 2];

	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		clients[i] = taken();
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		provider_pool_give(pool, clients[i], epoch);
	cr_assert_eq(provider_pool_count(pool), PROVIDER_POOL_MAX);
	provider_pool_clear(pool);
	cr_assert_eq(provider_pool_count(pool), 0);
}

/* It is of a provider that may not be who serves now. */
Test(daemon_provider_pool, cleared_while_one_is_in_use)
{
	VarlinkClient *client = taken();
	uint64_t before = epoch;
	int fd = raw_accept(listening);

	provider_pool_clear(pool);
	provider_pool_give(pool, client, before);
	cr_assert_eq(provider_pool_count(pool), 0);
	EXPECT_RECEIVED(fd, "<end>");
	close(fd);
	fd = kept(&client);
	cr_assert_eq(provider_pool_count(pool), 1, "and what is taken now is good");
	close(fd);
}

/* One of the two is used all the time, the other never. */
Test(daemon_provider_pool, not_needed)
{
	VarlinkClient *clients[2] = { taken(), taken() };

	provider_pool_give(pool, clients[0], epoch);
	provider_pool_give(pool, clients[1], epoch);
	while (provider_pool_count(pool) == 2) {
		VarlinkClient *client = taken();

		provider_pool_give(pool, client, epoch);
		cr_assert_geq(sd_event_run(event, 10000), 0);
	}
	cr_assert_eq(provider_pool_count(pool), 1);
	while (provider_pool_count(pool) > 0)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	for (int i = 0; i < 2; i++) {
		int fd = raw_accept(listening);

		EXPECT_RECEIVED(fd, "<end>");
		close(fd);
	}
}
