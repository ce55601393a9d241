/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/evidence-summary.h"

#include "cli/table.h"
#include "cli/text.h"
#include "core/bytes.h"
#include "core/cert-chain.h"
#include "core/digest.h"
#include "core/hex.h"
#include "core/interface-report.h"
#include "core/measurement-block.h"
#include "core/spdm.h"
#include "core/vca.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/x509.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static inline X509 *x509_free(X509 *certificate)
{
	X509_free(certificate);
	return NULL;
}

DEFINE_CLEANUP(X509, x509_free);

typedef struct Flag {
	uint32_t bit;
	const char *name;
} Flag;

/* "A, B, 0x80", or "none". Allocated. */
static char *flags_words(uint32_t value, const Flag *flags, size_t n)
{
	char *words = NULL;

	for (size_t i = 0; i <= n && value; i++) {
		_cleanup_free_ char *before = NULL;

		if (i < n && !(value & flags[i].bit))
			continue;
		before = words;
		if (i < n)
			words = text_format("%s%s%s", before ? before : "", before ? ", " : "",
					    flags[i].name);
		else
			words = text_format("%s%s0x%" PRIx32, before ? before : "",
					    before ? ", " : "", value);
		value &= i < n ? ~flags[i].bit : 0;
	}
	return words ? words : text_format("none");
}

static void print_field(FILE *stream, const char *label, const char *text)
{
	_cleanup_free_ char *clean = text_clean(text);

	fprintf(stream, "  %-12s %s\n", label, clean);
}

/* What OpenSSL prints into memory, as a string. Allocated. */
static char *name_words(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;

	if (!bio)
		abort();
	/* RFC 2253 escapes, but UTF-8 as it is, and in the order of the certificate. */
	X509_NAME_print_ex(bio, name, 0,
			   (XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_DN_REV) |
				   XN_FLAG_SEP_CPLUS_SPC);
	n = BIO_get_mem_data(bio, &data);
	text = text_format("%.*s", (int)n, data);
	BIO_free(bio);
	return text;
}

static char *time_words(const ASN1_TIME *time)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return text_format("(no time)");
	return text_format("%04d-%02d-%02d %02d:%02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
			   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void print_certificate(const X509 *certificate, unsigned index, FILE *stream)
{
	_cleanup_free_ char *subject = name_words(X509_get_subject_name(certificate));
	_cleanup_free_ char *issuer = name_words(X509_get_issuer_name(certificate));
	_cleanup_free_ char *begin = time_words(X509_get0_notBefore(certificate));
	_cleanup_free_ char *end = time_words(X509_get0_notAfter(certificate));
	_cleanup_free_ char *label = text_format("certificate %u", index);
	_cleanup_free_ char *validity = text_format("%s to %s", begin, end);

	fprintf(stream, "  %s\n", label);
	print_field(stream, "  subject", subject);
	print_field(stream, "  issuer", issuer);
	print_field(stream, "  valid", validity);
}

static int print_certificates(const EvidencePart *part, FILE *stream, char **ret_error)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	_cleanup_free_ char *identity_error = NULL;
	char identity_text[DEVICE_IDENTITY_STRING_SIZE];
	const uint8_t *at = part->data + CERT_CHAIN_HEADER_SIZE;
	DeviceIdentity identity;
	int r;

	/* Checks the lengths that are walked below. */
	r = cert_chain_parse(&chain, part->data, part->size, ret_error);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < cert_chain_depth(chain); i++) {
		_cleanup_(x509_freep) X509 *certificate =
			d2i_X509(NULL, &at, part->data + part->size - at);

		if (!certificate)
			return -EBADMSG;
		print_certificate(certificate, i, stream);
	}
	r = cert_chain_identity(chain, &identity, &identity_error);
	print_field(stream, "identity",
		    r == 0	     ? device_identity_format(&identity, identity_text)
		    : r == -ENODATA  ? "the leaf names no device"
		    : identity_error ? identity_error
				     : "not readable");
	return 0;
}

static const Flag asym_flags[] = {
	{ SPDM_ASYM_RSASSA_3072, "RSASSA 3072" },
	{ SPDM_ASYM_ECDSA_P256, "ECDSA P-256" },
	{ SPDM_ASYM_ECDSA_P384, "ECDSA P-384" },
};
static const Flag hash_flags[] = {
	{ SPDM_HASH_SHA256, "SHA-256" },
	{ SPDM_HASH_SHA384, "SHA-384" },
};
static const Flag dhe_flags[] = {
	{ SPDM_DHE_SECP256R1, "secp256r1" },
	{ SPDM_DHE_SECP384R1, "secp384r1" },
};
static const Flag aead_flags[] = {
	{ SPDM_AEAD_AES_128_GCM, "AES-128-GCM" },
	{ SPDM_AEAD_AES_256_GCM, "AES-256-GCM" },
};

