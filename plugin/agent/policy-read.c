/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy.h"

#include "core/hex.h"
#include "core/refusal.h"
#include "core/spdm.h"
#include "rpc/json.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define POLICY_VERSION	    1
#define POLICY_MAX_ITEMS    1024
#define POLICY_MAX_INTERVAL (366 * 24 * 3600)

/* Puts where it happened in front of what happened. */
static int within(char **ret_error, int code, char *cause, const char *list, size_t index)
{
	refuse(ret_error, code, "%s[%zu]: %s", list, index, cause ? cause : strerror(-code));
	free(cause);
	return code;
}

static int read_relying_party(json_object *object, PolicyCommand *ret, char **ret_error)
{
	char *cause = NULL;
	int r = object ? policy_command_read(ret, object, &cause) : 0;

	if (r < 0)
		refuse(ret_error, r, "relying_party: %s", cause ? cause : strerror(-r));
	free(cause);
	return r;
}

static int read_quote(json_object *object, PolicyQuote *ret, char **ret_error)
{
	char *cause = NULL;
	int r = 0;

	policy_quote_init(ret);
	if (object)
		r = policy_quote_read(ret, object, &cause);
	if (r < 0)
		refuse(ret_error, r, "quote: %s", cause ? cause : strerror(-r));
	free(cause);
	return r;
}

/* A reader of one element of an array into its place in `items`. */
typedef int (*ElementReader)(json_object *element, void *item, char **ret_error);

static int read_list(json_object *array, const char *name, size_t item_size, ElementReader read,
		     void **ret, size_t *ret_n, char **ret_error)
{
	size_t n = array ? json_object_array_length(array) : 0;

	if (n > POLICY_MAX_ITEMS)
		return refuse(ret_error, -EINVAL, "\"%s\" has %zu elements, more than %d", name, n,
			      POLICY_MAX_ITEMS);
	if (n == 0)
		return 0;
	*ret = calloc(n, item_size);
	if (!*ret)
		return -ENOMEM;
	/* Counted first, so that freeing covers an element that was read half. */
	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		char *cause = NULL;
		int r = read(json_object_array_get_idx(array, i), (char *)*ret + i * item_size,
			     &cause);

		if (r < 0)
			return within(ret_error, r, cause, name, i);
	}
	return 0;
}

static int string_of(json_object *element, const char **ret, char **ret_error)
{
	if (!json_object_is_type(element, json_type_string))
		return refuse(ret_error, -EINVAL, "must be a string");
	*ret = json_object_get_string(element);
	return 0;
}

static int read_digest_text(const char *text, Digest *ret, char **ret_error)
{
	if (hex_decode(ret->bytes, DIGEST_SIZE, text) < 0)
		return refuse(ret_error, -EINVAL,
			      "a digest is SHA-384 in %d lower-case hexadecimal digits, this is "
			      "\"%s\"",
			      2 * DIGEST_SIZE, json_shown(text));
	return 0;
}

static int read_digest(json_object *element, void *item, char **ret_error)
{
	const char *text = NULL;
	int r = string_of(element, &text, ret_error);

	return r < 0 ? r : read_digest_text(text, item, ret_error);
}

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}

/* The DER of the only PEM block in `text`, which is of the type `label`. OPENSSL_free() it. */
static int read_pem(const char *text, const char *label, unsigned char **ret, long *ret_size,
		    char **ret_error)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(text, -1);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL, *more = NULL;
	long size, more_size;
	int r = 0;

	if (!bio)
		return -ENOMEM;
	if (PEM_read_bio(bio, &name, &header, &der, &size) != 1 || strcmp(name, label) != 0)
		r = refuse(ret_error, -EINVAL, "must be one PEM block \"%s\"", label);
	OPENSSL_free(name);
	OPENSSL_free(header);
	name = header = NULL;
	if (r == 0 && PEM_read_bio(bio, &name, &header, &more, &more_size) == 1) {
		r = refuse(ret_error, -EINVAL,
			   "holds a second PEM block: give each an element of its own");
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(more);
	}
	ERR_clear_error();
	if (r < 0) {
		OPENSSL_free(der);
		return r;
	}
	*ret = der;
	*ret_size = size;
	return 0;
}

static int read_root(json_object *element, void *item, char **ret_error)
{
	unsigned char *der = NULL;
	const unsigned char *at;
	const char *text = NULL;
	X509 *certificate;
	long size = 0;
	int r;

	r = string_of(element, &text, ret_error);
	if (r == 0)
		r = read_pem(text, PEM_STRING_X509, &der, &size, ret_error);
	if (r < 0)
		return r;
	at = der;
	certificate = d2i_X509(NULL, &at, size);
	if (!certificate || at != der + size)
		r = refuse(ret_error, -EINVAL, "is not a certificate");
	else
		r = digest_of(item, der, (size_t)size);
	X509_free(certificate);
	OPENSSL_free(der);
	ERR_clear_error();
	return r;
}

