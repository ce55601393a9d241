/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt as plugin/vmm/vmm.h shows it, with many domains and no latency: linked instead of the vmm
 * library. A domain's XML lists the TDIs that are in it.
 */
#pragma once

#include "core/bdf.h"
#include "vmm/vmm.h"

#include <stdint.h>

/* Domains 0 to n - 1, all running, empty. */
void bench_libvirt_begin(uint32_t n);
void bench_libvirt_end(void);
void bench_libvirt_plug(uint32_t domain, Bdf tdi);
void bench_libvirt_unplug(uint32_t domain, Bdf tdi);
/* What the next reads of all domains answer, their XML written and taken apart: that is no part of
 * them then, as it is the work of libvirt and of its threads in tdid. */
void bench_libvirt_describe(void);
/* How long those threads would have taken it apart for the reads since then, microseconds. */
double bench_libvirt_threads_usec(void);
void bench_libvirt_connect(void);
/* The event of it. */
void bench_libvirt_dirty(uint32_t domain, VmmDirtyReason reason, Bdf tdi);
/* Calls that have not been answered yet. */
unsigned int bench_libvirt_pending(void);
