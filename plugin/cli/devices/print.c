/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/devices/devices.h"

#include "cli/table.h"
#include "cli/text.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>

static const TableColumn tsm_columns[] = { { "TSM" }, { "KNOWN TO" }, { "STATE" } };

/* What must not be cut away on a narrow terminal comes first. */
static const TableColumn columns[] = {
	{ "DEVICE" },	 { "DSM" },	{ "CONNECT" }, { "BOUND" },
	{ "DSM STATE" }, { "HELD BY" }, { "TSM" },     { "TEE-IO" },
	{ "IDE" },	 { "DOE" },	{ "VFS" },     { "GROUP", .right = true },
	{ "DRIVER" },
};

enum { COLUMN_DSM_STATE = 4, COLUMN_HELD_BY = 5 };

static const char *member(json_object *object, const char *name)
{
	return object ? json_get_string(object, name) : NULL;
}

void devices_print_tsms(const TeeIoTsm *tsms, size_t n, const Served *served)
{
	_cleanup_(table_freep) Table *table = table_new(tsm_columns, ELEMENTSOF(tsm_columns));
	size_t n_served = served->tsms ? json_object_array_length(served->tsms) : 0;
	TableStyle style = table_style(stdout);

	if (n + n_served == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *state = text_format(
			"registered%s%s", tsms[i].driver[0] ? " by " : "", tsms[i].driver);

		table_add(table, (const char *const[]){ tsms[i].name, "kernel", state });
	}
	for (size_t i = 0; i < n_served; i++) {
		json_object *tsm = json_object_array_get_idx(served->tsms, i);
		bool ready = json_get_bool(tsm, "ready", false);
		const char *trouble = member(tsm, "trouble");
		_cleanup_free_ char *state =
			text_format("%s%s%s", ready ? "ready" : "not ready", trouble ? ": " : "",
				    trouble ? trouble : "");

		table_add(table, (const char *const[]){ member(tsm, "title"), "tdid", state });
		table_tone(table, 2, ready ? TABLE_GOOD : TABLE_BAD);
	}
	table_print(table, &style, stdout);
	putchar('\n');
}

static const char *value_cell(const TsmValue *value)
{
	if (value->state == TSM_VALUE_ABSENT)
		return NULL;
	if (value->state == TSM_VALUE_UNKNOWN)
		return "?";
	return value->text[0] ? value->text : "no";
}

static const char *ide_cell(const PciConfig *config)
{
	if (!config->extended)
		return NULL;
	return config->link_ide && config->selective_ide ? "link, selective"
	       : config->link_ide			 ? "link"
	       : config->selective_ide			 ? "selective"
							 : "no";
}

static bool speaks_spdm(const PciFunction *f)
{
	for (size_t i = 0; i < f->n_doe_features; i++)
		if (strcmp(f->doe_features[i], "0001:01") == 0)
			return true;
	return false;
}

static char *doe_cell(const PciFunction *f)
{
	if (!f->config.extended)
		return f->n_doe_features ? text_format("%s", speaks_spdm(f) ? "spdm" : "yes")
					 : NULL;
	if (f->config.n_doe == 0)
		return text_format("no");
	return text_format("%zu%s", f->config.n_doe, speaks_spdm(f) ? " (spdm)" : "");
}

static char *vfs_cell(const PciFunction *f)
{
	if (!f->config.has_sriov && !f->has_vfs_total)
		return NULL;
	return text_format("%zu/%u", f->vfs_enabled,
			   f->config.has_sriov ? f->config.vfs_total : f->vfs_total);
}

static char *dsm_state(const DeviceView *view)
{
	if (!view->tdid_dsm)
		return NULL;
	return text_format("%s%s%s", member(view->tdid_dsm, "state"),
			   json_get_bool(view->tdid_dsm, "pinned", false) ? ", pinned" : "",
			   json_get_bool(view->tdid_dsm, "drained", false) ? ", drained" : "");
}

