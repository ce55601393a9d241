/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One TDI of one TVM on its way through all of tdid; what the tests of that way share. */
#pragma once

#include "testing-daemon.h"

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define WITH1 TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define NONE  TESTING_DOMAIN(TVM0, TESTING_PORT)
#define READY "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\""
#define ACCEPT                                                                                     \
	"{\"session\":\"" SESSION_A "\",\"id\":7,\"call\":\"TsmRequest\","                         \
	"\"parameters\":{\"scope\":\"state_change\",\"message\":\"YQ==\"}}|"

static TestingDaemon d;

static inline void set_up(void)
{
	testing_daemon_init(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
}

static inline void tear_down(void)
{
	testing_daemon_done(&d);
}

static inline FakeTdi *tdi(void)
{
	return &d.tsm->tdis[0];
}

static inline const EngineDsm *dsm(void)
{
	return engine_dsm(d.tdid.engine, 0);
}

/* From nothing to a guest that has said hello and sees the device coming. */
static inline void attach(void)
{
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
}

static inline void lock(void)
{
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

static inline void run(void)
{
	lock();
	testing_guest_send(ACCEPT);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
}

static inline void detach(void)
{
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, NONE);
}
