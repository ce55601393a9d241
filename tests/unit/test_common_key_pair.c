/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/key-pair.h"
#include "testing-host.h"

#include <errno.h>
#include <openssl/ec.h>
#include <sys/stat.h>

static int directory = -1;

static void set_up(void)
{
	testing_host_new();
	directory = open(testing_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(directory, 0);
}

static void tear_down(void)
{
	close(directory);
	testing_host_remove();
}

TestSuite(common_key_pair, .init = set_up, .fini = tear_down);

/* Signed by `issuer`, or by itself. */
static KeyPair make(const char *name, const KeyPair *issuer)
{
	KeyPair pair = { EVP_EC_gen("P-256"), X509_new() };
	X509_NAME *subject = X509_get_subject_name(pair.cert);

	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(pair.cert, issuer ? X509_get_subject_name(issuer->cert) : subject);
	X509_gmtime_adj(X509_getm_notBefore(pair.cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(pair.cert), 3600);
	X509_set_pubkey(pair.cert, pair.key);
	cr_assert_gt(X509_sign(pair.cert, issuer ? issuer->key : pair.key, EVP_sha256()), 0);
	return pair;
}

Test(common_key_pair, what_is_no_pair)
{
	_cleanup_key_pair_ KeyPair pair = {};

	cr_assert_eq(key_pair_load(&pair, directory, "absent"), -ENOENT);
	testing_write(testing_path("text"), "no key", 6);
	cr_assert_eq(key_pair_load(&pair, directory, "text"), -EBADMSG);
	cr_assert_null(pair.key);
	cr_assert_null(pair.cert);
}

Test(common_key_pair, half_a_file_is_no_pair)
{
	_cleanup_key_pair_ KeyPair pair = make("root", NULL), read = {};
	struct stat st;

	cr_assert_eq(key_pair_store(&pair, directory, "root"), 0);
	cr_assert_eq(stat(testing_path("root"), &st), 0);
	for (off_t size = 0; size < st.st_size - 1; size += 40) {
		cr_assert_eq(key_pair_store(&pair, directory, "root"), 0);
		cr_assert_eq(truncate(testing_path("root"), size), 0);
		cr_assert_lt(key_pair_load(&read, directory, "root"), 0, "%ld bytes", (long)size);
		cr_assert_null(read.key);
		cr_assert_null(read.cert);
	}
}

Test(common_key_pair, there_and_back)
{
	_cleanup_key_pair_ KeyPair pair = make("root", NULL), read = {};
	struct stat st;

	cr_assert_eq(key_pair_store(&pair, directory, "root"), 0);
	cr_assert_eq(stat(testing_path("root"), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(key_pair_load(&read, directory, "root"), 0);
	cr_assert_eq(EVP_PKEY_eq(pair.key, read.key), 1);
	cr_assert_eq(X509_cmp(pair.cert, read.cert), 0);
}

Test(common_key_pair, issued_by)
{
	_cleanup_key_pair_ KeyPair root = make("root", NULL), leaf = make("leaf", &root);
	_cleanup_key_pair_ KeyPair namesake = make("root", NULL);

	cr_assert(key_pair_issued_by(&root, &root));
	cr_assert(key_pair_issued_by(&leaf, &root));
	cr_assert_not(key_pair_issued_by(&root, &leaf));
	cr_assert_not(key_pair_issued_by(&leaf, &namesake), "its name is not enough");
}

Test(common_key_pair, stolen)
{
	KeyPair pair = make("root", NULL);
	_cleanup_key_pair_ KeyPair taken = key_pair_steal(&pair);

	cr_assert_null(pair.key);
	cr_assert_null(pair.cert);
	cr_assert_not_null(taken.key);
}
