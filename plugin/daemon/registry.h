/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The things behind the engine's ids: domains and their incarnations, DSMs, TDIs, assignments.
 *
 * The registry owns them all. Ids are dense and used again after an object has gone. What state an
 * object is in is the engine's; addresses, names, texts and times are here.
 */
#pragma once

#include "core/bdf.h"
#include "core/engine.h"
#include "core/uuid.h"
#include "daemon/client-token.h"
#include "daemon/dsm-cause.h"
#include "daemon/timeline.h"

#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Tdid Tdid;
typedef struct Provider Provider;
typedef struct ProviderCall ProviderCall;
typedef struct GuestPort GuestPort;
typedef struct Registry Registry;
typedef struct Tvm Tvm;
typedef struct Dsm Dsm;
typedef struct Operation Operation;
typedef struct DeclaredDevice DeclaredDevice;

/* Pointers by number; free places are NULL and are used again, lowest first. */
typedef struct Slots {
	void **slots;
	uint32_t n;
	uint32_t lowest_free;
} Slots;

/* libvirt's word that a device has been added. */
typedef struct AddedMark {
	char *alias;
	uint64_t usec; /* when */
	struct AddedMark *next;
} AddedMark;

AddedMark *added_marks_free(AddedMark *marks);

/* A domain that carries a marker of ours. */
typedef struct Domain {
	Uuid uuid;
	char *name;
	Tvm *tvm;	/* the present incarnation, or NULL */
	pid_t told_pid; /* its QEMU as the hook told last; 0: not yet */
	uint64_t told_start_time;
	bool reading;	  /* a re-read is under way */
	bool read_again;  /* it became dirty meanwhile */
	AddedMark *added; /* meanwhile, too: the next read picks them up */
	bool has_guest_port;
	bool listed; /* libvirt has it: seen in the latest read */
	bool paused;
	bool policy_trouble; /* that of its metadata makes no sense, which has been said */
	char *defect;	     /* of its XML, which has been said; NULL: none */
	DeclaredDevice *declared; /* declared.h */
	/* libvirt answers them in their order */
	uint64_t reads_begun, reads_ended;
} Domain;

#define TVM_BOOT_CHANGES 6

/* An incarnation of a domain: one QEMU process. */
struct Tvm {
	Tdid *tdid;
	uint32_t id;
	Uuid uuid;
	Domain *domain;
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/PID/stat, clock ticks since boot */
	int pidfd;
	sd_event_source *exit;
	GuestPort *port;
	bool quotes_told;  /* tdi-quoted, which QEMU it is */
	bool unrecorded;   /* its record could not be written, or may be lost */
	bool littered;	   /* one of its assignments' records could not be removed */
	char *guest_boot;  /* boot id of the guest, as its agent said it last; NULL: not yet */
	bool boot_doubted; /* guest-boot.c: that may have changed */
	sd_event_source *boot_doubt;		 /* its end */
	uint64_t boot_changes[TVM_BOOT_CHANGES]; /* when its agent said another one, in a ring */
	unsigned int n_boot_changes;
	Slots assignments;
};

struct Dsm {
	Tdid *tdid;
	uint32_t id;
	Bdf bdf;	    /* function 0 */
	Provider *provider; /* NULL: no provider serves it */
	char *reason;	    /* why it is in its state; NULL when that is plain */
	DsmCause cause;	    /* of its session, or of the device_connect under way */
	DsmCause expected;  /* of one that EVENT_CONNECT_AHEAD may lead to */
	int64_t asked_by;   /* the uid of whom EVENT_CONNECT_REQUESTED is */
	int64_t pinned_by;  /* of whom it was, when it pinned the DSM; -1: not known */
	sd_event_source *idle;
	uint64_t idle_until_usec; /* deadline.h */
	uint32_t idle_tries;	  /* idle-timer.c: since it was used last */
	bool idle_held;		  /* held-timers.h */
	Slots assignments;
	Operation *operations; /* operations.c: its verbs, the first under way or to be sent */
	Dsm *next_due;
	bool is_due;
	bool connect_started; /* a device_connect of it is under way at the TSM */
	bool drained;	      /* nobody gets a TDI of it any more: drain-requests.c */
	bool drain_stuck;     /* one of its devices could not be detached */
	bool drain_asked;     /* its reclaim has been */
	bool drain_anew;      /* a Drain was called: what was asked for is asked for once more */
	bool loss_noticed;    /* while a verb was under way: before or after it, nobody knows */
};

typedef struct Tdi {
	uint32_t id;
	Bdf bdf;
	Dsm *dsm;	 /* as its provider said when it was seen last; NULL: never */
	char *reason;	 /* why it is quarantined */
	bool unrecorded; /* its record could not be written, or may be lost */
	/* Whose it was, as its record said when tdid started; what it did not say: pid 0, no name
	 */
	bool has_recorded_owner;
	Uuid recorded_owner;
	pid_t recorded_owner_pid;
	char *recorded_owner_name;
} Tdi;

