/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Hook: what libvirt's hook asks, answered without libvirt. */
#pragma once

#include "daemon/tdid.h"

int hook_service_new(HookService **ret, Tdid *tdid, char **ret_error);
HookService *hook_service_free(HookService *service);

/* Nothing of this stopping TVM is bound any more: its hook may return. */
void hook_service_tvm_quiet(HookService *service);
/* A prepare that waits for the TSM may go on. */
void hook_service_provider_ready(HookService *service);
