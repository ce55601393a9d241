/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request goes through these stages:
 *
 *   reading   the domain is read once more and everything is checked (attach-check.c). Until here
 *             nothing has been done, and when the last caller goes away nothing is
 *   asked     its record is written, the DSM connects ahead, libvirt attaches. From here on it goes
 *             on without callers
 *   plugged   it is in the domain; the read that follows libvirt's word brings the assignment
 *   seen      the assignment has its token and its callers; the record goes when that is on disk
 *
 * What is plugged may be out again before that read: then it ends without having been seen.
 *
 * What libvirt refuses ends it: the record goes, and a DSM that was connected for it is idle, which
 * is not a reference to anything; one that only waits to be connected is not. Where nobody knows
 * what libvirt did (no answer in time, the connection broke, tdid died) it stays `asked`, and
 * doubtful: the assignment may come yet. The next read of the domain tells, and so does another
 * call for the same, which then asks again. Where the connection is no more, libvirt may go on
 * without it, and shows the device only at the end; so what it has not shown counts only when it
 * has had the time that an attach may take.
 */
#include "daemon/attach-private.h"

#include "daemon/assignments-service.h"
#include "daemon/attach-check.h"
#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/records.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

void attach_request_expect_nothing(AttachRequest *request)
{
	if (request->asking)
		request->asking->request = NULL;
	request->asking = NULL;
}

void attach_request_free(AttachRequest *request)
{
	AttachRequest **link = &request->requests->first;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	attach_request_expect_nothing(request);
	sd_event_source_disable_unref(request->doubt_over);
	json_object_put(request->plan);
	client_token_set(&request->record.token, NULL, 0);
	free(request->alias);
	free(request);
}

bool attach_request_is_under_way(const AttachRequest *request)
{
	return request->stage == ATTACH_STAGE_READING ? request->doubtful
						      : request->stage != ATTACH_STAGE_SEEN;
}

/* Of one that was never asked for there is no record. */
void attach_request_end(AttachRequest *request)
{
	Tdid *tdid = request->requests->tdid;
	const Dsm *dsm = attach_request_is_under_way(request)
				 ? registry_find_dsm(tdid->registry, request->record.dsm)
				 : NULL;

	if (request->stage != ATTACH_STAGE_READING || request->doubtful)
		attach_record_remove(tdid, &request->record);
	attach_request_free(request);
	if (dsm)
		assignments_service_dsm_changed(tdid->assignments, dsm);
}

/* --- refusals --- */

typedef struct Refusal {
	const AttachRequest *request;
	const char *why;
} Refusal;

static int refuse_one(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Refusal *refusal = userdata;

	return attach_refuse_call(tdid, waiting->call, refusal->request->record.domain,
				  refusal->request->record.device, refusal->why);
}

static void refuse_callers(AttachRequest *request, const char *why)
{
	Refusal refusal = { request, why };

	timed_calls_each(request->requests->calls, request, refuse_one, &refusal);
}

void attach_request_refuse(AttachRequest *request, const char *why)
{
	refuse_callers(request, why);
	attach_request_end(request);
}

/* libvirt has told nothing: a doubt stays one. */
static void refuse_untold(AttachRequest *request, const char *why)
{
	if (!request->doubtful) {
		attach_request_refuse(request, why);
		return;
	}
	request->stage = ATTACH_STAGE_ASKED;
	refuse_callers(request, why);
}

/* cause: may be NULL. */
static void say(const AttachRequest *request, LogLevel level, const char *what, const char *cause)
{
	char uuid[UUID_STRING_SIZE];

	log_message(level, "%s/%s: attach: %s%s%s",
		    attach_domain_name(request->requests->tdid, request->record.domain, uuid),
		    request->alias, what, cause ? ": " : "", cause ?: "");
}

/* --- libvirt --- */

static int ask(AttachRequest *request, AttachAsking **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->request = request;
	request->asking = *ret;
	return 0;
}

static AttachRequest *answered(AttachAsking *asking)
{
	AttachRequest *request = asking->request;

	if (request)
		request->asking = NULL;
	free(asking);
	return request;
}

/* Only a read that begins after this tells what has come of it. */
static void await_read(AttachRequest *request)
{
	const Domain *domain =
		registry_find_domain(request->requests->tdid->registry, request->record.domain);

	request->reads = domain ? domain->reads_begun : 0;
}

static void plugged(AttachRequest *request)
{
	request->stage = ATTACH_STAGE_PLUGGED;
	await_read(request);
	domains_added(request->requests->tdid, request->record.domain, request->alias);
}

