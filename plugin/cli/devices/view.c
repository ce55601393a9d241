/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/devices/devices.h"

#include "cli/text.h"

#include <string.h>

static bool find_dsm(DeviceView *view, const PciSurvey *survey, const Served *served)
{
	const PciFunction *f = view->f, *function0 = pci_survey_find(survey, f->dsm);
	const char *told = view->tdid_device ? json_get_string(view->tdid_device, "dsm") : NULL;

	if (bdf_parse(&view->dsm, f->kernel_dsm.text) == 0)
		return true;
	if (told && bdf_parse(&view->dsm, told) == 0)
		return true;
	view->dsm = f->dsm;
	return (function0 && pci_function_has_dsm(function0)) || served_dsm(served, f->dsm);
}

DeviceView device_view(const PciSurvey *survey, const Served *served, const PciFunction *f)
{
	DeviceView view = { .f = f, .tdid_device = served_device(served, f->bdf) };
	json_object *from;

	if (f->error < 0)
		return view;
	if (f->host.is_virtual)
		view.physical = pci_survey_find(survey, f->host.physical);
	view.has_dsm = find_dsm(&view, survey, served);
	if (view.has_dsm)
		view.tdid_dsm = served_dsm(served, view.dsm);
	from = view.tdid_device ? view.tdid_device : view.tdid_dsm;
	view.tdid_tsm = from ? served_tsm(served, json_get_string(from, "tsm")) : NULL;
	return view;
}

static bool config_is_relevant(const PciFunction *f)
{
	return f && (f->config.tee_io || f->config.has_ide);
}

bool device_view_is_relevant(const DeviceView *view)
{
	return view->has_dsm || view->tdid_device || view->f->connect.state != TSM_VALUE_ABSENT ||
	       config_is_relevant(view->f) || config_is_relevant(view->physical);
}

/* --- JSON --- */

/* `object` by address: the call that gives `r` may be the one that fills it. */
static json_object *checked(int r, json_object **object)
{
	if (r < 0 || !*object)
		abort();
	return *object;
}

static json_object *checked_new(json_object *object)
{
	return checked(0, &object);
}

static json_object *kernel_json(const PciFunction *f)
{
	const struct {
		const char *name;
		const TsmValue *value;
	} values[] = { { "connect", &f->connect },
		       { "bound", &f->bound },
		       { "dsm", &f->kernel_dsm } };
	json_object *object = checked_new(json_object_new_object());
	json_object *unknown = checked_new(json_object_new_array());
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(values); i++) {
		if (values[i].value->state == TSM_VALUE_KNOWN)
			r = json_add_string(object, values[i].name, values[i].value->text);
		else if (values[i].value->state == TSM_VALUE_UNKNOWN)
			r = json_append_string(unknown, values[i].name);
	}
	if (r == 0)
		r = json_add_take(object, "unknown", unknown);
	return checked(r, &object);
}

static json_object *config_json(const PciConfig *config)
{
	json_object *object = NULL, *ide = NULL, *mailboxes = NULL;

	if (config->extended) {
		checked(json_build(&ide, J_BOOL("link", config->link_ide),
				   J_BOOL("selective", config->selective_ide)),
			&ide);
		mailboxes = checked_new(json_object_new_array());
		for (size_t i = 0; i < config->n_doe; i++)
			checked(json_append_take(mailboxes, json_object_new_int(config->doe[i])),
				&mailboxes);
	}
	return checked(json_build(&object, J_BOOL("readable", config->basic && config->extended),
				  J_BOOL_IF(config->basic, "tee_io", config->tee_io),
				  J_TAKE("ide", ide), J_TAKE("doe_mailboxes", mailboxes)),
		       &object);
}

static json_object *tdid_json(const DeviceView *view)
{
	json_object *object = NULL;

	if (!view->tdid_device && !view->tdid_dsm)
		return NULL;
	return checked(json_build(&object, J_REF("device", view->tdid_device),
				  J_REF("dsm", view->tdid_dsm), J_REF("tsm", view->tdid_tsm)),
		       &object);
}

static json_object *features_json(const PciFunction *f)
{
	json_object *array = checked_new(json_object_new_array());
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->n_doe_features; i++)
		r = json_append_string(array, f->doe_features[i]);
	return checked(r, &array);
}

json_object *device_view_json(const DeviceView *view)
{
	const PciFunction *f = view->f;
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], physical[BDF_STRING_SIZE];
	bool has_total = f->config.has_sriov || f->has_vfs_total;
	_cleanup_free_ char *identity =
		text_format("%04x:%04x", f->host.identity.vendor, f->host.identity.device);
	_cleanup_free_ char *class_code = text_format("%06x", f->host.identity.class_code);
	_cleanup_free_ char *driver = text_clean(f->host.driver);
	json_object *object = NULL;

	bdf_format(f->bdf, device);
	bdf_format(f->host.physical, physical);
	bdf_format(view->dsm, dsm);
	return checked(
		json_build(
			&object, J_STRING("device", device), J_STRING("id", identity),
			J_STRING("class", class_code),
			J_BOOL("is_virtual_function", f->host.is_virtual),
			J_STRING("physical_function", f->host.is_virtual ? physical : NULL),
			J_STRING("dsm", view->has_dsm ? dsm : NULL),
			J_STRING("driver", driver[0] ? driver : NULL),
			J_INT_IF(f->host.has_iommu_group, "iommu_group", f->host.iommu_group),
			J_INT_IF(has_total, "vfs_enabled", (int64_t)f->vfs_enabled),
			J_INT_IF(has_total, "vfs_total",
				 f->config.has_sriov ? f->config.vfs_total : f->vfs_total),
			J_TAKE("doe_features", features_json(f)), J_TAKE("kernel", kernel_json(f)),
			J_TAKE("config", config_json(&f->config)), J_TAKE("tdid", tdid_json(view))),
		&object);
}
