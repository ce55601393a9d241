/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * READING   until the request is whole; silence_ms at most
 * WAITING   for the relay; deadline_ms at most
 * WRITING   the answer, frame included, or the bare quote
 * DRAINING  of a request that was not read to its end: else its sender loses the answer
 *
 * A request is a frame and a message; or, as QGS takes it too, the 1,024 bytes of a TDREPORT alone,
 * whose first byte (0x81) is that of no frame's size. The latter's answer is the quote without a
 * frame; its failure is the connection's end, because any byte would be taken for a quote.
 *
 * Everything else ends with an answer in QGS's format, whatever was wrong.
 */
#include "quote/asker.h"

#include "core/tdreport.h"
#include "quote/audit.h"
#include "quote/door.h"
#include "quote/monotonic.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

typedef enum AskerState {
	ASKER_READING,
	ASKER_WAITING,
	ASKER_WRITING,
	ASKER_DRAINING,
} AskerState;

struct Asker {
	Relay *relay;
	Domain *domain;
	Lane *lane;
	Asker *next, **link;
	int fd;
	AskerState state;
	sd_event_source *io; /* NULL while it is read for the first time */
	Expiry expiry;
	uint64_t since_usec;

	/* Its request, with a frame that we write if it came without. */
	bool raw;
	uint16_t minor;
	uint8_t *input;
	size_t capacity, got;
	size_t input_size; /* 0: not known yet */
	size_t drained;
	const uint8_t *report; /* for the audit: into input, or NULL */
	Request request;

	uint8_t *output;
	size_t output_size, sent;
};

/*
 * Intel's service reads up to 4,096 bytes, and of what is longer waits for the rest in vain. A
 * report and a list of some 190 QE identities fit.
 */
#define REQUEST_MAX 4096u
/* Of most requests: a frame, a message, a TDREPORT. */
#define FIRST_CAPACITY 2048u
/* What is read of a request that is too long, so that its sender hears of it. */
#define DRAIN_MAX (256u * 1024)
/* What a raw report is wrapped in. */
#define RAW_HEAD (QGS_FRAME_SIZE + QGS_HEADER_SIZE + 8)

static void asker_free(Asker *asker)
{
	relay_cancel(&asker->request);
	*asker->link = asker->next;
	if (asker->next)
		asker->next->link = asker->link;
	asker->lane->n_askers--;
	sd_event_source_disable_unref(asker->io);
	expiry_end(&asker->expiry);
	close(asker->fd);
	if (asker->domain->door)
		door_room(asker->domain->door);
	free(asker->input);
	free(asker->output);
	free(asker);
}

static const char not_waited[] = "whoever asked has not waited";

static void on_expired(void *userdata);

