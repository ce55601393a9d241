/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid-replay --config FILE: tdid, but for libvirt, which is told on standard input, one line each:
 *
 *   domain UUID NAME [XML]   runs with this XML, or is off
 *   place UUID ALIAS BUS     where the guest has the device
 *   guest UUID PATH          the guest port leads to this socket
 *   connect | disconnect     libvirtd is reached, or is no longer
 *   answer UUID WORD         to what has been asked of libvirt (libvirt.h)
 *   dirty UUID REASON [ALIAS]
 *   arm | disarm             counting of points (points.h)
 *   end                      in order
 *
 * and says on standard output "ready", "disarmed", "point ...", "hit ...", "attach|detach UUID
 * ALIAS BDF" (asked of libvirt) and, whenever it is another one, "state JSON": what engine and
 * registry hold. That state is read in the process, so that looking at it causes no calls that
 * would be counted.
 */
#include "daemon/assignments-service.h"
#include "daemon/attach-private.h"
#include "daemon/evidence-store.h"
#include "libvirt.h"
#include "points.h"
#include "rpc/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINE_MAX_SIZE (64 * 1024)

typedef struct Replay {
	Tdid tdid;
	char line[LINE_MAX_SIZE], said[4096];
	size_t used;
} Replay;

/* --- standard output --- */

static void describe(FILE *f, const Tdid *tdid)
{
	char text[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	Assignment *a;
	Dsm *dsm;
	Tdi *tdi;
	Tvm *tvm;

	fprintf(f, "{\"ready\":%s,\"guest_calls\":%u,\"attaching\":%s,\"kept_connections\":%zu",
		tdid_providers_ready(tdid) ? "true" : "false", tdid->guest_turns.in_flight,
		assignments_service_attach_requests(tdid->assignments)->first ? "true" : "false",
		provider_kept_connections(tdid->providers[0]));
	fprintf(f, ",\"tvms\":[");
	for (uint32_t p = 0, n = 0; (tvm = registry_next_tvm(tdid->registry, &p)); n++)
		fprintf(f, "%s{\"pid\":%d,\"port\":%s,\"booted\":\"%s\"}", n ? "," : "",
			(int)tvm->pid, tvm->port ? "true" : "false", tvm->guest_boot ?: "");
	fprintf(f, "],\"dsms\":[");
	for (uint32_t p = 0, n = 0; (dsm = registry_next_dsm(tdid->registry, &p)); n++) {
		const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);

		fprintf(f, "%s{\"dsm\":\"%s\",\"state\":\"%s\",\"busy\":%s,\"drained\":%s}",
			n ? "," : "", bdf_format(dsm->bdf, text),
			dsm_state_name(e ? e->state : DSM_IDLE),
			e && e->operation ? "true" : "false", dsm->drained ? "true" : "false");
	}
	fprintf(f, "],\"tdis\":[");
	for (uint32_t p = 0, n = 0; (tdi = registry_next_tdi(tdid->registry, &p)); n++) {
		const EngineTdi *e = engine_tdi(tdid->engine, tdi->id);

		fprintf(f, "%s{\"device\":\"%s\",\"state\":\"%s\",\"owned\":%s}", n ? "," : "",
			bdf_format(tdi->bdf, text), tdi_state_name(e ? e->state : TDI_KNOWN),
			e && e->owner != ENGINE_NONE ? "true" : "false");
	}
	fprintf(f, "],\"assignments\":[");
	for (uint32_t p = 0, n = 0; (a = registry_next_assignment(tdid->registry, &p)); n++) {
		const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

		fprintf(f,
			"%s{\"domain\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"fault\":\"%s\","
			"\"generation\":%llu,"
			"\"busy\":%s}",
			n ? "," : "", uuid_format(a->tvm->uuid, uuid), a->alias,
			assignment_state_name(e->state), engine_fault_name(e->fault),
			(unsigned long long)e->generation,
			e->operation || evidence_store_is_fetching(a) ? "true" : "false");
	}
	fprintf(f, "]}");
}

