/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-daemon.h"
#include "testing-disk.h"
#include "testing-records.h"

#include "common/process.h"
#include "daemon/records.h"

#include <errno.h>
#include <sys/stat.h>

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))

static TestingDaemon d;

static void set_up(void)
{
	testing_daemon_init(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
}

static void tear_down(void)
{
	testing_daemon_done(&d);
}

TestSuite(daemon_records, .init = set_up, .fini = tear_down);

static void put(const char *name, const char *members)
{
	char text[1024];

	snprintf(text, sizeof(text), "{%s}", members);
	testing_records_put(d.records, name, text);
}

static bool set_aside(const char *name)
{
	return testing_records_set_aside(d.records, name);
}

#define TVM                                                                                        \
	"\"kind\":\"tvm\",\"domain\":\"" TVM0                                                      \
	"\",\"domain_name\":\"tvm0\",\"pid\":%d,\"start_time\":1"
#define ASSIGNMENT "\"kind\":\"assignment\",\"domain\":\"" TVM0 "\",\"name\":\"" ALIAS "\","

Test(daemon_records, that_make_no_sense)
{
	static const char *const records[] = {
		"",
		"\"kind\":7",
		"\"kind\":\"tvm\",\"colour\":1",
		"\"kind\":\"tvm\"",
		"\"kind\":\"tvm\",\"domain\":\"x\",\"pid\":5",
		"\"kind\":\"tvm\",\"domain\":\"" TVM0 "\"",
		"\"kind\":\"tvm\",\"domain\":\"" TVM0 "\",\"pid\":0",
		"\"kind\":\"tvm\",\"domain\":\"" TVM0 "\",\"pid\":4294967296",
		"\"kind\":\"tvm\",\"domain\":\"" TVM0 "\",\"pid\":-1",
		"\"kind\":\"dsm\"",
		"\"kind\":\"dsm\",\"dsm\":\"0000:41:00.0\"",
		"\"kind\":\"dsm\",\"dsm\":\"0000:41:00.0\",\"state\":\"tired\"",
		"\"kind\":\"dsm\",\"dsm\":\"nowhere\",\"state\":\"connected\"",
		"\"kind\":\"tdi\"",
		"\"kind\":\"tdi\",\"device\":\"0000:41:00\"",
		"\"kind\":\"tdi\",\"device\":\"0000:41:00.3\",\"generation\":-1",
		"\"kind\":\"assignment\"",
		ASSIGNMENT "\"pid\":1",
		ASSIGNMENT "\"pid\":1,\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\","
			   "\"state\":\"locked\",\"fault\":\"none\"",
	};
	char name[16];

	for (size_t i = 0; i < ELEMENTSOF(records); i++) {
		snprintf(name, sizeof(name), "r%02zu", i);
		put(name, records[i]);
	}
	testing_daemon_start(&d);
	for (size_t i = 0; i < ELEMENTSOF(records); i++) {
		snprintf(name, sizeof(name), "r%02zu", i);
		cr_assert(set_aside(name), "taken: %s", records[i]);
	}
	cr_assert_null(registry_tvm_at(d.tdid.registry, 0));
	cr_assert_null(registry_assignment_at(d.tdid.registry, 0));
}

Test(daemon_records, that_contradict_each_other)
{
	char text[512];

	snprintf(text, sizeof(text), TVM, getpid());
	put("tvm-1", text);
	put("tvm-2", text);
	put("tdi-1", "\"kind\":\"tdi\",\"device\":\"0000:41:00.1\",\"generation\":2,"
		     "\"owner\":\"" TVM0 "\"");
	put("tdi-2", "\"kind\":\"tdi\",\"device\":\"0000:41:00.1\",\"generation\":2");
	/* A name that could not be that of a record. */
	snprintf(text, sizeof(text),
		 "\"kind\":\"assignment\",\"domain\":\"" TVM0 "\",\"name\":\"../a\",\"pid\":%d,"
		 "\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\",\"state\":\"locked\","
		 "\"fault\":\"none\",\"generation\":2,\"present\":true",
		 getpid());
	put("assignment-0", text);
	/* Two owners of one TDI; an unknown TVM. */
	for (int i = 1; i <= 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "assignment-%d", i);
		snprintf(
			text, sizeof(text),
			"\"kind\":\"assignment\",\"domain\":\"%s\",\"name\":\"a%d\",\"pid\":%d,"
			"\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\","
			"\"state\":\"locked\",\"fault\":\"none\",\"generation\":2,\"present\":true",
			i == 3 ? TVM1 : TVM0, i, getpid());
		put(name, text);
	}
	d.tdid = (Tdid){};
	testing_daemon_start(&d);
	cr_assert(!set_aside("tvm-1"));
	cr_assert(set_aside("tvm-2"));
	cr_assert(!set_aside("tdi-1"));
	cr_assert(set_aside("tdi-2"));
	cr_assert(set_aside("assignment-0"));
	cr_assert(!set_aside("assignment-1"));
	cr_assert(set_aside("assignment-2"));
	cr_assert(set_aside("assignment-3"));
}

