/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/domain.h"

#include "common/process.h"
#include "quote/asker.h"
#include "quote/domains.h"
#include "quote/door.h"
#include "quote/monotonic.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

const char *quote_outcome_name(QuoteOutcome outcome)
{
	static const char *const names[QUOTE_OUTCOMES] = {
		[QUOTE_OK] = "ok",
		[QUOTE_ERROR] = "error",
		[QUOTE_UNAVAILABLE] = "unavailable",
		[QUOTE_LATE] = "late",
		[QUOTE_LIMITED] = "limited",
		[QUOTE_BAD] = "bad",
		[QUOTE_GONE] = "gone",
	};

	return names[outcome];
}

void domain_count(Domain *domain, QuoteOutcome outcome, uint64_t usec)
{
	domain->counts[outcome]++;
	if (outcome != QUOTE_GONE && outcome != QUOTE_LIMITED)
		histogram_observe(&domain->latency, usec);
}

void domain_drop(Domain *domain)
{
	while (domain->askers)
		asker_drop(domain->askers);
}

void domain_stop(Domain *domain)
{
	Asker *next;

	for (Asker *asker = domain->askers; asker; asker = next) {
		next = asker_next(asker);
		asker_stop(asker);
	}
}

/* No character is cut in two. */
static void cut_label(char *label, size_t size, const char *name)
{
	size_t n = strlen(name);

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(label, name, n);
	label[n] = 0;
}

int domain_set_name(Domain *domain, const char *name)
{
	char *copy = name ? strdup(name) : NULL;

	if (!name)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(domain->name);
	domain->name = copy;
	cut_label(domain->label, sizeof(domain->label), name);
	return 0;
}

void domain_forget_qemu(Domain *domain)
{
	domain->exit = sd_event_source_disable_unref(domain->exit);
	domain->pid = 0;
	domain->cid = 0;
	domain->unheld = (DomainQemu){};
	domain_drop(domain);
}

static void on_forsaken(void *userdata)
{
	Domain *domain = userdata;
	const DomainQemu qemu = domain->unheld;

	if (qemu.pid > 0)
		domain_resume(domain, sd_event_source_get_event(domain->domains->unheld.timer),
			      &qemu);
	else
		domain->domains->forsaken(domain, domain->domains->userdata);
}

void domain_await(Domain *domain, Expiries *expiries)
{
	expiry_begin(&domain->forsaken, expiries, monotonic_usec(), on_forsaken, domain);
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Domain *domain = userdata;

	log_info("%s: QEMU %d has ended", domain->label, (int)domain->pid);
	domain_forget_qemu(domain);
	domain_await(domain, &domain->domains->ended);
	return 0;
}

int domain_begin(Domain *domain, sd_event *event, pid_t pid, uint64_t start_time)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (domain->pid == pid && domain->start_time == start_time)
		return 0;
	fd = process_hold(pid, start_time);
	if (fd < 0)
		return fd;
	domain_forget_qemu(domain);
	r = sd_event_add_io(event, &domain->exit, fd, EPOLLIN, on_exit_event, domain);
	if (r < 0) {
		/* Nobody watches over the one that it had, either; tdid tells it again. */
		domain_await(domain, &domain->domains->unstarted);
		return r;
	}
	sd_event_source_set_io_fd_own(domain->exit, true);
	steal_fd(&fd);
	expiry_end(&domain->forsaken);
	domain->pid = pid;
	domain->start_time = start_time;
	if (domain->door)
		door_known(domain->door);
	return 0;
}

int domain_resume(Domain *domain, sd_event *event, const DomainQemu *qemu)
{
	int r = domain_begin(domain, event, qemu->pid, qemu->start_time);

	if (r == 0) {
		domain->cid = qemu->cid;
		return 0;
	}
	domain->unheld = r == -ESRCH ? (DomainQemu){} : *qemu;
	domain_await(domain, r == -ESRCH ? &domain->domains->ended : &domain->domains->unheld);
	return r;
}