static char *holder(const DeviceView *view)
{
	json_object *device = view->tdid_device;
	const char *domain = member(device, "domain_name"), *name = member(device, "name");
	bool quarantined = device && json_get_bool(device, "quarantined", false);

	if (!domain)
		domain = member(device, "domain");
	if (!domain)
		return quarantined		    ? text_format("quarantined")
		       : member(device, "excluded") ? text_format("excluded")
						    : NULL;
	return text_format("%s%s%s%s", domain, name ? "/" : "", name ? name : "",
			   quarantined ? ", quarantined" : "");
}

static void add(Table *table, const DeviceView *view)
{
	const PciFunction *f = view->f;
	const PciConfig *config = &f->config;
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], group[16];
	_cleanup_free_ char *state = dsm_state(view), *held = holder(view), *vfs = vfs_cell(f);
	_cleanup_free_ char *doe = doe_cell(f);

	snprintf(group, sizeof(group), "%u", f->host.iommu_group);
	table_add(table, (const char *const[]){
				 bdf_format(f->bdf, device),
				 view->has_dsm ? bdf_format(view->dsm, dsm) : NULL,
				 value_cell(&f->connect),
				 value_cell(&f->bound),
				 state,
				 held,
				 member(view->tdid_tsm, "title"),
				 !config->basic	  ? NULL
				 : config->tee_io ? "yes"
						  : "no",
				 ide_cell(config),
				 doe,
				 vfs,
				 f->host.has_iommu_group ? group : NULL,
				 f->host.driver[0] ? f->host.driver : NULL,
			 });
	if (state && strncmp(state, "quarantined", strlen("quarantined")) == 0)
		table_tone(table, COLUMN_DSM_STATE, TABLE_BAD);
	if (view->tdid_device && json_get_bool(view->tdid_device, "quarantined", false))
		table_tone(table, COLUMN_HELD_BY, TABLE_BAD);
}

void devices_print(const DeviceView *views, size_t n)
{
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));
	TableStyle style = table_style(stdout);

	for (size_t i = 0; i < n; i++)
		add(table, &views[i]);
	table_print(table, &style, stdout);
}

/* --- one --- */

__attribute__((format(printf, 2, 3))) static void print_line(const char *label, const char *format,
							     ...)
{
	_cleanup_free_ char *text = NULL, *clean = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	clean = text_clean(text);
	printf("%14s %s\n", label, clean);
}

static void print_value(const char *label, const TsmValue *value, const char *absent,
			const char *empty)
{
	if (value->state == TSM_VALUE_UNKNOWN)
		print_line(label, "not known: %s",
			   value->error == -EINTR ? "the kernel's TSM lock is not free"
						  : strerror(-value->error));
	else
		print_line(label, "%s",
			   value->state == TSM_VALUE_ABSENT ? absent
			   : value->text[0]		    ? value->text
							    : empty);
}

static const char *feature_words(const char *feature)
{
	/* Of PCI-SIG, PCIe 6.1, 6.30.1. */
	static const char *const words[] = { "discovery", "CMA/SPDM", "secured CMA/SPDM" };
	size_t type = (size_t)(feature[6] - '0');

	return strncmp(feature, "0001:0", 6) == 0 && type < ELEMENTSOF(words) ? words[type]
									      : "vendor's";
}

static void print_doe(const PciFunction *f)
{
	_cleanup_free_ char *line = text_format("%s", f->config.n_doe ? "mailboxes at" : "no");

	if (!f->config.extended)
		print_line("doe:", "not known");
	for (size_t i = 0; i < f->config.n_doe; i++) {
		_cleanup_free_ char *before = line;

		line = text_format("%s %#x", before, f->config.doe[i]);
	}
	if (f->config.extended)
		print_line("doe:", "%s", line);
	for (size_t i = 0; i < f->n_doe_features; i++)
		print_line("", "speaks %s (%s)", f->doe_features[i],
			   feature_words(f->doe_features[i]));
}

static char *user_words(int64_t uid)
{
	const struct passwd *user = getpwuid((uid_t)uid);

	return user ? text_format("%s (uid %lld)", user->pw_name, (long long)uid)
		    : text_format("uid %lld", (long long)uid);
}

