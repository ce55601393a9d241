/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench attach | wall | scale | soak [N]: tdid's own share, in figures of one run. See README.md.
 */
#include "host.h"
#include "layout.h"
#include "libvirt.h"
#include "stand-in.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "rpc/event-loop.h"

#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static Host host;

static const Assignment *assignment_of(Bdf tdi)
{
	const Tdi *known = registry_find_tdi(host.tdid.registry, tdi);
	const EngineTdi *e = known ? engine_tdi(host.tdid.engine, known->id) : NULL;

	return e && e->owner != ENGINE_NONE ? registry_assignment_at(host.tdid.registry, e->owner)
					    : NULL;
}

static bool is_locked(Bdf tdi)
{
	const Assignment *a = assignment_of(tdi);

	return a && engine_assignment(host.tdid.engine, a->id)->state == ASSIGNMENT_LOCKED;
}

static bool is_free(Bdf tdi)
{
	const Tdi *known = registry_find_tdi(host.tdid.registry, tdi);

	return !known || engine_tdi(host.tdid.engine, known->id)->owner == ENGINE_NONE;
}

static void plug(uint32_t domain, Bdf tdi)
{
	bench_libvirt_plug(domain, tdi);
	bench_libvirt_dirty(domain, VMM_DIRTY_DEVICE_ADDED, tdi);
}

static void unplug(uint32_t domain, Bdf tdi)
{
	bench_libvirt_unplug(domain, tdi);
	bench_libvirt_dirty(domain, VMM_DIRTY_DEVICE_REMOVED, tdi);
}

