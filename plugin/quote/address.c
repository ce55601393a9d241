/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/address.h"

#include "core/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

#define BACKLOG 256

/* Decimal digits only, up to the end of the text or to `end`. */
static int parse_number(uint32_t *ret, const char *text, char end, const char **ret_rest)
{
	uint64_t v = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		v = v * 10 + (uint64_t)(*at - '0');
		if (v > UINT32_MAX)
			return -EINVAL;
	}
	if (at == text || *at != end)
		return -EINVAL;
	*ret = (uint32_t)v;
	if (ret_rest)
		*ret_rest = at + (end != 0);
	return 0;
}

static int parse_unix(Address *ret, const char *path, const char **ret_why)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret->storage;
	size_t size = strlen(path);

	if (path[0] != '/' || size >= sizeof(un->sun_path)) {
		*ret_why = "the path of a unix socket is absolute and at most 107 bytes long";
		return -EINVAL;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, size + 1);
	ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
	return 0;
}

static int parse_vsock(Address *ret, const char *text, const char **ret_why)
{
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&ret->storage;
	uint32_t cid = VMADDR_CID_ANY, port;

	if (strchr(text, ':') && parse_number(&cid, text, ':', &text) < 0)
		port = 0;
	else if (parse_number(&port, text, 0, NULL) < 0)
		port = 0;
	if (port == 0 || port == VMADDR_PORT_ANY) {
		*ret_why = "a vsock address is vsock:CID:PORT, in decimal";
		return -EINVAL;
	}
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = cid;
	vm->svm_port = port;
	ret->size = sizeof(*vm);
	return 0;
}

static int parse_tcp(Address *ret, const char *text, const char **ret_why)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->storage;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	size_t size = colon ? (size_t)(colon - text) : 0;
	uint32_t port = 0;

	*ret_why = "a TCP address is tcp:HOST:PORT with a numeric host, an IPv6 one in brackets";
	if (size == 0 || size >= sizeof(host) || parse_number(&port, colon + 1, 0, NULL) < 0 ||
	    port == 0 || port > UINT16_MAX)
		return -EINVAL;
	memcpy(host, text, size);
	if (host[0] == '[' && host[size - 1] == ']') {
		host[size - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		ret->size = sizeof(*in6);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	ret->size = sizeof(*in);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EINVAL;
}

int address_parse(Address *ret, const char *text, const char **ret_why)
{
	static const struct {
		const char *scheme;
		int (*parse)(Address *ret, const char *text, const char **ret_why);
	} schemes[] = {
		{ "unix:", parse_unix },
		{ "vsock:", parse_vsock },
		{ "tcp:", parse_tcp },
	};
	const char *why;
	Address address = {};
	int r;

	for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
		size_t size = strlen(schemes[i].scheme);

		if (strncmp(text, schemes[i].scheme, size) != 0)
			continue;
		r = schemes[i].parse(&address, text + size, ret_why ?: &why);
		if (r == 0)
			*ret = address;
		return r;
	}
	if (ret_why)
		*ret_why = "an address begins with unix:, vsock: or tcp:";
	return -EINVAL;
}

const char *address_format(const Address *address, char buffer[static ADDRESS_STRING_SIZE])
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)&address->storage;
	char host[INET6_ADDRSTRLEN] = "?";

	switch (address->storage.ss_family) {
	case AF_UNIX:
		snprintf(buffer, ADDRESS_STRING_SIZE, "unix:%s",
			 ((const struct sockaddr_un *)&address->storage)->sun_path);
		break;
	case AF_VSOCK:
		if (vm->svm_cid == VMADDR_CID_ANY)
			snprintf(buffer, ADDRESS_STRING_SIZE, "vsock:%u", vm->svm_port);
		else
			snprintf(buffer, ADDRESS_STRING_SIZE, "vsock:%u:%u", vm->svm_cid,
				 vm->svm_port);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(buffer, ADDRESS_STRING_SIZE, "tcp:[%s]:%u", host, ntohs(in6->sin6_port));
		break;
	default:
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(buffer, ADDRESS_STRING_SIZE, "tcp:%s:%u", host, ntohs(in->sin_port));
		break;
	}
	return buffer;
}

bool address_is_any(const Address *address)
{
	return address->storage.ss_family == AF_VSOCK &&
	       ((const struct sockaddr_vm *)&address->storage)->svm_cid == VMADDR_CID_ANY;
}

/* The host's own, as vsock and IP have it. */
static bool is_local(const Address *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
	uint32_t cid = ((const struct sockaddr_vm *)&address->storage)->svm_cid;

	switch (address->storage.ss_family) {
	case AF_VSOCK: return cid == VMADDR_CID_LOCAL || cid == VMADDR_CID_HOST;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
		       IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
	default: return ntohl(in->sin_addr.s_addr) >> 24 == 127 || in->sin_addr.s_addr == 0;
	}
}

static uint32_t port_of(const Address *address)
{
	switch (address->storage.ss_family) {
	case AF_VSOCK: return ((const struct sockaddr_vm *)&address->storage)->svm_port;
	case AF_INET6: return ((const struct sockaddr_in6 *)&address->storage)->sin6_port;
	default: return ((const struct sockaddr_in *)&address->storage)->sin_port;
	}
}

bool address_reaches(const Address *to, const Address *listener)
{
	sa_family_t a = to->storage.ss_family, b = listener->storage.ss_family;

	if (a == AF_UNIX || b == AF_UNIX || (a == AF_VSOCK) != (b == AF_VSOCK) ||
	    port_of(to) != port_of(listener))
		return false;
	return is_local(to) || (a == b && memcmp(&to->storage, &listener->storage, to->size) == 0);
}

static int open_socket(const Address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int address_connect(const Address *address, bool *ret_pending)
{
	_cleanup_close_ int fd = open_socket(address);

	if (fd < 0)
		return fd;
	*ret_pending = false;
	if (connect(fd, (const struct sockaddr *)&address->storage, address->size) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		*ret_pending = true;
	}
	return steal_fd(&fd);
}

int address_listen(const Address *address)
{
	_cleanup_close_ int fd = open_socket(address);
	int yes = 1;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (const struct sockaddr *)&address->storage, address->size) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	return steal_fd(&fd);
}
