/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdi-agent quote: gets a quote over report data by whatever way this VM has, and writes it.
 *
 *	configfs	the kernel's own (configfs-report.h)
 *	vsock, tcp	a TDREPORT (from /dev/tdx_guest, else from the emulated TSM by way of the
 *			running agent), handed to a quoting service (qgs-client.h)
 *
 * Unless one is named, they are tried in this order until one gives a quote; a way that this VM
 * does not have is passed over, and if none works the message has what each said.
 *
 * Whatever comes back came from the host: it is taken only if it is a TDX quote over the report
 * data that was asked for. Whether it is genuine its verifier says, not this VM.
 */
#pragma once

/* argv[0] is "quote". The program's exit status: 0, 1 failure, 2 wrong use. */
int quote_command(int argc, char **argv);
