/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The running agent's socket for TDREPORTs, from the TSM of the test's own host. */
#include "agent/report-call.h"
#include "agent/report-port.h"
#include "testing-agent.h"

#include <pthread.h>
#include <sys/un.h>

#define EMULATED ",\"allow_emulated\":true"

static const uint8_t data[TDREPORT_DATA_SIZE] = { 4, [63] = 5 };

TestSuite(agent_report_port, .fini = testing_bed_done, .timeout = 30);

typedef struct Caller {
	pthread_t thread;
	uint8_t report[TDREPORT_SIZE];
	char *error;
	int result;
	bool done; /* atomically */
} Caller;

static void *call(void *userdata)
{
	Caller *c = userdata;

	c->result = report_call(c->report, &bed.files.tree, data, 20 * USEC_PER_SEC, &c->error);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void caller_start(Caller *c)
{
	*c = (Caller){};
	cr_assert_eq(pthread_create(&c->thread, NULL, call, c), 0);
}

static void caller_wait(Caller *c)
{
	while (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE))
		testing_wait_within(NULL, 2);
	pthread_join(c->thread, NULL);
}

static void refused(const char *words)
{
	Caller c;

	caller_start(&c);
	caller_wait(&c);
	cr_assert_lt(c.result, 0);
	cr_assert(c.error && strstr(c.error, words), "\"%s\" does not say %s", c.error, words);
	free(c.error);
}

static int connect_raw(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s" REPORT_PORT_PATH, bed.files.root);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* What the port says to that, without its first byte. */
static const char *say_raw(int fd, size_t size)
{
	static char answer[REPORT_PORT_ANSWER_MAX + 1];
	const uint8_t bytes[2 * TDREPORT_DATA_SIZE] = {};
	ssize_t n;

	if (size)
		cr_assert_eq(send(fd, bytes, size, 0), (ssize_t)size);
	for (unsigned int i = 0; i < 1000; i++) {
		n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
		if (n >= 0)
			break;
		testing_wait_within(NULL, 2);
	}
	cr_assert_gt(n, 0);
	cr_assert_eq(answer[0], REPORT_PORT_REFUSED);
	answer[n] = '\0';
	return answer + 1;
}

Test(agent_report_port, no_agent)
{
	_cleanup_free_ char *error = NULL;
	uint8_t report[TDREPORT_SIZE];

	testing_bed_init(EMULATED);
	testing_agent_stop();
	cr_assert_lt(report_call(report, &bed.files.tree, data, USEC_PER_SEC, &error), 0);
	cr_assert(strstr(error, "is tdi-agent running"), "%s", error);
	testing_agent_start();
}

Test(agent_report_port, wrong_sizes)
{
	const size_t sizes[] = { 1, TDREPORT_DATA_SIZE - 1, TDREPORT_DATA_SIZE + 1,
				 2 * TDREPORT_DATA_SIZE };

	testing_bed_init(EMULATED);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		int fd = connect_raw();

		cr_assert(strstr(say_raw(fd, sizes[i]), "not 64 bytes"));
		close(fd);
	}
}

Test(agent_report_port, emulated_not_allowed)
{
	testing_bed_init("");
	testing_offer_when_greeted();
	refused("allow_emulated");
	cr_assert_eq(bed.reports, 0);
}

Test(agent_report_port, tsm_makes_none)
{
	testing_bed_init(EMULATED);
	testing_offer_when_greeted();
	bed.report_status = GUEST_STATUS_UNSUPPORTED;
	refused("platform_key");
	bed.report_status = GUEST_STATUS_BUSY;
	refused("the TSM refuses: Another operation");
}

Test(agent_report_port, forged_answers)
{
	testing_bed_init(EMULATED);
	testing_offer_when_greeted();
	bed.fault = FAULT_FORGED;
	refused("could not be reached");
}

Test(agent_report_port, nobody_else_may_ask)
{
	struct stat st;
	char path[256];

	testing_bed_init(EMULATED);
	snprintf(path, sizeof(path), "%s" REPORT_PORT_PATH, bed.files.root);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s" REPORT_PORT_FOLDER, bed.files.root);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
}

