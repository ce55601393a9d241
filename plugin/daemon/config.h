/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid.conf: JSON, every key optional but the TSMs; unknown keys are refused by name. */
#pragma once

#include "core/cleanup.h"
#include "core/policy.h"
#include "daemon/access.h"
#include "daemon/exclusions.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_PATH_DEFAULT "/etc/tdid/tdid.conf"

typedef struct ConfigTsm {
	char *name;   /* for people: lists, messages */
	char *socket; /* where it serves io.tdid.Tsm */
	uid_t uid;    /* whom that socket has to belong to */
} ConfigTsm;

/* Whether a domain with trusted devices has to be a confidential VM. */
typedef enum ConfigRequireTvm {
	CONFIG_REQUIRE_TVM_PROTECTED, /* where the TSM protects; the emulated one does not */
	CONFIG_REQUIRE_TVM_ALWAYS,
	CONFIG_REQUIRE_TVM_NEVER,
} ConfigRequireTvm;

typedef struct Config {
	char *records; /* directory; must survive a restart of tdid, need not survive a reboot */
	char *sockets; /* directory of io.tdid.Hook and io.tdid.Assignments */
	char *libvirt; /* URI */
	char *sysfs;   /* "/sys"; elsewhere in tests */
	uint64_t idle_grace_usec; /* from the last unbind to device_reclaim */
	/* The floor; a domain's metadata may tighten it. The guest's time stands still when paused.
	 */
	Policy policy;
	uint64_t rebind_backoff_usec; /* the first wait before a rebind; then twice as long */
	uint64_t rebind_steady_usec;  /* in RUN, until the rebinds before count no more */
	/* For its agent's Hello, while a domain boots that was started with the device. */
	uint64_t boot_timeout_usec;
	uint64_t
		operation_deadline_usec; /* of a verb, from its start; longer than the provider's */
	uint64_t stop_timeout_usec;	 /* how long libvirt's stop of a domain waits for unbind */
	ConfigRequireTvm require_tvm;
	ConfigTsm *tsms;
	size_t n_tsms;
	Exclusions *excluded; /* functions that nobody gets */
	Access *access;	      /* who may call what */
} Config;

/* 0; -errno of reading; -EINVAL, -EBADMSG: with a sentence naming file, key and what is wrong. */
int config_load(Config **ret, const char *path, char **ret_error);
/* The same from text; `origin` is for messages. */
int config_parse(Config **ret, const char *text, size_t len, const char *origin, char **ret_error);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free);