static int print_vca(const EvidencePart *part, FILE *stream, char **ret_error)
{
	_cleanup_free_ char *version = NULL, *asym = NULL, *hash = NULL, *dhe = NULL, *aead = NULL;
	Vca vca;
	int r = vca_parse(&vca, part->data, part->size, ret_error);

	if (r < 0)
		return r;
	version = text_format("%u.%u", vca.version >> 4, vca.version & 15);
	asym = flags_words(vca.chosen.base_asym, asym_flags, ELEMENTSOF(asym_flags));
	hash = flags_words(vca.chosen.base_hash, hash_flags, ELEMENTSOF(hash_flags));
	dhe = flags_words(vca.chosen.dhe, dhe_flags, ELEMENTSOF(dhe_flags));
	aead = flags_words(vca.chosen.aead, aead_flags, ELEMENTSOF(aead_flags));
	print_field(stream, "SPDM", version);
	print_field(stream, "signature", asym);
	print_field(stream, "hash", hash);
	print_field(stream, "key exchange", dhe);
	print_field(stream, "encryption", aead);
	return 0;
}

static const char *measurement_type_words(uint8_t type)
{
	static const char *const words[] = {
		[MEASUREMENT_ROM] = "immutable ROM",
		[MEASUREMENT_FIRMWARE] = "mutable firmware",
		[MEASUREMENT_HARDWARE_CONFIG] = "hardware configuration",
		[MEASUREMENT_FIRMWARE_CONFIG] = "firmware configuration",
		[MEASUREMENT_MANIFEST] = "manifest",
		[MEASUREMENT_DEVICE_MODE] = "device mode",
		[MEASUREMENT_VERSION] = "version",
		[MEASUREMENT_SVN] = "security version number",
		[MEASUREMENT_HASH_EXTEND] = "hash-extended",
		[MEASUREMENT_INFORMATIONAL] = "informational",
		[MEASUREMENT_STRUCTURED_MANIFEST] = "structured manifest",
	};

	return type < ELEMENTSOF(words) ? words[type] : "unknown";
}

/* Long raw values are cut: --out has them whole. */
#define VALUE_SHOWN_MAX 64

static void add_block(Table *table, const MeasurementBlock *block)
{
	size_t shown = block->value_size < VALUE_SHOWN_MAX ? block->value_size : VALUE_SHOWN_MAX;
	_cleanup_free_ char *index = text_format("%u", block->index);
	_cleanup_free_ char *size = text_format("%u", block->value_size);
	_cleanup_free_ char *value = NULL;
	char hex[HEX_STRING_SIZE(VALUE_SHOWN_MAX)];
	uint64_t svn;

	if (measurement_block_svn(block, &svn) == 0)
		value = text_format("%" PRIu64, svn);
	else
		value = text_format("%s%s", hex_encode(hex, block->value, shown),
				    shown < block->value_size ? "..." : "");
	table_add(table, (const char *const[]){ index, measurement_type_words(block->type),
						block->raw ? "raw" : "SHA-384", size, value });
}

