/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What there is: the providers, their DSMs and functions, and whose these are. Everything comes
 * from what is known here already: nobody is called for it.
 */
#pragma once

#include "daemon/tdid.h"

/* The answer to io.tdid.Assignments.Devices. */
int inventory_to_json(Tdid *tdid, json_object **ret);

/* io.tdid.Assignments.Dsm of one that this provider serves. */
int inventory_dsm_to_json(Tdid *tdid, const Provider *provider, Bdf bdf, json_object **ret);

/* io.tdid.Assignments.Device; `dsm` is for one that this provider does not list any more. */
int inventory_device_to_json(Tdid *tdid, const Provider *provider, Bdf device, Bdf dsm,
			     json_object **ret);
