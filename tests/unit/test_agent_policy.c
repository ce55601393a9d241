/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy.h"
#include "core/cleanup.h"
#include "testing-ca.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdlib.h>

#define ZEROS_46 "0000000000000000000000000000000000000000000000"
#define DIGEST	 "\"aa00" ZEROS_46 ZEROS_46 "\""

/* The sentence has to name what is wrong. */
static void refused(const char *text, const char *named)
{
	_cleanup_free_ char *error = NULL;
	AgentPolicy *policy = NULL;

	cr_assert_lt(agent_policy_parse(&policy, text, strlen(text), &error), 0, "%s", text);
	cr_assert_null(policy);
	cr_assert(error && strstr(error, named), "\"%s\" does not name %s", error, named);
}

static AgentPolicy *read_good(const char *text)
{
	_cleanup_free_ char *error = NULL;
	AgentPolicy *policy;

	cr_assert_eq(agent_policy_parse(&policy, text, strlen(text), &error), 0, "%s", error);
	return policy;
}

Test(agent_policy, no_json)
{
	refused("", "JSON");
	refused("[]", "JSON");
	refused("{\"version\":1} x", "JSON");
	refused("{\"version\":1,\"version\":1}", "twice");
	refused("{\"version\":1,}", "JSON");
}

/* Nothing is cut within a character: a sentence is UTF-8. */
Test(agent_policy, quoted_whole_or_not)
{
	refused("{\"version\":1,\"unverified\":[\"0000:00:02.0123456789012345678901234567\u00e4x\"]"
		"}",
		"4567\u00e4x\"");
	refused("{\"version\":1,\"unverified\":[\"a\\nb\"]}", "(not printable)");
}

Test(agent_policy, members)
{
	refused("{}", "\"version\"");
	refused("{\"version\":2}", "version 1");
	refused("{\"version\":\"1\"}", "\"version\"");
	refused("{\"version\":1,\"alow_debug\":true}", "\"alow_debug\"");
	refused("{\"version\":1,\"alow_debug\":true}", "agent-policy.schema.json");
	refused("{\"version\":1,\"allow_debug\":1}", "\"allow_debug\"");
	refused("{\"version\":1,\"roots\":\"x\"}", "\"roots\"");
	refused("{\"version\":1,\"require_no_fw_update\":false}", "reattest_interval_sec");
	refused("{\"version\":1,\"reattest_interval_sec\":0}", "reattest_interval_sec");
}

Test(agent_policy, lists)
{
	refused("{\"version\":1,\"roots\":[1]}", "roots[0]");
	refused("{\"version\":1,\"roots\":[\"x\"]}", "roots[0]");
	refused("{\"version\":1,\"pins\":[" DIGEST ",\"aa\"]}", "pins[1]");
	refused("{\"version\":1,\"pins\":[\"AA00\"]}", "pins[0]");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"8086\"}]}", "\"device\"");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"0x8086\",\"device\":\"10c9\"}]}",
		"\"vendor\"");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"8086\",\"device\":\"10C9\"}]}",
		"\"device\"");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"8086\",\"device\":\"10c9\","
		"\"measurements\":[{\"index\":0,\"minimum_svn\":1}]}]}",
		"measurements[0]");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"8086\",\"device\":\"10c9\","
		"\"measurements\":[{\"index\":1}]}]}",
		"either");
	refused("{\"version\":1,\"devices\":[{\"vendor\":\"8086\",\"device\":\"10c9\","
		"\"measurements\":[{\"index\":1,\"minimum_svn\":1,\"digest\":" DIGEST "}]}]}",
		"devices[0]: measurements[0]");
	refused("{\"version\":1,\"allow_gaps\":[{\"bar\":6,\"offset\":0,\"size\":4096}]}", "bar");
	refused("{\"version\":1,\"allow_gaps\":[{\"bar\":0,\"offset\":1,\"size\":4096}]}", "pages");
	refused("{\"version\":1,\"allow_shared_ranges\":[{\"bar\":0,\"offset\":0,\"size\":0}]}",
		"size");
	refused("{\"version\":1,\"unverified\":[\"net\"]}", "unverified[0]");
	refused("{\"version\":1,\"unverified\":[\"class:2\"]}", "unverified[0]");
	refused("{\"version\":1,\"unverified\":[\"0000:00:02\"]}", "unverified[0]");
}

/* But for what is only asked for by naming it. */
Test(agent_policy, strictest_by_default)
{
	AgentPolicy *policy = read_good("{\"version\":1}");
	const EvidencePolicy *e = &policy->evidence;

	cr_assert_not(e->allow_emulated || e->allow_debug || e->allow_unlisted_indices);
	cr_assert_not(e->allow_ats || e->allow_prs || e->allow_pasid || e->allow_p2p);
	cr_assert(e->require_no_fw_update);
	cr_assert_eq(e->min_spdm_version, 0x12);
	cr_assert_eq(e->n_roots + policy->n_devices + e->n_shared + e->n_gaps, 0);
	cr_assert_not(policy->unbind_driver);
	cr_assert_not(agent_policy_is_unverified(policy, (Bdf){ 0 }, 0x1af4, 0x020000));
	cr_assert_not(e->require_device_mode);
	cr_assert_eq(e->n_crls + e->n_leaf_keys + e->reattest_interval_sec, 0);
	cr_assert_null(policy->relying_party.arguments);
	agent_policy_free(policy);
}

