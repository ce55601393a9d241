/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "raw-peer.h"
#include "testing-daemon.h"

#include <errno.h>
#include <sys/resource.h>

static sd_event *event;
static char path[64];
static FakeTsm *tsm;
static Provider *provider;
static Operations *operations;
static Tdid tdid;
static Registry *registry;
static Domain *domain;
static Tvm *tvm;
static Dsm *dsm;
static Tdi *tdi;
static Assignment *a;
static unsigned int n_started, n_done;
static OperationResult last;
static Verb last_verb;
static char last_reason[256];
static bool is_needed;

static void on_ready(Provider *p, const ProviderTdi *tdis, size_t n_tdis, const ProviderDsm *dsms,
		     size_t n_dsms, void *userdata)
{
	if (operations)
		operations_provider_ready(operations);
}

static void on_tdi(Provider *p, const ProviderTdi *t, const char *reason, void *userdata)
{
}

static void on_dsm(Provider *p, const ProviderDsm *t, const char *reason, void *userdata)
{
}

static void on_lost(Provider *p, const char *reason, void *userdata)
{
}

static void on_started(const OperationRequest *request, void *userdata)
{
	n_started++;
}

static void on_done(const OperationRequest *request, const OperationResult *result, void *userdata)
{
	n_done++;
	last = *result;
	last_verb = request->verb;
	snprintf(last_reason, sizeof(last_reason), "%s", result->reason ?: "");
}

static bool on_needed(const OperationRequest *request, void *userdata)
{
	return is_needed;
}

static void start(uint64_t deadline_usec)
{
	static const ProviderHandlers provider_handlers = { on_ready, on_tdi, on_dsm, on_lost };
	static const OperationHandlers handlers = { on_started, on_done, on_needed };
	ConfigTsm config = { .name = (char *)"fake", .socket = path, .uid = getuid() };
	Bdf bdf;

	cr_assert_eq(operations_new(&operations, event, deadline_usec, &handlers, NULL), 0);
	cr_assert_eq(provider_new(&provider, event, &config, &provider_handlers, NULL), 0);
	registry_new(&registry, &tdid);
	registry_domain(registry, (Uuid){}, &domain);
	registry_add_tvm(registry, domain, &tvm);
	bdf_parse(&bdf, FAKE_TSM_DSM);
	registry_dsm(registry, bdf, &dsm);
	dsm->provider = provider;
	bdf_parse(&bdf, "0000:41:00.1");
	registry_tdi(registry, bdf, &tdi);
	registry_add_assignment(registry, tvm, dsm, tdi, "ua-tdi-a", &a);
	a->guest.bus = 5;
	UNTIL(event, provider_is_ready(provider));
}

static void set_up(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
	tsm = fake_tsm_new(event, raw_path(path));
}

static void tear_down(void)
{
	operations = operations_free(operations);
	registry = registry_free(registry);
	provider = provider_free(provider);
	fake_tsm_free(tsm);
	sd_event_unref(event);
	raw_done(path);
}

TestSuite(daemon_operations, .init = set_up, .fini = tear_down);

static void submit(Verb verb, uint64_t number)
{
	OperationRequest request = { .verb = verb, .number = number, .dsm = dsm, .generation = 3 };

	if (verb == VERB_BIND || verb == VERB_UNBIND)
		request.assignment = a;
	if (verb == VERB_CLEAR)
		request.tdi = tdi;
	cr_assert_eq(operations_submit(operations, &request), 0);
}

Test(daemon_operations, refused)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	submit(VERB_BIND, 1);
	cr_assert_eq(n_done, 0);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert_str_eq(last_reason, "Refused: not so");
}

Test(daemon_operations, broke_off)
{
	start(1000000);
	tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	submit(VERB_UNBIND, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_UNKNOWN);
}

Test(daemon_operations, last_reply_that_is_no_outcome)
{
	start(1000000);
	tsm->answers[FAKE_CONNECT] = FAKE_NOT_DONE;
	submit(VERB_CONNECT, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_UNKNOWN);
}

