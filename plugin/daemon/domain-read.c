/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/domain-read.h"

#include "daemon/assignments-service.h"
#include "daemon/domains.h"
#include "daemon/held-timers.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define AGAIN_FIRST_USEC (1000 * UINT64_C(1000))
#define AGAIN_LAST_USEC	 (30 * UINT64_C(1000000))

static void read_free(DomainRead *read)
{
	sd_event_source_disable_unref(read->again);
	added_marks_free(read->added);
	free(read);
}

static void on_read(int r, const VmmDomain *seen, const char *message, void *userdata);

static void append(AddedMark **list, AddedMark *marks)
{
	while (*list)
		list = &(*list)->next;
	*list = marks;
}

/* What it shows is what there is from here on. */
static void begun(DomainRead *read, Domain *domain)
{
	if (!domain)
		return;
	domain->reading = true;
	read->number = ++domain->reads_begun;
	append(&read->added, domain->added);
	domain->added = NULL;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

/* Another one waits that is going to see the same, and now all that this one was to see. */
static bool is_in_line(const DomainRead *read)
{
	for (DomainRead *o = read->tdid->failed_reads; o; o = o->next) {
		if (!uuid_equal(o->uuid, read->uuid) || read->added)
			continue;
		o->flags |= read->flags;
		return true;
	}
	return false;
}

/* True: it is going to be tried again, and `read` is taken. */
static bool try_again(DomainRead *read, int error)
{
	const Domain *domain;
	char uuid[UUID_STRING_SIZE];
	int r;

	if (error == -ENOTCONN || error == -EHOSTUNREACH || error == -ECANCELED || is_in_line(read))
		return false;
	read->wait_usec = read->wait_usec ? 2 * read->wait_usec : AGAIN_FIRST_USEC;
	if (read->wait_usec > AGAIN_LAST_USEC)
		read->wait_usec = AGAIN_LAST_USEC;
	r = sd_event_add_time_relative(read->tdid->event, &read->again, CLOCK_MONOTONIC,
				       read->wait_usec, 0, on_again, read);
	if (r < 0) {
		domain = registry_find_domain(read->tdid->registry, read->uuid);
		log_error("%s: no timer can be set to read it again: %s; its next event brings "
			  "another read",
			  domain ? domain->name : uuid_format(read->uuid, uuid), strerror(-r));
		return false;
	}
	read->next = read->tdid->failed_reads;
	read->tdid->failed_reads = read;
	return true;
}

/* Takes `read`, which is not tried again: its marks wait for the next one. */
static void lose(DomainRead *read)
{
	Domain *domain = registry_find_domain(read->tdid->registry, read->uuid);

	if (domain)
		append(&domain->added, steal_ptr(read->added));
	if (read->flags & VMM_READ_GUEST_PCI)
		domains_look_lost(domain);
	read_free(read);
}

/* Takes `read`. */
static void ask(DomainRead *read)
{
	Tdid *tdid = read->tdid;
	char text[UUID_STRING_SIZE];
	int r = vmm_read_domain(tdid->vmm, uuid_format(read->uuid, text), read->flags, 0, on_read,
				read);

	if (r >= 0) {
		tdid->n_reads++;
		begun(read, registry_find_domain(tdid->registry, read->uuid));
		return;
	}
	log_debug("%s: cannot be read: %s", text, strerror(-r));
	if (!try_again(read, r))
		lose(read);
}

static AddedMark *mark_new(const char *alias, uint64_t usec)
{
	AddedMark *mark = calloc(1, sizeof(*mark));

	if (!mark)
		return NULL;
	*mark = (AddedMark){ .alias = strdup(alias), .usec = usec };
	return mark->alias ? mark : added_marks_free(mark);
}

static DomainRead *read_new(Tdid *tdid, Uuid uuid, unsigned int flags)
{
	DomainRead *read = calloc(1, sizeof(*read));

	if (!read) {
		log_error("a domain cannot be read: out of memory");
		domains_look_lost(registry_find_domain(tdid->registry, uuid));
		return NULL;
	}
	*read = (DomainRead){ .tdid = tdid, .uuid = uuid, .flags = flags };
	return read;
}

void domain_read_start(Tdid *tdid, Uuid uuid, unsigned int flags, const char *added_alias,
		       uint64_t added_usec)
{
	Domain *domain = registry_find_domain(tdid->registry, uuid);
	/* No memory: it is "seen" then. */
	AddedMark *mark = added_alias ? mark_new(added_alias, added_usec) : NULL;
	DomainRead *read;

	if (domain && domain->reading && !flags) {
		domain->read_again |= !mark;
		append(&domain->added, mark);
		return;
	}
	read = read_new(tdid, uuid, flags);
	if (!read) {
		added_marks_free(mark);
		return;
	}
	read->added = mark;
	ask(read);
}

void domain_read_deepen(DomainRead *read)
{
	DomainRead *deeper = read_new(read->tdid, read->uuid, read->flags | VMM_READ_GUEST_PCI);

	if (!deeper)
		return;
	deeper->added = steal_ptr(read->added);
	ask(deeper);
}

static uint64_t added_at(const AddedMark *marks, const char *alias)
{
	uint64_t last = 0;

	for (; marks; marks = marks->next)
		if (strcmp(marks->alias, alias) == 0 && marks->usec > last)
			last = marks->usec;
	return last;
}

uint64_t domain_read_added(const DomainRead *read, const Domain *domain, const char *alias)
{
	uint64_t shown = added_at(read->added, alias), waiting = added_at(domain->added, alias);

	return waiting > shown ? waiting : shown;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	DomainRead *read = userdata, **link = &read->tdid->failed_reads;

	while (*link != read)
		link = &(*link)->next;
	*link = read->next;
	read->again = sd_event_source_disable_unref(read->again);
	ask(read);
	return 0;
}

void domain_reads_stop(Tdid *tdid)
{
	while (tdid->failed_reads) {
		DomainRead *read = tdid->failed_reads;

		tdid->failed_reads = read->next;
		read_free(read);
	}
}

static void on_read(int r, const VmmDomain *seen, const char *message, void *userdata)
{
	DomainRead *read = userdata;
	Tdid *tdid = read->tdid;
	Uuid uuid = read->uuid;
	char text[UUID_STRING_SIZE];
	bool again = false;
	Domain *domain;

	if (r == -ECANCELED) { /* tdid ends, and the registry has gone already */
		read_free(read);
		return;
	}
	tdid->n_reads--;
	domain = registry_find_domain(tdid->registry, read->uuid);
	uuid_format(read->uuid, text);
	if (domain) {
		domain->reading = false;
		domain->reads_ended += domain->reads_ended < domain->reads_begun;
		again = domain->read_again || domain->added;
	}
	if (r < 0) {
		log_warning("%s: cannot be read: %s", domain ? domain->name : text,
			    message ?: strerror(-r));
		if (!try_again(read, r))
			lose(read);
	} else {
		domains_seen(read, domain, seen);
		read_free(read);
	}
	if (again && !domain->reading) {
		domain->read_again = false;
		domains_read(tdid, domain);
	} else if (domain && !domain->reading && r >= 0 && !seen->active) {
		domains_forget(tdid, domain);
	}
	assignments_service_domain_read(tdid->assignments,
					registry_find_domain(tdid->registry, uuid));
	held_timers_look(tdid);
}
