/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-qe.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

TestSuite(qe_pck_chain, .init = testing_host_new, .fini = testing_host_remove);

/* The certificates of a text, leaf first. */
static size_t read_certificates(const char *pem, X509 *ret[4])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	size_t n = 0;

	while (n < 4 && (ret[n] = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		n++;
	cr_assert(BIO_eof(bio), "nothing follows the certificates");
	BIO_free(bio);
	return n;
}

static const char *name_entry(const X509 *cert, int nid)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int i = X509_NAME_get_index_by_NID(name, nid, -1);

	cr_assert_geq(i, 0);
	return (const char *)ASN1_STRING_get0_data(
		X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
}

Test(qe_pck_chain, refuses_what_it_cannot_use)
{
	static const char *const junk[] = { "", "junk" };

	for (size_t i = 0; i < ELEMENTSOF(junk); i++) {
		_cleanup_free_ char *error = NULL;
		PckChain *chain = NULL;
		struct stat st;

		mkdir(testing_path("state"), 0700);
		testing_write(testing_path("state/pck.pem"), junk[i], strlen(junk[i]));
		cr_assert_eq(pck_chain_open(&chain, testing_path("state"), &error), -EBADMSG);
		cr_assert(strstr(error, "pck.pem"), "%s", error);
		cr_assert_eq(stat(testing_path("state/pck.pem"), &st), 0);
		cr_assert_eq((size_t)st.st_size, strlen(junk[i]), "left alone");
	}
}

Test(qe_pck_chain, refuses_a_foreign_link)
{
	_cleanup_free_ char *error = NULL;
	PckChain *chain = pck_chain_free(testing_pck_chain());

	cr_assert_eq(remove(testing_path("state/root.pem")), 0);
	cr_assert_eq(pck_chain_open(&chain, testing_path("state"), &error), -EBADMSG);
	cr_assert(strstr(error, "platform-ca.pem") && strstr(error, "root.pem"), "%s", error);
}

Test(qe_pck_chain, is_what_verifiers_want)
{
	static const char *const names[] = { "Intel SGX PCK Certificate",
					     "Intel SGX PCK Platform CA", "Intel SGX Root CA" };
	_cleanup_(pck_chain_freep) PckChain *chain = testing_pck_chain();
	ASN1_OBJECT *sgx = OBJ_txt2obj("1.2.840.113741.1.13.1", 1);
	X509 *certs[4];
	struct stat st;

	cr_assert_eq(read_certificates(pck_chain_pem(chain), certs), 3);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_str_eq(name_entry(certs[i], NID_commonName), names[i]);
		cr_assert_str_eq(name_entry(certs[i], NID_organizationName),
				 "emulated by tdid, no protection");
		cr_assert_eq(X509_verify(certs[i], X509_get0_pubkey(certs[i < 2 ? i + 1 : 2])), 1);
		cr_assert_eq(X509_get_signature_nid(certs[i]), NID_ecdsa_with_SHA256);
		cr_assert_eq(X509_check_ca(certs[i]), i > 0);
	}
	cr_assert_eq(X509_get_ext_count(certs[0]), 6);
	cr_assert_geq(X509_get_ext_by_OBJ(certs[0], sgx, -1), 0);
	cr_assert_eq(X509_check_private_key(certs[0], pck_chain_key(chain)), 1);
	cr_assert(strstr(pck_chain_pem(chain), pck_chain_root_pem(chain)), "the root is its end");
	cr_assert_eq(stat(testing_path("state/pck.pem"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	for (size_t i = 0; i < 3; i++)
		X509_free(certs[i]);
	ASN1_OBJECT_free(sgx);
}

Test(qe_pck_chain, survives_a_restart)
{
	PckChain *chain = testing_pck_chain(), *again = testing_pck_chain();

	cr_assert_str_eq(pck_chain_pem(chain), pck_chain_pem(again));
	cr_assert_eq(EVP_PKEY_eq(pck_chain_key(chain), pck_chain_key(again)), 1);
	pck_chain_free(chain);
	pck_chain_free(again);
}
