/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.varlink.service: what the server tells about itself. */
#include "rpc/varlink-connection.h"

#include "rpc/varlink-server-private.h"

#include <errno.h>
#include <string.h>

static int on_get_info(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(json_unrefp) json_object *names = json_object_new_array();
	VarlinkServer *server = userdata;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < server->n_interfaces; i++) {
		int r = json_append_string(names, idl_name(server->interfaces[i]));

		if (r < 0)
			return r;
	}
	return varlink_call_replyb(call, J_STRING("vendor", server->vendor),
				   J_STRING("product", server->product),
				   J_STRING("version", server->version),
				   J_STRING("url", server->url), J_REF("interfaces", names));
}

static int on_get_description(VarlinkCall *call, json_object *parameters, void *userdata)
{
	const char *name = json_get_string(parameters, "interface");
	const IdlInterface *interface = server_find_interface(userdata, name, strlen(name));

	if (!interface)
		return varlink_call_errorb(call, "InterfaceNotFound", J_STRING("interface", name));
	return varlink_call_replyb(call, J_STRING("description", idl_text(interface)));
}

int server_add_service(VarlinkServer *server)
{
	int r;

	r = varlink_server_add_interface(server, varlink_service_text, NULL);
	if (r < 0)
		return r;
	r = varlink_server_bind(server, VARLINK_SERVICE ".GetInfo", 0, on_get_info, server);
	if (r < 0)
		return r;
	return varlink_server_bind(server, VARLINK_SERVICE ".GetInterfaceDescription", 0,
				   on_get_description, server);
}
