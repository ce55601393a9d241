/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *   DOWN        the backoff timer runs
 *   CONNECTING  an attempt runs on the connector's thread
 *   UP          `current` has the connection
 *
 * DOWN -> CONNECTING when the timer fires; CONNECTING -> UP or DOWN by the attempt's answer;
 * UP -> DOWN by libvirt's close callback. Every attempt has a generation, so that the close
 * callback of a connection that is dropped already says nothing, and one that comes before the
 * attempt's own answer is remembered.
 *
 * Dirty marks wait in their mailbox unless the link is up: the marks of a new connection come after
 * its list, although they were posted from the moment the callbacks were registered.
 */
#include "vmm/link.h"

#include "rpc/log.h"
#include "vmm/calls.h"
#include "vmm/sentence.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

struct Current {
	atomic_uint refs;
	pthread_mutex_t lock;
	Connection *connection;
};

typedef enum LinkState {
	LINK_DOWN,
	LINK_CONNECTING,
	LINK_UP,
} LinkState;

struct Link {
	LinkState state;
	sd_event *event;
	char *uri;
	Closer *closer;
	Calls *connector;
	Current *current;
	Mailbox *dirty, *control;
	uint64_t generation;	  /* of the last attempt */
	const char *closed_early; /* why that attempt's connection is gone already */
	uint64_t backoff_usec;	  /* before the next attempt */
	sd_event_source *timer;	  /* DOWN: the backoff; CONNECTING: LINK_SLOW_USEC */
	LinkHandlers handlers;
	void *userdata;
};

typedef struct Attempt {
	Link *link; /* loop's thread only */
	char *uri;
	Closer *closer;
	Mailbox *dirty, *control;
	uint64_t generation;
	int r;
	Connection *connection;
	VmmDomainName *domains;
	size_t n_domains;
	char *error;
} Attempt;

Current *current_ref(Current *current)
{
	atomic_fetch_add(&current->refs, 1);
	return current;
}

Current *current_unref(Current *current)
{
	if (!current || atomic_fetch_sub(&current->refs, 1) > 1)
		return NULL;
	pthread_mutex_destroy(&current->lock);
	free(current);
	return NULL;
}

Connection *current_get(Current *current)
{
	Connection *connection;

	pthread_mutex_lock(&current->lock);
	connection = current->connection ? connection_ref(current->connection) : NULL;
	pthread_mutex_unlock(&current->lock);
	return connection;
}

/* Takes `connection`, gives back the one before. */
static Connection *current_set(Current *current, Connection *connection)
{
	Connection *before;

	pthread_mutex_lock(&current->lock);
	before = current->connection;
	current->connection = connection;
	pthread_mutex_unlock(&current->lock);
	return before;
}

static void close_connection(void *data)
{
	connection_close(data);
}

static void drop_current(Link *link)
{
	Connection *connection = current_set(link->current, NULL);

	if (connection)
		closer_run(link->closer, close_connection, connection);
}

static void connect_now(Link *link);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Link *link = userdata;
	_cleanup_free_ char *reason = NULL;

	if (link->state == LINK_DOWN) {
		connect_now(link);
		return 0;
	}
	sentence(&reason, 0,
		 "libvirt %s: the connection is not answered, waiting (does libvirtd hang?)",
		 link->uri);
	link->handlers.down(reason ?: "libvirtd does not answer", false, link->userdata);
	return 0;
}

static void set_timer(Link *link, uint64_t usec)
{
	int r;

	link->timer = sd_event_source_disable_unref(link->timer);
	r = sd_event_add_time_relative(link->event, &link->timer, CLOCK_BOOTTIME, usec, 0, on_timer,
				       link);
	if (r < 0)
		log_error("libvirt %s: cannot set a timer, no further attempt: %s", link->uri,
			  strerror(-r));
}

static void go_down(Link *link, const char *reason, bool lost)
{
	link->state = LINK_DOWN;
	mailbox_hold(link->dirty, true);
	drop_current(link);
	set_timer(link, link->backoff_usec);
	link->backoff_usec *= 2;
	if (link->backoff_usec > LINK_BACKOFF_MAX_USEC)
		link->backoff_usec = LINK_BACKOFF_MAX_USEC;
	link->handlers.down(reason, lost, link->userdata);
}

static void attempt_work(void *data)
{
	Attempt *a = data;

	a->r = connection_open(&a->connection, a->uri, a->dirty, a->control, a->generation,
			       &a->domains, &a->n_domains, &a->error);
}

static void attempt_done(int r, bool started, void *data)
{
	Attempt *a = data;
	Link *link = a->link;

	if (r < 0)
		return; /* -ECANCELED */
	link->timer = sd_event_source_disable_unref(link->timer);
	if (a->r < 0) {
		go_down(link, a->error ?: "libvirt: no memory to connect", false);
		return;
	}
	if (link->closed_early) {
		go_down(link, link->closed_early, false);
		return;
	}
	link->state = LINK_UP;
	link->backoff_usec = LINK_BACKOFF_FIRST_USEC;
	current_set(link->current, steal_ptr(a->connection));
	link->handlers.up(a->domains, a->n_domains, link->userdata);
	mailbox_hold(link->dirty, false);
}

static void attempt_free(void *data)
{
	Attempt *a = data;

	if (a->connection)
		closer_run(a->closer, close_connection, a->connection);
	closer_unref(a->closer);
	mailbox_unref(a->dirty);
	mailbox_unref(a->control);
	domain_names_free(a->domains, a->n_domains);
	free(a->error);
	free(a->uri);
	free(a);
}

static const CallType attempt_type = {
	.work = attempt_work,
	.done = attempt_done,
	.free = attempt_free,
};

