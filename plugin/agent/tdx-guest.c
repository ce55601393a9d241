/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/tdx-guest.h"

#include "core/cleanup.h"
#include "core/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

/* include/uapi/linux/tdx-guest.h of Linux, which the libraries' headers of a build may lack. */
typedef struct TdxReportRequest {
	uint8_t report_data[TDREPORT_DATA_SIZE];
	uint8_t report[TDREPORT_SIZE];
} TdxReportRequest;

#define TDX_GET_REPORT0 _IOWR('T', 1, TdxReportRequest)

_Static_assert(sizeof(TdxReportRequest) == 1088, "the kernel's struct tdx_report_req");

int tdx_guest_report(uint8_t ret[static TDREPORT_SIZE], const Tree *tree,
		     const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error)
{
	_cleanup_close_ int fd = tree_open(tree, O_RDWR, TDX_GUEST_DEVICE);
	TdxReportRequest request = { 0 };
	int r;

	if (fd == -ENOENT)
		return fd;
	if (fd < 0)
		return refuse(ret_error, fd, TDX_GUEST_DEVICE ": open: %s%s", strerror(-fd),
			      fd == -EACCES ? " (it is root's)" : "");
	memcpy(request.report_data, report_data, TDREPORT_DATA_SIZE);
	if (ioctl(fd, TDX_GET_REPORT0, &request) < 0) {
		r = -errno;
		return refuse(ret_error, r, TDX_GUEST_DEVICE ": TDREPORT: %s (%s)", strerror(-r),
			      r == -EIO ? "the TDX module refused; dmesg may say more"
					: "not the device of Linux's tdx_guest driver?");
	}
	memcpy(ret, request.report, TDREPORT_SIZE);
	return 0;
}
