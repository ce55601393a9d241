/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request to a quoting service, and its reply: a connection of its own, which never blocks. */
#pragma once

#include "core/qgs-message.h"

#include <stdbool.h>
#include <sys/socket.h>

#define EXCHANGE_WHY_SIZE 160

typedef enum ExchangeState {
	EXCHANGE_IDLE, /* not connected; getquote_exchange_step() tries */
	EXCHANGE_CONNECTING,
	EXCHANGE_SENDING,
	EXCHANGE_RECEIVING,
	/* The end: */
	EXCHANGE_DONE,
	EXCHANGE_UNAVAILABLE, /* nobody is there */
	EXCHANGE_FAILED,
} ExchangeState;

typedef struct Exchange {
	ExchangeState state;
	int fd; /* -1: not connected */
	uint8_t *request;
	size_t request_size, sent;
	uint8_t frame[QGS_FRAME_SIZE];
	uint8_t *reply;		     /* without its frame; NULL before that is known */
	size_t reply_size, received; /* frame included */
	QgsBytes quote;		     /* when done; lies in the reply */
	char why[EXCHANGE_WHY_SIZE]; /* when it ended otherwise */
} Exchange;

/*
 * With a request of this report. 0, -EMSGSIZE or -ENOMEM. `report` is not needed any longer;
 * getquote_exchange_free_contents() frees what is in *ret.
 */
int getquote_exchange_make(Exchange *ret, const void *report, size_t size);
void getquote_exchange_free_contents(Exchange *e);

/*
 * Goes on as far as it goes without blocking. Returns whether it has ended.
 * getquote_exchange_events() says what poll() has to wait for on e->fd until the next call; while
 * that is 0 there is nothing to wait for but time.
 */
bool getquote_exchange_step(Exchange *e, const struct sockaddr *address, socklen_t address_size);
short getquote_exchange_events(const Exchange *e);

/* How far it came: "connecting", "request sent, 12 bytes of 4,000 received". Returns `buffer`. */
const char *getquote_exchange_progress(const Exchange *e, char buffer[static EXCHANGE_WHY_SIZE]);
