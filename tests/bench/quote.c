/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-quote TDI-QUOTED TDI-QE-EMULATED: what the relay costs a TVM, against asking the same
 * service straight.
 *
 * The service is tdi-qe-emulated, which checks a report and signs a quote; or "a bare one", a
 * process of ours with a thread for each client, which has its 5,000 bytes ready: what is left then
 * is the price of two connections in place of one. The TVM's QEMU is this process. Both ways are
 * asked in turn.
 */
#include "core/tdreport.h"
#include "../scratch-folder.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUOTE_SIZE    5000u
#define CLIENTS	      64
#define REQUEST_SIZE  (4 + 16 + 8 + 1024)
#define ANSWER_SIZE   (4 + 16 + 8 + QUOTE_SIZE)
#define RATE_DEFAULT  20 /* a second and domain */
#define BURST_DEFAULT 40
#define FLOODERS      16

static char folder[32];
static const char *quoted, *qe;
static uint8_t request[REQUEST_SIZE], answer[ANSWER_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "bench-quote: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void pause_usec(double usec)
{
	struct timespec t = { .tv_sec = (time_t)(usec / 1e6),
			      .tv_nsec = (long)(usec * 1e3) % 1000000000 };

	if (usec > 0)
		nanosleep(&t, NULL);
}

/* --- the service, and what is said to it --- */

static void put32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

static void put_message(uint8_t *at, uint32_t type, uint32_t size)
{
	uint32_t frame = htobe32(size - 4);

	memcpy(at, &frame, sizeof(frame));
	put32(at + 4, 0x00010001);
	put32(at + 8, type);
	put32(at + 12, size - 4);
}

static void make_messages(void)
{
	put_message(request, 0, REQUEST_SIZE);
	put32(request + 20, 1024);
	request[28] = TDREPORT_TYPE;
	put_message(answer, 1, ANSWER_SIZE);
	put32(answer + 24, QUOTE_SIZE);
	answer[28] = 4;
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", folder, name);
	return un;
}

static int listener = -1;
static unsigned service_usec;

static void *serve(void *unused)
{
	uint8_t buffer[4096];

	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));

		/* A health check gets what is no answer to it, which would be a failure. */
		if (n > 8 && buffer[8] == 4) {
			uint8_t info[36] = { 0 };

			put_message(info, 5, 4 + 16 + 12);
			n = write(fd, info, 4 + 16 + 12);
		} else if (n > 0) {
			pause_usec(service_usec);
			n = write(fd, answer, sizeof(answer));
		}
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void call(const char *name, const char *text);

/* The report in the request is one of its platform from then on. */
static pid_t start_qe(unsigned usec)
{
	TdreportFields fields = { .xfam = 0xe7 };
	uint8_t key[TDREPORT_KEY_SIZE];
	char path[128], text[128];
	FILE *file;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/qe.conf", folder);
	file = fopen(path, "w");
	if (!file)
		die(path);
	fprintf(file,
		"{\"socket\": \"%s/qgs\", \"control\": \"%s/qe-control\", \"state\": \"%s/qe\", "
		"\"platform_key\": \"%s/key\"}",
		folder, folder, folder, folder);
	fclose(file);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (!freopen("/dev/null", "a", stderr))
			die("/dev/null");
		execl(qe, qe, "--config", path, NULL);
		die(qe);
	}
	snprintf(text, sizeof(text),
		 "{\"method\":\"io.tdid.QeEmulated.Delay\",\"parameters\":{\"milliseconds\":%u}}",
		 usec / 1000);
	call("qe-control", text);
	snprintf(path, sizeof(path), "%s/key", folder);
	file = fopen(path, "r");
	if (!file || fread(key, 1, sizeof(key), file) != sizeof(key) ||
	    tdreport_make(request + 28, &fields, key) < 0)
		die(path);
	fclose(file);
	return pid;
}

static pid_t start_bare(unsigned usec)
{
	const char *name = "qgs";
	struct sockaddr_un un = address_of(name);
	pthread_t thread;
	pid_t pid;

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&un, sizeof(un)) < 0 ||
	    listen(listener, 1024) < 0)
		die(un.sun_path);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0) {
		close(listener);
		return pid;
	}
	service_usec = usec;
	for (int i = 0; i < CLIENTS + 4; i++)
		pthread_create(&thread, NULL, serve, NULL);
	for (;;)
		pause();
}