static char *pem_of(TestingChain *chain, unsigned int n, bool crl)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *escaped;
	size_t size, used = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (crl) {
			struct iovec der =
				testing_crl(chain->certs[TESTING_ROOT], chain->keys[TESTING_ROOT],
					    NULL, TESTING_NOW, TESTING_NOW + 1, false);

			PEM_write_bio(bio, PEM_STRING_X509_CRL, "", der.iov_base,
				      (long)der.iov_len);
			OPENSSL_free(der.iov_base);
		} else {
			PEM_write_bio_X509(bio, chain->certs[i]);
		}
	}
	size = (size_t)BIO_get_mem_data(bio, &data);
	escaped = malloc(2 * size + 1);
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n')
			escaped[used++] = '\\';
		escaped[used++] = data[i] == '\n' ? 'n' : data[i];
	}
	escaped[used] = '\0';
	BIO_free(bio);
	return escaped;
}

Test(agent_policy, certificates)
{
	TestingChain chain = testing_chain_init();
	_cleanup_free_ char *one = NULL, *two = NULL, *crl = NULL, *text = NULL, *bad = NULL;
	AgentPolicy *policy;

	testing_chain_make(&chain);
	one = pem_of(&chain, 1, false);
	two = pem_of(&chain, 2, false);
	crl = pem_of(&chain, 1, true);
	cr_assert_gt(asprintf(&bad, "{\"version\":1,\"roots\":[\"%s\"]}", two), 0);
	refused(bad, "second PEM block");
	free(bad);
	cr_assert_gt(asprintf(&bad, "{\"version\":1,\"crls\":[\"%s\"]}", one), 0);
	refused(bad, "crls[0]");
	cr_assert_gt(
		asprintf(&text, "{\"version\":1,\"roots\":[\"%s\"],\"crls\":[\"%s\"]}", one, crl),
		0);
	policy = read_good(text);
	cr_assert_eq(policy->evidence.n_roots, 1);
	cr_assert(digest_equal(&policy->evidence.roots[0], &chain.root));
	cr_assert_eq(policy->evidence.n_crls, 1);
	agent_policy_free(policy);
	testing_chain_done(&chain);
}

Test(agent_policy, device_selected)
{
	AgentPolicy *policy =
		read_good("{\"version\":1,\"devices\":["
			  "{\"vendor\":\"1b36\",\"device\":\"0010\",\"subsystem_vendor\":\"1234\"},"
			  "{\"vendor\":\"1b36\",\"device\":\"0010\",\"class\":\"010802\","
			  "\"measurements\":[{\"index\":9,\"digest\":" DIGEST "},"
			  "{\"index\":10,\"minimum_svn\":3}]}]}");
	DeviceIdentity identity;
	EvidencePolicy e;

	cr_assert_eq(device_identity_parse(&identity, TESTING_IDENTITY, strlen(TESTING_IDENTITY)),
		     0);
	cr_assert(agent_policy_select(policy, &identity, &e));
	cr_assert_eq(e.n_devices, 1);
	cr_assert_eq(e.n_references, 2);
	cr_assert_eq(e.references[0].index, 9);
	cr_assert_eq(e.references[0].digest.bytes[0], 0xaa);
	cr_assert(e.references[1].by_svn && e.references[1].min_svn == 3);

	identity.class_code = 0x020000;
	cr_assert_not(agent_policy_select(policy, &identity, &e), "no entry fits");
	cr_assert_eq(e.n_devices, 2);
	cr_assert_eq(e.n_references, 0);
	identity.subsystem_vendor = 0x1234;
	cr_assert(agent_policy_select(policy, &identity, &e));
	cr_assert_eq(e.n_references, 0);
	cr_assert_not(agent_policy_select(policy, NULL, &e), "unknown identity");
	agent_policy_free(policy);
}

Test(agent_policy, unverified)
{
	AgentPolicy *policy =
		read_good("{\"version\":1,\"unverified\":[\"0000:00:02.0\",\"virtio\","
			  "\"class:0106\"]}");
	Bdf other = { .bus = 1 }, listed = { .device = 2 };

	cr_assert(agent_policy_is_unverified(policy, listed, 0x8086, 0x020000));
	cr_assert(agent_policy_is_unverified(policy, other, 0x1af4, 0x020000));
	cr_assert(agent_policy_is_unverified(policy, other, 0x8086, 0x010601));
	cr_assert_not(agent_policy_is_unverified(policy, other, 0x8086, 0x010802));
	cr_assert_not(agent_policy_is_unverified(policy, other, 0x8086, 0x020000));
	agent_policy_free(policy);
}
