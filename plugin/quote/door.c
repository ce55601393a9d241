/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer of a TVM's socket is the process that libvirt's hook has named, or it is turned away: the
 * socket is open to all, because QEMU's user is libvirt's business.
 *
 * Whoever connects before the hook has told which QEMU it is waits in the socket's queue, but not
 * for ever: after UNKNOWN_USEC it is turned away.
 *
 * Who is turned away hears of it in QGS's format, because a guest that gets no answer waits for
 * one. Only a process that is not the domain's QEMU is told nothing.
 */
#include "quote/door.h"

#include "core/refusal.h"
#include "core/tdreport.h"
#include "quote/asker.h"
#include "quote/monotonic.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG	     64
#define PAUSE_USEC   UINT64_C(100000) /* after accept(2) has failed */
#define UNKNOWN_USEC UINT64_C(3000000)
#define LOG_USEC     UINT64_C(1000000)
#define UNREAD_MAX   (64u * 1024) /* bytes that are read of whoever is turned away */

struct Door {
	Relay *relay;
	Domain *domain;			 /* NULL: everybody's */
	char where[ADDRESS_STRING_SIZE]; /* the path of the domain's socket, or the address */
	int fd;
	sd_event_source *io, *timer;
	bool unknown; /* somebody waits for the domain's QEMU to become known */
	uint64_t logged_usec;
};

/* What may come often is said once a second. */
static bool may_log(Door *door)
{
	uint64_t now = monotonic_usec();

	if (door->logged_usec && now < door->logged_usec + LOG_USEC)
		return false;
	door->logged_usec = now;
	return true;
}

static void shut(Door *door, uint64_t usec)
{
	sd_event_source_set_enabled(door->io, SD_EVENT_OFF);
	if (usec && sd_event_source_set_time_relative(door->timer, usec) >= 0)
		sd_event_source_set_enabled(door->timer, SD_EVENT_ONESHOT);
}

void door_known(Door *door)
{
	door->unknown = false;
	sd_event_source_set_enabled(door->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(door->io, SD_EVENT_ON);
}

void door_room(Door *door)
{
	/* While it waits for a token, or for QEMU, its timer opens it. */
	if (sd_event_source_get_enabled(door->timer, NULL) == 0)
		sd_event_source_set_enabled(door->io, SD_EVENT_ON);
}

/*
 * Reads what has come: a connection that is closed over unread bytes loses what was written to it.
 * Returns whether it begins as a bare report does, whose sender takes any answer for a quote.
 */
static bool read_what_has_come(int fd)
{
	uint8_t buffer[4096];
	bool is_bare = false;
	ssize_t n;

	for (size_t got = 0; got < UNREAD_MAX; got += (size_t)n) {
		n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n <= 0)
			break;
		if (got == 0)
			is_bare = buffer[0] == TDREPORT_TYPE;
	}
	return is_bare;
}

/*
 * Ends it with an answer to what may not even have been asked yet: better than none, but for who
 * was to send a bare report only later, and takes it for a quote.
 */
