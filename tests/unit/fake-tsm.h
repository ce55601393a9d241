/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TSM provider in the test's own loop: io.tdid.Tsm over a real socket, with one DSM
 * (0000:41:00.0) and the TDIs 0000:41:00.1 to .3 behind it. It keeps its state while its socket is
 * closed, so that closing and opening it stands for a restart.
 */
#pragma once

#include "rpc/varlink-server.h"

#define FAKE_TSM_DSM  "0000:41:00.0"
#define FAKE_TSM_TDIS 3

typedef enum FakeVerb {
	FAKE_CONNECT,
	FAKE_DISCONNECT,
	FAKE_BIND,
	FAKE_UNBIND,
	FAKE_LOCK,
	FAKE_START,
	FAKE_PREPARE,
	FAKE_RELEASE,
	FAKE_GUEST_REQUEST,
	FAKE_GET_EVIDENCE,
	FAKE_QUERY,
	FAKE_VERB_N,
} FakeVerb;

typedef enum FakeAnswer {
	FAKE_DONE,
	FAKE_HOLD,	 /* nothing, not even "started" */
	FAKE_QUEUE_HOLD, /* "queued", then nothing */
	FAKE_START_HOLD, /* "started", then nothing */
	FAKE_REFUSE,	 /* Refused, or GuestMessageRejected */
	FAKE_BREAK_OFF,	 /* OutcomeUnknown */
	FAKE_INVALID,	 /* org.varlink.service.InvalidParameter */
	FAKE_NOT_DONE,	 /* a last reply that says "queued" */
} FakeAnswer;

typedef struct FakeTdi {
	char device[16];
	int64_t generation; /* 0: not bound */
	char tvm[40];
	const char *state;
	bool accepted;
	const char *asks; /* its TVM's request, and its number; NULL: none */
	int64_t request;
} FakeTdi;

typedef struct FakeTsm {
	sd_event *event;
	const char *path;
	VarlinkServer *server;
	unsigned int connections_max;

	/* The script */
	FakeAnswer answers[FAKE_VERB_N];
	bool unconfirmed; /* Unbind: the device did not answer STOP */
	const char *unbind_reason;
	bool protection;
	const char *state_source; /* NULL: "tsm" */
	bool tvm_asks_lock;	  /* a bind ends in CONFIG_UNLOCKED */
	const char *bind_when;	  /* NULL: "guest_ready" */
	const char *device_text;  /* ListDevices: instead of the first device's address */
	const char *only_device;  /* ListDevices: it alone */
	const char *dsm_text;	  /* ListDevices: another DSM of all of them */
	const char *query_text;	  /* Query: instead of the first TDI's address */
	const char *key_file;
	const char *instance; /* NULL: "1" */
	const char *stalled;  /* Query says so */
	const char *busy;     /* PrepareTvm: TvmBusy, by this device */
	const char *plain;    /* ListDevices: one more function of the DSM, which is no TDI */

	/* What it holds */
	bool connected;
	FakeTdi tdis[FAKE_TSM_TDIS];

	/* What came */
	unsigned int calls[FAKE_VERB_N];
	char operation[FAKE_VERB_N][32];
	char refused[FAKE_VERB_N]
		    [32]; /* the last operation that was: so it is when it is repeated */
	int64_t requester_id;
	bool forced; /* the last Unbind or Disconnect */
	unsigned int cancels;
	char cancel[32]; /* the operation that the last one was about */
	bool cancel_fails;
	VarlinkCall *held[64];
	FakeVerb held_verb[64];
	bool held_started[64];
	size_t n_held;
	VarlinkCall *watches[4];
	int64_t sequence;
} FakeTsm;

FakeTsm *fake_tsm_new(sd_event *event, const char *path);
FakeTsm *fake_tsm_free(FakeTsm *tsm);
/* Serves, or closes every socket. */
void fake_tsm_start(FakeTsm *tsm);
void fake_tsm_stop(FakeTsm *tsm);
/* Carries out the first of what was held; carries out all of it. */
void fake_tsm_let_one_go(FakeTsm *tsm);
void fake_tsm_let_go(FakeTsm *tsm);
/* Refuses the first of it. */
void fake_tsm_refuse_one(FakeTsm *tsm);
/* The TDI changes by itself; whoever watches is told. */
void fake_tsm_set(FakeTsm *tsm, FakeTdi *tdi, const char *state, bool accepted);
/* Its TVM has this request open; likewise. NULL: none. */
void fake_tsm_ask(FakeTsm *tsm, FakeTdi *tdi, const char *what, int64_t request);
/* The DSM's session is lost. */
void fake_tsm_lose_dsm(FakeTsm *tsm);
/* News of the TSM itself. */
void fake_tsm_note(FakeTsm *tsm, const char *reason);
/* Every Monitor ends, without an error. */
void fake_tsm_end_watches(FakeTsm *tsm, const char *reason);
