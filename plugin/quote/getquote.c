/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each request is a slot of a fixed table:
 *
 *	FREE     nobody's
 *	TAKEN    from the call to the final status: the library's thread carries it
 *
 * A call (any thread) copies what it needs out of the guest's buffer, writes IN_FLIGHT into it and
 * takes a slot, all under the lock, and wakes the thread. The thread steps each request's exchange
 * with the service (getquote-exchange.h: idle, connecting, sending, receiving), and ends it when
 * that ends, when the deadline passes, or when it is told to stop, whichever is first; there is no
 * other way out of TAKEN, and none of the three can fail. What may fail on the way (memory,
 * descriptors, the service) ends in an error's status.
 *
 * The final status is written and the slot is freed under one lock: a guest that sees the status
 * may ask again at once, and then finds its slot free; and no status is written into a buffer that
 * is already another request's.
 */
#include "quote/getquote.h"
#include "core/cleanup.h"
#include "quote/getquote-exchange.h"
#include "quote/getquote-memory.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <time.h>

/* A service whose queue is full does not say when it has room again. */
#define CONNECT_AGAIN_MS 20
#define LINES_MAX	 20u
#define LINES_PERIOD_MS	 10000
#define LINE_SIZE	 512
#define SERVICE_SIZE	 140

typedef struct Slot {
	bool taken;
	uint64_t address, size;
	void *buffer;
	int event;
	int64_t deadline;
	Exchange exchange;
} Slot;

/* The lines of a period; the thread's own. */
typedef struct LineLimit {
	int64_t begin;
	unsigned int told, kept_back;
} LineLimit;

struct Getquote {
	struct sockaddr_storage address;
	socklen_t address_size;
	char service[SERVICE_SIZE]; /* where that is, for people */
	void (*log)(void *userdata, const char *line);
	void *userdata;
	LineLimit lines;
	unsigned int deadline_ms;
	int wake;
	pthread_t thread;

