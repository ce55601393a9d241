/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A varlink client: asynchronous on sd-event, and one blocking call for command line tools. */
#pragma once

#include "rpc/idl.h"
#include "rpc/json.h"
#include "rpc/varlink.h"

#include <sys/types.h>

#include <systemd/sd-event.h>

/*
 * One connection. varlink has no call ids: replies come in the order of the calls, so a call that
 * takes long (or a `more` call) holds up all behind it. Verbs that should overlap, and every
 * Monitor, get a connection of their own.
 */
typedef struct VarlinkClient VarlinkClient;

/* The connection ended; pending calls have failed already. The client may be freed in here. */
typedef void (*VarlinkDisconnected)(VarlinkClient *client, int reason, void *userdata);

typedef struct VarlinkClientOptions {
	/* Calls and replies of this interface are checked; a reply that breaks it ends the
	 * connection. Borrowed, must outlive the client. NULL: no check. */
	const IdlInterface *interface;
	bool check_uid; /* refuse (-EPERM) a server whose uid is not `uid` */
	uid_t uid;
	size_t input_max;  /* of one reply; 0: JSON_SIZE_MAX */
	size_t output_max; /* unsent bytes; 0: VARLINK_OUTPUT_MAX */
	VarlinkDisconnected disconnected;
	void *userdata;
} VarlinkClientOptions;

/*
 * Connects at once. `options` may be NULL. Errors: connect(2)'s (-ENOENT, -ECONNREFUSED: nobody
 * serves; -EAGAIN: the server's queue is full), -EPERM for a foreign uid; with a sentence.
 */
int varlink_client_connect(VarlinkClient **ret, sd_event *event, const char *path,
			   const VarlinkClientOptions *options, char **ret_error);
/* Pending calls are forgotten: their callbacks do not run. Safe inside every callback. */
VarlinkClient *varlink_client_free(VarlinkClient *client);
DEFINE_CLEANUP(VarlinkClient, varlink_client_free);

/* What comes on it is handed out before (smaller) or after what else is there to be read. */
int varlink_client_set_priority(VarlinkClient *client, int64_t priority);

/* It is connected, no call waits, and nothing has been read that nobody waits for. */
bool varlink_client_is_idle(const VarlinkClient *client);
/* Nor is anything there to be read, nor has the peer left: it can be used again. Asks the kernel. */
bool varlink_client_is_quiet(const VarlinkClient *client);

typedef struct VarlinkReply {
	/*
	 * 0: an answer came, `error` tells which kind. Else no answer will come: -ETIME (its time
	 * is over, the outcome is unknown), -ECONNRESET (connection lost or freed by the server,
	 * likewise), -EBADMSG (what came breaks varlink or the interface; the connection is
	 * closed).
	 */
	int status;
	const char *error;	 /* full name; NULL: success */
	json_object *parameters; /* borrowed; never NULL when status is 0 */
	bool continues;		 /* more replies follow; the callback runs again */
} VarlinkReply;

/* Never runs inside varlink_client_call. */
typedef void (*VarlinkReplied)(VarlinkClient *client, const VarlinkReply *reply, void *userdata);

enum {
	VARLINK_CALL_MORE = 1 << 0,
	VARLINK_CALL_ONEWAY = 1 << 1, /* `replied` must be NULL */
};

/*
 * `method` with its interface; `parameters` borrowed, NULL is {}. timeout_usec counts from now to
 * the first reply and then between replies; 0 or UINT64_MAX: none.
 * Returns 0; -EINVAL (parameters break the interface), -ENOTCONN, -ENOBUFS (the server does not
 * read), -ENOMEM.
 */
int varlink_client_call(VarlinkClient *client, const char *method, json_object *parameters,
			unsigned flags, uint64_t timeout_usec, VarlinkReplied replied,
			void *userdata);

/* "Name" of "io.tdid.Hook.Name" when it is of this interface, else NULL: to compare errors. */
const char *varlink_error_name(const char *error, const char *interface);

/*
 * One call and its one reply on a connection of its own; blocks, at most timeout_usec.
 * Returns 0 and *ret_parameters; 1 and *ret_parameters and *ret_error_name when the service
 * answered with an error; a negative errno (as in VarlinkReply or connect) and a sentence.
 * Not for processes that serve: nothing else runs meanwhile.
 */
int varlink_call_blocking(const char *path, const VarlinkClientOptions *options, const char *method,
			  json_object *parameters, uint64_t timeout_usec,
			  json_object **ret_parameters, char **ret_error_name, char **ret_error);
