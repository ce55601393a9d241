/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include "common/process.h"
#include "daemon/domains.h"
#include "daemon/incarnation.h"
#include "layout.h"
#include "libvirt.h"
#include "rpc/log.h"
#include "stand-in.h"
#include "../scratch-folder.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-r));
	exit(1);
}

/* The records as on a host: in memory. */
void host_begin(Host *host, uint32_t domains, const BenchTsm *tsm)
{
	char path[96];

	*host = (Host){ .domains = domains, .tsm = *tsm };
	if (!scratch_folder(host->directory, sizeof(host->directory), "/dev/shm") &&
	    !scratch_folder(host->directory, sizeof(host->directory), NULL))
		check(-errno, host->directory);
	snprintf(path, sizeof(path), "%s/records", host->directory);
	mkdir(path, 0700);
	host->tsm.path = NULL;
	if (asprintf((char **)&host->tsm.path, "%s/tsm", host->directory) < 0)
		check(-ENOMEM, "provider");
	log_set_level(LOG_LEVEL_WARNING);
	for (uint32_t i = 0; i < domains; i++)
		check(stand_in_start(&host->qemus[i], (const char *[]){ "bench", "qemu", NULL }),
		      "QEMU");
	check(bench_tsm_start(&host->provider, &host->tsm), "provider");
	bench_libvirt_begin(domains);
	check(sd_event_new(&host->event), "loop");
	host_start(host);
}

static void adopt(Host *host, uint32_t i)
{
	char text[LAYOUT_UUID_SIZE];
	uint64_t start_time;
	Domain *domain;
	Uuid uuid;

	layout_uuid(text, i);
	check(uuid_from_string(&uuid, text), text);
	check(registry_domain(host->tdid.registry, uuid, &domain), text);
	if (!domain->name && asprintf(&domain->name, "bench%u", i) < 0)
		check(-ENOMEM, text);
	check(process_start_time(&start_time, "", host->qemus[i]), "process");
	check(incarnation_begin(&host->tdid, domain, host->qemus[i], start_time), "incarnation");
}

void host_start(Host *host)
{
	char text[512];
	char *why = NULL;
	int n = snprintf(text, sizeof(text),
			 "{\"records\":\"%s/records\",\"sockets\":\"%s\",\"sysfs\":\"%s/sys\","
			 "\"idle_grace_ms\":3600000,\"guest_timeout_ms\":3600000,"
			 "\"tsms\":[{\"name\":\"bench\",\"socket\":\"%s\",\"uid\":%u}]}",
			 host->directory, host->directory, host->directory, host->tsm.path,
			 (unsigned int)getuid());
	int r;

	host->tdid = (Tdid){ .event = sd_event_ref(host->event) };
	r = config_parse(&host->tdid.config, text, (size_t)n, "bench", &why);
	check(r, why ?: "config");
	r = tdid_start(&host->tdid, &why);
	check(r, why ?: "tdid");
	for (uint32_t i = 0; i < host->domains; i++)
		adopt(host, i);
	bench_libvirt_connect();
	HOST_UNTIL(host, provider_is_ready(host->tdid.providers[0]) && !bench_libvirt_pending());
	domains_read_all(&host->tdid);
	HOST_UNTIL(host, !bench_libvirt_pending());
}

void host_stop(Host *host)
{
	tdid_stop(&host->tdid);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void host_end(Host *host)
{
	host_stop(host);
	bench_tsm_end(host->provider);
	for (uint32_t i = 0; i < host->domains; i++) {
		kill(host->qemus[i], SIGKILL);
		waitpid(host->qemus[i], NULL, 0);
	}
	bench_libvirt_end();
	sd_event_unref(host->event);
	free((char *)host->tsm.path);
	nftw(host->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint32_t host_count(const Host *host, AssignmentState state)
{
	const Assignment *a;
	uint32_t n = 0;

	for (uint32_t p = 0; (a = registry_next_assignment(host->tdid.registry, &p));)
		n += engine_assignment(host->tdid.engine, a->id)->state == state;
	return n;
}

double host_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double host_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[n / 2];
}

double host_p99(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[(n * 99 + 99) / 100 - 1];
}