/* Who and why, of its session and of its staying connected. */
static void print_cause(json_object *dsm)
{
	json_object *cause = json_get_object(dsm, "connected_by");
	const char *domain = member(cause, "domain_name") ?: member(cause, "domain");
	int64_t uid = cause ? json_get_int(cause, "uid", -1) : -1;
	int64_t pinned_by = json_get_int(dsm, "pinned_by", -1);
	_cleanup_free_ char *user = user_words(uid), *pinned = user_words(pinned_by);

	if (domain)
		print_line("connected by:", "%s/%s, which needs it or did", domain,
			   member(cause, "name") ?: "?");
	else if (uid >= 0)
		print_line("connected by:", "%s, by request", user);
	if (pinned_by >= 0)
		print_line("pinned by:", "%s", pinned);
}

static void print_tdid(const DeviceView *view)
{
	_cleanup_free_ char *state = dsm_state(view), *held = holder(view);
	json_object *device = view->tdid_device, *dsm = view->tdid_dsm, *tsm = view->tdid_tsm;
	const char *reason = member(dsm, "reason");

	if (!device && !dsm) {
		print_line("tdid:", "says nothing of it");
		return;
	}
	if (tsm)
		print_line("tsm:", "%s", member(tsm, "title"));
	if (tsm)
		print_line("protection:", "%s",
			   json_get_bool(tsm, "protection", false) ? "yes" : "no");
	if (dsm)
		print_line("dsm state:", "%s%s%s; the TSM says %s", state, reason ? ": " : "",
			   reason ? reason : "",
			   json_get_bool(dsm, "connected", false) ? "connected" : "not connected");
	if (dsm)
		print_cause(dsm);
	if (!device)
		return;
	print_line("held by:", "%s", held ? held : "nobody");
	if (member(device, "excluded"))
		print_line("excluded:", "by '%s' in tdid.conf: nobody gets it",
			   member(device, "excluded"));
	if (member(device, "reason"))
		print_line("reason:", "%s", member(device, "reason"));
	print_line("tdi state:", "%s",
		   member(device, "tdi_state") ? member(device, "tdi_state") : "not known");
}

void device_view_print(const DeviceView *view)
{
	const PciFunction *f = view->f;
	const DeviceIdentity *identity = &f->host.identity;
	char device[BDF_STRING_SIZE], other[BDF_STRING_SIZE];
	_cleanup_free_ char *vfs = vfs_cell(f);

	print_line("device:", "%s", bdf_format(f->bdf, device));
	print_line("id:", "%04x:%04x, class %06x, revision %02x", identity->vendor,
		   identity->device, identity->class_code, identity->revision);
	if (f->host.is_virtual)
		print_line("function:", "virtual, of %s", bdf_format(f->host.physical, other));
	else
		print_line("function:", "physical");
	print_line("driver:", "%s", f->host.driver[0] ? f->host.driver : "none");
	if (f->host.has_iommu_group)
		print_line("iommu group:", "%u", f->host.iommu_group);
	else
		print_line("iommu group:", "none: VFIO cannot hand it to a VM");
	print_line("dsm:", "%s", view->has_dsm ? bdf_format(view->dsm, other) : "none known");
	print_value("tsm/connect:", &f->connect, "there is none", "not connected");
	print_value("tsm/bound:", &f->bound, "there is none", "not bound");
	print_value("tsm/dsm:", &f->kernel_dsm, "there is none", "not told");
	print_line("tee-io:", "%s",
		   !f->config.basic   ? "not known"
		   : f->config.tee_io ? "supported"
				      : "no");
	print_line("ide:", "%s", f->config.extended ? ide_cell(&f->config) : "not known");
	print_doe(f);
	print_line("vfs:", "%s%s",
		   vfs			? vfs
		   : f->config.extended ? "no SR-IOV"
					: "not known",
		   vfs ? " (enabled, and how many it could have)" : "");
	print_tdid(view);
}
