/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a device may be a trusted device of a domain; if not, why, and what to do about it. */
#pragma once

#include "core/domain-xml.h"
#include "daemon/tdid.h"

/*
 * 0: it may, and *ret_dsm and *ret_provider say whose it is. 1: it may not, with a sentence about
 * the device in *ret_why. -ENOMEM. What a provider has not told yet speaks against nothing.
 */
int admission_of_device(Tdid *tdid, const DomainXml *xml, const DomainDevice *device, Bdf *ret_dsm,
			Provider **ret_provider, char **ret_why);

/* Why nobody may have what both serve, and the way out; allocated, NULL: no memory. */
char *admission_rivals(const Provider *provider, const Provider *rival);

/* Whether this provider is the only one to serve it; returns as above. */
int admission_of_server(Tdid *tdid, const Provider *provider, Bdf host, Bdf dsm, char **ret_why);

/* Whether nobody else has it, and somebody may; returns as above. dsm: what the former has said. */
int admission_of_hold(Tdid *tdid, const DomainXml *xml, const DomainDevice *device, Bdf dsm,
		      char **ret_why);

/*
 * Whether it may be had beside what else is in use of its DSM: the function that the DSM is in goes
 * to nobody while another one is, and the other way round. Whoever gets it resets it, and with it
 * every TDI of the DSM. Returns as above.
 */
int admission_beside_dsm(Tdid *tdid, Bdf host, Bdf dsm, char **ret_why);

/* Likewise beside what libvirt is attaching for an Attach: it is in use soon, or may be. */
int admission_beside_attaches(Tdid *tdid, Bdf host, Bdf dsm, char **ret_why);

/* That rule: one of two functions of a DSM is its own, and so not to be had beside the other. */
bool admission_excludes(Bdf dsm, Bdf one, Bdf other);

/*
 * Whether the domain may start: all of its devices, and whether each is to be had. 0, 1 or -ENOMEM
 * as above; the sentence names the device.
 */
int admission_of_start(Tdid *tdid, const DomainXml *xml, char **ret_why);