/* That it was given out is known all the same. */
Test(daemon_records, that_cannot_be_used_of_a_bind)
{
	Bdf bdf;

	put("tdi", "\"kind\":\"tdi\",\"device\":\"0000:41:00.1\",\"generation\":2");
	put("assignment",
	    "\"kind\":\"assignment\",\"domain\":\"" TVM1 "\",\"name\":\"a\",\"pid\":1,"
	    "\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\","
	    "\"state\":\"running\",\"fault\":\"none\",\"generation\":6");
	d.tdid = (Tdid){};
	testing_daemon_start(&d);
	cr_assert(set_aside("assignment"));
	cr_assert_eq(bdf_parse(&bdf, "0000:41:00.1"), 0);
	cr_assert_eq(
		engine_tdi(d.tdid.engine, registry_find_tdi(d.tdid.registry, bdf)->id)->generation,
		6);
}

Test(daemon_records, of_a_newer_tdid)
{
	Tdid tdid = {};
	char path[256];
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *why = NULL;
	char *none = NULL;

	mkdir(d.records, 0700);
	snprintf(path, sizeof(path), "%s/journal", d.records);
	f = fopen(path, "we");
	fprintf(f, "{\"version\":%d,\"boot\":\"b\"}\n", STORE_VERSION + 1);
	fflush(f);
	tdid.event = sd_event_ref(d.event);
	snprintf(path, sizeof(path),
		 "{\"records\":\"%s\",\"sockets\":\"%s\",\"tsms\":[{\"name\":\"a\",\"socket\":\"/"
		 "a\"}]}",
		 d.records, d.directory);
	cr_assert_eq(config_parse(&tdid.config, path, strlen(path), "t", &none), 0, "%s", none);
	cr_assert_eq(tdid_start(&tdid, &why), -EPROTO);
	cr_assert(strstr(why, "newer tdid"));
	tdid_stop(&tdid);
}

/* What a record does not say is not so. */
Test(daemon_records, of_a_dsm_that_says_little)
{
	const EngineDsm *e;

	put("dsm", "\"kind\":\"dsm\",\"dsm\":\"0000:41:00.0\",\"tsm\":\"fake\","
		   "\"state\":\"connected\",\"operation\":0");
	d.tsm->connected = true;
	testing_daemon_start(&d);
	e = engine_dsm(d.tdid.engine, 0);
	cr_assert_eq(e->state, DSM_CONNECTED);
	cr_assert(!e->pinned);
	cr_assert(e->idle_timer);
}

/* A spoiled timeline is no reason to forget who holds the device. */
Test(daemon_records, bad_timeline)
{
	char text[512];

	snprintf(text, sizeof(text), TVM, getpid());
	put("tvm", text);
	put("tdi", "\"kind\":\"tdi\",\"device\":\"0000:41:00.1\",\"generation\":2,"
		   "\"owner\":\"" TVM0 "\"");
	snprintf(text, sizeof(text),
		 ASSIGNMENT "\"pid\":%d,\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\","
			    "\"state\":\"locked\",\"fault\":\"none\",\"generation\":2,"
			    "\"present\":true,\"timeline\":[7]",
		 getpid());
	put("assignment", text);
	testing_daemon_start(&d);
	cr_assert(!set_aside("assignment"));
	cr_assert_not_null(testing_assignment(&d, 0, ALIAS));
}

/*
 * Its end could not be written, and another TVM has the TDI since. The old record must not speak
 * for it: the other one's bind would be undone, and its record set aside.
 */