Test(daemon_operations, unconfirmed_stop)
{
	start(1000000);
	tsm->unconfirmed = true;
	submit(VERB_UNBIND, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	cr_assert(!last.device_confirmed);
	cr_assert(strstr(last_reason, "STOP"));
}

Test(daemon_operations, deadline_counts_from_the_start)
{
	start(1000);
	tsm->answers[FAKE_CONNECT] = FAKE_HOLD;
	submit(VERB_CONNECT, 1);
	UNTIL(event, tsm->n_held == 1);
	cr_assert_geq(sd_event_run(event, 20000), 0);
	cr_assert_eq(n_done, 0, "a queued one has no deadline");
	tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 1);
	submit(VERB_CONNECT, 2);
	UNTIL(event, n_done == 2);
	cr_assert_eq(last.outcome, OUTCOME_UNKNOWN);
	cr_assert(strstr(last_reason, "within 1 ms"));
	/* The answer that comes after all is nobody's. */
	fake_tsm_let_go(tsm);
	testing_idle(event);
	cr_assert_eq(n_done, 2);
}

Test(daemon_operations, one_after_the_other_for_a_dsm)
{
	start(1000000);
	tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	submit(VERB_CONNECT, 1);
	submit(VERB_BIND, 2);
	UNTIL(event, tsm->n_held == 1);
	testing_idle(event);
	cr_assert_eq(tsm->calls[FAKE_BIND], 0);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 2);
	cr_assert_eq(last_verb, VERB_BIND);
	cr_assert_eq(last.state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(tsm->requester_id, 0x0500);
	cr_assert_eq(tsm->tdis[0].generation, 3);
	cr_assert_eq(n_started, 2);
}

/* Something hangs in the TSM, and the verbs behind it are queued there: so is the first of here. */
Test(daemon_operations, clear_does_not_wait_behind_what_is_queued)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_HOLD;
	submit(VERB_BIND, 1);
	submit(VERB_CONNECT, 2);
	submit(VERB_CLEAR, 3);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last_verb, VERB_CLEAR);
	cr_assert(tsm->forced);
	cr_assert_eq(tsm->calls[FAKE_CONNECT], 0, "in its turn");
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 3);
	cr_assert_eq(last_verb, VERB_CONNECT);
}

Test(daemon_operations, reclaim_with_force_does_not_wait_either)
{
	OperationRequest request = { .verb = VERB_RECLAIM, .number = 2, .force = true };

	start(1000000);
	tsm->answers[FAKE_UNBIND] = FAKE_HOLD;
	submit(VERB_UNBIND, 1);
	request.dsm = dsm;
	cr_assert_eq(operations_submit(operations, &request), 0);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last_verb, VERB_RECLAIM);
	cr_assert(tsm->forced);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 2);
	cr_assert_eq(last_verb, VERB_UNBIND);
}

/* As that of a provider whose process has been stopped. */
Test(daemon_operations, provider_that_says_nothing_counts_as_lost)
{
	start(1000000);
	tsm->answers[FAKE_CONNECT] = FAKE_HOLD;
	submit(VERB_CONNECT, 0xabc);
	UNTIL(event, tsm->n_held == 1);
	for (unsigned int i = 0; i < 20 && provider_is_ready(provider); i++)
		cr_assert_geq(sd_event_run(event, 500000), 0);
	cr_assert(!provider_is_ready(provider));
	cr_assert(strstr(provider_trouble(provider), "it has said nothing of io.tdid.Tsm.Connect"));
	cr_assert_eq(n_done, 0, "nothing is known of it");
	tsm->answers[FAKE_CONNECT] = FAKE_DONE;
	UNTIL(event, n_done == 1);
	cr_assert(provider_is_ready(provider));
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	cr_assert_str_eq(tsm->operation[FAKE_CONNECT], "0000000000000abc");
}