	pthread_mutex_t lock; /* of what follows; a slot that is taken is the thread's but for
				 address and size, which do not change */
	bool stop;
	unsigned int n_slots;
	Slot slots[GETQUOTE_IN_FLIGHT_MAX];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* --- telling why --- */

static void tell_kept_back(Getquote *g)
{
	char line[LINE_SIZE];

	if (g->lines.kept_back == 0)
		return;
	snprintf(line, sizeof(line), "GetQuote: %s: %u failures more were not logged", g->service,
		 g->lines.kept_back);
	g->log(g->userdata, line);
}

/* Whether there may be another line in this period. */
static bool may_tell(Getquote *g)
{
	LineLimit *l = &g->lines;
	int64_t now = now_ms();

	if (l->told == 0 || now - l->begin >= LINES_PERIOD_MS) {
		tell_kept_back(g);
		*l = (LineLimit){ .begin = now, .told = l->kept_back > 0 };
	}
	if (l->told >= LINES_MAX) {
		l->kept_back++;
		return false;
	}
	l->told++;
	return true;
}

__attribute__((format(printf, 2, 3))) static void tell(Getquote *g, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;

	if (!g->log || !may_tell(g))
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	g->log(g->userdata, line);
}

/* --- the thread --- */

static void notify(const Slot *slot)
{
	const uint64_t one = 1;

	if (slot->event >= 0 && write(slot->event, &one, sizeof(one)) < 0)
		return; /* there is nobody else to tell */
}

/* The quote, if there is one, has been written. The slot is free when this returns. */
static void complete(Getquote *g, Slot *slot, uint64_t status, uint32_t out_len)
{
	Slot done = *slot;

	getquote_exchange_free_contents(&slot->exchange);
	pthread_mutex_lock(&g->lock);
	shared_publish(slot->buffer, status, out_len);
	slot->taken = false;
	pthread_mutex_unlock(&g->lock);
	notify(&done);
}

static void complete_done(Getquote *g, Slot *slot)
{
	const QgsBytes *quote = &slot->exchange.quote;
	uint64_t needed = GETQUOTE_HEADER_SIZE + (uint64_t)quote->size;

	needed += GETQUOTE_PAGE_SIZE - 1;
	needed -= needed % GETQUOTE_PAGE_SIZE;
	if (needed > slot->size) {
		tell(g,
		     "GetQuote 0x%llx: the quote has %zu bytes and needs a buffer of %llu bytes; "
		     "the "
		     "guest's has %llu",
		     (unsigned long long)slot->address, quote->size, (unsigned long long)needed,
		     (unsigned long long)slot->size);
		complete(g, slot, GETQUOTE_ERROR, 0);
		return;
	}
	shared_write(slot->buffer, quote->data, quote->size);
	complete(g, slot, GETQUOTE_SUCCESS, (uint32_t)quote->size);
}

static void complete_late(Getquote *g, Slot *slot)
{
	bool connected = slot->exchange.state > EXCHANGE_CONNECTING;
	char progress[EXCHANGE_WHY_SIZE];

	tell(g, "GetQuote 0x%llx: %s did not answer within %u ms (%s)%s",
	     (unsigned long long)slot->address, g->service, g->deadline_ms,
	     getquote_exchange_progress(&slot->exchange, progress),
	     connected ? "" : ": it takes no more connections; is it hung, or overrun?");
	complete(g, slot, connected ? GETQUOTE_ERROR : GETQUOTE_SERVICE_UNAVAILABLE, 0);
}

static void step(Getquote *g, Slot *slot)
{
	Exchange *e = &slot->exchange;

	if (!getquote_exchange_step(e, (const struct sockaddr *)&g->address, g->address_size)) {
		if (now_ms() >= slot->deadline)
			complete_late(g, slot);
		return;
	}
	if (e->state == EXCHANGE_DONE) {
		complete_done(g, slot);
		return;
	}
	tell(g, "GetQuote 0x%llx: %s: %s%s", (unsigned long long)slot->address, g->service, e->why,
	     e->state == EXCHANGE_UNAVAILABLE ? " (does tdi-quoted, or QGS, run and listen there?)"
					      : "");
	complete(g, slot,
		 e->state == EXCHANGE_UNAVAILABLE ? GETQUOTE_SERVICE_UNAVAILABLE : GETQUOTE_ERROR,
		 0);
}

/* The slots that are taken, and whether it is time to stop. */
static size_t look(Getquote *g, Slot *ret[static GETQUOTE_IN_FLIGHT_MAX], bool *ret_stop)
{
	size_t n = 0;

	pthread_mutex_lock(&g->lock);
	for (unsigned int i = 0; i < g->n_slots; i++)
		if (g->slots[i].taken)
			ret[n++] = &g->slots[i];
	*ret_stop = g->stop;
	pthread_mutex_unlock(&g->lock);
	return n;
}

/* Until a request can go on, a deadline passes, or somebody wakes us. */
static void wait_for_any(Getquote *g, Slot *const *slots, size_t n)
{
	struct pollfd fds[GETQUOTE_IN_FLIGHT_MAX + 1];
	int64_t now = now_ms(), wait = -1;
	uint64_t count;

	for (size_t i = 0; i < n; i++) {
		const Exchange *e = &slots[i]->exchange;
		short events = getquote_exchange_events(e);
		int64_t left = slots[i]->deadline - now;

		/* Poll reports a socket that is not connected at once, whatever it is asked. */
		fds[i] = (struct pollfd){ .fd = events ? e->fd : -1, .events = events };
		if (!events && left > CONNECT_AGAIN_MS)
			left = CONNECT_AGAIN_MS;
		if (wait < 0 || left < wait)
			wait = left > 0 ? left : 0;
	}
	fds[n] = (struct pollfd){ .fd = g->wake, .events = POLLIN };
	if (poll(fds, n + 1, (int)wait) > 0 && fds[n].revents)
		while (read(g->wake, &count, sizeof(count)) > 0)
			;
}

static void *run(void *userdata)
{
	Slot *slots[GETQUOTE_IN_FLIGHT_MAX];
	Getquote *g = userdata;
	bool stop;
	size_t n;

	for (;;) {
		n = look(g, slots, &stop);
		if (stop)
			break;
		for (size_t i = 0; i < n; i++)
			step(g, slots[i]);
		n = look(g, slots, &stop);
		if (stop)
			break;
		wait_for_any(g, slots, n);
	}
	for (size_t i = 0; i < n; i++)
		complete(g, slots[i], GETQUOTE_SERVICE_UNAVAILABLE, 0);
	tell_kept_back(g);
	return NULL;
}

/* --- calls --- */

static void wake(Getquote *g)
{
	const uint64_t one = 1;
	ssize_t n;

	do
		n = write(g->wake, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

/* NULL when there is none for a buffer there. With the lock held. */
static Slot *find_slot(Getquote *g, uint64_t address, uint64_t size)
{
	Slot *found = NULL;

	for (unsigned int i = 0; i < g->n_slots; i++) {
		Slot *slot = &g->slots[i];

		if (!slot->taken)
			found = slot;
		else if (address < slot->address + slot->size && slot->address < address + size)
			return NULL;
	}
	return found;
}

static int make_exchange(Exchange *ret, void *buffer, size_t in_len)
{
	_cleanup_free_ uint8_t *report = malloc(in_len);

	if (!report)
		return -ENOMEM;
	shared_read(report, buffer, in_len);
	return getquote_exchange_make(ret, report, in_len);
}

/* With the lock held. */
static uint64_t take_slot(Getquote *g, uint64_t address, void *buffer, uint64_t size, int event)
{
	GetquoteHeader header = shared_header(buffer);
	Slot *slot;

	if (getquote_check_header(&header, (size_t)size) || header.in_len > GETQUOTE_REPORT_MAX)
		return GETQUOTE_CALL_INVALID_OPERAND;
	slot = find_slot(g, address, size);
	if (!slot || make_exchange(&slot->exchange, buffer, header.in_len) < 0)
		return GETQUOTE_CALL_RETRY;
	slot->address = address;
	slot->size = size;
	slot->buffer = buffer;
	slot->event = event;
	slot->deadline = now_ms() + g->deadline_ms;
	shared_publish(buffer, GETQUOTE_IN_FLIGHT, 0);
	slot->taken = true;
	return GETQUOTE_CALL_SUCCESS;
}

uint64_t getquote_submit(Getquote *g, uint64_t address, void *buffer, uint64_t size, int event)
{
	uint64_t call = getquote_check_call(address, size);

	if (call != GETQUOTE_CALL_SUCCESS)
		return call;
	if (!buffer || (uintptr_t)buffer % sizeof(uint64_t))
		return GETQUOTE_CALL_INVALID_OPERAND;
	pthread_mutex_lock(&g->lock);
	call = take_slot(g, address, buffer, size, event);
	pthread_mutex_unlock(&g->lock);
	if (call == GETQUOTE_CALL_SUCCESS)
		wake(g);
	return call;
}

/* --- beginning and end --- */

static int set_address(Getquote *g, const GetquoteOptions *options)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&g->address;
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&g->address;
	size_t size;

	if (!options->unix_path) {
		vm->svm_family = AF_VSOCK;
		vm->svm_cid = options->vsock_cid;
		vm->svm_port = options->vsock_port ? options->vsock_port : GETQUOTE_VSOCK_PORT;
		g->address_size = sizeof(*vm);
		snprintf(g->service, sizeof(g->service), "vsock %u:%u", vm->svm_cid, vm->svm_port);
		return 0;
	}
	size = strlen(options->unix_path);
	if (size == 0)
		return -EINVAL;
	if (size >= sizeof(un->sun_path))
		return -ENAMETOOLONG;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, options->unix_path, size + 1);
	g->address_size = sizeof(*un);
	snprintf(g->service, sizeof(g->service), "%s", options->unix_path);
	return 0;
}

static int set_options(Getquote *g, const GetquoteOptions *options)
{
	g->n_slots = options->in_flight ? options->in_flight : GETQUOTE_IN_FLIGHT_DEFAULT;
	g->deadline_ms = options->deadline_ms ? options->deadline_ms : GETQUOTE_DEADLINE_DEFAULT_MS;
	g->log = options->log;
	g->userdata = options->userdata;
	if (g->n_slots > GETQUOTE_IN_FLIGHT_MAX || g->deadline_ms > GETQUOTE_DEADLINE_MAX_MS)
		return -EINVAL;
	return set_address(g, options);
}

/* The VMM's signals are not for this thread. */
static int start_thread(Getquote *g)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r != 0)
		return -r;
	r = pthread_create(&g->thread, NULL, run, g);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int getquote_new(Getquote **ret, const GetquoteOptions *options)
{
	_cleanup_free_ Getquote *g = calloc(1, sizeof(*g));
	_cleanup_close_ int wake_fd = -1;
	int r;

	if (!g)
		return -ENOMEM;
	r = set_options(g, options);
	if (r < 0)
		return r;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	g->wake = wake_fd;
	r = pthread_mutex_init(&g->lock, NULL);
	if (r != 0)
		return -r;
	r = start_thread(g);
	if (r < 0) {
		pthread_mutex_destroy(&g->lock);
		return r;
	}
	steal_fd(&wake_fd);
	*ret = steal_ptr(g);
	return 0;
}

Getquote *getquote_free(Getquote *g)
{
	if (!g)
		return NULL;
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_mutex_unlock(&g->lock);
	wake(g);
	pthread_join(g->thread, NULL);
	pthread_mutex_destroy(&g->lock);
	close(g->wake);
	free(g);
	return NULL;
}
