/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer Refused of io.tdid.Assignments. */
#pragma once

#include "daemon/operations.h"
#include "rpc/varlink-server.h"

/*
 * "OBJECT: VERB: " and the sentence that `format` makes: the cause, and the way out. 0, or a
 * negative errno when it could not be answered.
 */
__attribute__((format(printf, 4, 5))) int refusal_answer(VarlinkCall *call, Bdf object, Verb verb,
							 const char *format, ...);

/* The same of what is no verb of the TSM's, and no function either: "tvm0: attach: ...". */
__attribute__((format(printf, 4, 5))) int refusal_say(VarlinkCall *call, const char *object,
						      const char *step, const char *format, ...);
