/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid has at most one verb of a DSM in flight, so a verb's latency is a timer of its own call.
 * Nothing is checked, and of what is bound only the generation is kept, for Query.
 */
#include "tsm.h"

#include "layout.h"
#include "rpc/event-loop.h"
#include "rpc/varlink-server.h"
#include "schemas/schemas.h"
#include "stand-in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Held {
	int64_t generation; /* 0: nothing */
	char tvm[LAYOUT_UUID_SIZE];
} Held;

/* Shared by both processes: how long each DSM's verbs took, microseconds. */
typedef uint64_t Sums[DSMS_MAX];

static Sums *sums;
static int orders = -1;

typedef struct Service {
	const BenchTsm *tsm;
	sd_event *event;
	VarlinkServer *server;
	VarlinkCall *monitor;
	int64_t sequence;
	bool connected[DSMS_MAX];
	Held held[DSMS_MAX][TDIS_PER_DSM_MAX];
} Service;

typedef struct Later {
	VarlinkCall *call;
	Service *service;
	uint64_t began_usec;
} Later;

static Held *held(Service *service, json_object *parameters)
{
	Bdf bdf;

	if (bdf_parse(&bdf, json_get_string(parameters, "device")) < 0)
		abort();
	return &service->held[bdf.bus - 1][layout_index(bdf)];
}

static bool *session(Service *service, json_object *parameters)
{
	Bdf bdf;

	if (bdf_parse(&bdf, json_get_string(parameters, "dsm")) < 0)
		abort();
	return &service->connected[bdf.bus - 1];
}

static const char *verb_of(VarlinkCall *call)
{
	return strrchr(varlink_call_method(call), '.') + 1;
}

static int reply(Service *service, VarlinkCall *call)
{
	json_object *p = varlink_call_parameters(call);
	const char *verb = verb_of(call), *operation = json_get_string(p, "operation");

	if (strcmp(verb, "Bind") == 0) {
		Held *h = held(service, p);

		h->generation = json_get_int(p, "generation", 0);
		snprintf(h->tvm, sizeof(h->tvm), "%s", json_get_string(p, "tvm"));
		return varlink_call_replyb(call, J_STRING("operation", operation),
					   J_STRING("progress", "done"),
					   J_STRING("state", "config_locked"));
	}
	if (strcmp(verb, "Unbind") == 0) {
		held(service, p)->generation = 0;
		return varlink_call_replyb(call, J_STRING("operation", operation),
					   J_STRING("progress", "done"), J_BOOL("freed", true),
					   J_BOOL("device_confirmed", true));
	}
	*session(service, p) = strcmp(verb, "Connect") == 0;
	return varlink_call_replyb(call, J_STRING("operation", operation),
				   J_STRING("progress", "done"));
}

static int carry_out(Service *service, VarlinkCall *call, uint64_t began_usec)
{
	json_object *p = varlink_call_parameters(call);
	Bdf bdf;
	int r = reply(service, call);

	if (bdf_parse(&bdf, json_get_string(p, "dsm") ?: json_get_string(p, "device")) < 0)
		abort();
	(*sums)[bdf.bus - 1] += boottime_usec() - began_usec;
	return r;
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	Later *later = userdata;

	sd_event_source_unref(source);
	carry_out(later->service, later->call, later->began_usec);
	varlink_call_unref(later->call);
	free(later);
	return 0;
}

static int on_verb(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *verb = verb_of(call);
	uint64_t usec = strcmp(verb, "Connect") == 0 ? service->tsm->connect_usec
			: strcmp(verb, "Bind") == 0  ? service->tsm->bind_usec
						     : 0;
	uint64_t began_usec = boottime_usec();
	Later *later;
	sd_event_source *source;

	varlink_call_notifyb(call, J_STRING("operation", json_get_string(parameters, "operation")),
			     J_STRING("progress", "started"));
	if (usec == 0)
		return carry_out(service, call, began_usec);
	later = malloc(sizeof(*later));
	if (!later)
		return -ENOMEM;
	*later = (Later){ varlink_call_ref(call), service, began_usec };
	return sd_event_add_time_relative(service->event, &source, CLOCK_MONOTONIC, usec, 1, on_due,
					  later);
}

static int on_capabilities(VarlinkCall *call, json_object *parameters, void *userdata)
{
	json_object *c;
	int r = json_build(&c, J_STRING("platform", "emulated"), J_BOOL("protection", false),
			   J_STRING("bind_when", "added"), J_STRING("lock_by", "host"),
			   J_STRING("start_by", "tvm"), J_STRING("state_source", "tsm"),
			   J_STRING("evidence", "guest_only"), J_INT("concurrency", 64));

	return r < 0 ? r
		     : varlink_call_replyb(call, J_STRING("instance", "1"),
					   J_TAKE("capabilities", c));
}

