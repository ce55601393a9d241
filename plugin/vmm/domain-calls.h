/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blocking part of the calls on a domain: straight-line libvirt, for worker threads. */
#pragma once

#include "core/bdf.h"
#include "vmm/connection.h"
#include "vmm/vmm.h"

/*
 * Errors, for all: -ENOTCONN, -EREMOTEIO, -ENOMEM, with a sentence in *ret_error, which must not
 * be NULL and is allocated.
 */

/* Fills *domain, which is zero, as vmm.h says; domain_clear frees what is in it. */
int domain_read(virConnectPtr conn, const char *uuid, unsigned flags, VmmDomain *domain,
		char **ret_error);
void domain_clear(VmmDomain *domain);

/* A VmmDetachOutcome (also -EBADMSG: the live XML makes no sense). */
int domain_detach(virConnectPtr conn, const char *uuid, const char *alias, Bdf host,
		  char **ret_error);

/* A VmmAttachOutcome (also -EINVAL: the alias is none). */
int domain_attach(virConnectPtr conn, const char *uuid, const char *alias, Bdf host,
		  char **ret_error);
