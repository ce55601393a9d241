/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt as plugin/vmm/vmm.h shows it, with a few domains, replayed by whoever holds the other end
 * of standard input: linked instead of the vmm library. Its answers are points of the sweep.
 */
#pragma once

#include "vmm/vmm.h"

/* The domain runs with this live XML from now on, or (NULL) is off. */
void libvirt_domain(const char *uuid, const char *name, const char *xml);
/* Of a domain that is there. Where query-pci says that its guest has the device; bus 0: nowhere. */
void libvirt_place(const char *uuid, const char *alias, uint8_t bus);
/* Of a domain that is there. What its guest port leads to: a listening socket. */
void libvirt_guest(const char *uuid, const char *path);

void libvirt_connect(void);
void libvirt_disconnect(void);
/*
 * What comes of the attach or detach of that domain that has been said on standard output, if there
 * is one: done (of a detach: requested), gone, busy, refused, mismatch, timed-out.
 */
void libvirt_answer(const char *uuid, const char *word);
void libvirt_dirty(const char *uuid, VmmDirtyReason reason, const char *alias);
/* -EINVAL: there is no reason of this name. */
int libvirt_reason_parse(VmmDirtyReason *ret, const char *name);
