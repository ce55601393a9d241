/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TDISP 1.0 DEVICE_INTERFACE_REPORT: what a locked TDI says of itself. Little-endian.
 *
 *    0 INTERFACE_INFO(2)   2 reserved(2)   4 MSI-X message control(2)   6 LNR control(2)
 *    8 TPH control(4)     12 MMIO_RANGE_COUNT N(4)
 *   16 N ranges of 16 bytes: 0 first 4-KiB page(8)  8 pages(4)  12 attributes(2)  14 range id(2)
 *   16+16N DEVICE_SPECIFIC_INFO_LEN L(4)   20+16N device specific information(L)
 *
 * ret_error may be NULL everywhere; see refusal.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTERFACE_REPORT_PAGE_SIZE  4096u
#define INTERFACE_REPORT_MIN_SIZE   20u
#define INTERFACE_REPORT_RANGE_SIZE 16u
#define INTERFACE_REPORT_MAX_SIZE   UINT16_MAX /* what GET_DEVICE_INTERFACE_REPORT can address */
#define INTERFACE_REPORT_MAX_RANGES 64u	       /* our bound, not the specification's */
#define INTERFACE_REPORT_N_BARS	    6u

/* INTERFACE_INFO */
enum {
	INTERFACE_INFO_NO_FW_UPDATE = 1 << 0,
	INTERFACE_INFO_DMA_WITHOUT_PASID = 1 << 1,
	INTERFACE_INFO_DMA_WITH_PASID = 1 << 2,
	INTERFACE_INFO_ATS = 1 << 3,
	INTERFACE_INFO_PRS = 1 << 4,
	INTERFACE_INFO_ALL = 0x1F,
};

/* A range's attributes, as they were when the TDI was locked. */
enum {
	INTERFACE_RANGE_MSIX_TABLE = 1 << 0,
	INTERFACE_RANGE_MSIX_PBA = 1 << 1,
	INTERFACE_RANGE_NON_TEE_MEM = 1 << 2,
	INTERFACE_RANGE_MEM_ATTR_UPDATABLE = 1 << 3,
	INTERFACE_RANGE_ALL = 0xF,
};

typedef struct InterfaceRange {
	/*
	 * Page number of the host's address plus MMIO_REPORTING_OFFSET, a signed value that the TSM
	 * picks: only differences within a report mean anything.
	 */
	uint64_t first_page;
	uint32_t n_pages;    /* not 0 */
	uint16_t attributes; /* INTERFACE_RANGE_* */
	uint16_t id;	     /* 0-7: BAR equivalent indicator (BEI) */
} InterfaceRange;

typedef struct InterfaceReport {
	uint16_t info; /* INTERFACE_INFO_* */
	uint16_t msix_control;
	uint16_t lnr_control;
	uint32_t tph_control;
	uint32_t n_ranges;
	InterfaceRange ranges[INTERFACE_REPORT_MAX_RANGES];
	const uint8_t *device_specific; /* in the bytes that were parsed, or the encoding side's */
	uint32_t device_specific_size;
} InterfaceReport;

/*
 * The whole of `data` is one report. 0, or -EBADMSG (more than INTERFACE_REPORT_MAX_RANGES ranges
 * included) with a sentence in *ret_error.
 */
int interface_report_parse(InterfaceReport *ret, const void *data, size_t size, char **ret_error);

/* 0 and the size, -ENOBUFS, or -EINVAL for what the parser would refuse. */
int interface_report_encode(const InterfaceReport *report, void *buffer, size_t capacity,
			    size_t *ret_size);

/* A BAR as the TVM sees it in config space. The upper half of a 64-bit BAR is not present. */
typedef struct InterfaceBar {
	bool present;
	bool is_memory;
	bool is_64bit;
	uint64_t size; /* bytes, a power of two */
} InterfaceBar;

/* Pages of a BAR, counted from its start. */
typedef struct InterfaceRegion {
	uint8_t bar;
	uint64_t first_page;
	uint64_t n_pages;
} InterfaceRegion;

/*
 * What the TSM says it locked with, and what the relying party's policy allows. All zero: locked
 * without flags, and nothing is allowed.
 */
typedef struct InterfaceRules {
	bool lock_no_fw_update; /* flags of LOCK_INTERFACE */
	bool lock_msix;

	bool allow_fw_update; /* NO_FW_UPDATE may be 0 */
	bool allow_ats;
	bool allow_prs;
	bool allow_pasid;

	/* Shared ranges (see interface_range_is_shared) have to lie inside one of these. */
	const InterfaceRegion *shared;
	size_t n_shared;
	/*
	 * Pages that may be in no range. A report says only where the ranges of a BAR lie to one
	 * another, so a BAR is taken to begin at its lowest range; or, if a gap is listed at page
	 * 0 and the ranges fit behind it, right after that gap. A BAR without any range needs gaps
	 * over its whole size.
	 */
	const InterfaceRegion *gaps;
	size_t n_gaps;
} InterfaceRules;

/* What interface_report_check() has against a report, in the order in which it looks. */
typedef enum InterfaceRefusal {
	INTERFACE_REFUSED_FIRMWARE = 1, /* NO_FW_UPDATE is not as locked, or 0 and not allowed */
	INTERFACE_REFUSED_FEATURES,	/* ATS, PRS or DMA with PASID, and not allowed */
	/*
	 * Ranges do not ascend by BEI; one is of no memory BAR, overflows, leaves its BAR or
	 * overlaps another; a BAR is not covered by ranges and listed gaps; no one reporting offset
	 * fits all BARs (which are aligned to their size on the host).
	 */
	INTERFACE_REFUSED_RANGES,
	INTERFACE_REFUSED_SHARED, /* a shared range that the rules do not name */
} InterfaceRefusal;

/*
 * Holds the report against the function's BARs (BAR 0 to 5) and the rules. 0, or a positive
 * InterfaceRefusal with a sentence in *ret_error.
 */
int interface_report_check(const InterfaceReport *report,
			   const InterfaceBar bars[static INTERFACE_REPORT_N_BARS],
			   const InterfaceRules *rules, char **ret_error);

/* After a successful check: where range `i` begins, in pages from the start of BAR ranges[i].id. */
uint64_t interface_report_page(const InterfaceReport *report,
			       const InterfaceBar bars[static INTERFACE_REPORT_N_BARS],
			       const InterfaceRules *rules, unsigned int i);

/* True for what the TVM must never validate: IS_NON_TEE_MEM, and MSI-X that is not locked. */
bool interface_range_is_shared(const InterfaceRange *range, const InterfaceRules *rules);
