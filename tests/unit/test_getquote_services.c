/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* getquote-exchange.c: whatever the service does, the guest gets an end. */
#include "testing-getquote.h"

#include <sys/resource.h>

TestSuite(getquote_services, .timeout = GETQUOTE_TEST_TIMEOUT);

static void served_by(TestingQgsManner manner, unsigned int deadline_ms, uint64_t status,
		      const char *line)
{
	TestingQgs *qgs = testing_qgs(manner, 4000);
	Vm *vm = vm_new(qgs, deadline_ms);
	int64_t begin = milliseconds();

	request(vm, PAGE, 2 * PAGE);
	cr_assert_eq(wait_for_events(vm), 1);
	if (status == GETQUOTE_SUCCESS)
		is_quote(vm, PAGE, 4000);
	else
		is_failure(vm, PAGE, 2 * PAGE, status);
	if (line)
		told(vm, line);
	cr_assert_eq(vm->n_lines, line != NULL);
	cr_assert_lt(milliseconds() - begin, 5000);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote_services, lying_services)
{
	static const struct {
		TestingQgsManner manner;
		const char *line;
	} manners[] = {
		{ QGS_CLOSES_EARLY, "closed: request sent, 0 bytes received" },
		{ QGS_CLOSES_MIDWAY, "closed: request sent, 2014 bytes of 4028 received" },
		{ QGS_REFUSES, "refused: invalid parameter (0x12003)" },
		{ QGS_VERSION_2, "its version is not 1" },
		{ QGS_OTHER_TYPE, "the reply is a GET_PLATFORM_INFO request" },
		{ QGS_FRAME_HUGE, "said to be of 4294967295 bytes" },
		{ QGS_FRAME_SMALL, "the size that it says is not its own" },
		{ QGS_FRAME_LARGE, "closed: request sent, 4028 bytes of 4029 received" },
		{ QGS_SIZE_LIES, "the size that it says is not its own" },
		{ QGS_QUOTE_LIES, "larger than it is" },
		{ QGS_EMPTY_QUOTE, "there is no quote in it" },
		{ QGS_UNFRAMED, "said to be of 16777472 bytes" },
	};

	for (size_t i = 0; i < ELEMENTSOF(manners); i++)
		served_by(manners[i].manner, 0, GETQUOTE_ERROR, manners[i].line);
}

Test(getquote_services, odd_services)
{
	served_by(QGS_SLOW, 0, GETQUOTE_SUCCESS, NULL);
	served_by(QGS_SPLITS, 0, GETQUOTE_SUCCESS, NULL);
	served_by(QGS_VERSION_1_0, 0, GETQUOTE_SUCCESS, NULL);
	served_by(QGS_SAYS_ID, 0, GETQUOTE_SUCCESS, NULL);
	served_by(QGS_TALKS_ON, 0, GETQUOTE_SUCCESS, NULL);
}

Test(getquote_services, wedged_services)
{
	served_by(QGS_SILENT, 400, GETQUOTE_ERROR,
		  "did not answer within 400 ms (request sent, 0 bytes received)");
	served_by(QGS_DRIPS, 400, GETQUOTE_ERROR, "did not answer within 400 ms (request sent, ");
}

Test(getquote_services, nobody_there)
{
	TestingQgs *place = testing_qgs_place(), *listener = testing_qgs_listen(1);
	Vm *vm = vm_new(place, 0);

	request(vm, 0, PAGE);
	wait_for_events(vm);
	is_failure(vm, 0, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
	told(vm, "/qgs.socket: connect: No such file or directory (does tdi-quoted, or QGS, run");
	vm_done(vm);
	vm = vm_new(listener, 0);
	close(listener->fd);
	listener->fd = -1;
	request(vm, 0, PAGE);
	wait_for_events(vm);
	is_failure(vm, 0, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
	told(vm, "Connection refused");
	vm_done(vm);
	testing_qgs_done(place);
	testing_qgs_done(listener);
}

static int64_t cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* It listens, but its queue is full: some are connected and never answered, some not even that. */
Test(getquote_services, full_queue)
{
	TestingQgs *qgs = testing_qgs_listen(0);
	Vm *vm = vm_new(qgs, 500);
	size_t n_unavailable = 0;
	int64_t cpu = cpu_ms();

	for (size_t i = 0; i < 4; i++)
		request(vm, i * PAGE, PAGE);
	for (uint64_t n = 0; n < 4;)
		n += wait_for_events(vm);
	for (size_t i = 0; i < 4; i++)
		n_unavailable += status_of(vm, i * PAGE) == GETQUOTE_SERVICE_UNAVAILABLE;
	cr_assert_eq(n_unavailable, 3);
	told(vm, "did not answer within 500 ms (not connected): it takes no more connections");
	cr_assert_lt(cpu_ms() - cpu, 40, "it waits, and does not spin");
	vm_done(vm);
	testing_qgs_done(qgs);
}

/* The queue was full, and is not any more. */
Test(getquote_services, queue_has_room_again)
{
	TestingQgs *qgs = testing_qgs_listen(0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	Vm *vm = vm_new(qgs, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, qgs->path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	request(vm, 0, PAGE);
	qgs->quote_size = KIB;
	qgs->end = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(pthread_create(&qgs->thread, NULL, testing_qgs_run, qgs), 0);
	wait_for_events(vm);
	is_quote(vm, 0, KIB);
	close(fd);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote_services, no_descriptors_left)
{
	TestingQgs *qgs = testing_qgs(QGS_HONEST, KIB);
	Vm *vm = vm_new(qgs, 0);
	struct rlimit before, limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	request(vm, 0, PAGE);
	wait_for_events(vm);
	is_failure(vm, 0, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
	told(vm, "Too many open files");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	request(vm, 0, PAGE);
	wait_for_events(vm);
	is_quote(vm, 0, KIB);
	vm_done(vm);
	testing_qgs_done(qgs);
}

Test(getquote_services, vsock_with_nobody)
{
	GetquoteOptions options = { .vsock_cid = 1, .vsock_port = 1, .deadline_ms = 300 };
	TestingQgs *place = testing_qgs_place();
	Vm *vm = vm_new(place, 0);

	vm->getquote = getquote_free(vm->getquote);
	options.log = keep_line;
	options.userdata = vm;
	cr_assert_eq(getquote_new(&vm->getquote, &options), 0);
	request(vm, 0, PAGE);
	wait_for_events(vm);
	is_failure(vm, 0, PAGE, GETQUOTE_SERVICE_UNAVAILABLE);
	told(vm, "vsock 1:1");
	vm_done(vm);
	testing_qgs_done(place);
}