Test(daemon_operations, waits_for_its_provider)
{
	start(1000000);
	fake_tsm_stop(tsm);
	UNTIL(event, !provider_is_ready(provider));
	submit(VERB_CONNECT, 1);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	fake_tsm_start(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

Test(daemon_operations, nobody_serves_its_dsm)
{
	start(1000000);
	dsm->provider = NULL;
	submit(VERB_CONNECT, 1);
	testing_idle(event);
	dsm->provider = provider;
	operations_provider_ready(operations);
	UNTIL(event, n_done == 1);
}

Test(daemon_operations, same_number_after_the_provider_was_lost)
{
	start(5000000);
	tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	submit(VERB_BIND, 0xabc);
	UNTIL(event, tsm->n_held == 1);
	fake_tsm_stop(tsm);
	tsm->answers[FAKE_BIND] = FAKE_DONE;
	UNTIL(event, !provider_is_ready(provider));
	fake_tsm_start(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	cr_assert_eq(tsm->calls[FAKE_BIND], 2);
	cr_assert_str_eq(tsm->operation[FAKE_BIND], "0000000000000abc");
	cr_assert_eq(n_started, 1);
}

static void on_nothing(const VarlinkReply *reply, const char *error, void *userdata)
{
}

/* From here on a verb needs a connection of its own. */
static void occupy_connection(void)
{
	_cleanup_(json_unrefp) json_object *device = NULL;

	cr_assert_eq(json_build(&device, J_STRING("device", "0000:41:00.1")), 0);
	tsm->answers[FAKE_GET_EVIDENCE] = FAKE_HOLD;
	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.GetEvidence", device, 0, 0, on_nothing,
				   NULL, NULL),
		     0);
	UNTIL(event, tsm->n_held == 1);
}

/* The provider stands, but has no room for this connection: nobody says when it has. */
Test(daemon_operations, one_connection_is_dropped)
{
	int fd;

	fake_tsm_stop(tsm);
	tsm->connections_max = 3;
	fake_tsm_start(tsm);
	start(5000000);
	occupy_connection();
	fd = raw_connect(path); /* beside that and the watch */
	testing_idle(event);
	submit(VERB_CONNECT, 1);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	cr_assert(provider_is_ready(provider));
	close(fd);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

/* Until `rlimit_back`, no connection can be made. */
static void no_more_descriptors(struct rlimit *old)
{
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, old), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, old->rlim_max }), 0);
}

