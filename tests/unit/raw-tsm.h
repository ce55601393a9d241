/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a provider says while it comes up, for raw_send(). */
#pragma once

#define CAPABILITIES                                                                               \
	"{\"parameters\":{\"instance\":\"1\",\"capabilities\":{\"platform\":\"emulated\","         \
	"\"protection\":false,\"bind_when\":\"added\",\"lock_by\":\"host\",\"start_by\":\"tvm\","  \
	"\"state_source\":\"tsm\",\"evidence\":\"shown\",\"concurrency\":1}}}|"
#define DEVICES "{\"parameters\":{\"devices\":[]}}|"
#define HOLDS_NOTHING                                                                              \
	"{\"parameters\":{\"instance\":\"1\",\"dsms\":[],\"tdis\":[],\"operations\":[]}}|"
#define STANDS "{\"parameters\":{\"instance\":\"1\",\"sequence\":1},\"continues\":true}|"