static void turn_away(int fd)
{
	const QgsMessage message = { .major = QGS_MAJOR,
				     .minor = QGS_MINOR,
				     .type = QGS_GET_QUOTE_RESPONSE,
				     .error = QGS_ERROR_UNEXPECTED };
	_cleanup_free_ uint8_t *frame = NULL;
	size_t size;

	if (!read_what_has_come(fd) && qgs_message_format(&frame, &size, &message) == 0 &&
	    send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a peer that is turned away does not hear of it: %m");
	close(fd);
}

/* Everybody in the queue, but no more: they may come back faster than they go. */
static void turn_queue_away(Door *door)
{
	int fd;

	for (int i = 0; i < BACKLOG && (fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; i++)
		turn_away(fd);
	log_warning("%s: quote requests are turned away: libvirt's hook has not told which QEMU "
		    "is its own; see 'journalctl -u tdid'",
		    door->domain->label);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Door *door = userdata;

	if (door->unknown)
		turn_queue_away(door);
	door->unknown = false;
	sd_event_source_set_enabled(door->io, SD_EVENT_ON);
	return 0;
}

static void take(Door *door, Domain *domain, LaneWay way, int fd)
{
	int r = asker_new(door->relay, domain, way, fd);

	if (r == 0)
		return;
	turn_away(fd);
	if (may_log(door))
		log_warning("%s: a quote request at %s is turned away: %s", domain->label,
			    door->where, strerror(-r));
}

/* A domain's own: who it is is known, and its limits shut the door. */
static void take_domains(Door *door, int fd)
{
	Domain *domain = door->domain;
	struct ucred peer = {};
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid != domain->pid) {
		if (may_log(door))
			log_warning("%s: process %d (uid %d) turned away from its quote socket, "
				    "which is for its QEMU %d only",
				    domain->label, (int)peer.pid, (int)peer.uid, (int)domain->pid);
		token_bucket_give_back(&domain->lanes[LANE_SOCKET].bucket);
		close(fd);
		return;
	}
	take(door, domain, LANE_SOCKET, fd);
}

/* The peer that nothing can be remembered of, and so no limit be kept. */
static void log_unknown_peer(Door *door, const struct sockaddr_storage *peer, int error)
{
	const Address address = { .storage = *peer };
	char name[ADDRESS_STRING_SIZE];

	if (!may_log(door))
		return;
	address_format(&address, name);
	if (error == -EUSERS)
		log_warning("%s: its quote request at %s is turned away: %u peers that are no TVM "
			    "of ours have connections open, and more are not served at a time",
			    name, door->where, DOMAINS_STRANGERS_MAX);
	else
		log_warning("%s: its quote request at %s is turned away: %s", name, door->where,
			    strerror(-error));
}

static void log_limit(Door *door, const Domain *domain, bool too_many_open)
{
	const ConfigLimits *limits = &door->relay->config->limits;

	if (!may_log(door))
		return;
	if (too_many_open)
		log_warning("%s: quote requests at %s are turned away: %u are open, which is the "
			    "limit (\"in_flight\")",
			    domain->label, door->where, limits->in_flight);
	else
		log_warning("%s: quote requests at %s are turned away: more than %u a second "
			    "(\"rate_per_second\"; %u at once: \"burst\")",
			    domain->label, door->where, limits->rate_per_second, limits->burst);
}

/* The door is everybody's: who has had enough is turned away, because others stand behind it. */
static void take_peers(Door *door, int fd, const struct sockaddr_storage *peer)
{
	const ConfigLimits *limits = &door->relay->config->limits;
	Domain *domain;
	bool too_many_open;
	int r = domains_of_peer(&door->relay->domains, peer, &domain);

	if (r < 0) {
		log_unknown_peer(door, peer, r);
		turn_away(fd);
		return;
	}
	too_many_open = domain->lanes[LANE_NETWORK].n_askers >= limits->in_flight;
	if (too_many_open ||
	    token_bucket_take(&domain->lanes[LANE_NETWORK].bucket, monotonic_usec()) > 0) {
		domain_count(domain, QUOTE_LIMITED, 0);
		log_limit(door, domain, too_many_open);
		turn_away(fd);
		return;
	}
	take(door, domain, LANE_NETWORK, fd);
}

/* Whether a domain may have one more now; if not, the door is shut until it may. */
static bool may_take(Door *door)
{
	Domain *domain = door->domain;
	uint64_t wait;

	if (!domain)
		return true;
	if (domain->pid == 0) {
		door->unknown = true;
		shut(door, UNKNOWN_USEC);
		return false;
	}
	if (domain->lanes[LANE_SOCKET].n_askers >= door->relay->config->limits.in_flight) {
		domain->n_held++;
		shut(door, 0);
		return false;
	}
	wait = token_bucket_take(&domain->lanes[LANE_SOCKET].bucket, monotonic_usec());
	if (wait == 0)
		return true;
	domain->n_held++;
	shut(door, wait);
	if (may_log(door))
		log_warning("%s: its quote requests wait: more than %u a second "
			    "(\"rate_per_second\")",
			    domain->label, door->relay->config->limits.rate_per_second);
	return false;
}

/* One at a time, so that each door gets its turn. */
static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Door *door = userdata;
	struct sockaddr_storage peer = {};
	socklen_t size = sizeof(peer);
	int connection;

	if (!may_take(door))
		return 0;
	connection = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (connection >= 0 && door->domain) {
		take_domains(door, connection);
		return 0;
	}
	if (connection >= 0) {
		take_peers(door, connection, &peer);
		return 0;
	}
	if (door->domain)
		token_bucket_give_back(&door->domain->lanes[LANE_SOCKET].bucket);
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return 0;
	/* Of descriptors, say, there will be more again. */
	if (may_log(door))
		log_error("%s: cannot take a quote request: %m; it waits", door->where);
	shut(door, PAUSE_USEC);
	return 0;
}

