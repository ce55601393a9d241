/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bindings.h"

#include "common/state-file.h"
#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <string.h>

#define FILE_NAME     "bindings"
#define FILE_SIZE_MAX (1024u * 1024)
#define FILE_VERSION  2

struct Bindings {
	int directory;
	char *boot_id;
	Binding *list;
	size_t n;
	Bdf *unconfirmed;
	size_t n_unconfirmed;
};

Bindings *bindings_free(Bindings *bindings)
{
	if (!bindings)
		return NULL;
	if (bindings->directory >= 0)
		close(bindings->directory);
	free(bindings->boot_id);
	free(bindings->list);
	free(bindings->unconfirmed);
	free(bindings);
	return NULL;
}

static int save_one(json_object *array, const Binding *b)
{
	char device[BDF_STRING_SIZE], tvm[UUID_STRING_SIZE];
	json_object *item = NULL;
	int r;

	r = json_build(&item, J_STRING("device", bdf_format(b->device, device)),
		       J_STRING("tvm", uuid_format(b->tvm, tvm)),
		       J_INT("generation", (int64_t)b->generation),
		       J_INT("guest_requester_id", b->guest_rid));
	return r < 0 ? r : json_append_take(array, item);
}

static int save(const Bindings *bindings)
{
	_cleanup_(json_unrefp) json_object *array = json_object_new_array(), *o = NULL;
	_cleanup_(json_unrefp) json_object *unconfirmed = json_object_new_array();
	_cleanup_free_ char *text = NULL;
	int r = array && unconfirmed ? 0 : -ENOMEM;
	char name[BDF_STRING_SIZE];
	size_t size;

	for (size_t i = 0; r == 0 && i < bindings->n; i++)
		r = save_one(array, &bindings->list[i]);
	for (size_t i = 0; r == 0 && i < bindings->n_unconfirmed; i++)
		r = json_append_string(unconfirmed, bdf_format(bindings->unconfirmed[i], name));
	if (r == 0)
		r = json_build(&o, J_INT("version", FILE_VERSION),
			       J_STRING("boot_id", bindings->boot_id), J_REF("bindings", array),
			       J_REF("unconfirmed", unconfirmed));
	if (r == 0)
		r = json_format(&text, &size, o);
	if (r == 0)
		r = state_file_write(bindings->directory, FILE_NAME, 0600, STATE_FILE_NO_GROUP,
				     text, size);
	return r;
}

typedef struct BindingText {
	const char *device, *tvm;
	int64_t generation;
	uint32_t guest_rid;
} BindingText;

static int load_one(Binding *ret, json_object *o, char **ret_error)
{
	static const JsonField fields[] = {
		{ "device", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(BindingText, device) },
		{ "tvm", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(BindingText, tvm) },
		{ "generation", JSON_FIELD_INT, JSON_REQUIRED, offsetof(BindingText, generation), 0,
		  INT64_MAX },
		{ "guest_requester_id", JSON_FIELD_U32, JSON_REQUIRED,
		  offsetof(BindingText, guest_rid) },
		{},
	};
	BindingText p;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return refuse(ret_error, -EBADMSG, "an entry is no object");
	r = json_dispatch(o, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	if (bdf_parse(&ret->device, p.device) < 0 || uuid_from_string(&ret->tvm, p.tvm) < 0)
		return refuse(ret_error, -EBADMSG, "an entry's device or TVM is malformed");
	ret->generation = (uint64_t)p.generation;
	ret->guest_rid = p.guest_rid;
	return 0;
}

static int load_bindings(Bindings *bindings, json_object *array, char **ret_error)
{
	size_t n = json_object_array_length(array);

	if (n > BINDINGS_MAX)
		return refuse(ret_error, -EBADMSG, "more than %d entries", BINDINGS_MAX);
	bindings->list = calloc(n + 1, sizeof(*bindings->list));
	if (!bindings->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		Binding b;
		int r = load_one(&b, json_object_array_get_idx(array, i), ret_error);

		if (r < 0)
			return r == -ENOMEM ? r : -EBADMSG;
		if (bindings_find(bindings, b.device))
			return refuse(ret_error, -EBADMSG, "a device is listed twice");
		bindings->list[bindings->n++] = b;
	}
	return 0;
}

static int load_unconfirmed(Bindings *bindings, json_object *array, char **ret_error)
{
	size_t n = json_object_array_length(array);

	bindings->unconfirmed = calloc(n + 1, sizeof(*bindings->unconfirmed));
	if (!bindings->unconfirmed)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(array, i);

		if (!json_object_is_type(o, json_type_string) ||
		    bdf_parse(&bindings->unconfirmed[i], json_object_get_string(o)) < 0)
			return refuse(ret_error, -EBADMSG, "unconfirmed: no device's address");
		bindings->n_unconfirmed++;
	}
	return 0;
}

