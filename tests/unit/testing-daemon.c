/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-daemon.h"

#include "testing-records.h"

#include "common/process.h"
#include "daemon/domains.h"
#include "daemon/incarnation.h"
#include "../scratch-folder.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *const uuids[] = { TVM0, TVM1 };
static const char *const names[] = { "tvm0", "tvm1" };

bool testing_turn(sd_event *event)
{
	int r = sd_event_run(event, 500000);

	cr_assert_geq(r, 0);
	return r > 0;
}

void testing_idle(sd_event *event)
{
	int r;

	while ((r = sd_event_run(event, 0)) > 0)
		;
	cr_assert_eq(r, 0);
}

/* 0000:41:00.0 to .7 are on this host, but for TESTING_ABSENT. */
static void make_functions(const TestingDaemon *d)
{
	static const char *const folders[] = { "sys", "sys/bus", "sys/bus/pci",
					       "sys/bus/pci/devices" };
	char path[128];

	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", d->directory, folders[i]);
		cr_assert_eq(mkdir(path, 0755), 0);
	}
	for (int function = 0; function < 8; function++) {
		snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:41:00.%d", d->directory,
			 function);
		if (function != TESTING_ABSENT)
			cr_assert_eq(mkdir(path, 0755), 0);
	}
}

void testing_daemon_init(TestingDaemon *d)
{
	*d = (TestingDaemon){ .idle_grace_ms = 60000,
			      .guest_timeout_ms = 60000,
			      .operation_deadline_ms = 60000,
			      .stop_timeout_ms = 60000 };
	signal(SIGPIPE, SIG_IGN);
	cr_assert(scratch_folder(d->directory, sizeof(d->directory), NULL));
	snprintf(d->socket, sizeof(d->socket), "%s/tsm", d->directory);
	snprintf(d->records, sizeof(d->records), "%s/records", d->directory);
	make_functions(d);
	cr_assert_geq(sd_event_new(&d->event), 0);
	d->tsm = fake_tsm_new(d->event, d->socket);
}

void testing_daemon_start(TestingDaemon *d)
{
	char text[1024], tsm[256];
	char *why = NULL;
	int n;

	snprintf(tsm, sizeof(tsm), "{\"name\":\"fake\",\"socket\":\"%s\",\"uid\":%u}", d->socket,
		 (unsigned int)getuid());
	n = snprintf(text, sizeof(text),
		     "{%s\"records\":\"%s\",\"sockets\":\"%s\",\"sysfs\":\"%s/sys\","
		     "\"require_tvm\":\"%s\",\"idle_grace_ms\":%u,"
		     "\"guest_timeout_ms\":%u,\"boot_timeout_ms\":%u,\"operation_deadline_ms\":%u,"
		     "\"stop_timeout_ms\":%u,"
		     "\"tsms\":[%s%s]}",
		     d->config ?: "", d->records, d->directory, d->directory,
		     d->require_tvm ?: "protected", d->idle_grace_ms, d->guest_timeout_ms,
		     d->boot_timeout_ms ?: d->guest_timeout_ms, d->operation_deadline_ms,
		     d->stop_timeout_ms, d->no_tsms ? "" : tsm, d->tsms ?: "");
	d->tdid = (Tdid){ .event = sd_event_ref(d->event) };
	cr_assert_eq(config_parse(&d->tdid.config, text, (size_t)n, "test", &why), 0, "%s", why);
	cr_assert_geq(tdid_start(&d->tdid, &why), 0, "%s", why);
	fake_vmm_connect();
	if (d->tsm->server && !d->no_tsms)
		UNTIL(d->event, provider_is_ready(d->tdid.providers[0]));
}

