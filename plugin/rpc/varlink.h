/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What varlink's server and client share: names and limits (varlink.org/Method-Call). */
#pragma once

#include <stdint.h>

#define VARLINK_SERVICE			     "org.varlink.service"
#define VARLINK_ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND	     "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define VARLINK_ERROR_INVALID_PARAMETER	     "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_EXPECTED_MORE	     "org.varlink.service.ExpectedMore"

/* A failure of the service itself, parameters (message: string). varlink has no name for it. */
#define VARLINK_ERROR_INTERNAL "io.tdid.InternalError"

#define VARLINK_INPUT_MAX  (1024u * 1024)
#define VARLINK_OUTPUT_MAX (4u * 1024 * 1024)

/* The description of org.varlink.service and of io.tdid's InternalError. */
extern const char varlink_service_text[];
extern const char varlink_internal_text[];