/* --- the relay --- */

/* In a place that tdi-quoted takes. */
static void make_sockets_folder(void)
{
	static const char *const parts[] = { "run", "run/tdid" };
	char path[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, parts[i]);
		if (mkdir(path, 0700) < 0)
			die(path);
	}
}

static pid_t start_relay(unsigned rate, unsigned burst)
{
	char path[128], log[128];
	FILE *file;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/conf", folder);
	snprintf(log, sizeof(log), "%s/log", folder);
	file = fopen(path, "w");
	if (!file)
		die(path);
	fprintf(file,
		"{\"sockets\": \"%s/run/tdid\", \"control\": \"%s/io.tdid.Quote\", "
		"\"records\": \"%s/records\", "
		"\"upstreams\": [{\"address\": \"unix:%s/qgs\", \"parallel\": %d}], "
		"\"rate_per_second\": %u, \"burst\": %u, \"in_flight\": 128}",
		folder, folder, folder, folder, CLIENTS, rate, burst);
	fclose(file);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (!freopen(log, "a", stderr))
			die(log);
		execl(quoted, quoted, "--config", path, NULL);
		die(quoted);
	}
	return pid;
}

/* One method, by varlink; whoever serves it may have just been started. */
static void call(const char *name, const char *text)
{
	struct sockaddr_un un = address_of(name);
	char reply[4096];
	ssize_t n = -1;
	int fd = -1;

	for (int i = 0; i < 500; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
			break;
		close(fd);
		fd = -1;
		pause_usec(10000);
	}
	if (fd < 0 || write(fd, text, strlen(text) + 1) < 0 ||
	    (n = read(fd, reply, sizeof(reply) - 1)) <= 0)
		die(un.sun_path);
	reply[n] = 0;
	if (strstr(reply, "\"error\"")) {
		fprintf(stderr, "bench-quote: %s\n", reply);
		exit(1);
	}
	close(fd);
}

#define UUID "11111111-2222-4333-8444-0000000000" /* and two digits */

static struct sockaddr_un address_of_domain(int n)
{
	char name[64];

	snprintf(name, sizeof(name), "run/tdid/" UUID "%02d.sock", n);
	return address_of(name);
}

static void make_domain(int n)
{
	char text[512], stat[1024];
	unsigned long long start = 0;
	FILE *file = fopen("/proc/self/stat", "r");
	char *p;

	if (!file || !fgets(stat, sizeof(stat), file) || !(p = strrchr(stat, ')')))
		die("/proc/self/stat");
	fclose(file);
	for (int field = 3; p && field <= 22; field++)
		p = strchr(p + 1, ' ');
	sscanf(p, " %llu", &start);
	snprintf(text, sizeof(text),
		 "{\"method\":\"io.tdid.Quote.Prepare\",\"parameters\":{\"domain\":\"" UUID
		 "%02d\","
		 "\"name\":\"tvm%d\",\"socket\":\"%s/run/tdid/" UUID "%02d.sock\"}}",
		 n, n, folder, n);
	call("io.tdid.Quote", text);
	snprintf(text, sizeof(text),
		 "{\"method\":\"io.tdid.Quote.Started\",\"parameters\":{\"domain\":\"" UUID
		 "%02d\","
		 "\"name\":\"tvm%d\",\"qemu_pid\":%d,\"qemu_start_time\":%llu}}",
		 n, n, (int)getpid(), start);
	call("io.tdid.Quote", text);
}

/* --- asking --- */

static size_t frame_size(const uint8_t *head)
{
	uint32_t frame;

	memcpy(&frame, head, sizeof(frame));
	return 4 + be32toh(frame);
}

static double ask(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t buffer[2 * ANSWER_SIZE];
	size_t got = 0, whole = 4;
	double began = now();

	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 ||
	    write(fd, request, sizeof(request)) != sizeof(request))
		die(un->sun_path);
	while (got < whole) {
		ssize_t n = read(fd, buffer + got, sizeof(buffer) - got);

		if (n <= 0) {
			fprintf(stderr, "bench-quote: %s: the answer ends after %zu bytes\n",
				un->sun_path, got);
			exit(1);
		}
		got += (size_t)n;
		if (got >= 4)
			whole = frame_size(buffer);
	}
	if (whole < QUOTE_SIZE / 2) {
		fprintf(stderr, "bench-quote: %s: an error in place of a quote\n", un->sun_path);
		exit(1);
	}
	close(fd);
	return now() - began;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