static int on_doubt_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	AttachRequest *request = userdata;
	Tdid *tdid = request->requests->tdid;
	Domain *domain = registry_find_domain(tdid->registry, request->record.domain);

	request->doubt_over = sd_event_source_disable_unref(request->doubt_over);
	if (domain)
		domains_read(tdid, domain);
	return 0;
}

void attach_request_doubt_on(AttachRequest *request)
{
	uint64_t now = boottime_usec(), asked = request->record.asked_usec;
	int r;

	/* Where it is not known when, it may have been just now. */
	if (asked == 0 || asked > now)
		asked = now;
	request->doubt_until = asked + VMM_ATTACH_TIMEOUT_USEC;
	request->doubt_over = sd_event_source_disable_unref(request->doubt_over);
	r = sd_event_add_time(request->requests->tdid->event, &request->doubt_over, CLOCK_BOOTTIME,
			      request->doubt_until, 0, on_doubt_over, request);
	if (r < 0)
		say(request, LOG_LEVEL_ERROR,
		    "no timer can be set for the time that libvirt has; a later event of the "
		    "domain tells what has come of it",
		    strerror(-r));
}

/*
 * Where libvirt still hangs in it, the read that follows its return tells. What it was asked for
 * before, over another connection, is over only when it says no.
 */
static void doubt(AttachRequest *request, int error)
{
	Tdid *tdid = request->requests->tdid;
	Domain *domain = registry_find_domain(tdid->registry, request->record.domain);

	request->doubtful = true;
	await_read(request);
	if (error == -ENOTCONN)
		attach_request_doubt_on(request);
	else if (error == VMM_ATTACH_REFUSED)
		request->doubt_until = 0;
	if (error != -ENOTCONN && domain)
		domains_read(tdid, domain);
}

static bool may_still_come(const AttachRequest *request)
{
	return boottime_usec() < request->doubt_until;
}

/* It was asked for before: that may be the job that is in the way, or what has come of it. */
static bool stays_in_doubt(const AttachRequest *request, int r)
{
	return may_still_come(request) && (r == VMM_ATTACH_BUSY || r == VMM_ATTACH_REFUSED);
}

static void on_attached(int r, const char *message, void *userdata)
{
	AttachRequest *request = answered(userdata);
	_cleanup_free_ char *why = NULL;

	if (!request || request->stage == ATTACH_STAGE_SEEN)
		return;
	if (r == VMM_ATTACH_DONE) {
		plugged(request);
		return;
	}
	if (r == -ETIMEDOUT || r == -ENOTCONN || stays_in_doubt(request, r))
		doubt(request, r);
	if (asprintf(&why, "libvirt: %s%s", message ?: strerror(r < 0 ? -r : EIO),
		     request->doubtful ? ". Ask again to see what has come of it"
		     : r == VMM_ATTACH_BUSY
			     ? ". Nothing was done; try again when that job is over"
			     : ". Nothing is left of it; look into that and ask again") < 0)
		why = NULL;
	say(request, LOG_LEVEL_WARNING, why ?: "out of memory", NULL);
	if (!request->doubtful)
		director_connect_needless(
			registry_find_dsm(request->requests->tdid->registry, request->record.dsm));
	refuse_untold(request, why ?: "libvirt refused");
}

/* False: its callers have been told, and it has ended. */
static bool record(AttachRequest *request, const AttachFinding *finding)
{
	Tdid *tdid = request->requests->tdid;
	char why[256];
	int r;

	request->record.pid = finding->tvm->pid;
	request->record.asked_usec = boottime_usec();
	request->record.dsm = finding->dsm;
	r = attach_record_write(tdid, &request->record);
	if (r == 0)
		return true;
	if (r > 0)
		snprintf(why, sizeof(why),
			 "its record in %.120s may be lost: the directory cannot be synced. See "
			 "what its disk has, and ask again",
			 tdid->config->records);
	else
		snprintf(why, sizeof(why),
			 "its record cannot be written to %.120s: %s. Make room there, and ask "
			 "again",
			 tdid->config->records, strerror(-r));
	/* Of one that nobody has asked libvirt for there is none, else it comes back in doubt. */
	if (r > 0 && !request->doubtful)
		attach_record_remove(tdid, &request->record);
	refuse_untold(request, why);
	return false;
}

static void attach(AttachRequest *request, const AttachFinding *finding)
{
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], why[256];
	AttachAsking *asking;
	int r;

	if (!record(request, finding))
		return;
	request->stage = ATTACH_STAGE_ASKED;
	timed_calls_each(request->requests->calls, request, attach_tell_plan, request);
	r = ask(request, &asking);
	if (r >= 0)
		r = vmm_attach(tdid->vmm, uuid_format(request->record.domain, uuid), request->alias,
			       bdf_format(request->record.device, device), 0, on_attached, asking);
	if (r >= 0) {
		request->doubtful = false;
		director_connect_ahead(
			tdid, &(ExpectedDevice){ .device = request->record.device,
						 .dsm = finding->dsm,
						 .provider = finding->provider,
						 .domain = request->record.domain,
						 .domain_name = attach_domain_name(
							 tdid, request->record.domain, uuid),
						 .alias = request->alias });
		return;
	}
	free(request->asking);
	request->asking = NULL;
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again", strerror(-r));
	refuse_untold(request, why);
}