static int read_crl(json_object *element, void *item, char **ret_error)
{
	struct iovec *crl = item;
	unsigned char *der = NULL;
	const char *text = NULL;
	long size = 0;
	int r;

	r = string_of(element, &text, ret_error);
	if (r == 0)
		r = read_pem(text, PEM_STRING_X509_CRL, &der, &size, ret_error);
	if (r < 0)
		return r;
	*crl = (struct iovec){ .iov_base = der, .iov_len = (size_t)size };
	return 0;
}

static int read_region(json_object *element, void *item, char **ret_error)
{
	struct {
		uint32_t bar;
		int64_t offset, size;
	} p = { 0 };
	static const JsonField fields[] = {
		{ "bar", JSON_FIELD_U32, JSON_REQUIRED, 0, 0, 5 },
		{ "offset", JSON_FIELD_INT, JSON_REQUIRED, 8, 0, INT64_MAX },
		{ "size", JSON_FIELD_INT, JSON_REQUIRED, 16, 1, INT64_MAX },
		{ 0 },
	};
	InterfaceRegion *region = item;
	int r;

	_Static_assert(offsetof(__typeof__(p), offset) == 8 && offsetof(__typeof__(p), size) == 16,
		       "the table above");
	r = json_dispatch(element, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	if (p.offset % INTERFACE_REPORT_PAGE_SIZE || p.size % INTERFACE_REPORT_PAGE_SIZE)
		return refuse(ret_error, -EINVAL,
			      "\"offset\" and \"size\" are in bytes and have to be whole pages of "
			      "4096");
	*region = (InterfaceRegion){ .bar = (uint8_t)p.bar,
				     .first_page = (uint64_t)p.offset / INTERFACE_REPORT_PAGE_SIZE,
				     .n_pages = (uint64_t)p.size / INTERFACE_REPORT_PAGE_SIZE };
	return 0;
}

typedef struct ReferenceText {
	uint32_t index;
	const char *digest;
	int64_t minimum_svn;
} ReferenceText;

static int read_reference(json_object *element, void *item, char **ret_error)
{
	static const JsonField fields[] = {
		{ "index", JSON_FIELD_U32, JSON_REQUIRED, offsetof(ReferenceText, index), 1, 254 },
		{ "digest", JSON_FIELD_STRING, 0, offsetof(ReferenceText, digest) },
		{ "minimum_svn", JSON_FIELD_INT, 0, offsetof(ReferenceText, minimum_svn), 0,
		  INT64_MAX },
		{ 0 },
	};
	ReferenceText p = { .minimum_svn = -1 };
	EvidenceReference *reference = item;
	int r;

	r = json_dispatch(element, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	if (!p.digest == (p.minimum_svn < 0))
		return refuse(ret_error, -EINVAL,
			      "needs either \"digest\" or \"minimum_svn\", and not both");
	reference->index = (uint8_t)p.index;
	reference->by_svn = !p.digest;
	if (p.digest)
		return read_digest_text(p.digest, &reference->digest, ret_error);
	reference->min_svn = (uint64_t)p.minimum_svn;
	return 0;
}

/* Big-endian digits, as a certificate's subjectAltName writes them. */
static int read_digits(const char *name, const char *text, unsigned int n_bytes, uint32_t *ret,
		       char **ret_error)
{
	uint8_t bytes[4] = { 0 };

	if (hex_decode(bytes + 4 - n_bytes, n_bytes, text) < 0)
		return refuse(ret_error, -EINVAL,
			      "\"%s\" must be %u lower-case hexadecimal digits without 0x", name,
			      2 * n_bytes);
	*ret = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
	return 0;
}

typedef struct DeviceText {
	const char *vendor, *device, *class_code, *subsystem_vendor;
	json_object *measurements;
} DeviceText;

static int read_device(json_object *element, void *item, char **ret_error)
{
	static const JsonField fields[] = {
		{ "vendor", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(DeviceText, vendor) },
		{ "device", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(DeviceText, device) },
		{ "class", JSON_FIELD_STRING, 0, offsetof(DeviceText, class_code) },
		{ "subsystem_vendor", JSON_FIELD_STRING, 0,
		  offsetof(DeviceText, subsystem_vendor) },
		{ "measurements", JSON_FIELD_ARRAY, 0, offsetof(DeviceText, measurements) },
		{ 0 },
	};
	uint32_t vendor = 0, device = 0, class_code = 0, subsystem_vendor = 0;
	DeviceText p = { 0 };
	PolicyDevice *to = item;
	int r;

	r = json_dispatch(element, fields, &p, 0, ret_error);
	if (r == 0)
		r = read_digits("vendor", p.vendor, 2, &vendor, ret_error);
	if (r == 0)
		r = read_digits("device", p.device, 2, &device, ret_error);
	if (r == 0 && p.class_code)
		r = read_digits("class", p.class_code, 3, &class_code, ret_error);
	if (r == 0 && p.subsystem_vendor)
		r = read_digits("subsystem_vendor", p.subsystem_vendor, 2, &subsystem_vendor,
				ret_error);
	if (r < 0)
		return r;
	to->device = (EvidenceDevice){ .vendor = (uint16_t)vendor,
				       .device = (uint16_t)device,
				       .class_code = class_code,
				       .class_mask = p.class_code ? 0xffffff : 0 };
	to->any_subsystem_vendor = !p.subsystem_vendor;
	to->subsystem_vendor = (uint16_t)subsystem_vendor;
	return read_list(p.measurements, "measurements", sizeof(*to->references), read_reference,
			 (void **)&to->references, &to->n_references, ret_error);
}

static int read_unverified(json_object *element, void *item, char **ret_error)
{
	PolicyUnverified *to = item;
	const char *text = NULL;
	size_t n_digits;
	int r;

	r = string_of(element, &text, ret_error);
	if (r < 0)
		return r;
	if (strcmp(text, "virtio") == 0) {
		*to = (PolicyUnverified){ .kind = POLICY_UNVERIFIED_VENDOR, .vendor = 0x1af4 };
		return 0;
	}
	if (bdf_parse(&to->address, text) == 0) {
		to->kind = POLICY_UNVERIFIED_ADDRESS;
		return 0;
	}
	n_digits = strncmp(text, "class:", 6) == 0 ? strlen(text + 6) : 0;
	if (n_digits == 2 || n_digits == 4 || n_digits == 6) {
		unsigned int shift = 24 - 4 * (unsigned int)n_digits;

		to->kind = POLICY_UNVERIFIED_CLASS;
		to->class_mask = 0xffffffU << shift & 0xffffffU;
		r = read_digits("class", text + 6, (unsigned int)n_digits / 2, &to->class_code,
				ret_error);
		to->class_code <<= shift;
		return r;
	}
	return refuse(ret_error, -EINVAL,
		      "\"%s\" must be an address (0000:00:02.0), \"virtio\", or a class "
		      "(\"class:03\", two, four or six digits)",
		      json_shown(text));
}

typedef struct PolicyText {
	uint32_t version;
	bool allow_emulated, allow_unlisted_measurements, allow_debug;
	bool require_no_fw_update, require_device_mode, unbind_driver;
	bool allow_ats, allow_prs, allow_pasid, allow_p2p;
	uint32_t reattest_interval_sec;
	json_object *roots, *crls, *pins, *devices, *allow_shared_ranges, *allow_gaps, *unverified;
	json_object *relying_party, *quote;
} PolicyText;

#define FLAG(member)                                                                               \
	{                                                                                          \
#member, JSON_FIELD_BOOL, 0, offsetof(PolicyText, member)                          \
	}
#define ARRAY(member)                                                                              \
	{                                                                                          \
#member, JSON_FIELD_ARRAY, 0, offsetof(PolicyText, member)                         \
	}

static const JsonField policy_fields[] = {
	{ "version", JSON_FIELD_U32, JSON_REQUIRED, offsetof(PolicyText, version), 0, UINT32_MAX },
	FLAG(allow_emulated),
	ARRAY(roots),
	ARRAY(crls),
	ARRAY(pins),
	ARRAY(devices),
	FLAG(allow_unlisted_measurements),
	FLAG(allow_debug),
	FLAG(require_device_mode),
	FLAG(require_no_fw_update),
	{ "reattest_interval_sec", JSON_FIELD_U32, 0, offsetof(PolicyText, reattest_interval_sec),
	  1, POLICY_MAX_INTERVAL },
	FLAG(allow_ats),
	FLAG(allow_prs),
	FLAG(allow_pasid),
	FLAG(allow_p2p),
	ARRAY(allow_shared_ranges),
	ARRAY(allow_gaps),
	ARRAY(unverified),
	FLAG(unbind_driver),
	{ "relying_party", JSON_FIELD_OBJECT, 0, offsetof(PolicyText, relying_party) },
	{ "quote", JSON_FIELD_OBJECT, 0, offsetof(PolicyText, quote) },
	{ 0 },
};

static int read_lists(AgentPolicy *policy, const PolicyText *p, char **ret_error)
{
	EvidencePolicy *e = &policy->evidence;
	int r;

	r = read_list(p->roots, "roots", sizeof(Digest), read_root, (void **)&policy->roots,
		      &e->n_roots, ret_error);
	if (r == 0)
		r = read_list(p->crls, "crls", sizeof(struct iovec), read_crl,
			      (void **)&policy->crls, &e->n_crls, ret_error);
	if (r == 0)
		r = read_list(p->pins, "pins", sizeof(Digest), read_digest,
			      (void **)&policy->leaf_keys, &e->n_leaf_keys, ret_error);
	if (r == 0)
		r = read_list(p->devices, "devices", sizeof(PolicyDevice), read_device,
			      (void **)&policy->devices, &policy->n_devices, ret_error);
	if (r == 0)
		r = read_list(p->allow_shared_ranges, "allow_shared_ranges",
			      sizeof(InterfaceRegion), read_region, (void **)&policy->shared,
			      &e->n_shared, ret_error);
	if (r == 0)
		r = read_list(p->allow_gaps, "allow_gaps", sizeof(InterfaceRegion), read_region,
			      (void **)&policy->gaps, &e->n_gaps, ret_error);
	if (r == 0)
		r = read_list(p->unverified, "unverified", sizeof(PolicyUnverified),
			      read_unverified, (void **)&policy->unverified, &policy->n_unverified,
			      ret_error);
	e->roots = policy->roots;
	e->crls = policy->crls;
	e->leaf_keys = policy->leaf_keys;
	e->shared = policy->shared;
	e->gaps = policy->gaps;
	return r;
}

int agent_policy_parse(AgentPolicy **ret, const char *text, size_t size, char **ret_error)
{
	_cleanup_(agent_policy_freep) AgentPolicy *policy = calloc(1, sizeof(*policy));
	_cleanup_(json_unrefp) json_object *object = NULL;
	PolicyText p = { .require_no_fw_update = true };
	_cleanup_free_ char *cause = NULL;
	EvidencePolicy *e;
	int r;

	if (!policy)
		return -ENOMEM;
	r = json_parse_limited(&object, text, size, AGENT_POLICY_MAX_SIZE, ret_error);
	if (r < 0)
		return r;
	r = json_dispatch(object, policy_fields, &p, 0, &cause);
	if (r == 0 && p.version != POLICY_VERSION)
		return refuse(ret_error, -EINVAL,
			      "\"version\" is %" PRIu32 ", this agent reads version %d", p.version,
			      POLICY_VERSION);
	if (r == 0)
		r = read_lists(policy, &p, &cause);
	if (r == 0)
		r = read_relying_party(p.relying_party, &policy->relying_party, &cause);
	if (r == 0)
		r = read_quote(p.quote, &policy->quote, &cause);
	if (r < 0)
		return refuse(ret_error, r,
			      "%s (schemas/agent-policy.schema.json lists every member; correct "
			      "or remove it, tdi-agent --check-policy FILE tells more)",
			      cause ? cause : strerror(-r));
	e = &policy->evidence;
	e->allow_emulated = p.allow_emulated;
	e->allow_unlisted_indices = p.allow_unlisted_measurements;
	e->allow_debug = p.allow_debug;
	e->require_device_mode = p.require_device_mode;
	e->require_no_fw_update = p.require_no_fw_update;
	e->reattest_interval_sec = p.reattest_interval_sec;
	e->min_spdm_version = SPDM_VERSION_1_2;
	e->allow_ats = p.allow_ats;
	e->allow_prs = p.allow_prs;
	e->allow_pasid = p.allow_pasid;
	e->allow_p2p = p.allow_p2p;
	policy->unbind_driver = p.unbind_driver;
	if (!e->require_no_fw_update && !e->reattest_interval_sec)
		return refuse(ret_error, -EINVAL,
			      "\"require_no_fw_update\" is false, which needs "
			      "\"reattest_interval_sec\": firmware that may change has to be "
			      "measured again");
	if (policy->n_devices) {
		policy->evidence_devices =
			calloc(policy->n_devices, sizeof(*policy->evidence_devices));
		if (!policy->evidence_devices)
			return -ENOMEM;
		for (size_t i = 0; i < policy->n_devices; i++)
			policy->evidence_devices[i] = policy->devices[i].device;
	}
	*ret = steal_ptr(policy);
	return 0;
}