/* Owns the fd, also when it fails. */
static int door_new(Door **ret, Relay *relay, Domain *domain, const char *where, int fd)
{
	Door *door = calloc(1, sizeof(*door));
	int r;

	if (!door) {
		close(fd);
		return -ENOMEM;
	}
	door->relay = relay;
	door->domain = domain;
	door->fd = fd;
	snprintf(door->where, sizeof(door->where), "%s", where);
	r = sd_event_add_io(relay->event, &door->io, fd, EPOLLIN, on_io, door);
	if (r >= 0)
		r = sd_event_add_time(relay->event, &door->timer, CLOCK_MONOTONIC, 0, 1000,
				      on_timer, door);
	if (r >= 0)
		r = sd_event_source_set_enabled(door->timer, SD_EVENT_OFF);
	if (r < 0) {
		door_free(door);
		return r;
	}
	*ret = door;
	return 0;
}

/* Made anew each time: what a killed one of us has left at the path is in the way. */
static int listen_at(const char *path, char **ret_error)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;

	if (fd < 0)
		return refuse(ret_error, -errno, "quote socket %s: no socket can be opened: %m",
			      path);
	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(ret_error, -ENAMETOOLONG, "quote socket %s: its path is too long",
			      path);
	strcpy(address.sun_path, path);
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return refuse(ret_error, -EEXIST,
			      "quote socket %s: something else is in its place; remove it", path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return refuse(
			ret_error, -errno,
			"quote socket %s: cannot be bound: %m; its directory has to be there, "
			"and tdi-quoted's user able to write to it",
			path);
	if (chmod(path, 0666) < 0)
		return refuse(ret_error, -errno,
			      "quote socket %s: cannot be opened to QEMU's user (chmod): %m", path);
	if (listen(fd, BACKLOG) < 0)
		return refuse(ret_error, -errno, "quote socket %s: cannot be listened at: %m",
			      path);
	return steal_fd(&fd);
}

int door_of_domain(Door **ret, Relay *relay, Domain *domain, const char *path, char **ret_error)
{
	int fd = listen_at(path, ret_error);

	return fd < 0 ? fd : door_new(ret, relay, domain, path, fd);
}

int door_of_address(Door **ret, Relay *relay, const Address *address, char **ret_error)
{
	char name[ADDRESS_STRING_SIZE];
	int fd = address_listen(address);

	address_format(address, name);
	if (fd < 0)
		return refuse(ret_error, fd, "cannot listen at %s (\"listen\"): %s", name,
			      strerror(-fd));
	return door_new(ret, relay, NULL, name, fd);
}

Door *door_leave(Door *door)
{
	if (!door)
		return NULL;
	sd_event_source_disable_unref(door->io);
	sd_event_source_disable_unref(door->timer);
	if (door->fd >= 0)
		close(door->fd);
	free(door);
	return NULL;
}

Door *door_free(Door *door)
{
	if (door && door->domain)
		unlink(door->where);
	return door_leave(door);
}
