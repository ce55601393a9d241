/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may call what: peers that are made up. Through the service: test_daemon_denied.c. */
#include "daemon/access.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static Access *access_;
static char *why;

static int parse(const char *text)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	access_ = access_free(access_);
	free(why);
	why = NULL;
	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0, "%s", text);
	return access_parse(&access_, o, &why);
}

static void drop(void)
{
	access_ = access_free(access_);
	free(why);
}

TestSuite(daemon_access, .fini = drop);

static bool allows(AccessClass class, uid_t uid, gid_t gid, gid_t supplementary)
{
	return access_allows(access_, class, &(struct ucred){ 1, uid, gid }, &supplementary, 1);
}

static void refused(const char *text, const char *about)
{
	cr_expect_eq(parse(text), -EINVAL, "%s", text);
	cr_expect_null(access_);
	cr_expect(why && strstr(why, about), "%s: %s", text, why);
}

Test(daemon_access, refuses)
{
	refused("{\"write\":{}}", "access: ");
	refused("{\"read\":[]}", "access: ");
	refused("{\"read\":{\"user\":[]}}", "access: read: ");
	refused("{\"act\":{\"users\":7}}", "access: act: ");
	refused("{\"act\":{\"users\":[-1]}}", "access: act.users: an entry is neither");
	refused("{\"act\":{\"users\":[4294967295]}}", "neither a name nor an id");
	refused("{\"act\":{\"users\":[1.5]}}", "neither a name nor an id");
	refused("{\"act\":{\"users\":[null]}}", "neither a name nor an id");
	refused("{\"act\":{\"users\":[\"\"]}}", "is no user of this host");
	refused("{\"act\":{\"users\":[\"nobody-of-that-name\"]}}",
		"act.users: nobody-of-that-name is no user of this host");
	refused("{\"read\":{\"groups\":[\"nobody-of-that-name\"]}}",
		"read.groups: nobody-of-that-name is no group of this host");
}

Test(daemon_access, refuses_too_many)
{
	char text[4096] = "{\"act\":{\"users\":[1";

	for (int i = 0; i < 256; i++)
		strcat(text, ",1");
	strcat(text, "]}}");
	refused(text, "act.users: more than 256 entries");
}

Test(daemon_access, open_by_default)
{
	cr_assert(access_allows(NULL, ACCESS_ACT, &(struct ucred){ 1, 5, 5 }, NULL, 0));
	cr_assert_eq(access_parse(&access_, NULL, &why), 0);
	cr_assert(allows(ACCESS_READ, 5, 5, 5) && allows(ACCESS_ACT, 5, 5, 5));
	cr_assert_eq(parse("{\"act\":{}}"), 0);
	cr_assert(allows(ACCESS_READ, 5, 5, 5), "not given, so open");
	cr_assert_not(allows(ACCESS_ACT, 5, 5, 5), "nobody");
	cr_assert(allows(ACCESS_ACT, 0, 5, 5), "root always");
}

Test(daemon_access, by_user_and_by_each_kind_of_group)
{
	cr_assert_eq(parse("{\"act\":{\"users\":[7,\"root\"],\"groups\":[8,\"root\"]},"
			   "\"read\":{\"users\":[6]}}"),
		     0, "%s", why);
	cr_assert(allows(ACCESS_ACT, 7, 99, 99));
	cr_assert(allows(ACCESS_ACT, 99, 8, 99), "its primary group");
	cr_assert(allows(ACCESS_ACT, 99, 99, 8), "a supplementary one");
	cr_assert(allows(ACCESS_ACT, 99, 99, 0), "by the group's name");
	cr_assert_not(allows(ACCESS_ACT, 8, 7, 7), "users are no groups");
	cr_assert_not(access_allows(access_, ACCESS_ACT, &(struct ucred){ 1, 99, 99 }, NULL, 0));
	cr_assert_not(allows(ACCESS_ACT, 6, 99, 99), "who may read may not act");
	cr_assert(allows(ACCESS_READ, 6, 99, 99));
	cr_assert(allows(ACCESS_READ, 7, 99, 99), "who may act may read");
	cr_assert_not(allows(ACCESS_READ, 99, 99, 99));
}

/* Who may not even look is not to act. */
Test(daemon_access, act_is_no_wider_than_read)
{
	cr_assert_eq(parse("{\"read\":{\"users\":[6]}}"), 0, "%s", why);
	cr_assert_not(allows(ACCESS_READ, 5, 5, 5));
	cr_assert_not(allows(ACCESS_ACT, 5, 5, 5));
	cr_assert(allows(ACCESS_READ, 6, 5, 5) && allows(ACCESS_ACT, 6, 5, 5));
	cr_assert_eq(access_deciding(access_, ACCESS_ACT), ACCESS_READ);
	cr_assert_eq(parse("{\"read\":{}}"), 0, "%s", why);
	cr_assert_not(allows(ACCESS_ACT, 5, 5, 5));
	cr_assert(allows(ACCESS_ACT, 0, 0, 0));
}

Test(daemon_access, classes)
{
	static const char *const acting[] = {
		"Attach", "Detach",  "Connect", "Reclaim", "Clear",
		"Drain",  "Undrain", "ListAll", "",	   "Monitor2"
	};
	static const char *const telling[] = { "List", "Get", "Monitor", "Evidence", "Devices" };
	char method[64];

	for (size_t i = 0; i < ELEMENTSOF(acting); i++) {
		snprintf(method, sizeof(method), "io.tdid.Assignments.%s", acting[i]);
		cr_expect_eq(access_class_of(method), ACCESS_ACT, "%s", method);
	}
	for (size_t i = 0; i < ELEMENTSOF(telling); i++) {
		snprintf(method, sizeof(method), "io.tdid.Assignments.%s", telling[i]);
		cr_expect_eq(access_class_of(method), ACCESS_READ, "%s", method);
	}
	cr_expect_eq(access_class_of("List"), ACCESS_ACT);
}
