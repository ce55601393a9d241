/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdi-tsm-linux's configuration: a JSON object, strict; examples/tsm-linux.conf shows what one
 * would change.
 */
#pragma once

#include "common/settings.h"
#include "core/cleanup.h"
#include "kernel.h"
#include "tsm/common/tee-io.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_DEFAULT_SOCKET "/run/tdid/tsm/linux"
#define CONFIG_DEFAULT_STATE  "/run/tdi-tsm-linux"

#define CONFIG_MIN_DEADLINE_MS 100
#define CONFIG_MAX_DEADLINE_MS 3600000

typedef enum ConfigBinder {
	CONFIG_BINDER_AUTO, /* proxy if its device is there, else observe */
	CONFIG_BINDER_PROXY,
	CONFIG_BINDER_OBSERVE,
} ConfigBinder;

/* In milliseconds, from the start of the verb to SIGKILL. */
typedef struct ConfigDeadlines {
	uint32_t connect;	/* 60000: SPDM and link encryption of a slow device */
	uint32_t disconnect;	/* 60000 */
	uint32_t bind;		/* 20000 */
	uint32_t unbind;	/* 20000 */
	uint32_t observe;	/* 10000: for a VMM that binds or unbinds by itself */
	uint32_t guest_request; /* 20000 */
	uint32_t reset;		/* 10000, after `lock`: of what has not confirmed its unbind */
	uint32_t kill;		/* 2000: from SIGKILL until the child counts as lost */
	uint32_t lock;		/* 10000: for which a verb waits for the kernel's lock */
	uint32_t look;		/* 2000: for which a look at the kernel's state waits for it */
} ConfigDeadlines;

typedef struct Config {
	char *socket; /* "socket": where to serve unless systemd passes a socket */
	/* "state": folder of the record of binds, and of the lock that verbs hold; does not
	 * outlive the boot */
	char *state;
	/* "root", "": in front of /sys, /proc, /dev, /run/libvirt */
	char *root;
	SettingsUids allow_uids; /* "allow_uids": who may connect; if absent 0 and the own uid */
	/* "tsm": which TSM connects ("tsm0"); if absent the one with the lowest number */
	char *tsm;
	ConfigBinder binder; /* "binder": "auto", "proxy", "observe" */
	/*
	 * "platform": for TSM drivers that this program does not know ("sev-tio", "tdx-connect",
	 * "cca", "cove-io"). Saying it says that the platform protects.
	 */
	char *platform;
	/*
	 * "unbind_confirms", false: this TSM's driver is known to return from unbind only when the
	 * device has confirmed STOP. The kernel's interface does not tell; so without it
	 * somebody else has to say so, or a reset to take its place.
	 */
	bool unbind_confirms;
	/*
	 * "reset_unconfirmed", false: what nobody has heard confirm the end of its bind is reset
	 * (FLR). The kernel runs a reset with the driver that the function has by then, which may
	 * be one that libvirt is just giving it to; seen with igbvf, which then never returns, nor
	 * does anybody who reads the function's configuration space.
	 */
	bool reset_unconfirmed;
	/*
	 * "companion": {"socket", "uid"}: a provider that speaks for the TSM behind the kernel.
	 * NULL: there is none.
	 */
	char *companion_socket;
	uid_t companion_uid; /* who has to serve it, 0 */
	ConfigDeadlines deadlines;
} Config;

/* -EINVAL, -EBADMSG, -E2BIG with a sentence that names the member. */
int config_parse(Config **ret, const char *text, size_t size, char **ret_error);

/* The same for a file; the sentence names it. */
int config_load(Config **ret, const char *path, char **ret_error);

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);
