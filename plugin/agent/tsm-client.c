/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the request at the head of the line:
 *
 *   OPEN if there is no session with the TSM, then seal, then send. No answer in time, or one that
 *   does not authenticate: the same bytes again, since the TSM answers a repeated request with the
 *   same response. Sent often enough, or tdid says TsmRejected (the TSM does not know the session
 *   or did not like the message): OPEN anew and seal anew. TsmUnavailable: the same bytes after a
 *   wait. All bounded; then the handler hears that the TSM cannot be reached.
 *
 * A request that is sealed anew may have had its effect the first time: the owner asks for the
 * TDI's state before it believes anything.
 */
#include "agent/tsm-client.h"

#include "core/guest-message-tvm.h"
#include "rpc/base64.h"
#include "rpc/log.h"

#include <openssl/rand.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define GUEST_INTERFACE "io.tdid.Guest."

const TsmClientTimes tsm_client_times = {
	.reply_usec = 10 * USEC_PER_SEC,
	.retry_usec = 250 * USEC_PER_MS,
};

typedef struct TsmRequest {
	GuestMessageType type;
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];
	size_t size;
	TsmHandler handler;
	void *userdata;
	TAILQ_ENTRY(TsmRequest) link;
} TsmRequest;

struct TsmClient {
	Session *session;
	const TvmKey *key;
	TsmClientTimes times;
	GuestMessageTvm *tvm; /* NULL: no session with the host */
	TAILQ_HEAD(, TsmRequest) line;

	bool open;	  /* a session with the TSM is there */
	bool under_way;	  /* the head's message, or an OPEN for it */
	uint8_t *message; /* as it was sent */
	size_t message_size;
	GuestMessageType message_type;
	int64_t call; /* 0: waiting for the timer */
	LoopTimer timer;
	unsigned int sends, opens;
	uint64_t last_request_id;
	char last_trouble[256];
	uint8_t answer[GUEST_MESSAGE_MAX_PAYLOAD];
};

static void client_pump(TsmClient *client);
static void client_send(TsmClient *client);

static void client_halt(TsmClient *client)
{
	session_cancel(client->session, client->call);
	loop_timer_off(&client->timer);
	client->call = 0;
	client->under_way = false;
	free(client->message);
	client->message = NULL;
}

static TsmRequest *request_take(TsmClient *client)
{
	TsmRequest *request = TAILQ_FIRST(&client->line);

	TAILQ_REMOVE(&client->line, request, link);
	client->opens = client->sends = 0;
	client->last_trouble[0] = '\0';
	return request;
}

static void client_answer(TsmClient *client, const TsmAnswer *answer, const char *error)
{
	_cleanup_free_ TsmRequest *request = NULL;

	client_halt(client);
	request = request_take(client);
	request->handler(request->userdata, answer, error);
	client_pump(client);
}

static void client_trouble(TsmClient *client, const char *what, const char *detail)
{
	snprintf(client->last_trouble, sizeof(client->last_trouble), "%s%s%s", what,
		 detail ? ": " : "", detail ? detail : "");
	log_debug("TSM: %s: %s", guest_message_type_name((uint8_t)client->message_type),
		  client->last_trouble);
}

static void client_reopen(TsmClient *client)
{
	char error[sizeof(client->last_trouble)];

	client->open = false;
	if (client->opens >= TSM_CLIENT_OPENS) {
		memcpy(error, client->last_trouble, sizeof(error));
		client_answer(client, NULL, error);
		return;
	}
	client_halt(client);
	client_pump(client);
}

static void client_again(TsmClient *client)
{
	client->call = 0;
	if (client->sends >= TSM_CLIENT_SENDS)
		client_reopen(client);
	else
		client_send(client);
}

/* --- what came back --- */

static bool blob_take(json_object *evidence, const char *name, struct iovec *ret)
{
	const char *text = json_get_string(evidence, name);
	uint8_t *bytes;
	size_t size;

	if (!text || base64_decode(&bytes, &size, text, FRAME_SIZE_MAX) < 0)
		return false;
	*ret = (struct iovec){ .iov_base = bytes, .iov_len = size };
	return true;
}

static void evidence_take(json_object *parameters, TsmAnswer *answer)
{
	json_object *evidence = json_get_object(parameters, "evidence");
	EvidenceBlobs *b = &answer->blobs;

	answer->has_evidence = evidence && blob_take(evidence, "certificates", &b->certificates) &&
			       blob_take(evidence, "vca", &b->vca) &&
			       blob_take(evidence, "measurements", &b->measurements) &&
			       blob_take(evidence, "report", &b->report);
}

