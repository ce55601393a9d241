/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Searches beside each other, as many as there are processors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Runs job(0 to n - 1, to, userdata), each in a process of its own. What they write to `to` comes
 * to stdout in their order. What they leave in memory is lost, but for what is shared. False when
 * one could not be run, or returned nonzero.
 */
bool parallel_run(size_t n, int (*job)(size_t i, FILE *to, void *userdata), void *userdata);

/* Memory that the jobs share with whoever runs them, or NULL; it stays to the end. */
void *parallel_memory(size_t size);