Test(daemon_operations, cannot_be_sent)
{
	struct rlimit old;

	start(5000000);
	occupy_connection();
	no_more_descriptors(&old);
	submit(VERB_BIND, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* One answer too many, on what an earlier call was on, would be taken for the verb's. */
Test(daemon_operations, on_a_connection_of_its_own)
{
	static const Verb all[] = { VERB_CONNECT, VERB_BIND, VERB_UNBIND, VERB_RECLAIM };
	size_t kept;

	start(5000000);
	for (size_t i = 0; i < ELEMENTSOF(tsm->answers); i++)
		tsm->answers[i] = i == FAKE_QUERY ? FAKE_DONE : FAKE_HOLD;
	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		provider_ask_again(provider);
		testing_idle(event);
		kept = provider_kept_connections(provider);
		cr_assert_gt(kept, 0);
		submit(all[i], i + 1);
		UNTIL(event, tsm->n_held == 1);
		cr_assert_eq(provider_kept_connections(provider), kept, "%s", verb_name(all[i]));
		fake_tsm_let_go(tsm);
		UNTIL(event, n_done == i + 1);
		cr_assert_eq(last.outcome, OUTCOME_DONE);
		cr_assert_eq(provider_kept_connections(provider), kept, "%s", verb_name(all[i]));
	}
}

/* What was sent has its deadline all the same. */
Test(daemon_operations, hangs_when_no_descriptor_is_left)
{
	struct rlimit old;

	start(100000);
	tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	submit(VERB_CONNECT, 1);
	UNTIL(event, tsm->n_held == 1);
	cr_assert_eq(n_started, 0);
	no_more_descriptors(&old);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_UNKNOWN);
	cr_assert_eq(n_started, 1);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* What an earlier run of tdid sent may have been done. */
Test(daemon_operations, cannot_be_sent_again)
{
	OperationRequest request = { .verb = VERB_CONNECT, .number = 1, .resumed = true };
	struct rlimit old;

	start(5000000);
	occupy_connection();
	no_more_descriptors(&old);
	request.dsm = dsm;
	cr_assert_eq(operations_submit(operations, &request), 0);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

/* A stalled TSM: what is bound is to be unbound all the same, when it can. */
Test(daemon_operations, refused_unbind_is_asked_again)
{
	start(5000000);
	tsm->answers[FAKE_UNBIND] = FAKE_REFUSE;
	submit(VERB_UNBIND, 1);
	UNTIL(event, tsm->calls[FAKE_UNBIND] == 3);
	cr_assert_eq(n_done, 0);
	tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

Test(daemon_operations, unbind_that_is_refused_for_too_long)
{
	start(300000);
	tsm->answers[FAKE_UNBIND] = FAKE_REFUSE;
	submit(VERB_UNBIND, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_UNKNOWN);
	cr_assert(strstr(last_reason, "no outcome within 300 ms of its start: Refused: not so"));
}

/* --- called off --- */

Test(daemon_operations, called_off_while_queued)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	testing_idle(event);
	operations_call_off(operations, dsm, a);
	cr_assert_eq(n_done, 0, "not from within");
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert(last.called_off);
	cr_assert(!last.timed);
	cr_assert_eq(tsm->cancels, 1);
	cr_assert_eq(tsm->tdis[0].generation, 0);
	cr_assert_eq(n_started, 0);
}

/* It goes on to its outcome, and is no refusal of somebody's wish. */
Test(daemon_operations, called_off_when_it_has_started)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, n_started == 1);
	operations_call_off(operations, dsm, a);
	testing_idle(event);
	cr_assert_eq(tsm->cancels, 0);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	cr_assert(!last.called_off);
}

/* The TSM's own doing. */
Test(daemon_operations, called_off_and_refused_after_its_start)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	tsm->cancel_fails = true;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	operations_call_off(operations, dsm, a);
	UNTIL(event, tsm->cancels == 1);
	varlink_call_notifyb(tsm->held[0], J_STRING("progress", "started"));
	UNTIL(event, n_started == 1);
	fake_tsm_refuse_one(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert(!last.called_off);
}

/* "started" is on its way. */
Test(daemon_operations, called_off_too_late)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	testing_idle(event);
	tsm->held_started[0] = true;
	operations_call_off(operations, dsm, a);
	UNTIL(event, tsm->cancels == 1);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

/* Whether the provider knows it yet nobody can tell. */
Test(daemon_operations, called_off_before_anything_is_said_of_it)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	operations_call_off(operations, dsm, a);
	testing_idle(event);
	cr_assert_eq(tsm->cancels, 0);
	varlink_call_notifyb(tsm->held[0], J_STRING("progress", "queued"));
	UNTIL(event, n_done == 1);
	cr_assert_eq(tsm->cancels, 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
}

Test(daemon_operations, called_off_where_the_provider_cannot)
{
	start(1000000);
	tsm->cancel_fails = true;
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	operations_call_off(operations, dsm, a);
	UNTIL(event, tsm->cancels == 1);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
}

