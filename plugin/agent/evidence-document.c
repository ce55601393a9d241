/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/evidence-document.h"

#include "core/cleanup.h"
#include "core/hex.h"
#include "core/refusal.h"
#include "core/uuid.h"
#include "rpc/base64.h"
#include "rpc/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int add_number(json_object *object, const char *name, uint64_t value, char **ret_error)
{
	if (value > INT64_MAX)
		return refuse(ret_error, -ERANGE,
			      "\"%s\" is %" PRIu64 ", more than a JSON number here may be", name,
			      value);
	return json_add_int(object, name, (int64_t)value);
}

static int add_base64(json_object *object, const char *name, const void *data, size_t size)
{
	_cleanup_free_ char *text = NULL;
	int r = base64_encode(&text, data, size);

	return r < 0 ? r : json_add_string(object, name, text);
}

static int add_digest(json_object *object, const char *name, const Digest *digest)
{
	char text[DIGEST_STRING_SIZE];

	return json_add_string(object, name, digest_format(digest, text));
}

/* `n` digits, as a certificate's name writes them. */
static int add_digits(json_object *object, const char *name, int n, uint64_t value)
{
	char text[17];

	snprintf(text, sizeof(text), "%0*" PRIx64, n, value);
	return json_add_string(object, name, text);
}

/* --- the function --- */

static int bar_build(json_object **ret, const Function *function, unsigned int i, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *bar = NULL;
	const InterfaceBar *b = &function->bars[i];
	int r = json_build(&bar, J_INT("bar", i), J_BOOL("is_64bit", b->is_64bit));

	if (r == 0)
		r = add_number(bar, "address", function->starts[i], ret_error);
	if (r == 0)
		r = add_number(bar, "size", b->size, ret_error);
	if (r == 0)
		*ret = steal_ptr(bar);
	return r;
}

/* Memory BARs: the others are none of the interface report's. */
static int bars_build(json_object **ret, const Function *function, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *bars = json_object_new_array();
	int r = bars ? 0 : -ENOMEM;

	for (unsigned int i = 0; r == 0 && i < INTERFACE_REPORT_N_BARS; i++) {
		json_object *bar = NULL;

		if (!function->bars[i].present || !function->bars[i].is_memory)
			continue;
		r = bar_build(&bar, function, i, ret_error);
		if (r == 0)
			r = json_append_take(bars, bar);
	}
	if (r == 0)
		*ret = steal_ptr(bars);
	return r;
}

static int function_build(json_object **ret, const Function *function, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	const DeviceIdentity *id = &function->identity;
	char address[BDF_STRING_SIZE];
	json_object *bars = NULL;
	int r;

	r = json_build(&object, J_STRING("address", bdf_format(function->address, address)));
	if (r == 0)
		r = add_digits(object, "vendor", 4, id->vendor);
	if (r == 0)
		r = add_digits(object, "device", 4, id->device);
	if (r == 0)
		r = add_digits(object, "class", 6, id->class_code);
	if (r == 0)
		r = add_digits(object, "revision", 2, id->revision);
	if (r == 0)
		r = add_digits(object, "subsystem_vendor", 4, id->subsystem_vendor);
	if (r == 0)
		r = add_digits(object, "subsystem", 4, id->subsystem);
	if (r == 0 && id->has_serial)
		r = add_digits(object, "serial", 16, id->serial);
	if (r == 0)
		r = bars_build(&bars, function, ret_error);
	if (r == 0)
		r = json_add_take(object, "bars", bars);
	if (r == 0)
		*ret = steal_ptr(object);
	return r;
}

/* --- the evidence --- */

/* What tdi_validate will quote: the TSM refuses if any of it is not what it holds then. */
static int quote_build(json_object **ret, const StatementEvidence *e, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *quote = json_object_new_object();
	int r = quote ? 0 : -ENOMEM;

	if (r == 0)
		r = add_digest(quote, "certificates", &e->certificates);
	if (r == 0)
		r = add_digest(quote, "vca", &e->vca);
	if (r == 0)
		r = add_digest(quote, "measurements", &e->measurements);
	if (r == 0)
		r = add_digest(quote, "report", &e->report);
	if (r == 0)
		r = add_number(quote, "identity_sequence", e->identity_sequence, ret_error);
	if (r == 0)
		r = add_number(quote, "measurements_sequence", e->measurements_sequence, ret_error);
	if (r == 0)
		r = add_number(quote, "report_sequence", e->report_sequence, ret_error);
	if (r == 0)
		*ret = steal_ptr(quote);
	return r;
}

static int head_build(json_object **ret, const EvidenceSubject *subject, char **ret_error)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	const Statement *s = subject->stated;
	char tvm[UUID_STRING_SIZE], nonce[HEX_STRING_SIZE(STATEMENT_NONCE_SIZE)];
	json_object *function = NULL;
	Uuid uuid;
	int r;

	memcpy(uuid.bytes, s->tvm, sizeof(uuid.bytes));
	r = json_build(&object, J_INT("version", EVIDENCE_DOCUMENT_VERSION),
		       J_STRING("tvm", uuid_format(uuid, tvm)));
	if (r == 0)
		r = function_build(&function, subject->function, ret_error);
	if (r == 0)
		r = json_add_take(object, "function", function);
	if (r == 0)
		r = add_number(object, "generation", s->generation, ret_error);
	if (r == 0)
		r = json_add_bool(object, "protected", !(s->flags & STATEMENT_EMULATED));
	if (r == 0)
		r = json_add_string(object, "nonce",
				    hex_encode(nonce, subject->nonce, STATEMENT_NONCE_SIZE));
	if (r == 0)
		*ret = steal_ptr(object);
	return r;
}

int evidence_document(char **ret, size_t *ret_size, const EvidenceSubject *subject,
		      char **ret_error)
{
	const EvidenceBlobs *b = subject->blobs;
	const struct {
		const char *name;
		const void *data;
		size_t size;
	} blobs[] = {
		{ "statement", subject->statement, subject->statement_size },
		{ "certificates", b->certificates.iov_base, b->certificates.iov_len },
		{ "vca", b->vca.iov_base, b->vca.iov_len },
		{ "measurements", b->measurements.iov_base, b->measurements.iov_len },
		{ "report", b->report.iov_base, b->report.iov_len },
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	json_object *quote = NULL;
	int r = head_build(&object, subject, ret_error);

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(blobs); i++)
		r = add_base64(object, blobs[i].name, blobs[i].data, blobs[i].size);
	if (r == 0)
		r = quote_build(&quote, &subject->stated->evidence, ret_error);
	if (r == 0)
		r = json_add_take(object, "quote", quote);
	return r < 0 ? r : json_format(ret, ret_size, object);
}
