/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-emulated.h"

#include "core/cert-chain.h"
#include "core/spdm-signature.h"
#include "tsm/emulated/pki.h"

#include <openssl/evp.h>

#include <errno.h>

static const DeviceIdentity nic = { 0x8086, 0x10c9, 0x020000, 1, 0x8086, 0xa03c };

static Pki *open_pki(void)
{
	_cleanup_free_ char *error = NULL;
	Pki *pki = NULL;

	cr_assert_eq(pki_open(&pki, testing_path("state"), &error), 0, "%s", error);
	return pki;
}

/* The digest of the device's key. */
static Digest open_device(Pki *pki, const char *bdf, const DeviceIdentity *identity, Blob *chain)
{
	_cleanup_free_ char *error = NULL;
	EVP_PKEY *key = NULL;
	Digest digest;

	cr_assert_eq(pki_device(pki, testing_bdf(bdf), identity, &key, chain, &error), 0, "%s",
		     error);
	cr_assert_eq(cert_chain_key_digest(&digest, key), 0);
	EVP_PKEY_free(key);
	return digest;
}

TestSuite(emulated_pki, .init = testing_host_new, .fini = testing_host_remove);

Test(emulated_pki, refuses_what_it_cannot_use)
{
	static const char *const junk[] = { "", "junk",
					    "-----BEGIN PRIVATE KEY-----\nAAAA\n"
					    "-----END PRIVATE KEY-----\n" };

	for (size_t i = 0; i < ELEMENTSOF(junk); i++) {
		_cleanup_free_ char *error = NULL;
		struct stat st;
		Pki *pki = NULL;

		mkdir(testing_path("state"), 0700);
		testing_write(testing_path("state/root.pem"), junk[i], strlen(junk[i]));
		cr_assert_eq(pki_open(&pki, testing_path("state"), &error), -EBADMSG);
		cr_assert(strstr(error, "root.pem"), "%s", error);
		cr_assert_eq(stat(testing_path("state/root.pem"), &st), 0);
		cr_assert_eq((size_t)st.st_size, strlen(junk[i]), "left alone");
	}
}

Test(emulated_pki, refuses_a_foreign_intermediate)
{
	_cleanup_free_ char *error = NULL;
	Pki *pki = pki_free(open_pki());

	cr_assert_eq(remove(testing_path("state/root.pem")), 0);
	cr_assert_eq(pki_open(&pki, testing_path("state"), &error), -EBADMSG);
	cr_assert(strstr(error, "intermediate.pem"), "%s", error);
}

Test(emulated_pki, chain_verifies_and_names_the_device)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	_cleanup_free_ char *error = NULL;
	_cleanup_blob_ Blob bytes = {};
	CertChainTrust trust = { .now = 1600000000 };
	DeviceIdentity named;
	Pki *pki = open_pki();
	Digest key = open_device(pki, PF, &nic, &bytes), root;
	struct stat st;

	cr_assert_eq(cert_chain_parse(&chain, bytes.data, bytes.size, &error), 0, "%s", error);
	cr_assert_eq(cert_chain_depth(chain), 3);
	root = *cert_chain_root_digest(chain);
	trust.roots = &root;
	trust.n_roots = 1;
	cr_assert_eq(cert_chain_verify(chain, &trust, &error), 0, "%s", error);
	trust.now = 4000000000;
	cr_assert_eq(cert_chain_verify(chain, &trust, &error), 0, "%s", error);
	cr_assert(digest_equal(cert_chain_leaf_key_digest(chain), &key));
	cr_assert_eq(spdm_signature_size(cert_chain_leaf_key(chain)), 96);
	cr_assert_eq(cert_chain_identity(chain, &named, &error), 0, "%s", error);
	cr_assert(device_identity_equal(&named, &nic));
	cr_assert_eq(stat(testing_path("state/root.pem"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	pki_free(pki);
}

Test(emulated_pki, survives_a_restart)
{
	_cleanup_blob_ Blob first = {}, second = {};
	_cleanup_free_ char *root = NULL, *again = NULL;
	Pki *pki = open_pki();
	Digest key = open_device(pki, PF, &nic, &first), same;

	cr_assert_eq(pki_root_pem(pki, &root), 0);
	pki_free(pki);
	pki = open_pki();
	same = open_device(pki, PF, &nic, &second);
	cr_assert_eq(pki_root_pem(pki, &again), 0);
	cr_assert_str_eq(root, again);
	cr_assert(digest_equal(&key, &same));
	cr_assert_eq(first.size, second.size);
	cr_assert_arr_eq(first.data, second.data, first.size);
	pki_free(pki);
}

Test(emulated_pki, another_card_gets_another_key)
{
	_cleanup_blob_ Blob a = {}, b = {}, c = {}, d = {};
	DeviceIdentity other = nic;
	Pki *pki = open_pki();
	Digest key_a, key_b, key_c;

	other.device = 0x10fb;
	key_a = open_device(pki, PF, &nic, &a);
	key_b = open_device(pki, PLAIN_PF, &nic, &b);
	key_c = open_device(pki, PF, &other, &c);
	cr_assert_not(digest_equal(&key_a, &key_b));
	cr_assert_not(digest_equal(&key_a, &key_c));
	key_a = open_device(pki, PF, &other, &d);
	cr_assert(digest_equal(&key_a, &key_c));
	pki_free(pki);
}