static double cpu(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* One TDI attached and taken out again, so often; its DSM is connected before. The loop waits for
 * libvirt's threads here. */
static void attach_alone(uint32_t domain, Bdf tdi, size_t n, double *wall, double *own)
{
	plug(domain, tdi);
	HOST_UNTIL(&host, is_locked(tdi));
	for (size_t i = 0; i < n; i++) {
		double began, used;

		unplug(domain, tdi);
		HOST_UNTIL(&host, is_free(tdi));
		HOST_UNTIL(&host, !bench_libvirt_pending());
		bench_libvirt_plug(domain, tdi);
		bench_libvirt_describe();
		began = host_now();
		used = cpu();
		bench_libvirt_dirty(domain, VMM_DIRTY_DEVICE_ADDED, tdi);
		HOST_UNTIL(&host, is_locked(tdi));
		wall[i] = host_now() - began + bench_libvirt_threads_usec();
		own[i] = cpu() - used + bench_libvirt_threads_usec();
	}
}

static uint64_t locked_at(const Assignment *a)
{
	for (size_t i = 0; i < a->timeline.n_marks; i++)
		if (strcmp(a->timeline.marks[i].name, "locked") == 0)
			return a->timeline.marks[i].at_usec;
	abort();
}

/* All of them at once, of DSMs that are connected: from the first event to each one's mark. */
static double attach_many(uint32_t dsms, uint32_t tdis, double *ret_own, double *ret_xml)
{
	double *latency = calloc((size_t)dsms * tdis, sizeof(*latency)), p99, used;
	uint64_t began;
	size_t n = 0;

	for (uint32_t d = 0; d < dsms; d++) {
		plug(d, layout_tdi(d, tdis));
		HOST_UNTIL(&host, is_locked(layout_tdi(d, tdis)));
	}
	for (uint32_t d = 0; d < dsms; d++)
		for (uint32_t t = 0; t < tdis; t++)
			bench_libvirt_plug(d, layout_tdi(d, t));
	bench_libvirt_describe();
	used = cpu();
	began = boottime_usec();
	for (uint32_t d = 0; d < dsms; d++)
		for (uint32_t t = 0; t < tdis; t++)
			bench_libvirt_dirty(d, VMM_DIRTY_DEVICE_ADDED, layout_tdi(d, t));
	for (uint32_t d = 0; d < dsms; d++)
		for (uint32_t t = 0; t < tdis; t++) {
			HOST_UNTIL(&host, is_locked(layout_tdi(d, t)));
			latency[n++] = (double)(locked_at(assignment_of(layout_tdi(d, t))) - began);
		}
	*ret_own = cpu() - used;
	*ret_xml = bench_libvirt_threads_usec();
	p99 = host_p99(latency, n);
	free(latency);
	return p99;
}

static int attach(void)
{
	enum { N = 500, ROUNDS = 11 };
	static double wall[N], own[N];
	double p99[ROUNDS], used[ROUNDS], xml[ROUNDS];

	host_begin(&host, 1, &(BenchTsm){ .dsms = 1, .tdis = 2 });
	attach_alone(0, layout_tdi(0, 0), N, wall, own);
	printf("attach alone: to locked %.0f us, tdid's own %.0f us (medians of %d), limit 1000\n",
	       host_median(wall, N), host_median(own, N), N);
	host_end(&host);
	for (size_t i = 0; i < ROUNDS; i++) {
		host_begin(&host, 64, &(BenchTsm){ .dsms = 64, .tdis = 5 });
		p99[i] = attach_many(64, 4, &used[i], &xml[i]);
		host_end(&host);
	}
	printf("attach 256 at once: p99 %.1f ms, limit 10; its loop's own of all %.1f ms, and "
	       "%.1f ms for XML in libvirt's threads (medians of %d)\n",
	       host_median(p99, ROUNDS) / 1000, host_median(used, ROUNDS) / 1000,
	       host_median(xml, ROUNDS) / 1000, ROUNDS);
	return 0;
}

/* 64 DSMs with 16 TDIs each, cold: against the verbs of that DSM whose verbs took longest. */
static int wall(void)
{
	const BenchTsm tsm = { .dsms = 64, .tdis = 16, .connect_usec = 50000, .bind_usec = 10000 };
	enum { ROUNDS = 5 };
	double ratio[ROUNDS], took[ROUNDS], sum[ROUNDS], own[ROUNDS], xml[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		host_begin(&host, tsm.dsms, &tsm);
		for (uint32_t d = 0; d < tsm.dsms; d++)
			for (uint32_t t = 0; t < tsm.tdis; t++)
				bench_libvirt_plug(d, layout_tdi(d, t));
		bench_libvirt_describe();
		own[i] = cpu();
		took[i] = host_now();
		for (uint32_t d = 0; d < tsm.dsms; d++)
			bench_libvirt_dirty(d, VMM_DIRTY_LIFECYCLE, layout_tdi(d, 0));
		for (uint32_t d = 0; d < tsm.dsms; d++)
			for (uint32_t t = 0; t < tsm.tdis; t++)
				HOST_UNTIL(&host, is_locked(layout_tdi(d, t)));
		took[i] = host_now() - took[i];
		own[i] = cpu() - own[i];
		xml[i] = bench_libvirt_threads_usec();
		sum[i] = (double)bench_tsm_longest();
		ratio[i] = took[i] / sum[i];
		host_end(&host);
	}
	printf("wall: 64 DSMs x 16 TDIs locked in %.1f ms, the longest DSM's own sum %.1f ms: "
	       "%.3f, limit 1.03; its loop's own %.1f ms, and %.1f ms for XML in libvirt's threads "
	       "(medians of %d)\n",
	       host_median(took, ROUNDS) / 1000, host_median(sum, ROUNDS) / 1000,
	       host_median(ratio, ROUNDS), host_median(own, ROUNDS) / 1000,
	       host_median(xml, ROUNDS) / 1000, ROUNDS);
	return 0;
}

/* --- many assignments --- */

typedef struct Scale {
	double transition, alone, attach, bytes, restart, restart_own, list, list_own;
} Scale;

/* The device's own domain and DSM when `tdis` of each DSM are in use. */
static uint32_t domain_of(uint32_t dsm, uint32_t tdi, uint32_t tdis)
{
	return (dsm * tdis + tdi) / (DEVICES_PER_DOMAIN - 1);
}

static bool is_running(Bdf tdi)
{
	const Assignment *a = assignment_of(tdi);

	return a && engine_assignment(host.tdid.engine, a->id)->state == ASSIGNMENT_RUNNING;
}

/* Evidence is fetched when there is nothing else to do: until nothing comes for so long. */
static void come_to_rest(uint64_t usec)
{
	while (sd_event_run(host.event, usec) > 0)
		;
}

/* What a host does between two transitions: nothing of tdid's is in the processor's caches. */
static void use_caches(void)
{
	enum { SIZE = 128 << 20, LINE = 64 };
	static char *memory;

	if (!memory)
		memory = malloc(SIZE);
	for (size_t i = 0; memory && i < SIZE; i += LINE)
		((volatile char *)memory)[i]++;
}

/*
 * To RUN, of every so many from the first one on: tdid's own time from the provider's word to the
 * last effect. One right after the other, or each by itself.
 */
static double transitions(uint32_t dsms, uint32_t tdis, size_t first, size_t n, bool alone)
{
	double *times = calloc(n, sizeof(*times)), median;
	uint32_t total = dsms * tdis;

	come_to_rest(200000);
	for (size_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)(i * total / n + first);
		Bdf tdi;

		while (alone && is_running(layout_tdi(at / tdis, at % tdis)))
			at = (at + 1) % total;
		tdi = layout_tdi(at / tdis, at % tdis);
		if (alone) {
			come_to_rest(5000); /* what the one before leaves to do is its own */
			use_caches();
		}
		bench_tsm_run(tdi);
		times[i] = cpu();
		HOST_UNTIL(&host, is_running(tdi));
		times[i] = cpu() - times[i];
	}
	median = host_median(times, n);
	free(times);
	return median;
}

