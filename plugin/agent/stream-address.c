/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/stream-address.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <string.h>

/* Digits and nothing else; *ret_end is behind them. */
static bool number(const char *text, const char **ret_end, uint64_t max, uint32_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && value <= max; p++)
		value = 10 * value + (uint64_t)(*p - '0');
	*ret_end = p;
	*ret = (uint32_t)value;
	return p > text && value <= max;
}

int stream_address_vsock(StreamAddress *ret, const char *text, char **ret_error)
{
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&ret->address;
	uint32_t cid, port;
	const char *end;

	*ret = (StreamAddress){ 0 };
	if (!number(text, &end, UINT32_MAX - 1, &cid) || *end != ':' ||
	    !number(end + 1, &end, UINT32_MAX - 1, &port) || *end)
		return refuse(ret_error, -EINVAL,
			      "\"%s\" is no vsock address such as 2:4050 (the host's CID is 2)",
			      json_shown(text));
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = cid;
	vm->svm_port = port;
	ret->size = sizeof(*vm);
	snprintf(ret->text, sizeof(ret->text), "vsock %u:%u", cid, port);
	return 0;
}

int stream_address_tcp(StreamAddress *ret, const char *text, char **ret_error)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->address;
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':'), *end;
	bool bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
	size_t size = colon ? (size_t)(colon - text) : 0;
	uint32_t port = 0;

	*ret = (StreamAddress){ 0 };
	if (bracketed)
		size -= 2;
	if (!colon || size >= sizeof(host) || !number(colon + 1, &end, 65535, &port) || *end ||
	    port == 0)
		return refuse(ret_error, -EINVAL,
			      "\"%s\" is no TCP address such as 10.0.2.2:4050 or [fd00::1]:4050",
			      json_shown(text));
	memcpy(host, text + bracketed, size);
	host[size] = '\0';
	if (bracketed && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		ret->size = sizeof(*v6);
	} else if (!bracketed && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		ret->size = sizeof(*v4);
	} else {
		return refuse(ret_error, -EINVAL,
			      "\"%s\": the address has to be a number, 10.0.2.2:4050 or "
			      "[fd00::1]:4050; names are not looked up",
			      json_shown(text));
	}
	snprintf(ret->text, sizeof(ret->text), "tcp %s%s%s:%u", bracketed ? "[" : "", host,
		 bracketed ? "]" : "", port);
	return 0;
}
