/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a TVM's owner demands of a device's evidence. A plain struct that borrows its lists: whoever
 * reads it from a file owns them. All zero is the strictest policy, but for require_device_mode,
 * crls, leaf_keys and reattest_interval_sec, which ask for nothing then; and it refuses everything,
 * since it trusts no root.
 */
#pragma once

#include "core/digest.h"
#include "core/interface-report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A device as its certificate names it: for a VF, the physical function 0 of its device. */
typedef struct EvidenceDevice {
	uint16_t vendor;
	uint16_t device;
	bool any_device;
	/* class_code & class_mask of the certificate has to equal class_code; mask 0: any class. */
	uint32_t class_code;
	uint32_t class_mask;
} EvidenceDevice;

typedef struct EvidenceReference {
	uint8_t index; /* of the measurement block; has to be there */
	/* Either a security version number of at least min_svn, or exactly this digest. */
	bool by_svn;
	uint64_t min_svn;
	/* Of the value as reported, or of the raw value if it is raw. Same index again: either will
	 * do. */
	Digest digest;
} EvidenceReference;

typedef struct EvidencePolicy {
	bool allow_emulated; /* a TSM or a device that protects nothing */

	const Digest *roots; /* SHA-384 of trusted root certificates' DER */
	size_t n_roots;
	const struct iovec *crls; /* DER; if any, the leaf's issuer has to be covered by one */
	size_t n_crls;
	const Digest *leaf_keys; /* pins, SHA-384 of SubjectPublicKeyInfo; none: any key */
	size_t n_leaf_keys;

	uint8_t min_spdm_version; /* 0x12; never below that whatever stands here */

	/*
	 * Devices that a certificate may name. None: only a certificate that names the function
	 * itself will do (a physical function as TDI).
	 */
	const EvidenceDevice *devices;
	size_t n_devices;

	const EvidenceReference *references;
	size_t n_references;
	bool allow_unlisted_indices;
	bool allow_debug;	  /* debug, manufacturing and recovery modes, present or past */
	bool require_device_mode; /* a device that does not report its mode is refused */

	/* A TDI locked without NO_FW_UPDATE needs require_no_fw_update off and an interval. */
	bool require_no_fw_update;
	uint32_t reattest_interval_sec;

	bool allow_ats;
	bool allow_prs;
	bool allow_pasid;
	bool allow_p2p;

	/* Regions of BARs that may stay shared memory, and that no range need cover. */
	const InterfaceRegion *shared;
	size_t n_shared;
	const InterfaceRegion *gaps; /* see InterfaceRules */
	size_t n_gaps;
} EvidencePolicy;
