/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last that was given is the first that is taken, so those at the bottom are the ones that
 * nobody needs: what was not taken for a whole period of the timer is closed. It runs only while
 * something is kept.
 *
 * A kept connection that the provider closes goes at once, by `disconnected`. Should a call come
 * before the loop has seen it, the socket is looked at.
 *
 * A clear is for those too that are in use: each is of an epoch, which a clear ends, and is closed
 * when it is given back in another one.
 */
#include "daemon/provider-pool.h"

#include <errno.h>
#include <string.h>

struct ProviderPool {
	sd_event *event;
	char *path;
	VarlinkClientOptions options;
	VarlinkClient *kept[PROVIDER_POOL_MAX];
	size_t n, fewest; /* since the timer was set */
	uint64_t epoch;
	sd_event_source *timer;
	bool running;
};

static void drop(ProviderPool *pool, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		varlink_client_free(pool->kept[i]);
	pool->n -= n;
	memmove(pool->kept + first, pool->kept + first + n,
		(pool->n - first) * sizeof(pool->kept[0]));
	if (pool->fewest > pool->n)
		pool->fewest = pool->n;
}

static void on_disconnected(VarlinkClient *client, int reason, void *userdata)
{
	ProviderPool *pool = userdata;

	for (size_t i = 0; i < pool->n; i++)
		if (pool->kept[i] == client) {
			drop(pool, i, 1);
			return;
		}
}

static void watch_idle(ProviderPool *pool)
{
	pool->fewest = pool->n;
	pool->running =
		pool->n > 0 &&
		sd_event_source_set_time_relative(pool->timer, PROVIDER_POOL_IDLE_USEC) >= 0 &&
		sd_event_source_set_enabled(pool->timer, SD_EVENT_ONESHOT) >= 0;
	/* Nobody would ever close them. */
	if (!pool->running)
		drop(pool, 0, pool->n);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	ProviderPool *pool = userdata;

	drop(pool, 0, pool->fewest);
	watch_idle(pool);
	return 0;
}

int provider_pool_new(ProviderPool **ret, sd_event *event, const char *path, uid_t uid,
		      const IdlInterface *interface)
{
	_cleanup_(provider_pool_freep) ProviderPool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return -ENOMEM;
	pool->event = sd_event_ref(event);
	pool->options = (VarlinkClientOptions){ .interface = interface,
						.check_uid = true,
						.uid = uid,
						.disconnected = on_disconnected,
						.userdata = pool };
	pool->path = strdup(path);
	if (!pool->path)
		return -ENOMEM;
	r = sd_event_add_time_relative(event, &pool->timer, CLOCK_MONOTONIC, 0, 0, on_idle, pool);
	if (r >= 0)
		r = sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = steal_ptr(pool);
	return 0;
}

ProviderPool *provider_pool_free(ProviderPool *pool)
{
	if (!pool)
		return NULL;
	provider_pool_clear(pool);
	sd_event_source_disable_unref(pool->timer);
	sd_event_unref(pool->event);
	free(pool->path);
	free(pool);
	return NULL;
}

int provider_pool_connect(ProviderPool *pool, VarlinkClient **ret, uint64_t *ret_epoch,
			  char **ret_error)
{
	*ret_epoch = pool->epoch;
	return varlink_client_connect(ret, pool->event, pool->path, &pool->options, ret_error);
}

int provider_pool_take(ProviderPool *pool, VarlinkClient **ret, uint64_t *ret_epoch,
		       char **ret_error)
{
	*ret_epoch = pool->epoch;
	while (pool->n > 0) {
		VarlinkClient *client = pool->kept[pool->n - 1];

		if (varlink_client_is_quiet(client)) {
			pool->n--;
			if (pool->fewest > pool->n)
				pool->fewest = pool->n;
			*ret = client;
			return 1;
		}
		drop(pool, pool->n - 1, 1);
	}
	return provider_pool_connect(pool, ret, ret_epoch, ret_error);
}

void provider_pool_give(ProviderPool *pool, VarlinkClient *client, uint64_t epoch)
{
	if (epoch != pool->epoch || pool->n == ELEMENTSOF(pool->kept) ||
	    !varlink_client_is_idle(client)) {
		varlink_client_free(client);
		return;
	}
	pool->kept[pool->n++] = client;
	if (!pool->running)
		watch_idle(pool);
}

void provider_pool_clear(ProviderPool *pool)
{
	pool->epoch++;
	drop(pool, 0, pool->n);
}

size_t provider_pool_count(const ProviderPool *pool)
{
	return pool->n;
}
