/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service-private.h"

#include "common/platform-key.h"
#include "rpc/log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static void on_ended(Client *client, void *userdata)
{
	Service *service = userdata;

	for (size_t i = 0; i < service->n_clients; i++) {
		if (service->clients[i] != client)
			continue;
		service->clients[i] = service->clients[--service->n_clients];
		break;
	}
	client_free(client);
}

static bool on_accept(void *userdata)
{
	Service *service = userdata;

	return !service->behaviour.stop_accepting;
}

static void on_connected(int fd, void *userdata)
{
	Service *service = userdata;
	const ClientOptions options = {
		.enclave = service->enclave,
		.behaviour = &service->behaviour,
		.ended = on_ended,
		.userdata = service,
	};
	Client *client = NULL, **list;
	int r;

	list = reallocarray(service->clients, service->n_clients + 1, sizeof(*list));
	if (!list) {
		close(fd);
		return;
	}
	service->clients = list;
	r = client_new(&client, service->event, fd, &options);
	if (r < 0) {
		log_warning("a connection cannot be served: %s", strerror(-r));
		return;
	}
	list[service->n_clients++] = client;
}

static int open_enclave(Service *service, char **ret_error)
{
	uint8_t key[TDREPORT_KEY_SIZE];
	int r;

	r = pck_chain_open(&service->chain, service->config->state, ret_error);
	if (r == 0)
		r = platform_key_open(key, service->config->platform_key, ret_error);
	if (r < 0)
		return r;
	r = enclave_new(&service->enclave, key, service->chain);
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

int service_new(Service **ret, sd_event *event, const Config *config, char **ret_error)
{
	_cleanup_(service_freep) Service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->config = config;
	service->event = sd_event_ref(event);
	r = open_enclave(service, ret_error);
	if (r == 0 && config->control)
		r = service_control_open(service, ret_error);
	if (r == 0)
		r = listener_new(&service->listener, event, config,
				 &(ListenerOptions){ .accept = on_accept,
						     .connected = on_connected,
						     .userdata = service },
				 ret_error);
	if (r < 0)
		return r;
	*ret = steal_ptr(service);
	return 0;
}

Service *service_free(Service *service)
{
	if (!service)
		return NULL;
	listener_free(service->listener);
	varlink_server_free(service->control);
	for (size_t i = 0; i < service->n_clients; i++)
		client_free(service->clients[i]);
	free(service->clients);
	enclave_free(service->enclave);
	pck_chain_free(service->chain);
	sd_event_unref(service->event);
	free(service);
	return NULL;
}
