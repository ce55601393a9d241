/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A health check that lacks what it takes: tests/quote cannot choose the moment. */
#include "quote/upstream.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>

static ConfigUpstream config = { .name = "unix:/nonexistent/quote-upstream", .parallel = 1 };
static sd_event *event;
static Expiries timeout;
static Upstream *upstream;

static void on_moved(Upstream *u, void *userdata)
{
}

static void set_up(void)
{
	cr_assert_eq(address_parse(&config.address, config.name, NULL), 0);
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_geq(expiries_init(&timeout, event, "checks", CLOCK_MONOTONIC, 1000000), 0);
	cr_assert_geq(upstream_new(&upstream, event, &config, 1000000, &timeout, on_moved, NULL),
		      0);
}

static void tear_down(void)
{
	upstream_free(upstream);
	expiries_done(&timeout);
	sd_event_unref(event);
}

TestSuite(quote_upstream, .init = set_up, .fini = tear_down, .timeout = 20);

/* It says nothing about the service, and is done when there is a descriptor. */
Test(quote_upstream, no_descriptor_for_a_check)
{
	struct rlimit limit, none;
	int turns = 0;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (turns < 3)
		turns += sd_event_run(event, UINT64_MAX) > 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_str_eq(upstream_state(upstream), "closed");
	cr_assert_eq(upstream->n_checks + upstream->n_failed, 0);
	cr_assert_null(upstream->trouble);
	while (upstream->n_checks == 0)
		cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
	cr_assert_str_eq(upstream_state(upstream), "open");
	cr_assert_str_eq(upstream->trouble, "No such file or directory");
}
