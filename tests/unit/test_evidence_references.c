/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/evidence-references.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t firmware[DIGEST_SIZE] = { 0xaa };
static uint8_t svn[8] = { 7 };
static uint8_t mode[16] = { [0] = 0x3f, [4] = MEASUREMENT_OPERATIONAL_NORMAL, [8] = 0x1f };
static MeasurementSet set;

static void setup(void)
{
	set.n_blocks = 3;
	set.blocks[0] = (MeasurementBlock){ 1, MEASUREMENT_FIRMWARE, false, 48, firmware };
	set.blocks[1] = (MeasurementBlock){ 2, MEASUREMENT_SVN, true, 8, svn };
	set.blocks[2] = (MeasurementBlock){ MEASUREMENT_INDEX_DEVICE_MODE, MEASUREMENT_DEVICE_MODE,
					    true, 16, mode };
}

TestSuite(evidence_references, .init = setup);

static const EvidenceReference both[] = {
	{ .index = 1, .digest = { { 0xaa } } },
	{ .index = 2, .by_svn = true, .min_svn = 7 },
};

static EvidencePolicy good(void)
{
	return (EvidencePolicy){ .references = both, .n_references = 2 };
}

static void refused(const EvidencePolicy *policy, const char *about)
{
	char *error = NULL;

	cr_assert_eq(evidence_references_check(&set, policy, &error), -EPERM, "%s", about);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
	free(error);
}

Test(evidence_references, values)
{
	EvidenceReference other = { .index = 1 }, missing = { .index = 9 };
	EvidenceReference newer = { .index = 2, .by_svn = true, .min_svn = 8 };
	EvidenceReference no_svn = { .index = 1, .by_svn = true };
	EvidencePolicy p = { .references = &other, .n_references = 1 };

	refused(&p, "measurement 0x01 is aa00");
	p.references = &missing;
	refused(&p, "measurement 0x09, which policy wants, is not among");
	p.references = &newer;
	refused(&p, "number 7, policy wants at least 8");
	p.references = &no_svn;
	refused(&p, "is no security version number");
	p = good();
	p.n_references = 1;
	refused(&p, "no reference for measurement 0x02");
	p.allow_unlisted_indices = true;
	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
	/* Nothing at all is as little as policy asked for. */
	p = (EvidencePolicy){};
	refused(&p, "no reference for measurement 0x01");
}

Test(evidence_references, raw_value_is_hashed)
{
	EvidenceReference reference = { .index = 2 };
	EvidencePolicy p = { .references = &reference,
			     .n_references = 1,
			     .allow_unlisted_indices = true };

	cr_assert_eq(digest_of(&reference.digest, svn, sizeof(svn)), 0);
	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
}

Test(evidence_references, alternatives)
{
	EvidenceReference either[] = {
		{ .index = 1, .digest = { { 0xbb } } },
		{ .index = 1, .digest = { { 0xaa } } },
	};
	EvidencePolicy p = { .references = either,
			     .n_references = 2,
			     .allow_unlisted_indices = true };

	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
	p.n_references = 1;
	refused(&p, "policy wants bb00");
}

Test(evidence_references, device_mode)
{
	EvidencePolicy p = good();

	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
	for (int bit = 0; bit < 5; bit++) {
		mode[12] = (uint8_t)(1 << bit);
		refused(&p, "debug mode");
	}
	mode[12] = 0;
	mode[4] = MEASUREMENT_OPERATIONAL_MANUFACTURING;
	refused(&p, "operational state 0x1");
	mode[12] = MEASUREMENT_DEBUG_INVASIVE_ACTIVE;
	p.allow_debug = true;
	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
}

Test(evidence_references, device_mode_missing)
{
	EvidencePolicy p = good();

	set.blocks[2].raw = false;
	refused(&p, "should be a device mode");
	set.blocks[2].raw = true;
	/* Called something else, so that nobody looks at it. */
	set.blocks[2].type = MEASUREMENT_INFORMATIONAL;
	refused(&p, "should be a device mode");
	set.n_blocks = 2;
	cr_assert_eq(evidence_references_check(&set, &p, NULL), 0);
	p.require_device_mode = true;
	refused(&p, "does not report its mode");
}