/* Places are given back, and only as many are taken as there are. */
Test(agent_report_port, too_many)
{
	int fds[REPORT_PORT_CLIENTS];
	int one_more;

	testing_bed_init(EMULATED);
	for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
		fds[i] = connect_raw();
		testing_settle();
	}
	one_more = connect_raw();
	cr_assert(strstr(say_raw(one_more, 0), "too many"));
	close(one_more);
	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		close(fds[i]);
	testing_settle();
	one_more = connect_raw();
	cr_assert(strstr(say_raw(one_more, 1), "not 64 bytes"));
	close(one_more);
}

Test(agent_report_port, report)
{
	Tdreport report;
	Caller c;

	testing_bed_init(EMULATED);
	testing_offer_when_greeted();
	caller_start(&c);
	caller_wait(&c);
	cr_assert_eq(c.result, 0, "%s", c.error);
	cr_assert_eq(tdreport_parse(&report, c.report, sizeof(c.report), NULL), 0);
	cr_assert_arr_eq(report.report_data, data, sizeof(data));
	cr_assert_eq(bed.opens, 1);
}

/* Who goes before the answer leaves the session with the TSM as it is. */
Test(agent_report_port, asker_goes)
{
	Caller c;
	int fd;

	testing_bed_init(EMULATED);
	testing_offer_when_greeted();
	caller_start(&c);
	caller_wait(&c);
	cr_assert_eq(c.result, 0, "%s", c.error);
	fd = connect_raw();
	cr_assert_eq(send(fd, data, sizeof(data), 0), (ssize_t)sizeof(data));
	close(fd);
	cr_assert(testing_wait_count(&bed.reports, 2));
	caller_start(&c);
	caller_wait(&c);
	cr_assert_eq(c.result, 0, "%s", c.error);
	cr_assert_eq(bed.reports, 3);
	cr_assert_eq(bed.opens, 1);
}

/* In the middle of a verification, which it does not disturb. */
Test(agent_report_port, while_verifying)
{
	Caller c;

	testing_bed_init(EMULATED);
	testing_offer_when_greeted();
	testing_wait("Ready");
	testing_locked(TESTING_GENERATION);
	caller_start(&c);
	testing_wait("Verdict accepted");
	caller_wait(&c);
	cr_assert_eq(c.result, 0, "%s", c.error);
	cr_assert_eq(bed.infos, 1);
	cr_assert_eq(bed.opens, 1);
}

/* With nobody at the other end of the guest port what was asked waits, and is forgotten with its
 * asker. */
Test(agent_report_port, askers_go_while_there_is_no_session)
{
	testing_bed_init(EMULATED);
	loop_fd_off(&bed.host_source);
	for (size_t i = 0; i < 2 * REPORT_PORT_CLIENTS; i++) {
		int fd = connect_raw();

		cr_assert_eq(send(fd, data, sizeof(data), 0), (ssize_t)sizeof(data));
		testing_settle();
		close(fd);
		testing_settle();
	}
	cr_assert_eq(bed.reports, 0);
}

static void on_nothing(void *userdata)
{
}

static void on_no_tvm(void *userdata, Uuid tvm)
{
}

static void on_no_event(void *userdata, const char *method, json_object *parameters)
{
}

/* The TSM never answers: the asker hears so, and the place is free again. */
Test(agent_report_port, late)
{
	static const SessionHandlers handlers = { on_no_tvm, on_nothing, on_no_event };
	_cleanup_(session_freep) Session *session = NULL;
	_cleanup_(tsm_client_freep) TsmClient *client = NULL;
	_cleanup_(report_port_freep) ReportPort *port = NULL;
	ReportPortOptions options = { .allow_emulated = true, .answer_usec = 20 * USEC_PER_MS };

	testing_bed_init(EMULATED);
	testing_agent_stop();
	cr_assert_eq(session_new(&session, bed.loop, &bed.files.tree, &handlers, NULL), 0);
	cr_assert_eq(tsm_client_new(&client, bed.loop, session, &bed.key, NULL), 0);
	options.loop = bed.loop;
	options.tree = &bed.files.tree;
	options.client = client;
	cr_assert_eq(report_port_new(&port, &options), 0);
	for (size_t i = 0; i < 2 * REPORT_PORT_CLIENTS; i++) {
		int fd = connect_raw();

		cr_assert(strstr(say_raw(fd, sizeof(data)), "no answer from the TSM in time"));
		close(fd);
	}
	testing_agent_start();
}