static void connect_now(Link *link)
{
	Attempt *a = calloc(1, sizeof(*a));
	int r = -ENOMEM;

	link->closed_early = NULL;
	link->generation++;
	if (a) {
		*a = (Attempt){ .link = link,
				.uri = strdup(link->uri),
				.closer = closer_ref(link->closer),
				.dirty = mailbox_ref(link->dirty),
				.control = mailbox_ref(link->control),
				.generation = link->generation };
		if (a->uri)
			r = calls_add(link->connector, "connect", &attempt_type, a,
				      CALLS_NO_DEADLINE);
		if (r < 0)
			attempt_free(a);
	}
	if (r < 0) {
		go_down(link, "libvirt: no memory to connect", false);
		return;
	}
	link->state = LINK_CONNECTING;
	set_timer(link, LINK_SLOW_USEC);
}

static void deliver_dirty(Post *post, void *userdata)
{
	DirtyPost *dirty = (DirtyPost *)post;
	Link *link = userdata;

	/* When the link went down during this very batch, the next list makes up for the rest. */
	if (link->state == LINK_UP)
		link->handlers.dirty(&(VmmDirty){ .uuid = dirty->uuid,
						  .reason = dirty->reason,
						  .alias = dirty->alias,
						  .boottime_usec = dirty->boottime_usec },
				     link->userdata);
	free(dirty->alias);
	free(dirty);
}

static void free_dirty(Post *post)
{
	DirtyPost *dirty = (DirtyPost *)post;

	free(dirty->alias);
	free(dirty);
}

/*
 * A guest can reset itself or open its ports as often as it likes; once is enough to read again.
 * The earlier mark stays, with its time. A device that is added or deleted is so by somebody else,
 * and in which order counts.
 */
static bool dirty_covers(const Post *queued, const Post *post)
{
	const DirtyPost *a = (const DirtyPost *)queued, *b = (const DirtyPost *)post;

	return a->reason == b->reason && a->reason != VMM_DIRTY_DEVICE_ADDED &&
	       a->reason != VMM_DIRTY_DEVICE_DELETED && strcmp(a->uuid, b->uuid) == 0 &&
	       !a->alias == !b->alias && (!a->alias || strcmp(a->alias, b->alias) == 0);
}

static const MailboxType dirty_type = {
	.deliver = deliver_dirty,
	.free = free_dirty,
	.covers = dirty_covers,
};

static void deliver_closed(Post *post, void *userdata)
{
	_cleanup_free_ ClosedPost *closed = (ClosedPost *)post;
	_cleanup_free_ char *reason = NULL;
	Link *link = userdata;

	if (closed->generation != link->generation)
		return;
	if (link->state == LINK_CONNECTING)
		link->closed_early = closed->reason;
	if (link->state != LINK_UP)
		return;
	sentence(&reason, 0, "libvirt %s: %s (connecting again by itself; see that libvirtd runs)",
		 link->uri, closed->reason);
	go_down(link, reason ?: closed->reason, true);
}

static void free_closed(Post *post)
{
	free((ClosedPost *)post);
}

static const MailboxType control_type = { .deliver = deliver_closed, .free = free_closed };

static int current_new(Current **ret)
{
	Current *current = calloc(1, sizeof(*current));

	if (!current)
		return -ENOMEM;
	current->refs = 1;
	pthread_mutex_init(&current->lock, NULL);
	*ret = current;
	return 0;
}

int link_new(Link **ret, sd_event *event, const char *uri, Closer *closer,
	     const LinkHandlers *handlers, void *userdata)
{
	Link *link = calloc(1, sizeof(*link));
	int r = -ENOMEM;

	if (!link)
		return r;
	link->event = sd_event_ref(event);
	link->closer = closer;
	link->backoff_usec = LINK_BACKOFF_FIRST_USEC;
	link->handlers = *handlers;
	link->userdata = userdata;
	link->uri = strdup(uri);
	if (link->uri)
		r = current_new(&link->current);
	if (r == 0)
		r = mailbox_new(&link->dirty, event, &dirty_type, link);
	if (r == 0)
		r = mailbox_new(&link->control, event, &control_type, link);
	if (r == 0)
		r = calls_new(&link->connector, event, "vmm-open", 1, NULL, NULL);
	if (r == 0)
		r = mailbox_hold(link->dirty, true);
	/* On the loop, so that whoever made the link is ready to hear of it. */
	if (r >= 0)
		r = sd_event_add_time_relative(event, &link->timer, CLOCK_BOOTTIME, 0, 0, on_timer,
					       link);
	if (r < 0) {
		link_free_wait(link, 0);
		return r;
	}
	*ret = link;
	return 0;
}

Link *link_free_wait(Link *link, uint64_t wait_usec)
{
	if (!link)
		return NULL;
	link->timer = sd_event_source_disable_unref(link->timer);
	calls_free_wait(link->connector, wait_usec);
	if (link->current)
		drop_current(link);
	if (link->dirty)
		mailbox_shut(link->dirty);
	if (link->control)
		mailbox_shut(link->control);
	mailbox_unref(link->dirty);
	mailbox_unref(link->control);
	current_unref(link->current);
	sd_event_unref(link->event);
	free(link->uri);
	free(link);
	return NULL;
}

bool link_is_up(const Link *link)
{
	return link->state == LINK_UP;
}

Current *link_current(Link *link)
{
	return link->current;
}

void link_replace(Link *link, const char *reason)
{
	if (link->state != LINK_UP)
		return;
	go_down(link, reason, false);
	/* Not libvirtd's fault: no reason to wait. */
	if (link->state == LINK_DOWN)
		connect_now(link);
}
