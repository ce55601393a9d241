/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A varlink service on AF_UNIX stream sockets and sd-event. */
#pragma once

#include "rpc/json.h"
#include "rpc/varlink.h"

#include <sys/socket.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall;

/* Whether a peer may connect. Return false to close at once. */
typedef bool (*VarlinkAllow)(const struct ucred *peer, void *userdata);

/*
 * Whether the peer may call this method: 0, or anything else when it has answered (with an error of
 * the method's interface). Runs before anything but the method's name has been looked at.
 */
typedef int (*VarlinkAuthorize)(VarlinkCall *call, void *userdata);

typedef struct VarlinkServerOptions {
	const char *vendor, *product, *version, *url; /* for GetInfo; NULL: "" */
	unsigned connections_max;		      /* 0: 128 */
	unsigned connections_per_uid_max;	      /* 0: 64 */
	size_t input_max;			      /* of one call; 0: VARLINK_INPUT_MAX */
	/* Unsent bytes of one connection, but for a message that is alone; 0: VARLINK_OUTPUT_MAX */
	size_t output_max;
	VarlinkAllow allow;
	VarlinkAuthorize authorize;
	void *userdata; /* of both */
} VarlinkServerOptions;

/* `options` may be NULL. The strings are copied. */
int varlink_server_new(VarlinkServer **ret, sd_event *event, const VarlinkServerOptions *options);
/*
 * Closes every socket. Calls that are held keep existing (their gone callback runs) until they are
 * unreferenced; answering them gives -ECONNRESET.
 */
VarlinkServer *varlink_server_free(VarlinkServer *server);
DEFINE_CLEANUP(VarlinkServer, varlink_server_free);

/* The interface's description, e.g. schema_io_tdid_hook. -EBADMSG, -EEXIST. */
int varlink_server_add_interface(VarlinkServer *server, const char *text, char **ret_error);

/*
 * Runs for each call, after `parameters` (borrowed, never NULL) were checked against the
 * description. It answers with one of the functions below, at once or later; to answer later it
 * keeps a reference of the call. A call that is neither answered nor kept, or a handler that
 * returns a negative errno before the final answer, is answered with VARLINK_ERROR_INTERNAL.
 */
typedef int (*VarlinkHandler)(VarlinkCall *call, json_object *parameters, void *userdata);

enum {
	VARLINK_MORE_ONLY = 1 << 0, /* without `more` it is answered with ExpectedMore */
};

/* `method` with its interface: "io.tdid.Hook.Run". -ENOENT, -EEXIST. */
int varlink_server_bind(VarlinkServer *server, const char *method, unsigned flags,
			VarlinkHandler handler, void *userdata);

typedef struct VarlinkMethod {
	const char *name; /* with its interface */
	unsigned flags;
	VarlinkHandler handler;
} VarlinkMethod;

/* As many, up to the first that fails. */
int varlink_server_bind_all(VarlinkServer *server, const VarlinkMethod *methods, size_t n,
			    void *userdata);

/*
 * Starts to serve. -ENOSYS, with a sentence naming it, while a described method is unbound.
 * listen makes the socket with `mode` whatever the umask is; a stale socket at the path is
 * replaced, a live one refused (-EADDRINUSE), as is anything that is not a socket (-EEXIST). It is
 * removed again by varlink_server_free. listen_fd takes the fd, and closes it on failure too.
 */
int varlink_server_listen(VarlinkServer *server, const char *path, mode_t mode, char **ret_error);
int varlink_server_listen_fd(VarlinkServer *server, int fd, char **ret_error);

/*
 * The listening socket that systemd passed (sd_listen_fds(3)), by FileDescriptorName= or, when that
 * is NULL or matches none, by path. Returns the fd, to be used once, or -ENOENT.
 */
int varlink_activation_fd(const char *name, const char *path);

unsigned varlink_server_connections(const VarlinkServer *server);

/* --- one call --- */

VarlinkCall *varlink_call_ref(VarlinkCall *call);
VarlinkCall *varlink_call_unref(VarlinkCall *call); /* returns NULL */
DEFINE_CLEANUP(VarlinkCall, varlink_call_unref);

const char *varlink_call_method(const VarlinkCall *call); /* with its interface */
bool varlink_call_is_more(const VarlinkCall *call);
/* Who connected, as of connect(2). */
const struct ucred *varlink_call_peer(const VarlinkCall *call);
/* Its supplementary groups, likewise. With a client that is gone, none. */
const gid_t *varlink_call_peer_groups(const VarlinkCall *call, size_t *ret_n);
/* The parameters as they came; borrowed, last as long as the call. */
json_object *varlink_call_parameters(const VarlinkCall *call);

/*
 * Runs once if the client goes away (or the server is freed) before the final answer. The usual
 * content: forget the call and unreference it. Not called from within the answering functions'
 * stack; a connection that fails there reports from the event loop.
 */
typedef void (*VarlinkGone)(VarlinkCall *call, void *userdata);
void varlink_call_on_gone(VarlinkCall *call, VarlinkGone callback, void *userdata);

/*
 * For whoever has more to tell than may wait (output_max): how many bytes wait for the client to
 * read, and, from the event loop, that none do any more after some did.
 */
typedef void (*VarlinkDrained)(VarlinkCall *call, void *userdata);
size_t varlink_call_waiting(const VarlinkCall *call);
void varlink_call_on_drained(VarlinkCall *call, VarlinkDrained callback, void *userdata);

/*
 * `parameters` are borrowed; NULL is {}. reply and error are final. notify is a reply with
 * "continues", for `more` calls (-EINVAL else). An error name without a dot is taken to be of the
 * call's interface. All are held against the description: what breaks it is logged, the client
 * gets VARLINK_ERROR_INTERNAL (final), and -EPROTO is returned.
 * Return 0 (also for oneway calls, where nothing is sent); -ECONNRESET when the client is gone;
 * -EALREADY after the final answer; -ENOBUFS when the client does not read and was dropped for
 * it; -ENOMEM.
 */
int varlink_call_reply(VarlinkCall *call, json_object *parameters);
int varlink_call_notify(VarlinkCall *call, json_object *parameters);
int varlink_call_error(VarlinkCall *call, const char *error, json_object *parameters);
int varlink_call_invalid_parameter(VarlinkCall *call, const char *field);

/* The same with an object built in place; see json_build. */
int varlink_call_reply_members(VarlinkCall *call, const JsonMember *members);
int varlink_call_notify_members(VarlinkCall *call, const JsonMember *members);
int varlink_call_error_members(VarlinkCall *call, const char *error, const JsonMember *members);

#define VARLINK_MEMBERS(...) ((const JsonMember[]){ __VA_ARGS__, { .kind = JSON_MEMBER_END } })
#define varlink_call_replyb(call, ...)                                                             \
	varlink_call_reply_members((call), VARLINK_MEMBERS(__VA_ARGS__))
#define varlink_call_notifyb(call, ...)                                                            \
	varlink_call_notify_members((call), VARLINK_MEMBERS(__VA_ARGS__))
#define varlink_call_errorb(call, error, ...)                                                      \
	varlink_call_error_members((call), (error), VARLINK_MEMBERS(__VA_ARGS__))
