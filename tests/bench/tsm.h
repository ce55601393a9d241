/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TSM provider in a process of its own: as fast as it can be, or with given latencies. */
#pragma once

#include "core/bdf.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct BenchTsm {
	const char *path;
	uint32_t dsms, tdis; /* of each DSM */
	uint64_t connect_usec, bind_usec;
} BenchTsm;

/* Serves until its parent ends it or dies. Returns when it listens; -errno. */
int bench_tsm_start(pid_t *ret, const BenchTsm *tsm);
void bench_tsm_end(pid_t pid);

/* Has it say that this function, which is bound, is in RUN and accepted. */
void bench_tsm_run(Bdf tdi);

/*
 * Of the DSM whose verbs took longest, all of them together, microseconds: each from its call to
 * its answer, as the provider sees them.
 */
uint64_t bench_tsm_longest(void);

/* That process, with the arguments that bench_tsm_start gave it: its exit status. */
int bench_tsm_main(char **argv);