void testing_daemon_stop(TestingDaemon *d)
{
	tdid_stop(&d->tdid);
	d->tdid = (Tdid){};
	if (fake_vmm.guest_fd >= 0)
		close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void testing_daemon_done(TestingDaemon *d)
{
	if (d->tdid.event)
		testing_daemon_stop(d);
	d->tsm = fake_tsm_free(d->tsm);
	for (int i = 0; i < 2; i++)
		testing_daemon_kill(d, i);
	fake_vmm_reset();
	sd_event_unref(d->event);
	nftw(d->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void testing_daemon_run(TestingDaemon *d, int tvm, const char *xml)
{
	uint64_t start_time;
	Domain *domain;
	Uuid uuid;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(0, ~0U, 0);
		for (;;)
			pause();
	}
	d->qemu[tvm] = pid;
	fake_vmm_domain(uuids[tvm], names[tvm], xml);
	cr_assert_eq(process_start_time(&start_time, "", pid), 0);
	cr_assert_eq(uuid_from_string(&uuid, uuids[tvm]), 0);
	cr_assert_eq(registry_domain(d->tdid.registry, uuid, &domain), 0);
	free(domain->name);
	domain->name = strdup(names[tvm]);
	cr_assert_eq(incarnation_begin(&d->tdid, domain, pid, start_time), 0);
	domains_read(&d->tdid, domain);
}

void testing_daemon_kill(TestingDaemon *d, int tvm)
{
	if (d->qemu[tvm] == 0)
		return;
	kill(d->qemu[tvm], SIGKILL);
	waitpid(d->qemu[tvm], NULL, 0);
	d->qemu[tvm] = 0;
	fake_vmm_domain(uuids[tvm], names[tvm], NULL);
}

void testing_daemon_change(TestingDaemon *d, int tvm, VmmDirtyReason reason, const char *alias,
			   const char *xml)
{
	fake_vmm_domain(uuids[tvm], names[tvm], xml);
	fake_vmm_dirty(uuids[tvm], reason, alias);
}

Assignment *testing_assignment(TestingDaemon *d, int tvm, const char *alias)
{
	Assignment *a;
	Uuid uuid;

	uuid_from_string(&uuid, uuids[tvm]);
	for (uint32_t p = 0; (a = registry_next_assignment(d->tdid.registry, &p));)
		if (uuid_equal(a->tvm->uuid, uuid) && strcmp(a->alias, alias) == 0)
			return a;
	return NULL;
}

AssignmentState testing_state(TestingDaemon *d, int tvm, const char *alias)
{
	Assignment *a = testing_assignment(d, tvm, alias);

	return a ? engine_assignment(d->tdid.engine, a->id)->state : ASSIGNMENT_N_STATES;
}

unsigned int testing_records(TestingDaemon *d, const char *kind, const char *contains)
{
	return testing_records_count(d->records, kind, contains);
}

void testing_guest_send(const char *text)
{
	_cleanup_free_ char *bytes = strdup(text);
	size_t len = strlen(text);

	for (char *p = bytes; (p = strchr(p, '|')); p++)
		*p = '\0';
	cr_assert_eq(send(fake_vmm.guest_fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "%m");
}

void testing_guest_hello(const char *session)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "|{\"session\":\"%s\",\"id\":1,\"call\":\"Hello\",\"parameters\":{\"protocol\":1,"
		 "\"agent\":\"fake\",\"boot_id\":\"b\"}}|",
		 session);
	testing_guest_send(text);
}

void testing_guest_event(const char *session, const char *event, const char *parameters)
{
	_cleanup_free_ char *text = NULL;

	cr_assert_geq(asprintf(&text, "{\"session\":\"%s\",\"event\":\"%s\",\"parameters\":{%s}}|",
			       session, event, parameters),
		      0);
	testing_guest_send(text);
}

const char *testing_guest_received(TestingDaemon *d)
{
	static char text[256 * 1024];
	size_t used = 0;
	ssize_t n;

	testing_idle(d->event);
	while (used + 1 < sizeof(text) &&
	       (n = recv(fake_vmm.guest_fd, text + used, sizeof(text) - 1 - used, 0)) > 0)
		used += (size_t)n;
	for (size_t i = 0; i < used; i++)
		if (text[i] == '\0')
			text[i] = '|';
	text[used] = '\0';
	return text;
}

bool testing_guest_gets(TestingDaemon *d, const char *text)
{
	do
		if (strstr(testing_guest_received(d), text))
			return true;
	while (testing_turn(d->event));
	return false;
}
