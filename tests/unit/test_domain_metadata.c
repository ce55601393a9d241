/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* schemas/domain-metadata.rng says what the parser takes, no more and no less. */
#include "core/domain-xml.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>

#include <string.h>

#define OURS "xmlns='urn:tdid:domain:1'"

static const char *const good[] = {
	"<device " OURS " alias='ua-x'/>",
	"<policy " OURS "/>",
	"<domain " OURS "/>",
	"<d " OURS "><policy on-reject='detach' on-timeout='hold' on-error='rebind'/></d>",
	"<d " OURS "><device alias='a'/><policy rebinds='0'/><device alias='b'/></d>",
	"<d " OURS "><e><device alias='A_-9' rebinds='1000000' accept-timeout='86400'/></e></d>",
	"<policy " OURS " accept-timeout='1' require-tvm='yes'/>",
	"<policy " OURS " require-tvm='no'/>",
};

static const char *const bad[] = {
	"<device " OURS "/>",
	"<device " OURS " alias=''/>",
	"<device " OURS " alias='a b'/>",
	"<device " OURS " alias='a' colour='red'/>",
	"<policy " OURS " alias='a'/>",
	"<policy " OURS " on-reject='Detach'/>",
	"<policy " OURS " on-reject=''/>",
	"<policy " OURS " on-reject=' hold'/>",
	"<policy " OURS " on-timeout='retry'/>",
	"<policy " OURS " on_error='hold'/>",
	"<policy " OURS " rebinds='-1'/>",
	"<policy " OURS " rebinds='+1'/>",
	"<policy " OURS " rebinds='01'/>",
	"<policy " OURS " rebinds='1000001'/>",
	"<policy " OURS " rebinds=' 1'/>",
	"<policy " OURS " accept-timeout='0'/>",
	"<policy " OURS " accept-timeout='86401'/>",
	"<policy " OURS " accept-timeout='1s'/>",
	"<policy " OURS " require-tvm='true'/>",
};

static bool fits_schema(const char *text)
{
	xmlRelaxNGParserCtxt *parser =
		xmlRelaxNGNewParserCtxt(TESTING_REPOSITORY "/schemas/domain-metadata.rng");
	xmlRelaxNG *schema = xmlRelaxNGParse(parser);
	xmlRelaxNGValidCtxt *valid = xmlRelaxNGNewValidCtxt(schema);
	xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), "metadata", NULL, 0);
	int r;

	cr_assert_not_null(schema);
	cr_assert_not_null(doc, "%s", text);
	xmlRelaxNGSetValidErrors(valid, NULL, NULL, NULL);
	r = xmlRelaxNGValidateDoc(valid, doc);
	cr_assert_geq(r, 0);
	xmlFreeDoc(doc);
	xmlRelaxNGFreeValidCtxt(valid);
	xmlRelaxNGFree(schema);
	xmlRelaxNGFreeParserCtxt(parser);
	return r == 0;
}

static bool is_taken(const char *metadata)
{
	_cleanup_(domain_xml_freep) DomainXml *domain = NULL;
	_cleanup_free_ char *text = NULL;

	cr_assert_gt(asprintf(&text,
			      "<domain type='kvm'><name>t</name>"
			      "<uuid>11111111-2222-3333-4444-55555555abcd</uuid>"
			      "<metadata>%s</metadata></domain>",
			      metadata),
		     0);
	return domain_xml_parse(&domain, text, strlen(text), NULL) == 0 &&
	       !domain->policy_trouble && !domain->defect;
}

Test(domain_metadata, bad_ones)
{
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		cr_expect_not(fits_schema(bad[i]), "schema: %s", bad[i]);
		cr_expect_not(is_taken(bad[i]), "parser: %s", bad[i]);
	}
}

Test(domain_metadata, good_ones)
{
	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		cr_expect(fits_schema(good[i]), "schema: %s", good[i]);
		cr_expect(is_taken(good[i]), "parser: %s", good[i]);
	}
}
