/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid in this process, between a replayed libvirt and a provider in another. */
#pragma once

#include "daemon/tdid.h"
#include "layout.h"
#include "tsm.h"

typedef struct Host {
	char directory[64];
	Tdid tdid;
	sd_event *event;
	BenchTsm tsm;
	uint32_t domains;
	pid_t provider;
	pid_t qemus[DOMAINS_MAX]; /* one process for each: that is what an incarnation is */
} Host;

/* With so many domains, and this provider (its path is set here). Ends the process on failure. */
void host_begin(Host *host, uint32_t domains, const BenchTsm *tsm);
void host_end(Host *host);

/* tdid alone: until its provider is ready and every domain read. */
void host_start(Host *host);
void host_stop(Host *host);

/* Runs the loop until it holds. */
#define HOST_UNTIL(host, condition)                                                                \
	do {                                                                                       \
		while (!(condition))                                                               \
			if (sd_event_run((host)->event, UINT64_MAX) < 0)                           \
				abort();                                                           \
	} while (0)

/* How many assignments are in this state. */
uint32_t host_count(const Host *host, AssignmentState state);

/* CLOCK_MONOTONIC, microseconds. */
double host_now(void);
/* The middle one, and the one that 99 of 100 do not exceed; sorts. */
double host_median(double *values, size_t n);
double host_p99(double *values, size_t n);
