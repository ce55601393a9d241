/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdi-quoted.conf: JSON, strict; every key optional but "upstreams". examples/tdi-quoted.conf shows
 * all but the paths and "allow_uids".
 */
#pragma once

#include "common/settings.h"
#include "core/cleanup.h"
#include "quote/address.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_PATH_DEFAULT    "/etc/tdid/tdi-quoted.conf"
#define CONFIG_SOCKETS_DEFAULT "/run/tdid/quote"
#define CONFIG_CONTROL_DEFAULT "/run/tdid/io.tdid.Quote"
#define CONFIG_RECORDS_DEFAULT "/run/tdi-quoted"
#define CONFIG_UPSTREAMS_MAX   8u
#define CONFIG_LISTENERS_MAX   8u

typedef struct ConfigUpstream {
	Address address;
	char name[ADDRESS_STRING_SIZE]; /* its address as text */
	uint32_t parallel; /* "parallel", 4: requests it gets at a time; QGS has four threads */
} ConfigUpstream;

/*
 * Of each domain at its socket, and again over vsock; and of each peer that belongs to none. QEMU
 * has up to 16 requests of its guest at a time, none of which may wait in the socket's queue for
 * long: that is why there are lower bounds.
 */
typedef struct ConfigLimits {
	uint32_t rate_per_second; /* "rate_per_second", 20; at least 5 */
	uint32_t burst;		  /* "burst", 40; at least 16 */
	uint32_t in_flight;	  /* "in_flight", 16, which is the least */
} ConfigLimits;

typedef struct Config {
	/* "sockets": directory of the domains' sockets, UUID.sock each; in or below /run/tdid, by
	 * which libvirt's hook and tdid know them for ours */
	char *sockets;
	/* "control": where io.tdid.Quote is served unless systemd passes a socket; of this name, in
	 * the directory that tdid.conf calls "sockets", or tdid does not find it */
	char *control;
	char *records; /* "records": directory; survives a restart, need not survive a reboot */
	/* "allow_uids": who may say which domains there are, beside reading; if absent 0, the own
	 * uid, and that of a user tdid */
	SettingsUids allow_uids;
	/* "listen", []: for agents that skip the hypercall: "vsock:4050", "tcp:127.0.0.1:4050" */
	Address listen[CONFIG_LISTENERS_MAX];
	size_t n_listen;
	/* "upstreams": in the order in which they are preferred; an address, or {address, parallel}
	 */
	ConfigUpstream upstreams[CONFIG_UPSTREAMS_MAX];
	size_t n_upstreams;
	ConfigLimits limits;
	/* "collateral", false: GET_COLLATERAL is relayed, which makes Intel's service fetch it */
	bool collateral;
	/* "deadline_ms", 15000: from the whole request to an answer, whatever it is */
	uint64_t deadline_usec;
	/* "attempt_ms", 6000: of one upstream, before another is asked; where there is none it goes
	 * on to the deadline, and this is only when it counts as slow */
	uint64_t attempt_usec;
	/* "silence_ms", 3000: from the connection to the whole request */
	uint64_t silence_usec;
	/* "check_ms", 30000: between health checks of an upstream that is not in use */
	uint64_t check_usec;
} Config;

/* 0; -EINVAL, -EBADMSG, -E2BIG with a sentence that names the member; -ENOMEM. */
int config_parse(Config **ret, const char *text, size_t size, char **ret_error);
/* The same for a file; the sentence names it. */
int config_load(Config **ret, const char *path, char **ret_error);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);
