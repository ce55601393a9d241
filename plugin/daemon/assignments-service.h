/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments: what operators and control planes see. */
#pragma once

#include "core/domain-xml.h"
#include "daemon/tdid.h"

typedef struct AssignmentsServiceCounts {
	uint64_t connections, watchers, waiters; /* now */
	uint64_t changes;			 /* that Monitor has told, or would have */
} AssignmentsServiceCounts;

int assignments_service_new(AssignmentsService **ret, Tdid *tdid, char **ret_error);
AssignmentsService *assignments_service_free(AssignmentsService *service);

AssignmentsServiceCounts assignments_service_counts(const AssignmentsService *service);

/* Who waits for what becomes of this DSM is answered, if it is over. */
void assignments_service_dsm_changed(AssignmentsService *service, const Dsm *dsm);
/* Likewise of this TDI. */
void assignments_service_tdi_changed(AssignmentsService *service, const Tdi *tdi);
/* The domain has been read; NULL: one is not known any more. */
void assignments_service_domain_read(AssignmentsService *service, const Domain *domain);

/* The assignment begins, or waits to begin again, and its record is about to be written. */
void assignments_service_begins(AssignmentsService *service, Assignment *assignment);
/* The domain runs, and what this read of it shows has been compared. */
void assignments_service_compared(AssignmentsService *service, const Tvm *tvm, const DomainXml *xml,
				  uint64_t number);

/* Tells who watches or waits: anything about it, or (state) that it has just come into this. */
void assignments_service_changed(AssignmentsService *service, const Assignment *assignment);
void assignments_service_state(AssignmentsService *service, Assignment *assignment,
			       AssignmentState state, uint64_t generation);
/* Tells the watchers that it is listed no more. */
void assignments_service_removed(AssignmentsService *service, Assignment *assignment);
/* Its guest was reset, and it has not come back. */
void assignments_service_left(AssignmentsService *service, Assignment *assignment);

/* Its detach was put off until its domain would be read again, which it has been. */
void assignments_service_detach_again(AssignmentsService *service, Assignment *assignment);
/* A Detach of it, or a drain's, is under way. */
bool assignments_service_is_detaching(AssignmentsService *service, const Assignment *assignment);
/* The guest refuses to let the device go. */
void assignments_service_not_let_go(AssignmentsService *service, const Tvm *tvm, const char *alias);
/* Its QEMU is gone. */
void assignments_service_tvm_ended(AssignmentsService *service, const Tvm *tvm);

/* --- for the parts of the service --- */

typedef struct AttachRequests AttachRequests;

AttachRequests *assignments_service_attach_requests(AssignmentsService *service);

typedef struct DetachRequests DetachRequests;

DetachRequests *assignments_service_detach_requests(AssignmentsService *service);
