/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to be seen of the relay, as io.tdid.Quote shows it. */
#pragma once

#include "quote/relay.h"
#include "rpc/json.h"

int view_askers(const Relay *relay, json_object **ret);
int view_upstreams(const Relay *relay, json_object **ret);
/* OpenMetrics text, allocated. -ENOMEM. */
int view_metrics(const Relay *relay, char **ret);
