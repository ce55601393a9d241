/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The TSM requests of many guests, for which there are 32 places. */
#include "testing-daemon.h"

#include "daemon/guest-tsm.h"

#include <string.h>

#define PLACES	 32
#define OF_GUEST 8
#define GUESTS	 7

static TestingDaemon d;
static GuestTsm *guests[GUESTS];
static unsigned int n_answered[GUESTS], n_refused;

static void on_answered(void *userdata, const GuestTsmAnswer *answer)
{
	n_answered[(unsigned int *)userdata - n_answered]++;
	n_refused += answer->error != NULL;
}

static void set_up(void)
{
	testing_daemon_init(&d);
	testing_daemon_start(&d);
	for (unsigned int i = 0; i < GUESTS; i++) {
		Uuid uuid = { .bytes = { (uint8_t)(i + 1) } };
		Domain *domain;
		Tvm *tvm;

		cr_assert_eq(registry_domain(d.tdid.registry, uuid, &domain), 0);
		cr_assert_eq(registry_add_tvm(d.tdid.registry, domain, &tvm), 0);
		cr_assert_eq(guest_tsm_new(&guests[i], &d.tdid, tvm, on_answered, &n_answered[i]),
			     0);
	}
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < GUESTS; i++)
		guests[i] = guest_tsm_free(guests[i]);
	testing_daemon_done(&d);
}

TestSuite(daemon_guest_tsm, .init = set_up, .fini = tear_down);

static void request(unsigned int guest, const char *message)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;

	cr_assert_eq(
		json_build(&parameters, J_STRING("scope", "info"), J_STRING("message", message)),
		0);
	guest_tsm_request(guests[guest], &(GuestFrame){ .kind = GUEST_FRAME_CALL,
							.session = SESSION_A,
							.id = 1,
							.method = "TsmRequest",
							.parameters = parameters });
}

/* Four guests have all places. */
static void fill(void)
{
	for (unsigned int i = 0; i < PLACES; i++)
		request(i / OF_GUEST, "MA==");
	UNTIL(d.event, d.tsm->n_held == PLACES);
}

/* One place becomes free: who gets it, and with which message? */
static const char *next(uint8_t *ret_guest)
{
	json_object *parameters;
	Uuid uuid;

	fake_tsm_let_one_go(d.tsm);
	UNTIL(d.event, d.tsm->n_held == PLACES);
	parameters = varlink_call_parameters(d.tsm->held[PLACES - 1]);
	uuid_from_string(&uuid, json_get_string(parameters, "tvm"));
	*ret_guest = uuid.bytes[0] - 1;
	return json_get_string(parameters, "message");
}

Test(daemon_guest_tsm, free_place_is_taken)
{
	uint8_t guest;

	fill();
	request(4, "MQ==");
	testing_idle(d.event);
	cr_assert_eq(d.tsm->n_held, PLACES);
	cr_assert_str_eq(next(&guest), "MQ==");
	cr_assert_eq(guest, 4);
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, d.tdid.guest_turns.in_flight == 0);
	cr_assert_eq(n_answered[4], 1);
	cr_assert_eq(n_refused, 0);
}

/* However many one asks for. */
Test(daemon_guest_tsm, guests_take_turns)
{
	static const struct {
		uint8_t guest;
		const char *message;
	} turns[] = { { 4, "MQ==" }, { 5, "NA==" }, { 6, "NQ==" }, { 4, "Mg==" },
		      { 5, "Ng==" }, { 4, "Mw==" }, { 4, "Nw==" } };
	uint8_t guest;

	fill();
	request(4, "MQ==");
	request(4, "Mg==");
	request(4, "Mw==");
	request(5, "NA==");
	request(6, "NQ==");
	request(5, "Ng==");
	request(4, "Nw==");
	for (unsigned int i = 0; i < ELEMENTSOF(turns); i++) {
		cr_assert_str_eq(next(&guest), turns[i].message, "turn %u", i);
		cr_assert_eq(guest, turns[i].guest, "turn %u", i);
	}
	cr_assert_eq(n_refused, 0);
}

/* Who has had a place does not get the next one before those that wait. */
Test(daemon_guest_tsm, new_request_is_behind_those_that_wait)
{
	uint8_t guest;

	fill();
	request(4, "MQ==");
	request(5, "Mg==");
	fake_tsm_let_one_go(d.tsm);
	UNTIL(d.event, n_answered[0] == 1);
	request(0, "Mw==");
	UNTIL(d.event, d.tsm->n_held == PLACES);
	cr_assert_str_eq(next(&guest), "Mg==");
	cr_assert_str_eq(next(&guest), "Mw==");
}

Test(daemon_guest_tsm, whoever_has_gone_has_no_turn)
{
	uint8_t guest;

	fill();
	request(4, "MQ==");
	request(5, "Mg==");
	request(6, "Mw==");
	guests[4] = guest_tsm_free(guests[4]);
	guest_tsm_end_session(guests[5]);
	cr_assert_str_eq(next(&guest), "Mw==");
	/* Its places are free at once. */
	request(6, "NA==");
	guests[0] = guest_tsm_free(guests[0]);
	UNTIL(d.event, d.tdid.guest_turns.in_flight == PLACES - OF_GUEST + 2);
	cr_assert_eq(n_answered[4] + n_answered[5], 0);
}

Test(daemon_guest_tsm, provider_goes_while_some_wait)
{
	fill();
	request(4, "MQ==");
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, n_refused == PLACES);
	cr_assert_eq(n_answered[4], 0);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_DONE;
	fake_tsm_start(d.tsm);
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	guest_tsm_provider_ready(guests[4]);
	UNTIL(d.event, n_answered[4] == 1);
	cr_assert_eq(n_refused, PLACES);
}
