/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The emulated TSM's configuration: a JSON object, strict; examples/tsm-emulated.conf shows all but
 * "proxy".
 */
#pragma once

#include "common/settings.h"
#include "core/bdf.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_DEFAULT_SOCKET "/run/tdid/tsm/emulated"
#define CONFIG_DEFAULT_STATE  "/var/lib/tdi-tsm-emulated"
#define CONFIG_DEFAULT_KEYS   "/run/tdi-tsm-emulated"
#define CONFIG_DEFAULT_SYSFS  "/sys"

#define CONFIG_MAX_DEVICES    64
#define CONFIG_MAX_LATENCY_MS 600000

/* How long a verb takes, in milliseconds. */
typedef struct ConfigLatencies {
	uint32_t connect;
	uint32_t bind;
	uint32_t unbind;
	uint32_t measure; /* tdi_info of a TVM, and the host's Measure */
	uint32_t reclaim; /* Disconnect */
} ConfigLatencies;

typedef struct ConfigDevice {
	Bdf device;  /* "device": a PF, function 0, where the DSM sits. Required */
	bool tee_io; /* "tee_io", false: listed, but every verb is refused with NotTeeIo */
	/* "firmware", "1.0": goes into the measurements; another string is another firmware */
	char *firmware;
	uint32_t svn; /* "svn", 1: security version number of the firmware */
	/* "debug", false: the measurements say that debug mode is active */
	bool debug;
	ConfigLatencies latencies; /* "latencies": what is not given here is as for all devices */
} ConfigDevice;

typedef struct Config {
	char *socket; /* "socket": where to serve unless systemd passes a socket */
	char *state;  /* "state": directory of the CA and of the devices' keys */
	char *keys;   /* "keys": directory of the TVMs' key files, on a tmpfs */
	/* "group": numeric id or name of who may read key files besides their owner */
	bool has_group;
	gid_t group;
	SettingsUids allow_uids; /* "allow_uids": who may connect; if absent 0 and the own uid */
	char *sysfs;		 /* "sysfs": root of the tree to find the devices in */
	/*
	 * "proxy": the tsm-proxy kernel module's device, /dev/tsm-proxy. Then this TSM sits behind
	 * the kernel, and verbs come from there only. NULL: they come over the socket.
	 */
	char *proxy;
	/*
	 * "platform_key": file of the key that makes TDREPORTs good here, made if it is not there
	 * (common/platform-key.h). NULL: TVMs that ask for one are told that there are none.
	 */
	char *platform_key;
	/*
	 * "lock_by": "host" or "tvm", and "start_by": "tvm" or "host_on_request". By default,
	 * false, Bind locks and the TVM's tdi_validate starts. Otherwise the TVM asks, and the
	 * host's Lock or Start carries that; not with "proxy", since the kernel has no way for it.
	 */
	bool tvm_asks_lock, tvm_asks_start;
	bool faults; /* "faults", false: serve io.tdid.TsmEmulated, which breaks things on request
		      */
	ConfigLatencies latencies; /* "latencies", all 0 */
	ConfigDevice *devices;	   /* "devices", each at most once */
	size_t n_devices;
} Config;

/* -EINVAL, -EBADMSG, -E2BIG with a sentence that names the member. */
int config_parse(Config **ret, const char *text, size_t size, char **ret_error);

/* The same for a file; the sentence names it. */
int config_load(Config **ret, const char *path, char **ret_error);

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);

/* NULL: not configured. */
const ConfigDevice *config_find(const Config *config, Bdf device);
