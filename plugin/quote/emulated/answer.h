/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service answers to a request, before anything goes wrong with it. */
#pragma once

#include "common/blob.h"
#include "enclave.h"

#include <stddef.h>
#include <stdint.h>

#define ANSWER_QUOTE_MIN 1024u
#define ANSWER_QUOTE_MAX (128u * 1024) /* the largest buffer that a guest can hand in */

/*
 * To a message without its frame: *ret is the framed answer, which may be an error of QGS.
 * `quote_size`: how long quotes are to be, 0 for as long as they are; longer ones end in zeros, and
 * shorter ones are cut off. Returns 0; -EBADMSG and others when QGS would say nothing, with
 * *ret_why (static, may be NULL) also where the answer is an error.
 */
int answer_message(const Enclave *enclave, const void *message, size_t size, size_t quote_size,
		   Blob *ret, const char **ret_why);

/* The same to a bare report, which is answered by a bare quote or not at all. */
int answer_report(const Enclave *enclave, const void *report, size_t size, size_t quote_size,
		  Blob *ret, const char **ret_why);

/* The framed answer to such a message that refuses it, whatever it is, with this error of QGS. */
int answer_refusal(const void *message, size_t size, uint32_t error, Blob *ret);
