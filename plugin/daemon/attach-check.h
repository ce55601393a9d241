/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a device may be attached to a domain that has just been read, and what that comes to. */
#pragma once

#include "daemon/tdid.h"

typedef struct AttachQuestion {
	Uuid domain;
	Bdf device;
	const char *alias;
	bool named; /* by the caller: it may not be there under another one */
} AttachQuestion;

typedef struct AttachFinding {
	Tvm *tvm;
	Provider *provider;
	Bdf dsm;
	bool connects; /* the DSM, meanwhile */
	bool plugged;  /* it is in the domain already, as */
	char *alias;
	Assignment *assignment; /* and this is it, on its way or there; NULL: not read yet */
} AttachFinding;

/* 0; 1: it may not, with a sentence: cause, and way out; -ENOMEM. */
int attach_check(Tdid *tdid, const AttachQuestion *question, const VmmDomain *seen,
		 AttachFinding *ret, char **ret_why);
void attach_finding_done(AttachFinding *finding);

/* io.tdid.Assignments.AttachPlan */
int attach_plan(const AttachQuestion *question, const AttachFinding *finding, json_object **ret);