typedef struct Sample {
	double *values;
	size_t n;
} Sample;

static double quantile(Sample *sample, double part)
{
	qsort(sample->values, sample->n, sizeof(double), ascending);
	return sample->values[(size_t)((double)(sample->n - 1) * part)];
}

static Sample sample_new(size_t n)
{
	Sample sample = { .values = calloc(n, sizeof(double)) };

	if (!sample.values)
		die("memory");
	return sample;
}

static void round_trip(bool bare, unsigned usec, size_t n, double limit)
{
	pid_t service = bare ? start_bare(usec) : start_qe(usec),
	      relay = start_relay(100000, 100000);
	struct sockaddr_un straight = address_of("qgs"), relayed = address_of_domain(1);
	Sample a = sample_new(n), b = sample_new(n);

	make_domain(1);
	for (size_t i = 0; i < n / 10; i++) {
		ask(&straight);
		ask(&relayed);
	}
	for (size_t i = 0; i < n; i++) {
		a.values[a.n++] = ask(&straight);
		b.values[b.n++] = ask(&relayed);
	}
	printf("quote, %s, %u ms more: straight %.0f us, p99 %.0f; relayed %.0f us, p99 %.0f "
	       "(%zu each): %.2f, p99 %.2f, limit %.2f\n",
	       bare ? "a bare service" : "tdi-qe-emulated", usec / 1000, quantile(&a, 0.5),
	       quantile(&a, 0.99), quantile(&b, 0.5), quantile(&b, 0.99), n,
	       quantile(&b, 0.5) / quantile(&a, 0.5), quantile(&b, 0.99) / quantile(&a, 0.99),
	       limit);
	free(a.values);
	free(b.values);
	kill(relay, SIGTERM);
	kill(service, SIGKILL);
	while (wait(NULL) > 0)
		;
	unlink(straight.sun_path);
}

/* --- many at once --- */

/* One of those who ask all the time. */
typedef struct Client {
	int fd;
	size_t got, whole;
} Client;

static void client_ask(Client *client, const struct sockaddr_un *un, int epoll)
{
	struct epoll_event wanted = { .events = EPOLLIN, .data.ptr = client };

	*client = (Client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .whole = 4 };
	if (connect(client->fd, (const struct sockaddr *)un, sizeof(*un)) < 0 ||
	    write(client->fd, request, sizeof(request)) != sizeof(request) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &wanted) < 0)
		die(un->sun_path);
}

/* Whether all of the answer is there. */
static bool client_read(Client *client)
{
	uint8_t buffer[2 * ANSWER_SIZE];
	ssize_t n = read(client->fd, buffer, sizeof(buffer));

	if (n <= 0 || (client->got == 0 && n < 4))
		die("an answer");
	if (client->got == 0)
		client->whole = frame_size(buffer);
	client->got += (size_t)n;
	return client->got >= client->whole;
}

/*
 * All of them in one thread, which costs less than one for each: there may be fewer processors than
 * programs to be measured. The answers within so many seconds, or until `stop`.
 */
static unsigned long keep_asking(const struct sockaddr_un *un, size_t n, double seconds,
				 const atomic_bool *stop)
{
	struct epoll_event events[CLIENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), ready;
	Client clients[CLIENTS];
	unsigned long answered = 0;
	double began = now();

	if (epoll < 0)
		die("epoll");
	for (size_t i = 0; i < n; i++)
		client_ask(&clients[i], un, epoll);
	while (stop ? !*stop : now() < began + seconds * 1e6) {
		ready = epoll_wait(epoll, events, CLIENTS, 10);
		for (int i = 0; i < ready; i++) {
			Client *client = events[i].data.ptr;

			if (!client_read(client))
				continue;
			answered++;
			close(client->fd);
			client_ask(client, un, epoll);
		}
	}
	for (size_t i = 0; i < n; i++)
		close(clients[i].fd);
	close(epoll);
	return answered;
}

static double per_second(const struct sockaddr_un *un, double seconds)
{
	return (double)keep_asking(un, CLIENTS, seconds, NULL) / seconds;
}

