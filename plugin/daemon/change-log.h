/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The latest changes of all assignments, numbered in one sequence for as long as this tdid runs, so
 * that a watcher that lost its connection can have what it missed.
 */
#pragma once

#include "core/uuid.h"
#include "rpc/json.h"

/*
 * What is kept: as many as have room, where one takes as much as its text, and at least the 1,024th
 * part. All of them together go into the output of one connection (VARLINK_OUTPUT_MAX).
 */
#define CHANGE_LOG_CHANGES_MAX 1024u
#define CHANGE_LOG_ROOM	       (3u * 1024 * 1024)

typedef struct ChangeLog ChangeLog;

typedef struct Change {
	uint64_t sequence;
	char domain[UUID_STRING_SIZE];
	char *domain_name;
	char *text;   /* io.tdid.Assignments.Assignment */
	bool removed; /* it is listed no more */
	size_t size;  /* of the room */
} Change;

int change_log_new(ChangeLog **ret);
ChangeLog *change_log_free(ChangeLog *log);
DEFINE_CLEANUP(ChangeLog, change_log_free);

/* Random digits: numbers of another run mean nothing. */
const char *change_log_instance(const ChangeLog *log);

/* Of the latest change. 1 is how things stood at the start, which nothing led to. */
uint64_t change_log_sequence(const ChangeLog *log);

/*
 * The next change, an io.tdid.Assignments.Assignment. On failure (-ENOMEM) it has its number all
 * the same, and nobody can resume from before it any more.
 */
int change_log_add(ChangeLog *log, json_object *assignment, bool removed);
/* A change of which nothing else is known: telling it failed, or nobody asks. */
void change_log_lose(ChangeLog *log);

/* Whether every change after that one is still here. */
bool change_log_reaches(const ChangeLog *log, uint64_t sequence);
/* The room that all changes ever have taken. */
uint64_t change_log_taken(const ChangeLog *log);
/* The change of that number, or NULL. The log's, until the next one is added. */
const Change *change_log_at(const ChangeLog *log, uint64_t sequence);
