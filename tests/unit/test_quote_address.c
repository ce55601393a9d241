/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/address.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

Test(quote_address, bad)
{
	static const char *const texts[] = {
		"",
		"unix",
		"unix:",
		"unix:relative",

		"tcp:",
		"tcp::1",
		"tcp:localhost:4050",
		"tcp:127.0.0.1",
		"tcp:127.0.0.1:",
		"tcp:127.0.0.1:0",
		"tcp:127.0.0.1:65536",
		"tcp:127.0.0.1:40 50",
		"tcp:127.0.0.1:+1",
		"tcp:::1:4050",
		"tcp:[::1]",
		"tcp:[::1]:",
		"tcp:[::1:4050",
		"tcp:::1]:4050",
		"tcp:[]:1",
		"tcp:[127.0.0.1]:1",
		"tcp:1.2.3.4.5:1",
		"vsock:",
		"vsock::4050",
		"vsock:2:",
		"vsock:0",
		"vsock:2:0",
		"vsock:2:4294967295",
		"vsock:4294967296:1",
		"vsock:-1:1",
		"vsock:2:99999999999999999999",
		"vsock:2:3:4",
		"udp:127.0.0.1:1",
		"UNIX:/x",
		" unix:/x",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		const char *why = NULL;
		Address address;

		cr_expect_eq(address_parse(&address, texts[i], &why), -EINVAL, "%s", texts[i]);
		cr_expect(why && *why, "%s", texts[i]);
		cr_expect_eq(address_parse(&address, texts[i], NULL), -EINVAL, "%s", texts[i]);
	}
}

Test(quote_address, good)
{
	static const char *const texts[] = {
		"unix:/",      "unix:/run/tdx-qgs/qgs.socket", "vsock:2:4050",
		"vsock:4050",  "vsock:4294967294:4294967294",  "tcp:127.0.0.1:4050",
		"tcp:[::1]:1", "tcp:[fe80::1:2:3:4]:65535",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		char text[ADDRESS_STRING_SIZE];
		Address address;

		cr_assert_eq(address_parse(&address, texts[i], NULL), 0, "%s", texts[i]);
		cr_assert_str_eq(address_format(&address, text), texts[i]);
	}
}

Test(quote_address, longest_path)
{
	char text[ADDRESS_STRING_SIZE], shown[ADDRESS_STRING_SIZE];
	Address address;

	snprintf(text, sizeof(text), "unix:/%0106d", 0);
	cr_assert_eq(address_parse(&address, text, NULL), 0);
	cr_assert_str_eq(address_format(&address, shown), text);
	snprintf(text, sizeof(text), "unix:/%0107d", 0);
	cr_assert_eq(address_parse(&address, text, NULL), -EINVAL);
}

Test(quote_address, nobody_there)
{
	Address address;
	bool pending;

	cr_assert_eq(address_parse(&address, "unix:/nonexistent/socket", NULL), 0);
	cr_assert_eq(address_connect(&address, &pending), -ENOENT);
}

Test(quote_address, listen_and_connect)
{
	_cleanup_close_ int listener = -1, client = -1;
	Address address;
	socklen_t size = sizeof(address.storage);
	bool pending;

	cr_assert_eq(address_parse(&address, "tcp:127.0.0.1:1", NULL), 0);
	memset((char *)&address.storage + 2, 0, 2); /* any port */
	listener = address_listen(&address);
	cr_assert_geq(listener, 0);
	cr_assert(fcntl(listener, F_GETFL) & O_NONBLOCK);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address.storage, &size), 0);
	client = address_connect(&address, &pending);
	cr_assert_geq(client, 0);
	cr_assert_eq(address_listen(&address), -EADDRINUSE);
}
