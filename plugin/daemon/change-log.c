/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring: the change of number n lies at n modulo the ring's size. Numbers in it are contiguous,
 * from `oldest` to `sequence`; oldest is sequence + 1 while it is empty.
 */
#include "daemon/change-log.h"

#include "core/hex.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define INSTANCE_SIZE 16u
#define SIZE_MIN      (CHANGE_LOG_ROOM / CHANGE_LOG_CHANGES_MAX)

struct ChangeLog {
	char instance[HEX_STRING_SIZE(INSTANCE_SIZE)];
	uint64_t sequence, oldest;
	uint64_t taken, freed; /* room */
	Change ring[CHANGE_LOG_CHANGES_MAX];
};

int change_log_new(ChangeLog **ret)
{
	ChangeLog *log = calloc(1, sizeof(*log));
	uint8_t random[INSTANCE_SIZE];

	if (!log)
		return -ENOMEM;
	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		free(log);
		return -EIO;
	}
	hex_encode(log->instance, random, sizeof(random));
	log->sequence = 1;
	log->oldest = 2;
	*ret = log;
	return 0;
}

static Change *place(ChangeLog *log, uint64_t sequence)
{
	return &log->ring[sequence % CHANGE_LOG_CHANGES_MAX];
}

static void drop_oldest(ChangeLog *log)
{
	Change *change = place(log, log->oldest++);

	log->freed += change->size;
	free(change->domain_name);
	free(change->text);
	*change = (Change){};
}

static void drop_all(ChangeLog *log)
{
	while (log->oldest <= log->sequence)
		drop_oldest(log);
}

ChangeLog *change_log_free(ChangeLog *log)
{
	if (!log)
		return NULL;
	drop_all(log);
	free(log);
	return NULL;
}

const char *change_log_instance(const ChangeLog *log)
{
	return log->instance;
}

uint64_t change_log_sequence(const ChangeLog *log)
{
	return log->sequence;
}

void change_log_lose(ChangeLog *log)
{
	drop_all(log);
	log->sequence++;
	log->oldest = log->sequence + 1;
}

int change_log_add(ChangeLog *log, json_object *assignment, bool removed)
{
	const char *domain = json_get_string(assignment, "domain");
	const char *name = json_get_string(assignment, "domain_name");
	Change change = { .sequence = log->sequence + 1, .removed = removed };
	size_t len = 0;

	change.domain_name = strdup(name ?: "");
	if (!change.domain_name || json_format(&change.text, &len, assignment) < 0) {
		free(change.domain_name);
		change_log_lose(log);
		return -ENOMEM;
	}
	snprintf(change.domain, sizeof(change.domain), "%s", domain ?: "");
	change.size = len < SIZE_MIN ? SIZE_MIN : len;
	log->taken += change.size;
	while (log->oldest <= log->sequence && log->taken - log->freed > CHANGE_LOG_ROOM)
		drop_oldest(log);
	log->sequence = change.sequence;
	*place(log, change.sequence) = change;
	return 0;
}

uint64_t change_log_taken(const ChangeLog *log)
{
	return log->taken;
}

bool change_log_reaches(const ChangeLog *log, uint64_t sequence)
{
	return sequence + 1 >= log->oldest && sequence <= log->sequence;
}

const Change *change_log_at(const ChangeLog *log, uint64_t sequence)
{
	return sequence >= log->oldest && sequence <= log->sequence
		       ? &log->ring[sequence % CHANGE_LOG_CHANGES_MAX]
		       : NULL;
}