Test(daemon_records, older_than_the_tdis)
{
	static const char *const states[] = { "waiting", "locked", "running", "unbinding", "held" };
	uint64_t start_time;
	char text[512];

	cr_assert_eq(process_start_time(&start_time, "", getpid()), 0);
	for (int tvm = 0; tvm < 2; tvm++) {
		snprintf(text, sizeof(text),
			 "\"kind\":\"tvm\",\"domain\":\"%s\",\"pid\":%d,\"start_time\":%llu",
			 tvm ? TVM1 : TVM0, getpid(), (unsigned long long)start_time);
		put(tvm ? "tvm-1" : "tvm-0", text);
	}
	for (size_t i = 0; i < ELEMENTSOF(states); i++) {
		char name[32], device[16];

		snprintf(device, sizeof(device), "0000:41:00.%zu", i + 1);
		snprintf(name, sizeof(name), "tdi-%zu", i);
		snprintf(text, sizeof(text),
			 "\"kind\":\"tdi\",\"device\":\"%s\",\"generation\":2,\"owner\":\"" TVM1
			 "\"",
			 device);
		put(name, text);
		for (int tvm = 0; tvm < 2; tvm++) {
			snprintf(name, sizeof(name), "assignment-%zu-%d", i, tvm);
			snprintf(text, sizeof(text),
				 "\"kind\":\"assignment\",\"domain\":\"%s\",\"name\":\"a%zu\","
				 "\"pid\":%d,\"device\":\"%s\",\"dsm\":\"0000:41:00.0\","
				 "\"state\":\"%s\",\"fault\":\"%s\",\"generation\":%d,"
				 "\"present\":true",
				 tvm ? TVM1 : TVM0, i, getpid(), device,
				 tvm ? "running" : states[i], !tvm && i == 4 ? "error" : "none",
				 tvm ? 2 : 1);
			put(name, text);
		}
	}
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	for (size_t i = 0; i < ELEMENTSOF(states); i++) {
		char alias[8];

		snprintf(alias, sizeof(alias), "a%zu", i);
		cr_assert_eq(testing_state(&d, 0, alias),
			     i == 4 ? ASSIGNMENT_FAILED : ASSIGNMENT_RELEASED, "%s", states[i]);
		cr_assert_eq(testing_state(&d, 1, alias), ASSIGNMENT_RUNNING, "%s", states[i]);
	}
}

/* Of the binds since its TDI's was written an assignment's record tells alone. */
Test(daemon_records, newer_than_its_tdis)
{
	uint64_t start_time;
	char text[512];
	Bdf bdf;

	cr_assert_eq(process_start_time(&start_time, "", getpid()), 0);
	snprintf(text, sizeof(text),
		 "\"kind\":\"tvm\",\"domain\":\"" TVM0 "\",\"pid\":%d,\"start_time\":%llu",
		 getpid(), (unsigned long long)start_time);
	put("tvm", text);
	put("tdi", "\"kind\":\"tdi\",\"device\":\"0000:41:00.1\",\"generation\":4,"
		   "\"owner\":\"" TVM0 "\",\"owner_name\":\"" ALIAS "\"");
	snprintf(text, sizeof(text),
		 "\"kind\":\"assignment\",\"domain\":\"" TVM0 "\",\"name\":\"" ALIAS
		 "\",\"pid\":%d,\"device\":\"0000:41:00.1\",\"dsm\":\"0000:41:00.0\","
		 "\"state\":\"running\",\"fault\":\"none\",\"generation\":6,\"present\":true",
		 getpid());
	put("assignment", text);
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	cr_assert_eq(bdf_parse(&bdf, "0000:41:00.1"), 0);
	cr_assert_eq(
		engine_tdi(d.tdid.engine, registry_find_tdi(d.tdid.registry, bdf)->id)->generation,
		6);
}

/* The same domain in another QEMU since then, or the device there under another name. */
Test(daemon_records, older_than_the_tdis_of_the_same_domain)
{
	static const struct {
		int pid; /* 0: the present QEMU's */
		const char *state;
		int generation;
		const char *now_state;
		int now_generation;
	} old[] = {
		{ 1, "waiting", 0, "running", 2 },     { 1, "locked", 1, "waiting", 0 },
		{ 1, "quarantined", 1, "running", 2 }, { 0, "waiting", 0, "running", 2 },
		{ 0, "locked", 1, "waiting", 0 },
	};
	uint64_t start_time;
	char text[512], name[32], device[16];

	cr_assert_eq(process_start_time(&start_time, "", getpid()), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text),
			 "\"kind\":\"tvm\",\"domain\":\"" TVM0 "\",\"pid\":%d,\"start_time\":%llu",
			 i ? getpid() : 1, (unsigned long long)(i ? start_time : 1));
		put(i ? "tvm-1" : "tvm-0", text);
	}
	for (size_t i = 0; i < ELEMENTSOF(old); i++) {
		snprintf(device, sizeof(device), "0000:41:00.%zu", i + 1);
		snprintf(name, sizeof(name), "tdi-%zu", i);
		snprintf(text, sizeof(text),
			 "\"kind\":\"tdi\",\"device\":\"%s\",\"generation\":%d,\"owner\":\"" TVM0
			 "\",\"owner_pid\":%d,\"owner_name\":\"a%zu\"",
			 device, old[i].now_generation ?: 1, getpid(), i);
		put(name, text);
		for (int now = 0; now < 2; now++) {
			snprintf(name, sizeof(name), "assignment-%zu-%d", i, now);
			snprintf(text, sizeof(text),
				 "\"kind\":\"assignment\",\"domain\":\"" TVM0 "\",\"name\":"
				 "\"%s%zu\",\"pid\":%d,\"device\":\"%s\",\"dsm\":\"0000:41:00.0\","
				 "\"state\":\"%s\",\"fault\":\"none\",\"generation\":%d,"
				 "\"present\":true",
				 now || old[i].pid ? "a" : "b", i,
				 now || !old[i].pid ? getpid() : old[i].pid, device,
				 now ? old[i].now_state : old[i].state,
				 now ? old[i].now_generation : old[i].generation);
			put(name, text);
		}
	}
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	for (size_t i = 0; i < ELEMENTSOF(old); i++) {
		const EngineTdi *e;
		Tdi *tdi;
		Bdf bdf;

		snprintf(device, sizeof(device), "0000:41:00.%zu", i + 1);
		cr_assert_eq(bdf_parse(&bdf, device), 0);
		tdi = registry_find_tdi(d.tdid.registry, bdf);
		e = engine_tdi(d.tdid.engine, tdi->id);
		cr_assert_eq(e->state, TDI_KNOWN, "%zu", i);
		cr_assert_neq(e->owner, ENGINE_NONE, "%zu", i);
		cr_assert_eq(registry_assignment_at(d.tdid.registry, e->owner)->tvm->pid, getpid());
		cr_assert_str_eq(
			assignment_state_name(engine_assignment(d.tdid.engine, e->owner)->state),
			old[i].now_state, "%zu", i);
		snprintf(name, sizeof(name), "assignment-%zu-1", i);
		cr_assert(!set_aside(name), "%s", name);
	}
}

