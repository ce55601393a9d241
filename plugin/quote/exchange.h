/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request to a quoting service and its one reply, on a connection of its own. */
#pragma once

#include "core/cleanup.h"
#include "common/expiry.h"
#include "core/qgs-message.h"
#include "quote/address.h"

#include <errno.h>

#include <systemd/sd-event.h>

typedef enum ExchangeOutcome {
	EXCHANGE_ANSWERED, /* with a message of the type that is wanted, well-formed */
	EXCHANGE_REFUSED,  /* nobody there: the connection did not come about */
	EXCHANGE_BROKEN,   /* the reply is no such message, or the connection ended before it */
	EXCHANGE_LATE,	   /* nothing within the time; exchange_go_on gives it more */
} ExchangeOutcome;

typedef struct ExchangeResult {
	ExchangeOutcome outcome;
	const char *why; /* unless answered: what was wrong, in words; static */
	/* Answered: the reply as it came, frame included, and parsed; both are the exchange's. */
	uint8_t *frame;
	size_t size;
	QgsMessage message;
} ExchangeResult;

typedef struct Exchange Exchange;

/*
 * The last thing that happens; it frees the exchange, when the reply has gone on its way. Unless it
 * is late and let go on.
 */
typedef void (*ExchangeDone)(Exchange *exchange, const ExchangeResult *result, void *userdata);

/* Of what exchange_begin returns: of our own making, and passing. */
static inline bool exchange_is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS;
}

/* Until there may be descriptors, say, again. */
#define EXCHANGE_AGAIN_USEC UINT64_C(100000)

/*
 * Sends `request`, framed, in one write: QGS loses one that comes in two. Borrowed until the end.
 * `done` never runs in here. -errno when nothing was begun: that counts as EXCHANGE_REFUSED, or is
 * a shortage.
 */
int exchange_begin(Exchange **ret, sd_event *event, const Address *address, const uint8_t *request,
		   size_t size, QgsType wanted, Expiries *timeout, ExchangeDone done,
		   void *userdata);
/* In `done`, late: it goes on for as long again, and `done` runs once more. */
void exchange_go_on(Exchange *exchange);
/* Closes the connection: `done` will not run any more. */
Exchange *exchange_free(Exchange *exchange);
DEFINE_CLEANUP(Exchange, exchange_free);
