/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections to one provider. varlink answers in order, so a connection has one call at a time,
 * and one that hangs holds up nothing; what no call is on is kept for the next one.
 */
#pragma once

#include "rpc/varlink-client.h"

#include <sys/types.h>

typedef struct ProviderPool ProviderPool;

/* So many are kept, and only as long as they are in use now and then. */
#define PROVIDER_POOL_MAX	64u
#define PROVIDER_POOL_IDLE_USEC (1000 * UINT64_C(1000))

/* The interface is borrowed; whoever serves the socket has to have this uid. */
int provider_pool_new(ProviderPool **ret, sd_event *event, const char *path, uid_t uid,
		      const IdlInterface *interface);
/* Those that were taken stay their takers'. */
ProviderPool *provider_pool_free(ProviderPool *pool);
DEFINE_CLEANUP(ProviderPool, provider_pool_free);

/*
 * One on which nothing is under way; the caller's. *ret_epoch is for giving it back. 1: kept, other
 * calls have been on it; 0: new. Errors: varlink_client_connect's.
 */
int provider_pool_take(ProviderPool *pool, VarlinkClient **ret, uint64_t *ret_epoch,
		       char **ret_error);
/* A new one in any case, which need not be given. */
int provider_pool_connect(ProviderPool *pool, VarlinkClient **ret, uint64_t *ret_epoch,
			  char **ret_error);
/*
 * The call on it is over. It is kept, unless the pool has been cleared since it was taken. One that
 * was given up without its last answer has to be freed instead, or that would be taken for the next
 * call's.
 */
void provider_pool_give(ProviderPool *pool, VarlinkClient *client, uint64_t epoch);
/* Who is at their other end may not be who serves now: also of those that are in use. */
void provider_pool_clear(ProviderPool *pool);

/* How many are kept. */
size_t provider_pool_count(const ProviderPool *pool);
