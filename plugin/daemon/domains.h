/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's side: which trusted devices are in which domain.
 *
 * Events only say that a domain is dirty. It is read again, and what the live XML shows is compared
 * with what the registry has; the differences are the engine's events.
 */
#pragma once

#include "daemon/tdid.h"

/* domain-events.c; VmmHandlers, userdata is the Tdid. */
extern const VmmHandlers domains_handlers;

/* Reads every known domain again. */
void domains_read_all(Tdid *tdid);
/* The domain has an incarnation now, or its channels changed. */
void domains_read(Tdid *tdid, Domain *domain);
/*
 * Reads the assignment's domain anew; if it still has the device, EVENT_LOOKED follows. QEMU
 * answers a part of it, so a reset of its guest is over by then, and its event is on the way, as a
 * rule first; and until firmware has run, QEMU shows the device nowhere in the guest.
 */
void domains_look(Tdid *tdid, Assignment *assignment);
/* A read that QEMU has a part in has been lost: the next one of the domain brings another. */
void domains_look_lost(const Domain *domain);
/* libvirt has answered that it attached the device: as good as its event. */
void domains_added(Tdid *tdid, Uuid domain, const char *alias);
/* Asks libvirt to take the device out of the domain; failure comes back as an event. */
void domains_detach(Tdid *tdid, Assignment *assignment);
/* An answer of vmm_detach that another one follows if it is asked again. */
bool domains_detach_is_for_now(int r);
/* QEMU says that the guest refuses to. */
void domains_not_let_go(Tdid *tdid, const Tvm *tvm, const char *alias);

/* For domain-read.c: what libvirt shows of the domain (NULL: not known yet), to be compared. */
void domains_seen(DomainRead *read, Domain *domain, const VmmDomain *seen);
/* It is off: unless an incarnation of it is left, the next one makes a new Domain. */
void domains_forget(Tdid *tdid, Domain *domain);
