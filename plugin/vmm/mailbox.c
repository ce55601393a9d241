/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The eventfd is readable when posts were added since the loop last looked. The loop takes the
 * whole queue at once and delivers it without the lock, so that a delivery may post. A mailbox that
 * is shut during a delivery drops the rest.
 */
#include "vmm/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct Mailbox {
	atomic_uint refs;
	const MailboxType *type;
	void *userdata;
	sd_event_source *source; /* loop's thread only */

	pthread_mutex_t lock; /* guards what follows */
	Post *first;
	Post **end;
	int fd; /* -1 when shut */
};

static void free_posts(Mailbox *m, Post *post)
{
	while (post) {
		Post *next = post->next;

		m->type->free(post);
		post = next;
	}
}

static Post *take_all(Mailbox *m)
{
	Post *first = m->first;

	m->first = NULL;
	m->end = &m->first;
	return first;
}

static int on_posts(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	/* A delivery may shut and unref the mailbox. */
	_cleanup_(mailbox_unrefp) Mailbox *m = mailbox_ref(userdata);
	uint64_t count;
	Post *post;

	pthread_mutex_lock(&m->lock);
	(void)!read(fd, &count, sizeof(count)); /* nothing to read is as good */
	post = take_all(m);
	pthread_mutex_unlock(&m->lock);

	while (post && m->source) {
		Post *next = post->next;

		post->next = NULL;
		m->type->deliver(post, m->userdata);
		post = next;
	}
	free_posts(m, post);
	return 0;
}

int mailbox_new(Mailbox **ret, sd_event *event, const MailboxType *type, void *userdata)
{
	_cleanup_(mailbox_unrefp) Mailbox *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->refs = 1;
	m->type = type;
	m->userdata = userdata;
	m->end = &m->first;
	pthread_mutex_init(&m->lock, NULL);
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0)
		return -errno;
	r = sd_event_add_io(event, &m->source, m->fd, EPOLLIN, on_posts, m);
	if (r < 0)
		return r;
	*ret = steal_ptr(m);
	return 0;
}

Mailbox *mailbox_ref(Mailbox *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

Mailbox *mailbox_unref(Mailbox *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
		return NULL;
	free_posts(m, take_all(m));
	if (m->fd >= 0)
		close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

void mailbox_post(Mailbox *m, Post *post)
{
	const uint64_t one = 1;
	bool dropped = false;

	post->next = NULL;
	pthread_mutex_lock(&m->lock);
	if (m->fd < 0)
		dropped = true;
	for (Post *queued = m->first; queued && !dropped && m->type->covers; queued = queued->next)
		dropped = m->type->covers(queued, post);
	if (!dropped) {
		*m->end = post;
		m->end = &post->next;
		/* Cannot fail: the counter would have to pass 2^64 - 2. */
		(void)!write(m->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&m->lock);
	if (dropped)
		m->type->free(post);
}

int mailbox_hold(Mailbox *m, bool hold)
{
	return sd_event_source_set_enabled(m->source, hold ? SD_EVENT_OFF : SD_EVENT_ON);
}

void mailbox_shut(Mailbox *m)
{
	Post *posts;

	m->source = sd_event_source_disable_unref(m->source);
	pthread_mutex_lock(&m->lock);
	posts = take_all(m);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	pthread_mutex_unlock(&m->lock);
	free_posts(m, posts);
}
