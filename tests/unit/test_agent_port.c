/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/port.h"
#include "rpc/frame.h"
#include "testing-tree.h"

#include <errno.h>
#include <sys/socket.h>

static TestingTree files;
static Loop *loop;
static Port *port;
static LoopTimer guard;
static int host;
static char heard[512];

static void note(const char *text)
{
	strncat(heard, text, sizeof(heard) - strlen(heard) - 1);
}

static void on_opened(void *userdata, bool anew)
{
	note(anew ? "anew " : "opened ");
}

static void on_frame(void *userdata, const char *text, size_t len)
{
	note(!text ? "oversize" : len > 100 ? "long" : text);
	note(" ");
}

static void on_closed(void *userdata)
{
	note("closed ");
}

static void on_guard(void *userdata)
{
	*(bool *)userdata = true;
}

static void turn(void)
{
	bool over = false;

	loop_timer_init(loop, &guard, on_guard, &over);
	loop_timer_set(&guard, 5 * USEC_PER_MS);
	while (!over)
		loop_turn(loop);
}

static void setup(void)
{
	static const PortHandlers handlers = { on_opened, on_frame, on_closed };
	int fds[2];

	heard[0] = '\0';
	testing_tree_init(&files);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(port_new(&port, loop, &files.tree, &handlers, NULL), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	host = fds[1];
	cr_assert_eq(port_attach(port, fds[0]), 0);
	turn();
}

static void teardown(void)
{
	port_free(port);
	loop_free(loop);
	close(host);
	testing_tree_done(&files);
}

TestSuite(agent_port, .init = setup, .fini = teardown);

static void hostsays(const char *bytes, size_t size)
{
	cr_assert_eq(write(host, bytes, size), (ssize_t)size);
	turn();
}

Test(agent_port, nul_first)
{
	char bytes[8];

	cr_assert_str_eq(heard, "opened ");
	cr_assert_eq(read(host, bytes, sizeof(bytes)), 1);
	cr_assert_eq(bytes[0], 0);
}

Test(agent_port, begins_anew)
{
	hostsays("\0a\0b", 4);
	cr_assert_str_eq(heard, "opened anew a ");
	/* In the middle of a frame the NUL only ends it: rubbish for whoever parses it. */
	hostsays("\0\0", 2);
	cr_assert_str_eq(heard, "opened anew a b anew ");
}

Test(agent_port, oversize)
{
	static char large[FRAME_SIZE_MAX + 2];

	memset(large, 'x', sizeof(large) - 1);
	for (size_t done = 0; done < sizeof(large);) {
		ssize_t n = write(host, large + done, sizeof(large) - done);

		done += n > 0 ? (size_t)n : 0;
		turn();
	}
	hostsays("c\0", 2);
	cr_assert_str_eq(heard, "opened oversize c ");
}

Test(agent_port, more_than_one_turn_reads)
{
	static char frames[512 * 1024];
	size_t done = 0;

	memset(frames, 0, sizeof(frames));
	for (size_t i = 0; i < sizeof(frames); i += 65536)
		memset(frames + i, 'y', 65535);
	while (done < sizeof(frames)) {
		ssize_t n = write(host, frames + done, sizeof(frames) - done);

		done += n > 0 ? (size_t)n : 0;
		if (n < 0)
			loop_turn(loop);
	}
	heard[0] = '\0';
	hostsays("\0z\0", 3);
	cr_assert(strstr(heard, "z "), "%.100s", heard);
}

Test(agent_port, host_does_not_read)
{
	static char much[60000];
	unsigned int sent = 0;
	char sink[4096];

	while (sent < 100 && port_send(port, much, sizeof(much)) == 0)
		sent++;
	cr_assert_lt(sent, 100);
	cr_assert_eq(port_send(port, much, sizeof(much)), -ENOBUFS);
	while (read(host, sink, sizeof(sink)) > 0)
		turn();
	cr_assert_eq(port_send(port, much, sizeof(much)), 0);
}

Test(agent_port, host_goes)
{
	shutdown(host, SHUT_RDWR);
	turn();
	cr_assert_str_eq(heard, "opened closed ");
	cr_assert_eq(port_send(port, "x", 1), -ENOTCONN);
	/* It hangs up for good: that must not keep the loop turning. */
	uint64_t before = loop_now();

	turn();
	cr_assert_geq(loop_now() - before, 4 * USEC_PER_MS);
}

Test(agent_port, found_by_name)
{
	/* One is open already. */
	cr_assert_eq(port_find(port), 0);
	port_free(port);
	cr_assert_eq(port_new(&port, loop, &files.tree,
			      &(PortHandlers){ on_opened, on_frame, on_closed }, NULL),
		     0);
	cr_assert_eq(port_find(port), -ENOENT);
	testing_put(&files, "/sys/class/virtio-ports/vport0p1/name", "org.qemu.guest_agent.0\n");
	testing_put(&files, "/sys/class/virtio-ports/vport0p2/dev", "1:1\n");
	cr_assert_eq(port_find(port), -ENOENT);
	testing_put(&files, "/sys/class/virtio-ports/vport0p3/name", PORT_NAME "\n");
	cr_assert_eq(port_find(port), -ENOENT, "no device node yet");
	testing_put(&files, "/dev/vport0p3", "%s", "");
	cr_assert_eq(port_find(port), -EPERM, "a plain file cannot be waited for");
}
