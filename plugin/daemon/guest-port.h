/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid's end of one TVM's guest port: schemas/io.tdid.Guest.varlink in frames of rpc/frame.h. */
#pragma once

#include "daemon/registry.h"

/*
 * Opens the port of this incarnation through libvirt and keeps it open: when it closes it is opened
 * again, on the next event of the domain or after a while.
 */
int guest_port_open(Tvm *tvm);
/* NULL-safe, returns NULL. */
GuestPort *guest_port_free(GuestPort *port);

/* Something happened to the domain's channels: a good moment to try again. */
void guest_port_nudge(GuestPort *port);

/* The guest that opened the session is no more; should it be, it says Hello again. NULL-safe. */
void guest_port_end_session(GuestPort *port);
/* Whether the agent is there: it has said Hello since the port was opened. NULL-safe. */
/* port may be NULL. */
void guest_port_provider_ready(GuestPort *port);
bool guest_port_has_session(const GuestPort *port);

/* Said when a session is open; otherwise the agent learns it after its next Hello. */
void guest_port_tell_offer(Assignment *assignment);
void guest_port_tell_locked(Assignment *assignment, uint64_t generation);
void guest_port_tell_withdrawn(Assignment *assignment, uint64_t generation, const char *reason);
