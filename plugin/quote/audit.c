/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/audit.h"

#include "core/cleanup.h"
#include "core/digest.h"
#include "core/hex.h"
#include "core/tdreport.h"
#include "rpc/log.h"

#include <inttypes.h>
#include <string.h>

/* Where they are in a report that is perhaps none: the service has the last word. */
#define REPORT_DATA_OFFSET 128u
#define MRTD_OFFSET	   (TDREPORT_TD_INFO_OFFSET + 16u)

static void put_report(FILE *out, const uint8_t *report)
{
	char text[DIGEST_STRING_SIZE];
	Digest digest;

	memcpy(digest.bytes, report + MRTD_OFFSET, DIGEST_SIZE);
	fprintf(out, " mrtd=%s", digest_format(&digest, text));
	if (digest_of(&digest, report + REPORT_DATA_OFFSET, TDREPORT_DATA_SIZE) == 0)
		fprintf(out, " report-data=sha384:%s", digest_format(&digest, text));
}

static void put(FILE *out, const AuditEntry *entry)
{
	const Domain *domain = entry->domain;
	char uuid[UUID_STRING_SIZE], text[QGS_ERROR_TEXT_SIZE];

	fprintf(out, "quote: %s", domain->label);
	if (domain->kind == DOMAIN_TVM)
		fprintf(out, " %s", uuid_format(domain->uuid, uuid));
	fprintf(out, " %s", quote_outcome_name(entry->outcome));
	if (entry->type != QGS_GET_QUOTE_REQUEST)
		fprintf(out, " (%s)", qgs_type_text(entry->type));
	if (entry->report)
		put_report(out, entry->report);
	if (entry->quote_size)
		fprintf(out, " size=%zu", entry->quote_size);
	if (entry->upstream)
		fprintf(out, " upstream=%s", entry->upstream);
	fprintf(out, " ms=%" PRIu64 ".%03" PRIu64, entry->usec / 1000, entry->usec % 1000);
	if (entry->error)
		fprintf(out, ": the quoting service says: %s", qgs_error_text(entry->error, text));
	else if (entry->why)
		fprintf(out, ": %s", entry->why);
}

void audit_quote(const AuditEntry *entry)
{
	char line[1024];
	FILE *out = fmemopen(line, sizeof(line), "w");

	if (!out)
		return;
	put(out, entry);
	fclose(out);
	line[sizeof(line) - 1] = 0;
	log_message(entry->outcome == QUOTE_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "%s", line);
}