static EngineAssignment image(void)
{
	Assignment *a = testing_assignment(&d, 0, ALIAS);

	cr_assert_not_null(a);
	return *engine_assignment(d.tdid.engine, a->id);
}

/* The provider does not answer until both states have been looked at. */
static void expect_same_after_restart(FakeVerb in_flight)
{
	EngineAssignment before = image(), after;

	if (in_flight < FAKE_VERB_N)
		d.tsm->answers[in_flight] = FAKE_START_HOLD;
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	after = image();
	cr_assert_eq(after.state, before.state, "%s", assignment_state_name(after.state));
	cr_assert_eq(after.fault, before.fault);
	cr_assert_eq(after.generation, before.generation);
	cr_assert_eq(after.operation, before.operation);
	cr_assert_eq(after.present, before.present);
	cr_assert_eq(after.left, before.left);
	cr_assert_eq(after.guest_ready, before.guest_ready);
	if (in_flight < FAKE_VERB_N) {
		char number[20];

		UNTIL(d.event, d.tsm->n_held == 1);
		fake_tsm_let_go(d.tsm);
		snprintf(number, sizeof(number), "%016llx", (unsigned long long)before.operation);
		cr_assert_str_eq(d.tsm->operation[in_flight], number);
	}
}

static void attach(void)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

static void ready(void)
{
	testing_guest_event(SESSION_A, "Ready",
			    "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"");
}

/* The TVM's comes first, and the assignment's is good for nothing without it. */
Test(daemon_records, of_a_tvm_that_is_not_synced)
{
	Assignment *a;

	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	a = testing_assignment(&d, 0, ALIAS);
	syncs_to_fail = 1;
	cr_assert_eq(records_write_tvm(&d.tdid, a->tvm), STORE_NOT_SYNCED);
	syncs_to_fail = 1;
	cr_assert_eq(records_write_assignment(&d.tdid, a), STORE_NOT_SYNCED);
	cr_assert_eq(records_write_assignment(&d.tdid, a), 0);
	cr_assert_not(a->tvm->unrecorded);
}

Test(daemon_records, bind_in_flight)
{
	d.tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	attach();
	ready();
	UNTIL(d.event, d.tsm->n_held == 1);
	expect_same_after_restart(FAKE_BIND);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
}

Test(daemon_records, locked_then_unbind_in_flight)
{
	attach();
	ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	expect_same_after_restart(FAKE_VERB_N);
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS,
			      TESTING_DOMAIN(TVM0, TESTING_PORT));
	UNTIL(d.event, d.tsm->n_held == 1);
	expect_same_after_restart(FAKE_UNBIND);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	expect_same_after_restart(FAKE_VERB_N);
}

Test(daemon_records, running)
{
	attach();
	ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	fake_tsm_set(d.tsm, &d.tsm->tdis[0], "run", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	expect_same_after_restart(FAKE_VERB_N);
}

Test(daemon_records, quarantined_stays_so)
{
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	expect_same_after_restart(FAKE_VERB_N);
	cr_assert_not_null(testing_assignment(&d, 0, ALIAS)->reason);
	cr_assert_eq(engine_tdi(d.tdid.engine, testing_assignment(&d, 0, ALIAS)->tdi->id)->state,
		     TDI_QUARANTINED);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->tdi->reason, "it broke off"));
}