static int load(Bindings *bindings, const char *text, size_t size, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	json_object *array, *unconfirmed;
	const char *boot_id;
	int r;

	r = json_parse(&o, text, size, ret_error);
	if (r < 0)
		return r;
	if (json_get_int(o, "version", 0) != FILE_VERSION)
		return refuse(ret_error, -EBADMSG, "its version is not %d", FILE_VERSION);
	boot_id = json_get_string(o, "boot_id");
	array = json_get_array(o, "bindings");
	unconfirmed = json_get_array(o, "unconfirmed");
	if (!boot_id || !array || !unconfirmed)
		return refuse(ret_error, -EBADMSG, "boot_id, bindings or unconfirmed is missing");
	if (strcmp(boot_id, bindings->boot_id) != 0)
		return 0;
	r = load_bindings(bindings, array, ret_error);
	return r < 0 ? r : load_unconfirmed(bindings, unconfirmed, ret_error);
}

int bindings_open(Bindings **ret, const char *folder, const char *boot_id, char **ret_error)
{
	_cleanup_(bindings_freep) Bindings *bindings = calloc(1, sizeof(*bindings));
	_cleanup_free_ char *error = NULL;
	_cleanup_blob_ Blob text = {};
	int r;

	if (!bindings)
		return -ENOMEM;
	bindings->directory = -1;
	bindings->boot_id = strdup(boot_id);
	if (!bindings->boot_id)
		return -ENOMEM;
	bindings->directory = state_directory_open(folder, 0700, ret_error);
	if (bindings->directory < 0)
		return bindings->directory;
	r = state_file_read(&text, bindings->directory, FILE_NAME, FILE_SIZE_MAX);
	if (r == 0)
		r = load(bindings, (const char *)text.data, text.size, &error);
	if (r < 0 && r != -ENOENT)
		return refuse(ret_error, r, "%s/" FILE_NAME ": %s", folder, error ?: strerror(-r));
	*ret = steal_ptr(bindings);
	return 0;
}

static void forget(Bindings *bindings, Bdf device)
{
	for (size_t i = 0; i < bindings->n; i++)
		if (bdf_equal(bindings->list[i].device, device)) {
			bindings->list[i] = bindings->list[--bindings->n];
			return;
		}
}

int bindings_put(Bindings *bindings, const Binding *binding)
{
	Binding *more;
	int r;

	forget(bindings, binding->device);
	if (bindings->n == BINDINGS_MAX)
		return -ENOSPC;
	more = reallocarray(bindings->list, bindings->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	bindings->list = more;
	more[bindings->n++] = *binding;
	r = save(bindings);
	if (r < 0)
		forget(bindings, binding->device);
	return r;
}

int bindings_drop(Bindings *bindings, Bdf device)
{
	if (!bindings_find(bindings, device))
		return 0;
	forget(bindings, device);
	return save(bindings);
}

static bool forget_unconfirmed(Bindings *bindings, Bdf device)
{
	for (size_t i = 0; i < bindings->n_unconfirmed; i++)
		if (bdf_equal(bindings->unconfirmed[i], device)) {
			bindings->unconfirmed[i] = bindings->unconfirmed[--bindings->n_unconfirmed];
			return true;
		}
	return false;
}

int bindings_end(Bindings *bindings, Bdf device, bool confirmed)
{
	bool recorded = bindings_find(bindings, device);
	bool remembered = forget_unconfirmed(bindings, device);
	Bdf *more;

	forget(bindings, device);
	if (!confirmed) {
		more = reallocarray(bindings->unconfirmed, bindings->n_unconfirmed + 1,
				    sizeof(*more));
		if (!more)
			return -ENOMEM;
		bindings->unconfirmed = more;
		more[bindings->n_unconfirmed++] = device;
	}
	return recorded || remembered == confirmed ? save(bindings) : 0;
}

bool bindings_unconfirmed(const Bindings *bindings, Bdf device)
{
	for (size_t i = 0; i < bindings->n_unconfirmed; i++)
		if (bdf_equal(bindings->unconfirmed[i], device))
			return true;
	return false;
}

const Binding *bindings_find(const Bindings *bindings, Bdf device)
{
	for (size_t i = 0; i < bindings->n; i++)
		if (bdf_equal(bindings->list[i].device, device))
			return &bindings->list[i];
	return NULL;
}

size_t bindings_count(const Bindings *bindings)
{
	return bindings->n;
}

const Binding *bindings_at(const Bindings *bindings, size_t index)
{
	return &bindings->list[index];
}
