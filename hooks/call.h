/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One varlink call, io.tdid.Hook.Run, by hand on a unix socket. */
#pragma once

#include "qemu.h"
#include "reply.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Call {
	const char *domain, *operation, *sub_operation, *extra;
	const char *xml;
	size_t xml_size;
	Qemu qemu; /* pid 0: left out */
} Call;

/* Where a call got to when it failed. */
typedef enum CallStep {
	CALL_CONNECT,
	CALL_SEND,
	CALL_RECEIVE,
	CALL_PARSE,
} CallStep;

/*
 * Blocks until the answer is there, for at most timeout_msec in all, the wait in the socket's queue
 * counted. Returns 0 and *ret, which lasts until the next call; else a negative errno and
 * *ret_step: connect(2)'s, -ETIMEDOUT, -ECONNRESET (closed without an answer), -EBADMSG (an answer
 * that is none).
 */
int call_run(Reply *ret, const char *path, const Call *call, unsigned timeout_msec,
	     CallStep *ret_step);
