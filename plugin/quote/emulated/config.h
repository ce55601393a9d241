/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The emulated quoting service's configuration: a JSON object, strict; examples/qe-emulated.conf
 * shows all. */
#pragma once

#include "common/settings.h"
#include "core/cleanup.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_SOCKET	    "/run/tdi-qe-emulated/qgs.socket"
#define CONFIG_DEFAULT_TCP_ADDRESS  "127.0.0.1"
#define CONFIG_DEFAULT_STATE	    "/var/lib/tdi-qe-emulated"
#define CONFIG_DEFAULT_PLATFORM_KEY "/var/lib/tdid-emulated-platform/key"

typedef struct Config {
	char *socket;	     /* "socket": the unix socket to answer at */
	uint32_t vsock_port; /* "vsock_port": QGS's is 4050. 0, the default: not on vsock */
	uint16_t tcp_port;   /* "tcp_port": 0, the default: not on TCP */
	/* "tcp_address": numeric; IPv4 or IPv6, whose port is tcp_port */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} tcp;
	char *state;	    /* "state": directory of the PCK certificate chain and its keys */
	char *platform_key; /* "platform_key": file shared with the emulated TSM, made if absent */
	/* "control": where to serve io.tdid.QeEmulated, which breaks things. NULL: nowhere */
	char *control;
	SettingsUids allow_uids; /* "allow_uids": who may, there; if absent 0 and the own uid */
} Config;

/* -EINVAL, -EBADMSG, -E2BIG with a sentence that names the member. */
int config_parse(Config **ret, const char *text, size_t size, char **ret_error);

/* The same for a file; the sentence names it. */
int config_load(Config **ret, const char *path, char **ret_error);

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);