static int on_devices(VarlinkCall *call, json_object *parameters, void *userdata)
{
	const Service *service = userdata;
	json_object *devices = json_object_new_array();
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	int r = 0;

	for (uint32_t d = 0; d < service->tsm->dsms; d++)
		for (uint32_t t = 0; r >= 0 && t < service->tsm->tdis; t++) {
			json_object *o;

			r = json_build(&o, J_STRING("device", bdf_format(layout_tdi(d, t), device)),
				       J_STRING("dsm", bdf_format(layout_dsm(d), dsm)),
				       J_BOOL("tee_io", true), J_BOOL("is_virtual_function", true),
				       J_INT("vendor_id", 1), J_INT("device_id", 2),
				       J_INT("class_code", 3), J_STRING("driver", "vfio-pci"),
				       J_INT("iommu_group", 7));
			if (r >= 0)
				r = json_append_take(devices, o);
		}
	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("devices", devices));
}

static int build_status(json_object **ret, const Service *service, Bdf tdi, bool running)
{
	const Held *h = &service->held[tdi.bus - 1][layout_index(tdi)];
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];

	return json_build(ret, J_STRING("device", bdf_format(tdi, device)),
			  J_STRING("dsm", bdf_format(layout_dsm(tdi.bus - 1), dsm)),
			  J_STRING("tvm", h->tvm), J_INT("generation", h->generation),
			  J_STRING("state", running ? "run" : "config_locked"),
			  J_BOOL("accepted", running));
}

static int on_query(VarlinkCall *call, json_object *parameters, void *userdata)
{
	const Service *service = userdata;
	json_object *tdis = json_object_new_array(), *dsms = json_object_new_array(), *o;
	char dsm[BDF_STRING_SIZE];
	int r = 0;

	for (uint32_t d = 0; r >= 0 && d < service->tsm->dsms; d++) {
		r = json_build(&o, J_STRING("dsm", bdf_format(layout_dsm(d), dsm)),
			       J_BOOL("connected", service->connected[d]));
		if (r >= 0)
			r = json_append_take(dsms, o);
		for (uint32_t t = 0; r >= 0 && t < service->tsm->tdis; t++) {
			if (service->held[d][t].generation == 0)
				continue;
			r = build_status(&o, service, layout_tdi(d, t), false);
			if (r >= 0)
				r = json_append_take(tdis, o);
		}
	}
	return r < 0 ? r
		     : varlink_call_replyb(call, J_STRING("instance", "1"), J_TAKE("dsms", dsms),
					   J_TAKE("tdis", tdis),
					   J_TAKE("operations", json_object_new_array()));
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	if (service->monitor)
		varlink_call_unref(service->monitor);
	service->monitor = varlink_call_ref(call);
	return varlink_call_notifyb(call, J_STRING("instance", "1"),
				    J_INT("sequence", ++service->sequence));
}

/* A function that has come to RUN, by the word of who measures. */
static int on_order(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	Service *service = userdata;
	json_object *status;
	Bdf tdi;
	int r;

	if (read(fd, &tdi, sizeof(tdi)) != sizeof(tdi) || !service->monitor)
		return sd_event_exit(service->event, 1);
	r = build_status(&status, service, tdi, true);
	return r < 0 ? r
		     : varlink_call_notifyb(service->monitor, J_STRING("instance", "1"),
					    J_INT("sequence", ++service->sequence),
					    J_TAKE("tdi", status));
}

static int on_nothing(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return varlink_call_reply(call, NULL);
}

static int on_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	json_object *o;
	int r = json_build(&o, J_STRING("certificates", "Y2VydA=="), J_STRING("vca", "dmNh"),
			   J_STRING("measurements", "bWVhcw=="), J_STRING("report", "cmVw"));

	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("evidence", o));
}