/* The pairs of a transcript, without its signature's check. -EBADMSG. */
static int read_measurements(MeasurementSet *set, const EvidencePart *part,
			     SpdmGetMeasurements *request, char **ret_error)
{
	ByteReader reader = byte_reader(part->data, part->size);
	int r;

	while (reader.left > 0) {
		SpdmMeasurements response;

		r = spdm_get_measurements_take(&reader, request);
		if (r >= 0)
			r = spdm_measurements_take(&reader, request->sign ? SPDM_SIGNATURE_SIZE : 0,
						   &response);
		if (r >= 0 && response.n_blocks > 0)
			r = measurement_set_add(set, response.record, response.record_size,
						response.n_blocks, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int print_measurements(const EvidencePart *part, FILE *stream, char **ret_error)
{
	static const TableColumn columns[] = {
		{ "  INDEX", .right = true }, { "TYPE" }, { "VALUE" },
		{ "BYTES", .right = true },   { "" },
	};
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));
	_cleanup_free_ MeasurementSet *set = calloc(1, sizeof(*set));
	SpdmGetMeasurements last = { 0 };
	char nonce[HEX_STRING_SIZE(SPDM_NONCE_SIZE)];
	TableStyle style = table_style(stream);
	int r;

	if (!set)
		abort();
	r = read_measurements(set, part, &last, ret_error);
	if (r < 0)
		return r;
	print_field(stream, "signed",
		    last.sign ? "yes (the signature is not verified here)" : "no");
	if (last.sign)
		print_field(stream, "nonce", hex_encode(nonce, last.nonce, SPDM_NONCE_SIZE));
	for (size_t i = 0; i < set->n_blocks; i++)
		add_block(table, &set->blocks[i]);
	table_print(table, &style, stream);
	return 0;
}

static const Flag info_flags[] = {
	{ INTERFACE_INFO_NO_FW_UPDATE, "no firmware update" },
	{ INTERFACE_INFO_DMA_WITHOUT_PASID, "DMA without PASID" },
	{ INTERFACE_INFO_DMA_WITH_PASID, "DMA with PASID" },
	{ INTERFACE_INFO_ATS, "ATS" },
	{ INTERFACE_INFO_PRS, "PRS" },
};
static const Flag range_flags[] = {
	{ INTERFACE_RANGE_MSIX_TABLE, "MSI-X table" },
	{ INTERFACE_RANGE_MSIX_PBA, "MSI-X PBA" },
	{ INTERFACE_RANGE_NON_TEE_MEM, "non-TEE memory" },
	{ INTERFACE_RANGE_MEM_ATTR_UPDATABLE, "attributes updatable" },
};

static int print_report(const EvidencePart *part, FILE *stream, char **ret_error)
{
	static const TableColumn columns[] = {
		{ "  RANGE", .right = true },
		{ "FIRST PAGE", .right = true },
		{ "PAGES", .right = true },
		{ "KiB", .right = true },
		{ "ATTRIBUTES" },
	};
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));
	_cleanup_free_ InterfaceReport *report = calloc(1, sizeof(*report));
	_cleanup_free_ char *info = NULL, *specific = NULL;
	TableStyle style = table_style(stream);
	int r;

	if (!report)
		abort();
	r = interface_report_parse(report, part->data, part->size, ret_error);
	if (r < 0)
		return r;
	info = flags_words(report->info, info_flags, ELEMENTSOF(info_flags));
	specific = text_format("%" PRIu32 " bytes", report->device_specific_size);
	print_field(stream, "interface", info);
	print_field(stream, "specific", specific);
	for (uint32_t i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];
		_cleanup_free_ char *id = text_format("%u", range->id);
		_cleanup_free_ char *first = text_format("0x%" PRIx64, range->first_page);
		_cleanup_free_ char *pages = text_format("%" PRIu32, range->n_pages);
		_cleanup_free_ char *size = text_format("%" PRIu64, (uint64_t)range->n_pages * 4);
		_cleanup_free_ char *attributes =
			flags_words(range->attributes, range_flags, ELEMENTSOF(range_flags));

		table_add(table, (const char *const[]){ id, first, pages, size, attributes });
	}
	table_print(table, &style, stream);
	return 0;
}

static const struct {
	const char *name, *title;
	int (*print)(const EvidencePart *part, FILE *stream, char **ret_error);
} parts[] = {
	{ "certificates", "SPDM certificate chain", print_certificates },
	{ "vca", "SPDM negotiation (VCA)", print_vca },
	{ "measurements", "SPDM measurements", print_measurements },
	{ "report", "TDI interface report", print_report },
};

bool evidence_summary_print(const EvidencePart *part, FILE *stream)
{
	_cleanup_free_ char *error = NULL;
	char text[DIGEST_STRING_SIZE];
	Digest digest;
	size_t i = 0;

	while (i < ELEMENTSOF(parts) && strcmp(parts[i].name, part->name) != 0)
		i++;
	if (i == ELEMENTSOF(parts))
		return false;
	fprintf(stream, "\n%s: %zu bytes\n", parts[i].title, part->size);
	if (part->size == 0) {
		print_field(stream, "content", "none: the platform shows it to the TVM only");
		return true;
	}
	if (digest_of(&digest, part->data, part->size) == 0)
		print_field(stream, "SHA-384", digest_format(&digest, text));
	if (parts[i].print(part, stream, &error) < 0) {
		print_field(stream, "not readable", error ? error : "the format is broken");
		return false;
	}
	return true;
}
