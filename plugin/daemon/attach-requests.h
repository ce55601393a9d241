/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Attach: from the call to libvirt, and on to the state that is waited for. */
#pragma once

#include "core/domain-xml.h"
#include "daemon/attach-records.h"
#include "daemon/tdid.h"

typedef struct AttachRequests AttachRequests;

/* Puts back what an earlier run had asked libvirt for. */
int attach_requests_new(AttachRequests **ret, Tdid *tdid, char **ret_error);
/* The server has to be gone already. Records stay. */
AttachRequests *attach_requests_free(AttachRequests *requests);

/*
 * What libvirt attaches, or may, or has, without its assignment having been seen yet: of this DSM,
 * and (beside) only what is not to be had beside this device. NULL: nothing. It is borrowed.
 */
const AttachRecord *attach_requests_under_way(const AttachRequests *requests, Bdf dsm,
					      const Bdf *beside);

int attach_requests_take(AttachRequests *requests, json_object *parameters, VarlinkCall *call);

/* The assignment begins, or waits to begin again: whose token it has goes into its record. */
void attach_requests_begins(AttachRequests *requests, Assignment *assignment);
/* The assignment has just come into this state. */
void attach_requests_changed(AttachRequests *requests, Assignment *assignment,
			     AssignmentState state, uint64_t generation);
/* What the read of this number has shown has just been compared. */
void attach_requests_compared(AttachRequests *requests, const Tvm *tvm, const DomainXml *xml,
			      uint64_t number);
/* It has left its domain, or is no more: nobody waits for it any longer. */
void attach_requests_left(AttachRequests *requests, const Assignment *assignment);
/* Its QEMU is gone. */
void attach_requests_tvm_ended(AttachRequests *requests, const Tvm *tvm);
