/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid: what its parts share. One loop, one thread; libvirt's threads are behind vmm/.
 *
 *   libvirt (domains.c), the hook (hook-service.c), guests (guest-port.c), providers (provider.c)
 *   and timers give events to the director, which asks the engine and carries out its effects:
 *   records (records.c), verbs (operations.c), detach, words to the guest, watchers.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/operations.h"
#include "daemon/provider.h"
#include "daemon/registry.h"
#include "daemon/store.h"
#include "rpc/varlink-server.h"
#include "vmm/vmm.h"

typedef struct DomainRead DomainRead;
typedef struct EvidenceStore EvidenceStore;
typedef struct EventQueue EventQueue;
typedef struct GuestTsm GuestTsm;
typedef struct HookService HookService;
typedef struct AssignmentsService AssignmentsService;
typedef struct Metrics Metrics;
typedef struct QuoteRelay QuoteRelay;

/* guest-tsm.c: the TSM requests of all guests. All zero: there are none. */
typedef struct GuestTurns {
	unsigned int in_flight;
	GuestTsm *first;       /* of the guests that wait for a place */
	sd_event_source *next; /* there may be one */
} GuestTurns;

typedef struct Tdid {
	sd_event *event;
	Config *config;
	Store *store;
	Registry *registry;
	Engine *engine;
	EventQueue *queue; /* director.c */
	Metrics *metrics;
	Operations *operations;
	Provider **providers; /* as many as config->n_tsms */
	Vmm *vmm;
	DomainRead *failed_reads; /* domains.c */
	unsigned int n_reads;	  /* domain-read.c: that libvirt has not answered yet */
	unsigned int n_idle_held; /* held-timers.c */
	uint64_t n_detaches;	  /* domain-detach.c: that libvirt was asked for */
	GuestTurns guest_turns;
	EvidenceStore *evidence;
	QuoteRelay *quotes;
	HookService *hook;
	AssignmentsService *assignments;
} Tdid;

/* The first provider of tdid.conf that serves the device, or NULL. */
Provider *tdid_provider_of(Tdid *tdid, Bdf device, Bdf *ret_dsm);
/*
 * Another provider than that one, which says that it serves the device (may be NULL: it is not
 * looked at) or any function of the DSM; or NULL. Nobody is to have those.
 */
const Provider *tdid_rival_of(const Tdid *tdid, const Provider *provider, const Bdf *device,
			      Bdf dsm);
/* Every provider has been asked what it serves at least once since it was last lost. */
bool tdid_providers_ready(const Tdid *tdid);

/*
 * With config and event set: puts the records back and starts everything. On failure (-errno, a
 * sentence where there is more to say) what has started is still there for tdid_stop.
 */
int tdid_start(Tdid *tdid, char **ret_error);
/* Ends and frees everything, config and event included. Records stay as they are. */
void tdid_stop(Tdid *tdid);
