/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TSM provider as tdid sees it: what it can do, which devices it serves, what it reports.
 *
 * What comes from a provider is checked against io.tdid.Tsm before anything here looks at it.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/provider-view.h"
#include "rpc/varlink-client.h"

typedef struct Provider Provider;

typedef struct ProviderHandlers {
	/*
	 * Connected, watched, and asked: this is what it holds now. Comes after every (re)connect
	 * and provider_ask_again(); changes follow through the next two. Of another instance than
	 * before no TDI is shown, whatever it holds: all binds are void then. TDIs are in
	 * bdf_order.
	 */
	void (*ready)(Provider *provider, const ProviderTdi *tdis, size_t n_tdis,
		      const ProviderDsm *dsms, size_t n_dsms, void *userdata);
	void (*tdi_changed)(Provider *provider, const ProviderTdi *tdi, const char *reason,
			    void *userdata);
	void (*dsm_changed)(Provider *provider, const ProviderDsm *dsm, const char *reason,
			    void *userdata);
	/* Another attempt follows by itself. */
	void (*lost)(Provider *provider, const char *reason, void *userdata);
} ProviderHandlers;

/*
 * Starts connecting and keeps at it. There is no event for "the provider's socket is back", so
 * attempts are spaced by a timer, from 100 ms up to 5 s.
 */
int provider_new(Provider **ret, sd_event *event, const ConfigTsm *config,
		 const ProviderHandlers *handlers, void *userdata);
Provider *provider_free(Provider *provider);
DEFINE_CLEANUP(Provider, provider_free);

/* A verb has been answered: what Query is being asked may be older. */
void provider_verb_answered(Provider *provider);
/* Asks once more what it holds; the answer comes through `ready`. */
void provider_ask_again(Provider *provider);

const char *provider_name(const Provider *provider);
/* For people: "emulated (no protection)", "linux (sev-tio)". */
const char *provider_title(const Provider *provider);
bool provider_protects(const Provider *provider);
bool provider_is_ready(const Provider *provider);
/* Whether a bind has to wait for the TVM's agent. */
bool provider_binds_when_guest_ready(const Provider *provider);
bool provider_tells_state(const Provider *provider);
/* Whether it serves the device, and with which DSM. It keeps what it knew while it is away. */
bool provider_serves(const Provider *provider, Bdf device, Bdf *ret_dsm);
/* Whether it serves any device of this DSM. */
bool provider_has_dsm(const Provider *provider, Bdf dsm);

/* What it lists, and what its TSM said last; the provider's, until the loop runs again. */
const ProviderView *provider_view(const Provider *provider);
/* It has just said so in its answer to a verb; that comes before or after the watch's word. */
void provider_dsm_said(Provider *provider, Bdf dsm, bool connected);
/* Why it is not ready, or what keeps a ready one from doing anything; NULL: nothing. */
const char *provider_trouble(const Provider *provider);

/*
 * One call, the only one on its connection meanwhile, so that a slow verb holds up nothing. The
 * reply may continue (VARLINK_CALL_MORE); after the last one the call is gone. `error` of the reply
 * is the name without its interface.
 */
typedef struct ProviderCall ProviderCall;
/* Beside varlink's flags. */
enum {
	/*
	 * On a new connection, which is closed afterwards. For what nobody repeats: a kept one may
	 * be that of a provider which stops, and ends with the call on it, where a new one waits
	 * for the next to serve.
	 */
	PROVIDER_CALL_OWN = 1 << 16,
	/*
	 * A verb: that a TDI is unbound must not be believed on another call's word. On a kept
	 * connection an answer too many, of a provider that has a bug, would be taken for the next
	 * call's; so what comes on one counts only if it names the operation of the parameters, and
	 * the verb is asked again on a connection of its own if it does not. A provider that names
	 * none is asked on new ones.
	 *
	 * Of a verb something is said at once, "queued" at least. A provider that says nothing for
	 * 5 s counts as lost, and the call ends as one whose connection was (-ECONNRESET).
	 */
	PROVIDER_CALL_VERB = 1 << 17,
};
typedef void (*ProviderReplied)(const VarlinkReply *reply, const char *error, void *userdata);
/* method: a constant. parameters: borrowed, and not to be changed any more. */
int provider_call(Provider *provider, const char *method, json_object *parameters, unsigned flags,
		  uint64_t timeout_usec, ProviderReplied replied, void *userdata,
		  ProviderCall **ret);
/* Connections that are kept for the next call. */
size_t provider_kept_connections(const Provider *provider);
/* The callback will not run any more. What was started goes on. Returns NULL. */
ProviderCall *provider_call_forget(ProviderCall *call);

/* A sentence for a reply that is no success: the provider's own reason where it gives one. */
char *provider_reply_reason(const VarlinkReply *reply, const char *error);