static void go_on_writing(Asker *asker)
{
	while (asker->sent < asker->output_size) {
		ssize_t n = send(asker->fd, asker->output + asker->sent,
				 asker->output_size - asker->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		asker->sent += (size_t)n;
	}
	asker_free(asker);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* What is waited for next, and how long. Returns false when the asker is gone. */
static bool wait_for(Asker *asker, AskerState state, uint32_t events, Expiries *expiries)
{
	int r = asker->io ? sd_event_source_set_io_events(asker->io, events)
			  : sd_event_add_io(asker->relay->event, &asker->io, asker->fd, events,
					    on_io, asker);

	asker->state = state;
	if (r < 0) {
		asker_free(asker);
		return false;
	}
	expiry_begin(&asker->expiry, expiries, monotonic_usec(), on_expired, asker);
	return true;
}

static void account(const Asker *asker, QuoteOutcome outcome, const RequestAnswer *answer,
		    const char *why)
{
	uint64_t usec = monotonic_usec() - asker->since_usec;

	if (asker->request.type == QGS_GET_QUOTE_REQUEST || outcome == QUOTE_BAD)
		domain_count(asker->domain, outcome, usec);
	else
		asker->domain->n_other++;
	audit_quote(&(AuditEntry){
		.domain = asker->domain,
		.type = asker->request.type,
		.report = asker->report,
		.outcome = outcome,
		.upstream = answer ? answer->upstream : NULL,
		.error = answer && answer->outcome == QUOTE_ERROR ? answer->message->error : 0,
		.why = why,
		.quote_size = answer && answer->outcome == QUOTE_OK && asker->report
				      ? answer->message->quote_response.quote.size
				      : 0,
		.usec = usec,
	});
}

/* True: there is nothing more now. False: it is at its end, or beyond what is read. */
static bool drain(Asker *asker)
{
	uint8_t buffer[4096];

	for (;;) {
		ssize_t n = recv(asker->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0 || (asker->drained += (size_t)n) > DRAIN_MAX)
			return false;
	}
}

static void go_on_draining(Asker *asker)
{
	if (!drain(asker))
		asker_free(asker);
}

/*
 * What goes to the peer, if anything, and then the connection's end. Mostly it goes in one piece,
 * from where it lies; the log can wait until then.
 */
static void answer(Asker *asker, const uint8_t *from, size_t size, QuoteOutcome outcome,
		   const RequestAnswer *given, const char *why)
{
	ssize_t n = size ? send(asker->fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
	size_t sent = n > 0 ? (size_t)n : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		sent = size;
		outcome = QUOTE_GONE;
		why = not_waited;
	}
	account(asker, outcome, given, why);
	if (asker->relay->stopping) {
		/* No event comes any more. What is unread would cost a TCP peer its answer. */
		shutdown(asker->fd, SHUT_WR);
		drain(asker);
		asker_free(asker);
		return;
	}
	if (sent < size) {
		asker->output = malloc(size - sent);
		asker->output_size = size - sent;
		if (asker->output) {
			memcpy(asker->output, from + sent, size - sent);
			wait_for(asker, ASKER_WRITING, EPOLLOUT, &asker->relay->writing);
			return;
		}
	}
	if (asker->state == ASKER_READING && outcome != QUOTE_GONE &&
	    shutdown(asker->fd, SHUT_WR) >= 0) {
		if (wait_for(asker, ASKER_DRAINING, EPOLLIN, &asker->relay->writing))
			go_on_draining(asker);
		return;
	}
	asker_free(asker);
}

/* An answer of our own. */
static void answer_error(Asker *asker, QuoteOutcome outcome, uint32_t error, const char *why,
			 const RequestAnswer *from)
{
	QgsMessage message = {
		.major = QGS_MAJOR,
		.minor = asker->minor,
		.type = (QgsType)(asker->request.type + 1),
		.error = error,
	};
	_cleanup_free_ uint8_t *frame = NULL;
	size_t size = 0;

	if (asker->raw || qgs_message_format(&frame, &size, &message) < 0)
		size = 0;
	answer(asker, frame, size, outcome, from, why);
}

static void on_answer(Request *request, const RequestAnswer *from, void *userdata)
{
	Asker *asker = userdata;
	QgsBytes quote;

	if (from->outcome != QUOTE_OK && from->outcome != QUOTE_ERROR) {
		answer_error(asker, from->outcome, from->error, from->why, from);
		return;
	}
	if (asker->raw) {
		quote = from->outcome == QUOTE_OK ? from->message->quote_response.quote
						  : (QgsBytes){};
		answer(asker, quote.data, quote.size, from->outcome, from, NULL);
		return;
	}
	/* QEMU takes no version but the one that it asked in. */
	from->frame[QGS_FRAME_SIZE + 2] = (uint8_t)asker->minor;
	from->frame[QGS_FRAME_SIZE + 3] = (uint8_t)(asker->minor >> 8);
	answer(asker, from->frame, from->size, from->outcome, from, NULL);
}

/* --- the request --- */

static void refuse(Asker *asker, uint32_t error, const char *why)
{
	answer_error(asker, QUOTE_BAD, error, why, NULL);
}

static void submit(Asker *asker)
{
	QgsMessage message = {};
	const char *why = NULL;
	int r = qgs_message_parse(&message, asker->input + QGS_FRAME_SIZE,
				  asker->input_size - QGS_FRAME_SIZE, &why);

	asker->minor = message.minor <= QGS_MINOR ? message.minor : QGS_MINOR;
	/* What it was to be, also if it is malformed: the answer is of the type that follows it. */
	if (message.major == QGS_MAJOR && message.type < QGS_TYPES && message.type % 2 == 0)
		asker->request.type = message.type;
	if (r == -EPROTONOSUPPORT) {
		refuse(asker, QGS_ERROR_INVALID_VERSION, "a request of another version");
		return;
	}
	if (r == -EOPNOTSUPP || (r == 0 && message.type % 2 == 1)) {
		refuse(asker, QGS_ERROR_INVALID_TYPE, "a message that is no request");
		return;
	}
	if (r < 0) {
		refuse(asker, QGS_ERROR_INVALID_SIZE, why ?: "a malformed request");
		return;
	}
	if (message.type == QGS_GET_COLLATERAL_REQUEST && !asker->relay->config->collateral) {
		refuse(asker, QGS_ERROR_INVALID_TYPE,
		       "collateral, which is not relayed (\"collateral\")");
		return;
	}
	if (message.type == QGS_GET_QUOTE_REQUEST) {
		if (message.quote_request.report.size != TDREPORT_SIZE) {
			refuse(asker, QGS_ERROR_INVALID_PARAMETER,
			       "a report that is not a TDREPORT");
			return;
		}
		asker->report = message.quote_request.report.data;
	}
	asker->request.frame = asker->input;
	asker->request.size = asker->input_size;
	asker->state = ASKER_WAITING;
	if (!relay_submit(&asker->request))
		return;
	/*
	 * Only that the peer has gone matters now. Over unix that is told in any case; elsewhere it
	 * looks as if it had only shut its sending side down, which no client of QGS does.
	 */
	wait_for(asker, ASKER_WAITING,
		 asker->lane == &asker->domain->lanes[LANE_SOCKET] ? 0 : EPOLLRDHUP,
		 &asker->relay->deadline);
}

/* A bare report, of which some is there: the frame and header that it lacks come before it. */
static int begin_raw(Asker *asker)
{
	static const uint8_t nothing[TDREPORT_SIZE];
	QgsMessage message = {
		.major = QGS_MAJOR,
		.minor = QGS_MINOR,
		.type = QGS_GET_QUOTE_REQUEST,
		.quote_request.report = { nothing, TDREPORT_SIZE },
	};
	size_t size, got = asker->got < TDREPORT_SIZE ? asker->got : TDREPORT_SIZE;
	uint8_t *whole;
	int r = qgs_message_format(&whole, &size, &message);

	asker->raw = true;
	if (r < 0)
		return r;
	memcpy(whole + RAW_HEAD, asker->input, got);
	free(asker->input);
	asker->input = whole;
	asker->input_size = asker->capacity = size;
	asker->got = RAW_HEAD + got;
	return 0;
}

static int begin_framed(Asker *asker)
{
	uint8_t *more;
	uint32_t size;

	if (qgs_frame_parse(&size, asker->input, REQUEST_MAX - QGS_FRAME_SIZE) < 0)
		return -EMSGSIZE;
	asker->input_size = QGS_FRAME_SIZE + size;
	if (asker->input_size <= asker->capacity)
		return 0;
	more = realloc(asker->input, asker->input_size);
	if (!more)
		return -ENOMEM;
	asker->input = more;
	asker->capacity = asker->input_size;
	return 0;
}

/* Four bytes are there: they tell how it goes on. False when the asker is gone. */
static bool begin_input(Asker *asker)
{
	int r = asker->input[0] == TDREPORT_TYPE ? begin_raw(asker) : begin_framed(asker);

	if (r == 0)
		return true;
	if (r == -EMSGSIZE)
		refuse(asker, QGS_ERROR_INVALID_SIZE, "a frame of a size that no request has");
	else
		answer_error(asker, QUOTE_UNAVAILABLE, QGS_ERROR_OUT_OF_MEMORY, strerror(-r), NULL);
	return false;
}

/* False: the asker is gone, or does not read any more. What comes behind a request is left alone.
 */
static bool go_on_reading(Asker *asker)
{
	for (;;) {
		ssize_t n = recv(asker->fd, asker->input + asker->got, asker->capacity - asker->got,
				 MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			if (asker->got)
				account(asker, QUOTE_BAD, NULL, "its sender has hung up inside it");
			else
				domain_count(asker->domain, QUOTE_GONE, 0); /* nothing was asked */
			asker_free(asker);
			return false;
		}
		asker->got += (size_t)n;
		if (asker->input_size == 0 && asker->got >= QGS_FRAME_SIZE && !begin_input(asker))
			return false;
		if (asker->input_size > 0 && asker->got >= asker->input_size) {
			submit(asker);
			return false;
		}
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Asker *asker = userdata;

	switch (asker->state) {
	case ASKER_READING: go_on_reading(asker); break;
	case ASKER_WAITING:
		if (revents & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
			account(asker, QUOTE_GONE, NULL, not_waited);
			asker_free(asker);
		}
		break;
	case ASKER_WRITING: go_on_writing(asker); break;
	case ASKER_DRAINING: go_on_draining(asker); break;
	}
	return 0;
}

/* Nobody is asked any more. What one has said before another was asked is better than nothing. */
static void give_up(Asker *asker, QuoteOutcome outcome, const char *why)
{
	const Upstream *upstream = asker->request.upstream;
	RequestAnswer from = { .outcome = outcome,
			       .upstream = upstream ? upstream->config->name : NULL };

	if (!relay_give_up(&asker->request))
		answer_error(asker, outcome, QGS_ERROR_UNEXPECTED, why, &from);
}

static void late(Asker *asker)
{
	give_up(asker, QUOTE_LATE,
		asker->request.upstream
			? "no quoting service has answered in time"
			: "no quoting service had room, or answered its checks, in time");
}

static void on_expired(void *userdata)
{
	Asker *asker = userdata;

	switch (asker->state) {
	case ASKER_READING:
		refuse(asker, QGS_ERROR_INVALID_SIZE, "no whole request in time");
		break;
	case ASKER_WAITING: late(asker); break;
	case ASKER_WRITING:
	case ASKER_DRAINING: asker_free(asker); break;
	}
}

Asker *asker_next(const Asker *asker)
{
	return asker->next;
}

void asker_drop(Asker *asker)
{
	if (asker->state == ASKER_WAITING || (asker->state == ASKER_READING && asker->got))
		account(asker, QUOTE_GONE, NULL, "its domain has ended");
	asker_free(asker);
}

void asker_stop(Asker *asker)
{
	static const char why[] = "tdi-quoted is being stopped";

	switch (asker->state) {
	case ASKER_READING:
		answer_error(asker, QUOTE_UNAVAILABLE, QGS_ERROR_UNEXPECTED, why, NULL);
		break;
	case ASKER_WAITING: give_up(asker, QUOTE_UNAVAILABLE, why); break;
	case ASKER_WRITING:
	case ASKER_DRAINING: break;
	}
}

int asker_new(Relay *relay, Domain *domain, LaneWay way, int fd)
{
	Asker *asker = calloc(1, sizeof(*asker));
	uint8_t *input = malloc(FIRST_CAPACITY);

	if (!asker || !input) {
		free(asker);
		free(input);
		return -ENOMEM;
	}
	asker->relay = relay;
	asker->domain = domain;
	asker->fd = fd;
	asker->minor = QGS_MINOR;
	asker->input = input;
	asker->capacity = FIRST_CAPACITY;
	asker->since_usec = monotonic_usec();
	asker->request =
		(Request){ .relay = relay, .domain = domain, .done = on_answer, .userdata = asker };
	asker->next = domain->askers;
	asker->link = &domain->askers;
	if (asker->next)
		asker->next->link = &asker->next;
	domain->askers = asker;
	asker->lane = &domain->lanes[way];
	asker->lane->n_askers++;
	/* Mostly all of it is there already. */
	if (go_on_reading(asker))
		wait_for(asker, ASKER_READING, EPOLLIN, &relay->silence);
	return 0;
}