static void evidence_release(EvidenceBlobs *blobs)
{
	free(blobs->certificates.iov_base);
	free(blobs->vca.iov_base);
	free(blobs->measurements.iov_base);
	free(blobs->report.iov_base);
}

static void on_sealed(TsmClient *client, const uint8_t *message, size_t size,
		      json_object *parameters)
{
	TsmAnswer answer = { 0 };
	size_t payload_size;
	int r;

	r = guest_message_tvm_unseal(client->tvm, message, size, client->answer, &payload_size);
	if (r != GUEST_MESSAGE_OK) {
		client_trouble(client, "an answer that is not the TSM's",
			       r < 0 ? strerror(-r) : guest_message_outcome_sentence(r));
		client_again(client);
		return;
	}
	r = guest_response_parse(&answer.status, &answer.body, &answer.body_size, client->answer,
				 payload_size);
	if (r < 0) {
		/* It was sealed, so asking again gives the same. */
		client_answer(client, NULL, "the TSM's answer breaks the format");
		return;
	}
	if (client->message_type == GUEST_MESSAGE_TDI_INFO && answer.status == GUEST_STATUS_OK)
		evidence_take(parameters, &answer);
	client_answer(client, &answer, NULL);
	evidence_release(&answer.blobs);
}

static void on_open(TsmClient *client, const uint8_t *message, size_t size)
{
	int r = guest_message_tvm_opened(client->tvm, message, size);

	if (r != GUEST_MESSAGE_OK) {
		client_trouble(client, "an answer to OPEN that is none",
			       r < 0 ? strerror(-r) : guest_message_outcome_sentence(r));
		client_again(client);
		return;
	}
	client->open = true;
	client_halt(client);
	client_pump(client);
}

static void on_error(TsmClient *client, const GuestFrame *reply)
{
	const char *name = reply->error, *reason = NULL;

	if (strncmp(name, GUEST_INTERFACE, strlen(GUEST_INTERFACE)) == 0)
		name += strlen(GUEST_INTERFACE);
	if (reply->parameters)
		reason = json_get_string(reply->parameters, "reason");
	client_trouble(client, name, reason ? reason : reply->message);
	if (strcmp(name, "TsmRejected") == 0)
		client_reopen(client);
	else if (client->sends >= TSM_CLIENT_SENDS)
		client_reopen(client);
	else
		loop_timer_set(&client->timer, client->times.retry_usec << client->sends);
}

static void on_reply(void *userdata, const GuestFrame *reply)
{
	_cleanup_free_ uint8_t *message = NULL;
	TsmClient *client = userdata;
	const char *text;
	size_t size;

	client->call = 0;
	if (!reply) {
		client_trouble(client, "tdid did not answer in time", NULL);
		client_again(client);
		return;
	}
	if (reply->error) {
		on_error(client, reply);
		return;
	}
	text = reply->parameters ? json_get_string(reply->parameters, "message") : NULL;
	if (!text || base64_decode(&message, &size, text, GUEST_MESSAGE_MAX_SIZE) < 0) {
		client_trouble(client, "tdid's answer carries no message", NULL);
		client_again(client);
	} else if (client->message_type == GUEST_MESSAGE_OPEN) {
		on_open(client, message, size);
	} else {
		on_sealed(client, message, size, reply->parameters);
	}
}

/* --- what goes out --- */

static void on_timer(void *userdata)
{
	client_again(userdata);
}

static const char *message_scope(GuestMessageType type)
{
	return type == GUEST_MESSAGE_TDI_VALIDATE || type == GUEST_MESSAGE_MMIO_VALIDATE ||
			       type == GUEST_MESSAGE_TDI_LOCK
		       ? "state_change"
		       : "info";
}

static void client_send(TsmClient *client)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	client->sends++;
	r = base64_encode(&text, client->message, client->message_size);
	if (r == 0)
		r = json_build(&parameters, J_STRING("scope", message_scope(client->message_type)),
			       J_STRING("message", text));
	if (r == 0)
		r = session_call(client->session, "TsmRequest", parameters,
				 client->times.reply_usec, on_reply, client, &client->call);
	if (r < 0) {
		client_trouble(client, "the request could not be sent", strerror(-r));
		loop_timer_set(&client->timer, client->times.retry_usec << client->sends);
	}
}

