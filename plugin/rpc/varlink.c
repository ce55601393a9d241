/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/varlink.h"

const char varlink_service_text[] =
	"# What every varlink service answers about itself.\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

const char varlink_internal_text[] = "# A failure of the service itself.\n"
				     "interface io.tdid\n"
				     "\n"
				     "error InternalError (message: string)\n";
