/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which TVMs there are, and until when: what tests/quote would have to wait too long for. */
#include "quote/service.h"

#include "../scratch-folder.h"

#include "common/process.h"
#include "quote/asker.h"
#include "quote/door.h"
#include "quote/monotonic.h"
#include "rpc/varlink-client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define TVM "11111111-2222-4333-8444-000000000001"

static char root[64], path[128];
static Config *config;
static sd_event *event;
static Relay *relay;
static Records *records;
static Service *service;
static pid_t qemu;

/* A tdi-quoted, for which the two times are short. */
static void begin(uint64_t ended_usec, uint64_t unstarted_usec)
{
	_cleanup_free_ char *error = NULL;

	cr_assert_geq(relay_new(&relay, event, config), 0);
	relay->domains.ended.length_usec = ended_usec;
	relay->domains.unstarted.length_usec = unstarted_usec;
	cr_assert_eq(records_open(&records, config->records, &error), 0, "%s", error);
	cr_assert_geq(records_restore(records, relay, &error), 0, "%s", error);
	cr_assert_geq(service_new(&service, relay, records, &error), 0, "%s", error);
}

/* As at its end in order: the sockets stay. */
static void end(void)
{
	for (Domain *domain = relay->domains.first; domain; domain = domain->next)
		domain->door = door_leave(domain->door);
	service = service_free(service);
	records = records_free(records);
	relay = relay_free(relay);
}

static void set_up(void)
{
	_cleanup_free_ char *error = NULL, *text = NULL;

	cr_assert(scratch_folder(root, sizeof(root), NULL));
	cr_assert_geq(
		asprintf(&text,
			 "{\"upstreams\": [\"unix:%s/nobody\"], \"control\": \"%s/io.tdid.Quote\", "
			 "\"records\": \"%s/records\"}",
			 root, root, root),
		0);
	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
	cr_assert_geq(sd_event_new(&event), 0);
	snprintf(path, sizeof(path), "%s/" TVM ".sock", root);
	qemu = fork();
	if (qemu == 0) {
		pause();
		_exit(0);
	}
}

static void kill_qemu(void)
{
	if (qemu > 0) {
		kill(qemu, SIGKILL);
		waitpid(qemu, NULL, 0);
	}
	qemu = 0;
}

static void tear_down(void)
{
	char command[128];

	kill_qemu();
	end();
	sd_event_unref(event);
	config_free(config);
	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}

TestSuite(quote_domains, .init = set_up, .fini = tear_down, .timeout = 20);

/* With a socket and a record, as Prepare makes it. */
static Domain *prepared(void)
{
	_cleanup_free_ char *error = NULL;
	Domain *domain;
	Uuid uuid;

	cr_assert_eq(uuid_from_string(&uuid, TVM), 0);
	cr_assert_eq(domains_tvm(&relay->domains, uuid, &domain), 1);
	domain->socket = strdup(path);
	cr_assert_eq(door_of_domain(&domain->door, relay, domain, path, &error), 0, "%s", error);
	domain_await(domain, &relay->domains.unstarted);
	cr_assert_eq(records_write(records, domain), 0);
	return domain;
}

static void started_as(Domain *domain, pid_t pid)
{
	uint64_t start_time;

	cr_assert_eq(process_start_time(&start_time, "", pid), 0);
	cr_assert_eq(domain_begin(domain, event, pid, start_time), 0);
	cr_assert_eq(records_write(records, domain), 0);
}

static void started(Domain *domain)
{
	started_as(domain, qemu);
}

static bool is_recorded(void)
{
	_cleanup_free_ char *record = NULL;

	cr_assert_geq(asprintf(&record, "%s/" TVM ".json", config->records), 0);
	return access(record, F_OK) == 0;
}

static void expect_forgotten(void)
{
	while (relay->domains.first)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	cr_assert_not(is_recorded());
	cr_assert_neq(access(path, F_OK), 0, "its socket is still there");
}

#define LONG  UINT64_C(3600000000)
#define SHORT UINT64_C(20000)

/* All that is due for the time that would forget it. */
static void expect_kept(void)
{
	for (int i = 0; i < 5; i++)
		cr_assert_geq(sd_event_run(event, SHORT), 0);
	cr_assert_not_null(relay->domains.first);
	cr_assert(is_recorded());
	cr_assert_eq(access(path, F_OK), 0);
}

Test(quote_domains, qemu_has_ended_and_no_release_comes)
{
	begin(SHORT, LONG);
	started(prepared());
	expect_kept();
	kill_qemu();
	expect_forgotten();
}

Test(quote_domains, qemu_has_ended_while_nobody_looked)
{
	begin(LONG, LONG);
	started(prepared());
	end();
	kill_qemu();
	begin(SHORT, LONG);
	expect_forgotten();
}

Test(quote_domains, its_start_never_came)
{
	begin(LONG, SHORT);
	prepared();
	expect_forgotten();
}