static int message_make(TsmClient *client, const TsmRequest *request)
{
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE], nonce[GUEST_MESSAGE_NONCE_SIZE];
	const uint8_t *bytes = open;
	size_t size = sizeof(open);
	int r;

	client->last_request_id++;
	if (client->open) {
		client->message_type = request->type;
		r = guest_message_tvm_seal(client->tvm, request->type, client->last_request_id,
					   request->payload, request->size, &bytes, &size);
		if (r < 0)
			return r;
	} else {
		client->message_type = GUEST_MESSAGE_OPEN;
		client->opens++;
		if (RAND_bytes(nonce, sizeof(nonce)) != 1)
			return -EIO;
		guest_message_tvm_open(client->tvm, nonce, client->last_request_id, open);
	}
	client->message = malloc(size);
	if (!client->message)
		return -ENOMEM;
	memcpy(client->message, bytes, size);
	client->message_size = size;
	return 0;
}

static void client_pump(TsmClient *client)
{
	TsmRequest *request = TAILQ_FIRST(&client->line);
	int r;

	if (!client->tvm || client->under_way || !request)
		return;
	client->under_way = true;
	client->sends = 0;
	r = message_make(client, request);
	if (r == 0) {
		client_send(client);
		return;
	}
	/* As if it had been lost: bounded, and outside of this call. */
	client_trouble(client, "the request could not be made", strerror(-r));
	client->open = false;
	client->sends = TSM_CLIENT_SENDS;
	loop_timer_set(&client->timer, client->times.retry_usec);
}

int tsm_client_new(TsmClient **ret, Loop *loop, Session *session, const TvmKey *key,
		   const TsmClientTimes *times)
{
	TsmClient *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->session = session;
	client->key = key;
	client->times = times ? *times : tsm_client_times;
	TAILQ_INIT(&client->line);
	loop_timer_init(loop, &client->timer, on_timer, client);
	*ret = client;
	return 0;
}

TsmClient *tsm_client_free(TsmClient *client)
{
	tsm_client_stop(client);
	while (!TAILQ_EMPTY(&client->line))
		free(request_take(client));
	free(client);
	return NULL;
}

int tsm_client_start(TsmClient *client, Uuid tvm)
{
	int r;

	tsm_client_stop(client);
	r = guest_message_tvm_new(&client->tvm, client->key->bytes, tvm.bytes);
	if (r == 0)
		client_pump(client);
	return r;
}

void tsm_client_stop(TsmClient *client)
{
	client_halt(client);
	client->open = false;
	client->opens = client->sends = 0;
	if (client->tvm)
		client->tvm = guest_message_tvm_free(client->tvm);
}

int tsm_client_request(TsmClient *client, GuestMessageType type, const void *payload, size_t size,
		       TsmHandler handler, void *userdata)
{
	TsmRequest *request;

	if (size > sizeof(request->payload))
		return -EINVAL;
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	request->type = type;
	request->size = size;
	request->handler = handler;
	request->userdata = userdata;
	memcpy(request->payload, payload, size);
	TAILQ_INSERT_TAIL(&client->line, request, link);
	client_pump(client);
	return 0;
}

static void on_revoked(void *userdata, const TsmAnswer *answer, const char *error)
{
	if (!answer)
		log_warning("the TSM could not be told to revoke: %s", error);
	else if (answer->status != GUEST_STATUS_OK)
		/* As a rule the bind has ended before. */
		log_debug("the TSM on the revocation: %s", guest_status_sentence(answer->status));
}

int tsm_client_revoke(TsmClient *client, uint32_t rid, uint64_t generation)
{
	GuestTdiValidate revoke = { .rid = rid,
				    .action = GUEST_VALIDATE_REVOKE,
				    .generation = generation };
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];

	guest_tdi_validate_write(&revoke, payload);
	return tsm_client_request(client, GUEST_MESSAGE_TDI_VALIDATE, payload, sizeof(payload),
				  on_revoked, client);
}

void tsm_client_cancel(TsmClient *client, const void *userdata)
{
	TsmRequest *request = TAILQ_FIRST(&client->line), *next;

	if (client->under_way && request && request->userdata == userdata) {
		client_halt(client);
		/* Its sequence number may be used up. */
		client->open = false;
		client->opens = 0;
	}
	for (; request; request = next) {
		next = TAILQ_NEXT(request, link);
		if (request->userdata != userdata)
			continue;
		TAILQ_REMOVE(&client->line, request, link);
		free(request);
	}
	client_pump(client);
}

bool tsm_client_withdraw(TsmClient *client, const void *userdata)
{
	TsmRequest *request = TAILQ_FIRST(&client->line), *next;
	bool begun = client->under_way && request && request->userdata == userdata;

	for (request = begun ? TAILQ_NEXT(request, link) : request; request; request = next) {
		next = TAILQ_NEXT(request, link);
		if (request->userdata != userdata)
			continue;
		TAILQ_REMOVE(&client->line, request, link);
		free(request);
	}
	return begun;
}