/* In a process of its own, as tdictl would be: the whole answer read. */
static pid_t ask_list(void)
{
	static const char request[] = "{\"method\":\"io.tdid.Assignments.List\",\"parameters\":{}}";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	pid_t pid = fork();
	static char buffer[1 << 16];
	ssize_t n;
	int fd;

	if (pid != 0)
		return pid;
	stand_in_elsewhere(0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/io.tdid.Assignments",
		 host.directory);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    write(fd, request, sizeof(request)) != sizeof(request))
		_exit(1);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0 && buffer[n - 1] != '\0')
		;
	_exit(n > 0 ? 0 : 1);
}

static int on_alarm(sd_event_source *source, uint64_t usec, void *userdata)
{
	return 0;
}

static double list(void)
{
	double began = host_now();
	pid_t pid = ask_list();
	int status = -1;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		sd_event_source *alarm = NULL;

		sd_event_add_time_relative(host.event, &alarm, CLOCK_MONOTONIC, 1000, 1, on_alarm,
					   NULL);
		sd_event_run(host.event, UINT64_MAX);
		sd_event_source_disable_unref(alarm);
	}
	if (status != 0)
		fprintf(stderr, "bench: List failed\n");
	return host_now() - began;
}

static size_t heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* `alone`: so many transitions by themselves. */
static Scale measure(uint32_t dsms, uint32_t tdis, size_t alone)
{
	enum { N = 100 };
	static double wall[N], own[N];
	uint32_t domains = (dsms * tdis + DEVICES_PER_DOMAIN - 2) / (DEVICES_PER_DOMAIN - 1);
	size_t before;
	double used;
	Scale scale;
	Bdf spare = layout_tdi(0, tdis);

	host_begin(&host, domains, &(BenchTsm){ .dsms = dsms, .tdis = tdis + 1 });
	before = heap();
	for (uint32_t d = 0; d < dsms; d++)
		for (uint32_t t = 0; t < tdis; t++)
			bench_libvirt_plug(domain_of(d, t, tdis), layout_tdi(d, t));
	for (uint32_t i = 0; i < domains; i++)
		bench_libvirt_dirty(i, VMM_DIRTY_LIFECYCLE, layout_tdi(0, 0));
	for (uint32_t d = 0; d < dsms; d++)
		for (uint32_t t = 0; t < tdis; t++)
			HOST_UNTIL(&host, is_locked(layout_tdi(d, t)));
	scale.bytes = (double)(heap() - before) / (dsms * tdis);
	attach_alone(0, spare, N, wall, own);
	scale.attach = host_median(own, N);
	used = cpu();
	scale.list = list();
	scale.list_own = cpu() - used;
	host_stop(&host);
	used = cpu();
	scale.restart = host_now();
	host_start(&host);
	scale.restart = host_now() - scale.restart;
	scale.restart_own = cpu() - used;
	if (host_count(&host, ASSIGNMENT_LOCKED) != dsms * tdis + 1)
		fprintf(stderr, "bench: only %u assignments are still there\n",
			host_count(&host, ASSIGNMENT_LOCKED));
	scale.transition = transitions(dsms, tdis, 0, N / 2, false);
	scale.alone = transitions(dsms, tdis, 1, alone, true);
	host_end(&host);
	return scale;
}

