/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which TSM this provider speaks for, and what it says of it. Whoever was told of another one, or
 * of other capabilities, is to ask everything anew: the watches end.
 */
#include "service-private.h"

#include "core/refusal.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* TSM drivers of the kernel, by the driver of the device that registered the TSM. */
static const struct {
	const char *driver, *platform;
} platforms[] = {
	{ "ccp", "sev-tio" }, /* drivers/crypto/ccp/sev-dev-tsm.c */
};

static const char *platform_name(const Service *service)
{
	if (service->config->platform)
		return service->config->platform;
	for (size_t i = 0; i < ELEMENTSOF(platforms); i++)
		if (strcmp(platforms[i].driver, service->tsm.driver) == 0)
			return platforms[i].platform;
	return NULL;
}

KernelBinder service_binder(const Service *service)
{
	switch (service->config->binder) {
	case CONFIG_BINDER_PROXY: return KERNEL_BINDER_PROXY;
	case CONFIG_BINDER_OBSERVE: return KERNEL_BINDER_OBSERVE;
	default:
		return access(service->proxy, F_OK) == 0 ? KERNEL_BINDER_PROXY
							 : KERNEL_BINDER_OBSERVE;
	}
}

/* --- capabilities --- */

/* The companion's are those of the TSM, but for how many verbs the kernel takes at once. */
static json_object *companion_says(const Service *service)
{
	json_object *theirs = companion_capabilities(service->companion), *ours = NULL;

	if (json_build(&ours, J_STRING("platform", json_get_string(theirs, "platform")),
		       J_BOOL("protection", json_get_bool(theirs, "protection", false)),
		       J_STRING("bind_when", json_get_string(theirs, "bind_when")),
		       J_STRING("lock_by", json_get_string(theirs, "lock_by")),
		       J_STRING("start_by", json_get_string(theirs, "start_by")),
		       J_STRING("state_source", json_get_string(theirs, "state_source")),
		       J_STRING("evidence", json_get_string(theirs, "evidence")),
		       J_INT("concurrency", 1)) < 0)
		return NULL;
	return ours;
}

static json_object *kernel_says(const Service *service)
{
	const char *platform = platform_name(service);
	json_object *object = NULL;

	/* The kernel exports neither evidence nor whether a bound TDI runs. */
	json_build(&object, J_STRING("platform", platform ?: "unknown"),
		   J_BOOL("protection", platform), J_STRING("bind_when", "guest_ready"),
		   J_STRING("lock_by", "host"), J_STRING("start_by", "tvm"),
		   J_STRING("state_source", "guest"), J_STRING("evidence", "guest_only"),
		   J_INT("concurrency", 1));
	return object;
}

/* NULL: they are not known, or no memory. */
static json_object *capabilities(const Service *service)
{
	if (!service->companion)
		return kernel_says(service);
	return companion_capabilities(service->companion) ? companion_says(service) : NULL;
}

static int answer_capabilities(Service *service, VarlinkCall *call)
{
	const char *trouble = service->companion ? companion_trouble(service->companion) : NULL;
	_cleanup_free_ char *reason = NULL;

	if (!trouble)
		return varlink_call_replyb(call, J_STRING("instance", service->instance),
					   J_TAKE("capabilities", capabilities(service)));
	/* Without the companion nothing works. */
	if (asprintf(&reason, "companion %s: %s", service->config->companion_socket, trouble) < 0)
		return -ENOMEM;
	return varlink_call_errorb(call, "Refused", J_STRING("object", "companion"),
				   J_STRING("reason", reason));
}

/* Who asks this begins anew, and would take an empty Query for the truth. */
static int on_get_capabilities(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return service->look.once ? answer_capabilities(service, call)
				  : service_hold(service, call, answer_capabilities);
}

/* --- the TSM --- */

static char *describe_missing(const Service *service, const char *others)
{
	const char *wanted = service->config->tsm;
	char *text = NULL;
	int r;

	if (others)
		r = asprintf(
			&text,
			"the TSM %s, which the configuration names, is not registered with the "
			"kernel, %s is: load its driver, or name the other one (tsm) or none",
			wanted, others);
	else
		r = asprintf(&text,
			     "no TSM is registered with the kernel (/sys/class/tsm is "
			     "empty): no device can be connected or bound until the "
			     "platform's TSM driver is loaded and its firmware has enabled "
			     "TEE-IO, or, with the tsm-proxy module, until the TSM behind it "
			     "runs");
	return r < 0 ? NULL : text;
}

static void tell(Service *service, const char *sentence)
{
	log_warning("%s", sentence);
	monitor_publish_note(service->monitor, sentence);
}

void service_read_tsm(Service *service)
{
	TeeIoTsm any = {}, tsm = {};
	_cleanup_free_ char *note = NULL, *before = service->no_tsm;
	bool there;

	there = tee_io_tsm(&tsm, service->config->tsm, service->sysfs) == 0;
	service->tsm = there ? tsm : (TeeIoTsm){};
	snprintf(service->view.tsm, sizeof(service->view.tsm), "%s", service->tsm.name);
	service->no_tsm = NULL;
	if (!there)
		service->no_tsm = describe_missing(
			service, tee_io_tsm(&any, NULL, service->sysfs) == 0 ? any.name : NULL);
	if (service->no_tsm && (!before || strcmp(before, service->no_tsm) != 0))
		tell(service, service->no_tsm);
	else if (there && before &&
		 asprintf(&note, "the TSM %s is registered with the kernel now", tsm.name) >= 0)
		tell(service, note);
}

/* NULL: as before. Else why the watches end. */
static const char *differs(Service *service)
{
	const char *theirs = service->companion ? companion_instance(service->companion) : NULL;
	_cleanup_(json_unrefp) json_object *now = capabilities(service);
	char instance[sizeof(service->instance)];
	_cleanup_free_ char *text = NULL;
	bool same;

	/* The node tells a TSM that was gone and is back. */
	snprintf(instance, sizeof(instance), "%s.%s.%" PRIx64 "%s%.64s", service->boot_id,
		 service->tsm.name[0] ? service->tsm.name : "none", service->tsm.node,
		 theirs ? "." : "", theirs ?: "");
	if (strcmp(instance, service->instance) != 0) {
		strcpy(service->instance, instance);
		return "the TSM is another one now";
	}
	if (!now || json_format(&text, NULL, now) < 0)
		return NULL;
	same = service->capabilities && strcmp(service->capabilities, text) == 0;
	return same ? NULL : "the capabilities are others now";
}

void service_check_identity(Service *service)
{
	_cleanup_(json_unrefp) json_object *now = NULL;
	const char *reason = differs(service);

	if (!reason)
		return;
	free(service->capabilities);
	service->capabilities = NULL;
	now = capabilities(service);
	if (now)
		json_format(&service->capabilities, NULL, now);
	monitor_end(service->monitor, reason);
}

int service_bind_identity(Service *service)
{
	return varlink_server_bind(service->server, "io.tdid.Tsm.GetCapabilities", 0,
				   on_get_capabilities, service);
}

void service_identity_done(Service *service)
{
	free(service->capabilities);
	free(service->no_tsm);
}