static int serve(const BenchTsm *tsm, int ready, int order)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.GetCapabilities", 0, on_capabilities },
		{ "io.tdid.Tsm.ListDevices", 0, on_devices },
		{ "io.tdid.Tsm.Query", 0, on_query },
		{ "io.tdid.Tsm.Monitor", VARLINK_MORE_ONLY, on_monitor },
		{ "io.tdid.Tsm.Connect", 0, on_verb },
		{ "io.tdid.Tsm.Disconnect", 0, on_verb },
		{ "io.tdid.Tsm.Bind", 0, on_verb },
		{ "io.tdid.Tsm.Unbind", 0, on_verb },
		{ "io.tdid.Tsm.PrepareTvm", 0, on_nothing },
		{ "io.tdid.Tsm.ReleaseTvm", 0, on_nothing },
		{ "io.tdid.Tsm.GuestRequest", 0, on_nothing },
		{ "io.tdid.Tsm.GetEvidence", 0, on_evidence },
		{ "io.tdid.Tsm.Lock", 0, on_nothing },
		{ "io.tdid.Tsm.Start", 0, on_nothing },
		{ "io.tdid.Tsm.Measure", 0, on_nothing },
		{ "io.tdid.Tsm.Cancel", 0, on_nothing },
	};
	VarlinkServerOptions options = { .connections_max = 4096, .connections_per_uid_max = 4096 };
	static Service service;
	int r;

	service.tsm = tsm;
	r = sd_event_new(&service.event);
	if (r >= 0)
		r = varlink_server_new(&service.server, service.event, &options);
	if (r >= 0)
		r = varlink_server_add_interface(service.server, schema_io_tdid_tsm, NULL);
	if (r >= 0)
		r = varlink_server_bind_all(service.server, methods, ELEMENTSOF(methods), &service);
	if (r >= 0)
		r = varlink_server_listen(service.server, tsm->path, 0600, NULL);
	if (r >= 0)
		r = sd_event_add_io(service.event, NULL, order, EPOLLIN, on_order, &service);
	if (r >= 0 && write(ready, "", 1) < 0)
		r = -errno;
	close(ready);
	return r < 0 ? r : sd_event_loop(service.event);
}

enum {
	ARG_WHAT = 1,
	ARG_READY,
	ARG_ORDER,
	ARG_SUMS,
	ARG_PATH,
	ARG_DSMS,
	ARG_TDIS,
	ARG_CONNECT,
	ARG_BIND,
	ARGS
};

static int share(int fd)
{
	void *shared = mmap(NULL, sizeof(*sums), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	sums = shared == MAP_FAILED ? NULL : shared;
	return sums ? 0 : -errno;
}

uint64_t bench_tsm_longest(void)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < DSMS_MAX; i++)
		if ((*sums)[i] > longest)
			longest = (*sums)[i];
	return longest;
}

void bench_tsm_run(Bdf tdi)
{
	if (write(orders, &tdi, sizeof(tdi)) != sizeof(tdi))
		abort();
}

void bench_tsm_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(steal_fd(&orders));
	munmap(sums, sizeof(*sums));
	sums = NULL;
}

int bench_tsm_main(char **argv)
{
	BenchTsm tsm = {
		.path = argv[ARG_PATH],
		.dsms = (uint32_t)strtoul(argv[ARG_DSMS], NULL, 10),
		.tdis = (uint32_t)strtoul(argv[ARG_TDIS], NULL, 10),
		.connect_usec = strtoul(argv[ARG_CONNECT], NULL, 10),
		.bind_usec = strtoul(argv[ARG_BIND], NULL, 10),
	};

	stand_in_begin();
	if (share(atoi(argv[ARG_SUMS])) < 0)
		return 1;
	return serve(&tsm, atoi(argv[ARG_READY]), atoi(argv[ARG_ORDER])) < 0;
}

int bench_tsm_start(pid_t *ret, const BenchTsm *tsm)
{
	enum { DIGITS = 24 };
	char numbers[ARGS][DIGITS];
	const char *argv[ARGS + 1] = { "bench", [ARG_WHAT] = "tsm", [ARG_PATH] = tsm->path };
	_cleanup_close_ int shared = memfd_create("sums", 0);
	int ready[2], order[2], r;
	char byte;
	ssize_t n = 0;

	if (shared < 0 || ftruncate(shared, sizeof(*sums)) < 0 || pipe(ready) < 0 ||
	    pipe(order) < 0)
		return -errno;
	r = share(shared);
	if (r < 0)
		return r;
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	fcntl(order[1], F_SETFD, FD_CLOEXEC);
	orders = order[1];
	for (int i = ARG_READY; i < ARGS; i++)
		if (i != ARG_PATH)
			argv[i] = numbers[i];
	snprintf(numbers[ARG_READY], DIGITS, "%d", ready[1]);
	snprintf(numbers[ARG_ORDER], DIGITS, "%d", order[0]);
	snprintf(numbers[ARG_SUMS], DIGITS, "%d", shared);
	snprintf(numbers[ARG_DSMS], DIGITS, "%" PRIu32, tsm->dsms);
	snprintf(numbers[ARG_TDIS], DIGITS, "%" PRIu32, tsm->tdis);
	snprintf(numbers[ARG_CONNECT], DIGITS, "%" PRIu64, tsm->connect_usec);
	snprintf(numbers[ARG_BIND], DIGITS, "%" PRIu64, tsm->bind_usec);
	r = stand_in_start(ret, argv);
	if (r >= 0)
		stand_in_elsewhere(*ret);
	close(ready[1]);
	close(order[0]);
	if (r >= 0)
		n = read(ready[0], &byte, 1);
	close(ready[0]);
	return r < 0 ? r : n == 1 ? 0 : -EIO;
}
