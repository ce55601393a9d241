# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands for QEMU before its quote socket: a connection for each request, made when it is needed."""
import sys

import qgs

for line in sys.stdin:
    path, report = line.split()
    try:
        answer = qgs.ask(path, qgs.request(qgs.GET_QUOTE, bytes.fromhex(report), b""))
        print("ok", answer.hex(), flush=True)
    except OSError as error:
        print("failed", error, flush=True)
