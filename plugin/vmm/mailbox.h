/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages from any thread to an sd-event loop: a locked queue and an eventfd. */
#pragma once

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"

typedef struct Mailbox Mailbox;

/* The first member of whatever is posted. */
typedef struct Post {
	struct Post *next;
} Post;

typedef struct MailboxType {
	/* On the loop's thread, in the order of posting; takes the post. */
	void (*deliver)(Post *post, void *userdata);
	/* Any thread: for posts that are not delivered. */
	void (*free)(Post *post);
	/* May be NULL. With the queue locked: true when `queued`, which is not delivered yet,
	 * already says what `post` says; `post` is then dropped. Keeps the queue of a chatty source
	 * bounded. */
	bool (*covers)(const Post *queued, const Post *post);
} MailboxType;

/* `type` is not copied. The caller has the first reference. */
int mailbox_new(Mailbox **ret, sd_event *event, const MailboxType *type, void *userdata);
Mailbox *mailbox_ref(Mailbox *m);   /* any thread */
Mailbox *mailbox_unref(Mailbox *m); /* any thread, but the loop's owner shuts it first */
DEFINE_CLEANUP(Mailbox, mailbox_unref);

/* Any thread; takes the post, and frees it when the mailbox is shut. */
void mailbox_post(Mailbox *m, Post *post);

/* Loop's thread. While held, posts wait. */
int mailbox_hold(Mailbox *m, bool hold);

/* Loop's thread. Frees what waits and everything that is posted later; nothing is delivered any
 * more. Others may go on holding references and posting. */
void mailbox_shut(Mailbox *m);