static int scale(void)
{
	enum { ROUNDS = 11, ALONE = 50 };
	double transition[ROUNDS], alone[ROUNDS], attach[ROUNDS];
	Scale few = {}, many = {};

	/* Before and after the many: the machine's speed changes meanwhile. */
	for (size_t i = 0; i < ROUNDS; i++) {
		if (i == ROUNDS / 2)
			many = measure(64, 157, (size_t)ROUNDS * ALONE);
		few = measure(1, 100, ALONE);
		transition[i] = few.transition;
		alone[i] = few.alone;
		attach[i] = few.attach;
	}
	few.transition = host_median(transition, ROUNDS);
	few.alone = host_median(alone, ROUNDS);
	few.attach = host_median(attach, ROUNDS);

	printf("scale: a transition by itself %.1f us of 100 assignments, %.1f us of 10,048: %.2f, "
	       "limit 1.1; one right after the other %.1f us and %.1f us: %.2f\n",
	       few.alone, many.alone, many.alone / few.alone, few.transition, many.transition,
	       many.transition / few.transition);
	printf("scale: an attach, tdid's own, %.0f us and %.0f us: %.2f\n", few.attach, many.attach,
	       many.attach / few.attach);
	printf("scale: %.0f bytes each; restart and resume %.0f ms (tdid's own %.0f), limit 1000; "
	       "list %.0f ms (%.0f)\n",
	       many.bytes, many.restart / 1000, many.restart_own / 1000, many.list / 1000,
	       many.list_own / 1000);
	return 0;
}

/* --- soak --- */

static unsigned int open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

static double resident(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static int soak(size_t n)
{
	enum { PARTS = 10 };
	size_t part = n / PARTS;
	double *wall = calloc(part, sizeof(*wall)), *own = calloc(part, sizeof(*own));
	double first = 0, last = 0;

	host_begin(&host, 1, &(BenchTsm){ .dsms = 1, .tdis = 2 });
	for (size_t i = 0; i < PARTS; i++) {
		attach_alone(0, layout_tdi(0, 0), part, wall, own);
		last = host_median(own, part);
		if (i == 0)
			first = last;
		printf("soak: %zu attached and detached: %.0f KiB resident, %u fds, an attach %.0f "
		       "us "
		       "own, p99 %.0f us\n",
		       (i + 1) * part, resident(), open_files(), last, host_p99(wall, part));
		fflush(stdout);
		unplug(0, layout_tdi(0, 0));
		HOST_UNTIL(&host, is_free(layout_tdi(0, 0)));
	}
	printf("soak: last part / first part: %.2f\n", last / first);
	host_end(&host);
	free(wall);
	free(own);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "qemu") == 0)
		return stand_in_wait();
	if (strcmp(what, "tsm") == 0)
		return bench_tsm_main(argv);
	stand_in_processors();
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(what, "attach") == 0)
		return attach();
	if (strcmp(what, "wall") == 0)
		return wall();
	if (strcmp(what, "scale") == 0)
		return scale();
	if (strcmp(what, "soak") == 0)
		return soak(argc > 2 ? strtoul(argv[2], NULL, 10) : 100000);
	fputs("Usage: bench attach | wall | scale | soak [N]\n", stderr);
	return 2;
}