typedef struct Assignment {
	Tdid *tdid;
	uint32_t id;
	Tvm *tvm;
	Dsm *dsm; /* registry_move_assignment */
	Tdi *tdi;
	uint32_t of_tvm, of_dsm; /* its places there */
	char *alias;
	char *reason;	/* for the operator; NULL when there is nothing to say */
	bool announced; /* libvirt told of it when it was plugged: its guest runs already */
	bool reset;	/* its guest has booted anew since it was seen last */
	/* When QEMU let it go, which libvirt's XML may still list; 0: it has not */
	uint64_t deleted_usec;
	bool unrecorded; /* its record could not be written */
	bool guest_known;
	Bdf guest; /* as the TVM sees it */
	bool tdi_state_known;
	TdispState tdi_state;
	Timeline timeline;
	/* Told of it last: the engine may have forgotten it, and metrics count each once */
	AssignmentState last_state;
	uint64_t last_generation;
	EngineFault last_fault;
	ClientToken attach_token; /* of the Attach that brought it here last */
	ClientToken detach_token; /* of the last Detach */
	bool detach_pending;	  /* and that has not come to its end yet */
	/* domain-detach.c: libvirt was busy or away, and is asked at the next read or after that */
	bool detach_again;
	uint64_t detach_number; /* of all that libvirt was asked for, the last one; 0: none */
	uint64_t detach_wait_usec;
	uint64_t detach_guest_usec; /* the same where the guest was asked, and says nothing */
	bool detach_told;	    /* that the guest does not let it go */
	sd_event_source *detach_timer;
	unsigned int guest_marks; /* of the present generation, director_guest_mark */
	uint64_t guest_marks_generation;
	sd_event_source *guest_timer; /* guest-timer.c */
	uint64_t guest_until_usec;    /* deadline.h */
	uint64_t guest_timer_left;    /* usec, while it stands still; 0: it does not */
	sd_event_source *retry_timer; /* retry-timer.c */
	uint64_t retry_until_usec;    /* deadline.h */
	bool timers_held;	      /* held-timers.h */
	uint64_t look_after;	      /* domains.c: the read of its domain that is too old */
	json_object *evidence;	      /* what the TSM showed to the host, or NULL */
	uint64_t evidence_generation, evidence_usec;
	bool evidence_due; /* evidence-store.c: to be asked for */
	TAILQ_ENTRY(Assignment) evidence_next;
	ProviderCall *evidence_call;
	uint64_t evidence_asked; /* the generation that it is about */
} Assignment;

/* `tdid` is what the objects point back to. */
int registry_new(Registry **ret, Tdid *tdid);
Registry *registry_free(Registry *registry);
DEFINE_CLEANUP(Registry, registry_free);

/* Find or make. *ret is the registry's. -ENOMEM. */
int registry_domain(Registry *registry, Uuid uuid, Domain **ret);
int registry_dsm(Registry *registry, Bdf bdf, Dsm **ret);
int registry_tdi(Registry *registry, Bdf bdf, Tdi **ret);

/* Find only; NULL when there is none. */
Domain *registry_find_domain(Registry *registry, Uuid uuid);
Tdi *registry_find_tdi(Registry *registry, Bdf bdf);
Dsm *registry_find_dsm(Registry *registry, Bdf bdf);
Assignment *registry_find_assignment(const Tvm *tvm, const char *alias, Bdf bdf);

int registry_add_tvm(Registry *registry, Domain *domain, Tvm **ret);
/* The TVM's assignments have to be gone. */
void registry_remove_tvm(Registry *registry, Tvm *tvm);
int registry_add_assignment(Registry *registry, Tvm *tvm, Dsm *dsm, Tdi *tdi, const char *alias,
			    Assignment **ret);
void registry_remove_assignment(Registry *registry, Assignment *assignment);
/* It is another DSM's from now on. -ENOMEM: it is not. */
int registry_move_assignment(Assignment *assignment, Dsm *dsm);
/* "tvm0/ua-tdi-nic0", for messages: aliases repeat across domains. Allocated; NULL: no memory. */
char *assignment_title(const Assignment *assignment);
/* Has to have no incarnation. */
void registry_remove_domain(Registry *registry, Domain *domain);

/* By id; NULL when there is none. */
Tvm *registry_tvm_at(Registry *registry, uint32_t id);
Dsm *registry_dsm_at(Registry *registry, uint32_t id);
Tdi *registry_tdi_at(Registry *registry, uint32_t id);
Assignment *registry_assignment_at(Registry *registry, uint32_t id);

/*
 * Walks: start with *position 0, ends with NULL. Objects may be removed during a walk, also the one
 * that was just returned.
 */
Tvm *registry_next_tvm(Registry *registry, uint32_t *position);
Dsm *registry_next_dsm(Registry *registry, uint32_t *position);
Tdi *registry_next_tdi(Registry *registry, uint32_t *position);
Assignment *registry_next_assignment(Registry *registry, uint32_t *position);
/* Of these only; the TVM has to outlive the walk. */
Assignment *registry_next_of_tvm(const Tvm *tvm, uint32_t *position);
Assignment *registry_next_of_dsm(const Dsm *dsm, uint32_t *position);
Domain *registry_next_domain(Registry *registry, uint32_t *position);