Test(quote_domains, its_start_never_came_after_a_restart)
{
	begin(LONG, LONG);
	prepared();
	end();
	begin(LONG, SHORT);
	expect_forgotten();
}

/* It has not started yet: another time counts than for one that has ended. */
Test(quote_domains, one_that_starts_is_waited_for)
{
	Domain *domain;

	begin(SHORT, LONG);
	domain = prepared();
	expect_kept();
	started(domain);
	expect_kept();
	end();
	begin(SHORT, SHORT);
	expect_kept();
}

/* No descriptor for its QEMU, which runs: it is not forsaken, and held when there is one. */
Test(quote_domains, no_descriptor_after_a_restart)
{
	struct rlimit limit, little;
	int first_free, second_free;

	begin(LONG, LONG);
	started(prepared());
	end();
	cr_assert_geq(relay_new(&relay, event, config), 0);
	relay->domains.ended.length_usec = SHORT;
	relay->domains.unheld.length_usec = SHORT;
	cr_assert_eq(records_open(&records, config->records, NULL), 0);
	first_free = dup(STDERR_FILENO);
	second_free = dup(STDERR_FILENO);
	close(first_free);
	close(second_free);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* The folder, and one more: a pidfd, or what the record is read by, but not two. */
	little = (struct rlimit){ (rlim_t)second_free + 1, limit.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &little), 0);
	cr_assert_geq(records_restore(records, relay, NULL), 0);
	cr_assert_not_null(relay->domains.first);
	cr_assert_eq(relay->domains.first->pid, 0);
	/* Then with none at all. */
	little.rlim_cur = (rlim_t)first_free;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &little), 0);
	expect_kept();
	cr_assert_eq(relay->domains.first->pid, 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_geq(service_new(&service, relay, records, NULL), 0);
	while (relay->domains.first && relay->domains.first->pid == 0)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	expect_kept();
	kill_qemu();
	expect_forgotten();
}

static bool replied;
static char error[64];

static void on_replied(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	cr_assert_eq(reply->status, 0);
	snprintf(error, sizeof(error), "%s", reply->error ?: "");
	replied = true;
}

/* Tells of `qemu`, and wants this answer. */
static void tell_started(const char *wanted)
{
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	uint64_t start_time;

	cr_assert_eq(process_start_time(&start_time, "", qemu), 0);
	cr_assert_eq(json_build(&parameters, J_STRING("domain", TVM), J_STRING("name", "tvm1"),
				J_INT("qemu_pid", qemu),
				J_INT("qemu_start_time", (int64_t)start_time)),
		     0);
	cr_assert_eq(varlink_client_connect(&client, event, config->control, NULL, NULL), 0);
	replied = false;
	cr_assert_eq(varlink_client_call(client, "io.tdid.Quote.Started", parameters, 0, 0,
					 on_replied, NULL),
		     0);
	while (!replied)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	cr_assert_str_eq(error, wanted);
}

/* tdid has to tell again: the next of us would forsake a domain that runs. */
Test(quote_domains, start_that_cannot_be_recorded)
{
	char record[160], obstacle[192];

	begin(LONG, LONG);
	prepared();
	snprintf(record, sizeof(record), "%s/" TVM ".json", config->records);
	snprintf(obstacle, sizeof(obstacle), "%s/x", record);
	cr_assert_eq(unlink(record), 0);
	cr_assert_eq(mkdir(record, 0700), 0);
	cr_assert_eq(mkdir(obstacle, 0700), 0);
	tell_started("io.tdid.Quote.NotNow");
	cr_assert_eq(relay->domains.first->pid, qemu, "it is served all the same");
	cr_assert_eq(rmdir(obstacle), 0);
	cr_assert_eq(rmdir(record), 0);
	tell_started("");
	end();
	begin(SHORT, SHORT);
	expect_kept();
}

/* As its QEMU, which is this process. */
static int at_its_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Agents use up what they may over vsock: its kernel, by QEMU, is served all the same. */
Test(quote_domains, agents_do_not_cost_it_its_own_socket)
{
	unsigned limit = config->limits.in_flight;
	Lane *own, *network;
	Domain *domain;
	int ends[2];

	begin(LONG, LONG);
	domain = prepared();
	started_as(domain, getpid());
	own = &domain->lanes[LANE_SOCKET];
	network = &domain->lanes[LANE_NETWORK];
	for (unsigned i = 0; i < limit; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
		cr_assert_eq(asker_new(relay, domain, LANE_NETWORK, ends[0]), 0);
	}
	while (token_bucket_take(&network->bucket, monotonic_usec()) == 0)
		;
	for (unsigned i = 1; i <= limit; i++) {
		at_its_socket();
		while (domain_askers(domain) < limit + i)
			cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	}
	cr_assert_eq(network->n_askers, limit);
	/* One more is not taken, and waits. */
	at_its_socket();
	while (domain->n_held == 0)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	cr_assert_eq(own->n_askers, limit);
	cr_assert_eq(domain_askers(domain), 2 * limit);
}
