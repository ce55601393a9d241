/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of hook-service.h: the service, and one call that has to wait. */
#pragma once

#include "core/domain-xml.h"
#include "daemon/hook-service.h"
#include "daemon/metrics.h"
#include "daemon/quote-relay.h"

typedef enum HookStep { HOOK_QUIET, HOOK_PROVIDERS, HOOK_CALLS } HookStep;

typedef struct HookCall HookCall;

struct HookCall {
	HookService *service;
	VarlinkCall *call;
	char *domain; /* its name, for messages */
	DomainXml *xml;
	bool prepare; /* else stopped or release: never refused */
	bool release;
	HookStep step;
	size_t provider; /* the next one to call */
	ProviderCall *provider_call;
	QuoteCall *quote_call;
	sd_event_source *timeout, *patience;
	bool is_impatient; /* half of its time is over */
	bool is_over;	   /* all of it is */
	HookCall *next;
};

struct HookService {
	Tdid *tdid;
	VarlinkServer *server;
	HookCall *first;
	bool is_ending; /* that calls go then says nothing about their callers */
};

/* --- hook-service.c --- */

/* They answer the call. */
int hook_let_go_on(const HookService *service, VarlinkCall *call);
int hook_refuse(const HookService *service, VarlinkCall *call, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void hook_count(const HookService *service, const VarlinkCall *call, MetricsHook outcome);

/* --- hook-call.c --- */

/*
 * Begins it, and goes through as many steps as it can; the service has it until it is answered.
 * Takes `xml`, also when it fails. -ENOMEM, or of the timer: it is not answered.
 */
int hook_call_begin(HookService *service, VarlinkCall *call, const char *domain, DomainXml *xml,
		    const char *operation);
/* What its step waits for may be there. It may be answered, and freed. */
void hook_call_go_on(HookCall *hook);
/* Nobody is answered. */
void hook_call_free(HookCall *hook);
