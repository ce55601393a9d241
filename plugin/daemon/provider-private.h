/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What provider.c (a TSM provider, coming up and watched) and provider-call.c (one call) share. */
#pragma once

#include "common/expiry.h"
#include "daemon/provider-pool.h"
#include "daemon/provider.h"
#include "rpc/idl.h"

#define PROVIDER_INTERFACE "io.tdid.Tsm"

struct Provider {
	sd_event *event;
	char *name, *title;
	IdlInterface *idl;
	ProviderPool *pool;
	ProviderHandlers handlers;
	void *userdata;

	bool ready, said_lost;
	bool asking, noticed; /* Query is under way; a change was reported meanwhile */
	bool protection, waits_for_guest, tells_state;
	bool names_operations; /* as all answers to the last verb did */
	char *instance;	       /* of the last Query */
	char *trouble;
	ProviderView view;
	VarlinkClient *watch;
	bool stands;	     /* the watch */
	uint64_t stood_usec; /* since when, CLOCK_MONOTONIC */
	ProviderCall *step;  /* of coming up */
	sd_event_source *retry;
	uint64_t retry_usec;
	ProviderCall *calls;
	Expiries silences; /* of verbs of which nothing has been said yet */
};

/* It counts as lost; it is reached anew after a while. */
void provider_lose(Provider *provider, const char *reason);

struct ProviderCall {
	Provider *provider;
	VarlinkClient *client;
	bool own;	/* the connection is for this call only */
	bool verb;	/* its answers have to name their operation */
	bool kept;	/* other calls have been on its connection */
	bool unnamed;	/* one of its answers did not */
	uint64_t epoch; /* of the connection, if it is not its own */
	Expiry silence;
	/* What it takes to ask again. */
	const char *method;
	json_object *parameters;
	unsigned flags;
	uint64_t timeout_usec;
	ProviderReplied replied;
	void *userdata;
	ProviderCall *next, *prev;
};