static void say_state(Replay *replay)
{
	char text[sizeof(replay->said)] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	describe(f, &replay->tdid);
	fclose(f);
	if (strcmp(text, replay->said) == 0)
		return;
	strcpy(replay->said, text);
	printf("state %s\n", text);
	fflush(stdout);
}

/* --- standard input --- */

static int obey(Replay *replay, char *line, bool *armed)
{
	char *rest = line, *word = strsep(&rest, " "), *a = NULL, *b = NULL;
	VmmDirtyReason reason;

	if (strcmp(word, "domain") == 0 && (a = strsep(&rest, " ")) && (b = strsep(&rest, " ")))
		libvirt_domain(a, b, rest);
	else if (strcmp(word, "place") == 0 && (a = strsep(&rest, " ")) &&
		 (b = strsep(&rest, " ")) && rest)
		libvirt_place(a, b, (uint8_t)atoi(rest));
	else if (strcmp(word, "guest") == 0 && (a = strsep(&rest, " ")) && rest)
		libvirt_guest(a, rest);
	else if (strcmp(word, "arm") == 0)
		*armed = true;
	else if (strcmp(word, "disarm") == 0) {
		*armed = false;
		puts("disarmed");
		fflush(stdout);
	} else if (strcmp(word, "end") == 0)
		return sd_event_exit(replay->tdid.event, 0);
	else if (strcmp(word, "connect") == 0) {
		points_arm(*armed);
		libvirt_connect();
		points_arm(false);
	} else if (strcmp(word, "disconnect") == 0) {
		points_arm(*armed);
		libvirt_disconnect();
		points_arm(false);
	} else if (strcmp(word, "answer") == 0 && (a = strsep(&rest, " ")) && rest) {
		points_arm(*armed);
		libvirt_answer(a, rest);
		points_arm(false);
	} else if (strcmp(word, "dirty") == 0 && (a = strsep(&rest, " ")) &&
		   (b = strsep(&rest, " ")) && libvirt_reason_parse(&reason, b) == 0) {
		points_arm(*armed);
		libvirt_dirty(a, reason, rest);
		points_arm(false);
	} else {
		log_error("replay: what is \"%s\"?", word);
		return -EINVAL;
	}
	return 0;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	Replay *replay = userdata;
	bool armed = points_arm(false);
	ssize_t n = read(fd, replay->line + replay->used, sizeof(replay->line) - replay->used);
	char *line = replay->line, *end;
	int r = n > 0 ? 0 : sd_event_exit(replay->tdid.event, 0);

	replay->used += n > 0 ? (size_t)n : 0;
	while (r >= 0 && (end = memchr(line, '\n', replay->used))) {
		size_t len = (size_t)(end - line) + 1;

		*end = '\0';
		r = obey(replay, line, &armed);
		line += len;
		replay->used -= len;
	}
	memmove(replay->line, line, replay->used);
	points_arm(armed);
	return r;
}

/* --- tdid --- */

static int start(Replay *replay, const char *path, char **ret_error)
{
	Tdid *tdid = &replay->tdid;
	bool armed = points_arm(false);
	int r = config_load(&tdid->config, path, ret_error);

	if (r >= 0)
		r = sd_event_new(&tdid->event);
	if (r >= 0)
		r = sd_event_add_io(tdid->event, NULL, STDIN_FILENO, EPOLLIN, on_input, replay);
	points_arm(armed);
	return r < 0 ? r : tdid_start(tdid, ret_error);
}

int main(int argc, char **argv)
{
	static Replay replay;
	_cleanup_free_ char *error = NULL;
	int r;

	if (argc != 3 || strcmp(argv[1], "--config") != 0) {
		fputs("Usage: tdid-replay --config FILE\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	points_init();
	r = start(&replay, argv[2], &error);
	if (r >= 0) {
		puts("ready");
		fflush(stdout);
	}
	while (r >= 0 && sd_event_get_state(replay.tdid.event) != SD_EVENT_FINISHED) {
		r = sd_event_run(replay.tdid.event, UINT64_MAX);
		if (r >= 0)
			say_state(&replay);
	}
	if (r < 0)
		log_error("cannot run: %s", error ?: strerror(-r));
	points_arm(false);
	tdid_stop(&replay.tdid);
	return r < 0 ? 1 : 0;
}