static void throughput(bool bare, unsigned usec)
{
	pid_t service = bare ? start_bare(usec) : start_qe(usec),
	      relay = start_relay(100000, 100000);
	struct sockaddr_un straight = address_of("qgs"), relayed = address_of_domain(1);
	Sample a = sample_new(5), b = sample_new(5);

	make_domain(1);
	for (int i = 0; i < 5; i++) {
		a.values[a.n++] = per_second(&straight, 1);
		b.values[b.n++] = per_second(&relayed, 1);
	}
	printf("quote, %d clients, %s, %u ms more: straight %.0f a second, relayed %.0f "
	       "(medians of 5 s): %.2f, limit 0.90\n",
	       CLIENTS, bare ? "a bare service" : "tdi-qe-emulated", usec / 1000, quantile(&a, 0.5),
	       quantile(&b, 0.5), quantile(&b, 0.5) / quantile(&a, 0.5));
	free(a.values);
	free(b.values);
	kill(relay, SIGTERM);
	kill(service, SIGKILL);
	while (wait(NULL) > 0)
		;
	unlink(straight.sun_path);
}

typedef struct Flood {
	struct sockaddr_un un;
	atomic_bool stop;
	unsigned long answered;
} Flood;

static void *flood_it(void *userdata)
{
	Flood *flood = userdata;

	flood->answered += keep_asking(&flood->un, FLOODERS, 0, &flood->stop);
	return NULL;
}

/* So many domains in turn, each within its limits. */
#define QUIET	    10
#define QUIET_PAUSE (1.2e6 / RATE_DEFAULT / QUIET)

static void quiet(Sample *sample, size_t n)
{
	struct sockaddr_un un[QUIET];

	for (int i = 0; i < QUIET; i++)
		un[i] = address_of_domain(i);
	for (size_t i = 0; i < n; i++) {
		pause_usec(QUIET_PAUSE);
		sample->values[sample->n++] = ask(&un[i % QUIET]);
	}
}

/* Those who ask within their limits, while another asks as much as it can. */
static void quiet_beside_a_flood(unsigned rate, unsigned burst, const char *limit)
{
	enum { BLOCKS = 5, BLOCK = 500 };
	pid_t service = start_qe(0), relay = start_relay(rate, burst);
	struct sockaddr_un straight = address_of("qgs");
	Sample alone = sample_new(BLOCKS * BLOCK), beside = sample_new(BLOCKS * BLOCK);
	Flood flood = { .un = address_of_domain(QUIET) };
	pthread_t thread;

	for (int i = 0; i <= QUIET; i++)
		make_domain(i);
	for (int i = 0; i < BLOCKS; i++) {
		quiet(&alone, BLOCK);
		flood.stop = false;
		pthread_create(&thread, NULL, flood_it, &flood);
		quiet(&beside, BLOCK);
		flood.stop = true;
		pthread_join(thread, NULL);
	}
	printf("quote, quiet domains: alone %.0f us, p99 %.0f; while another floods (%lu served, "
	       "%u a second) %.0f us, p99 %.0f: p99 %.2f%s\n",
	       quantile(&alone, 0.5), quantile(&alone, 0.99), flood.answered, rate,
	       quantile(&beside, 0.5), quantile(&beside, 0.99),
	       quantile(&beside, 0.99) / quantile(&alone, 0.99), limit);
	free(alone.values);
	free(beside.values);
	kill(relay, SIGTERM);
	kill(service, SIGKILL);
	while (wait(NULL) > 0)
		;
	unlink(straight.sun_path);
}

int main(int argc, char **argv)
{
	char command[128];

	if (argc != 3) {
		fputs("Usage: bench-quote TDI-QUOTED TDI-QE-EMULATED\n", stderr);
		return 2;
	}
	quoted = argv[1];
	qe = argv[2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!scratch_folder(folder, sizeof(folder), "/dev/shm"))
		die(folder);
	make_sockets_folder();
	make_messages();
	round_trip(false, 0, 3000, 1.3);
	round_trip(false, 4000, 500, 1.05);
	round_trip(true, 0, 3000, 1.3);
	throughput(false, 0);
	throughput(false, 4000);
	quiet_beside_a_flood(RATE_DEFAULT, BURST_DEFAULT, ", limit 1.20");
	quiet_beside_a_flood(10 * RATE_DEFAULT, BURST_DEFAULT, "");
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) != 0;
}