void attach_give_token(Tdid *tdid, Assignment *a, const ClientToken *token)
{
	if (token->text && !a->attach_token.text &&
	    client_token_set(&a->attach_token, token->text, token->uid) >= 0)
		records_write_assignment(tdid, a);
}

/* It is there, of whomever. */
static void join_assignment(AttachRequest *request, Assignment *a)
{
	AttachRequests *requests = request->requests;
	Tdid *tdid = requests->tdid;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	AttachMoment moment = { a, e->state, e->generation };

	timed_calls_move(requests->calls, request, a);
	attach_give_token(tdid, a, &request->record.token);
	attach_request_end(request);
	timed_calls_each(requests->calls, a, attach_settle, &moment);
}

static void go_on(AttachRequest *request, const AttachQuestion *question, AttachFinding *finding)
{
	json_object_put(request->plan);
	request->plan = NULL;
	if (attach_plan(question, finding, &request->plan) < 0) {
		attach_request_refuse(request, "out of memory");
	} else if (request->dry_run) {
		timed_calls_each(request->requests->calls, request, attach_tell_plan, request);
		attach_request_end(request);
	} else if (finding->assignment) {
		join_assignment(request, finding->assignment);
	} else if (finding->plugged) {
		free(request->alias);
		request->alias = steal_ptr(finding->alias);
		request->record.alias = request->alias;
		if (record(request, finding))
			plugged(request);
	} else {
		attach(request, finding);
	}
}

static void on_read(int r, const VmmDomain *seen, const char *message, void *userdata)
{
	AttachRequest *request = answered(userdata);
	_cleanup_free_ char *why = NULL;
	AttachQuestion question;
	AttachFinding finding = {};

	if (!request || request->stage != ATTACH_STAGE_READING)
		return;
	question = (AttachQuestion){ .domain = request->record.domain,
				     .device = request->record.device,
				     .alias = request->alias,
				     .named = request->named };
	if (r < 0) {
		if (asprintf(&why, "libvirt: %s. Try again", message ?: strerror(-r)) < 0)
			why = NULL;
		refuse_untold(request, why ?: "libvirt does not tell of the domain");
		return;
	}
	r = attach_check(request->requests->tdid, &question, seen, &finding, &why);
	if (r != 0 && may_still_come(request))
		refuse_untold(request, r > 0 && why ? why : "out of memory");
	else if (r != 0)
		attach_request_refuse(request, r > 0 && why ? why : "out of memory");
	else
		go_on(request, &question, &finding);
	attach_finding_done(&finding);
}

void attach_request_read(AttachRequest *request)
{
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], why[128];
	AttachAsking *asking;
	int r;

	request->stage = ATTACH_STAGE_READING;
	r = ask(request, &asking);
	if (r >= 0)
		r = vmm_read_domain(tdid->vmm, uuid_format(request->record.domain, uuid), 0, 0,
				    on_read, asking);
	if (r >= 0)
		return;
	free(request->asking);
	request->asking = NULL;
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again",
		 r == -ENOTCONN ? "tdid is not connected to it (see that libvirtd runs)"
				: strerror(-r));
	refuse_untold(request, why);
}

/* --- what the reads of the domain show --- */

static bool lists(const DomainXml *xml, const AttachRequest *request)
{
	for (size_t i = 0; i < xml->n_devices; i++)
		if (bdf_equal(xml->devices[i].host, request->record.device) &&
		    strcmp(xml->devices[i].alias, request->alias) == 0)
			return true;
	return false;
}

void attach_request_compared(AttachRequest *request, const DomainXml *xml, uint64_t number)
{
	bool in_doubt =
		request->stage == ATTACH_STAGE_ASKED && request->doubtful && !request->asking;
	const char *why = in_doubt ? "libvirt has not attached it. Ask again"
				   : "libvirt has attached it, but it has been taken out again. "
				     "Look who did that, and ask again";

	if ((!in_doubt && request->stage != ATTACH_STAGE_PLUGGED) || number <= request->reads ||
	    (in_doubt && may_still_come(request)) || lists(xml, request))
		return;
	say(request, LOG_LEVEL_WARNING, why, NULL);
	attach_request_refuse(request, why);
}
