/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid's parts on one loop with a fake libvirt, a fake TSM provider and a fake guest. */
#pragma once

#include "daemon/tdid.h"
#include "fake-tsm.h"
#include "fake-vmm.h"

#include <criterion/criterion.h>

#define TVM0 "11111111-2222-3333-4444-55555555abcd"
#define TVM1 "11111111-2222-3333-4444-55555555ef01"

#define TESTING_PORT "<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>"
/* `function` of device 0000:41:00, which has .0 to .7 but this one */
#define TESTING_ABSENT 6
#define TESTING_HOSTDEV(alias, function)                                                           \
	"<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "     \
	"bus='0x41' slot='0x00' function='0x" function "'/></source><alias name='" alias           \
	"'/></hostdev>"
#define TESTING_DOMAIN(uuid, devices)                                                              \
	"<domain type='kvm'><name>tvm</name><uuid>" uuid "</uuid><devices>" devices                \
	"</devices></domain>"

#define SESSION_A "0123456789abcdef0123456789abcdef"
#define SESSION_B "fedcba9876543210fedcba9876543210"

typedef struct TestingDaemon {
	char directory[64], socket[96], records[96];
	sd_event *event;
	FakeTsm *tsm;
	Tdid tdid;
	unsigned int boot_timeout_ms; /* 0: as long as the guest's */
	unsigned int idle_grace_ms, guest_timeout_ms, operation_deadline_ms, stop_timeout_ms;
	const char *require_tvm; /* NULL: the default */
	bool no_tsms;		 /* tdid.conf names none */
	const char *tsms;	 /* more of them, each with a comma before it, or NULL */
	const char *config;	 /* more of tdid.conf: "\"excluded\":[]," or NULL */
	pid_t qemu[2];		 /* of TVM0, TVM1; 0: none */
} TestingDaemon;

/* Directory, loop and provider; the times are long unless a test sets others before it starts. */
void testing_daemon_init(TestingDaemon *d);
/* Starts tdid and waits until its provider is ready and libvirt connected. */
void testing_daemon_start(TestingDaemon *d);
/* Ends tdid as a crash would, as far as what is on disk is concerned. */
void testing_daemon_stop(TestingDaemon *d);
void testing_daemon_done(TestingDaemon *d);

/* A QEMU for TVM0 (0) or TVM1 (1), which runs with this XML. */
void testing_daemon_run(TestingDaemon *d, int tvm, const char *xml);
void testing_daemon_kill(TestingDaemon *d, int tvm);
/* Other XML, and libvirt's event about it. */
void testing_daemon_change(TestingDaemon *d, int tvm, VmmDirtyReason reason, const char *alias,
			   const char *xml);

/* The assignment of this alias, in the domain of that number; NULL when there is none. */
Assignment *testing_assignment(TestingDaemon *d, int tvm, const char *alias);
AssignmentState testing_state(TestingDaemon *d, int tvm, const char *alias);

/* Records of this kind on disk; `contains` (may be NULL) has to be in them. */
unsigned int testing_records(TestingDaemon *d, const char *kind, const char *contains);

/* '|' stands for NUL. */
void testing_guest_send(const char *text);
void testing_guest_hello(const char *session);
void testing_guest_event(const char *session, const char *event, const char *parameters);
/* All that has arrived since the last call. */
const char *testing_guest_received(TestingDaemon *d);
/* Whether that (or what arrives within a while) contains the text. */
bool testing_guest_gets(TestingDaemon *d, const char *text);

/* One turn of the loop, of half a second at most; false: nothing happened. */
bool testing_turn(sd_event *event);
/* Everything that is due. */
void testing_idle(sd_event *event);

#define UNTIL(event, condition)                                                                    \
	do {                                                                                       \
		while (!(condition))                                                               \
			cr_assert(testing_turn(event), "waited in vain for " #condition);          \
	} while (0)

#define EXPECT_STATE(d, alias, expected)                                                           \
	UNTIL((d)->event, testing_state((d), 0, (alias)) == (expected))