Test(daemon_operations, called_off_before_it_was_sent)
{
	start(1000000);
	tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	submit(VERB_CONNECT, 1);
	submit(VERB_BIND, 2);
	UNTIL(event, n_started == 1);
	operations_call_off(operations, dsm, a);
	cr_assert_eq(n_done, 0, "not from within");
	UNTIL(event, n_done == 1);
	cr_assert_eq(last_verb, VERB_BIND);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert(last.called_off);
	fake_tsm_let_go(tsm);
	UNTIL(event, n_done == 2);
	testing_idle(event);
	cr_assert_eq(tsm->calls[FAKE_BIND], 0);
	cr_assert_eq(tsm->cancels, 0);
}

Test(daemon_operations, called_off_while_its_provider_is_away)
{
	start(1000000);
	fake_tsm_stop(tsm);
	UNTIL(event, !provider_is_ready(provider));
	submit(VERB_CONNECT, 1);
	testing_idle(event);
	operations_call_off(operations, dsm, NULL);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
}

/* It may have got there: only the provider can tell, which has it taken back then. */
Test(daemon_operations, called_off_after_the_connection_was_lost)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	fake_tsm_stop(tsm);
	UNTIL(event, !provider_is_ready(provider));
	operations_call_off(operations, dsm, a);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
	fake_tsm_start(tsm);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert(last.called_off);
	cr_assert_eq(tsm->cancels, 1);
}

Test(daemon_operations, freed_while_it_is_called_off)
{
	start(1000000);
	tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	submit(VERB_BIND, 1);
	UNTIL(event, tsm->n_held == 1);
	operations_call_off(operations, dsm, a);
	operations = operations_free(operations);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
}

/* Under its old id it would be refused for ever. */
Test(daemon_operations, connect_that_is_needed_again)
{
	start(1000000);
	tsm->answers[FAKE_CONNECT] = FAKE_QUEUE_HOLD;
	submit(VERB_CONNECT, 0xabc);
	UNTIL(event, tsm->n_held == 1);
	testing_idle(event);
	operations_call_off(operations, dsm, NULL);
	is_needed = true;
	UNTIL(event, tsm->calls[FAKE_CONNECT] == 2);
	testing_idle(event);
	/* And so on. */
	is_needed = false;
	operations_call_off(operations, dsm, NULL);
	is_needed = true;
	tsm->answers[FAKE_CONNECT] = FAKE_DONE;
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	cr_assert(!last.called_off);
	cr_assert_eq(tsm->calls[FAKE_CONNECT], 3);
	cr_assert_str_eq(tsm->operation[FAKE_CONNECT], "0000000000000abc-2");
}

/* As one that was called off when tdid ended. But not what the TSM refuses. */
Test(daemon_operations, connect_that_an_earlier_run_may_have_called_off)
{
	OperationRequest request = { .verb = VERB_CONNECT, .number = 0xabc, .resumed = true };

	start(1000000);
	request.dsm = dsm;
	is_needed = true;
	snprintf(tsm->refused[FAKE_CONNECT], sizeof(tsm->refused[FAKE_CONNECT]),
		 "0000000000000abc");
	cr_assert_eq(operations_submit(operations, &request), 0);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_DONE);
	tsm->answers[FAKE_CONNECT] = FAKE_REFUSE;
	request.number++;
	cr_assert_eq(operations_submit(operations, &request), 0);
	UNTIL(event, n_done == 2);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
	cr_assert(!last.called_off);
	cr_assert_eq(tsm->calls[FAKE_CONNECT], 3);
}

Test(daemon_operations, refused_by_the_service_itself)
{
	start(5000000);
	tsm->answers[FAKE_BIND] = FAKE_INVALID;
	submit(VERB_BIND, 1);
	UNTIL(event, n_done == 1);
	cr_assert_eq(last.outcome, OUTCOME_REFUSED);
}

Test(daemon_operations, freed_with_everything_in_flight)
{
	start(5000000);
	tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	submit(VERB_CONNECT, 1);
	submit(VERB_BIND, 2);
	UNTIL(event, tsm->n_held == 1);
	operations = operations_free(operations);
	fake_tsm_let_go(tsm);
	testing_idle(event);
	cr_assert_eq(n_done, 0);
}
