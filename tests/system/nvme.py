# SPDX-License-Identifier: LGPL-2.1-or-later
"""An emulated host with an nvme controller whose DOE mailbox leads to an SPDM responder."""
import contextlib
import socket
import struct
import threading

from bedlib import Bed, machine


class Responder:
    """What QEMU takes for the device's SPDM responder: answers every object with VERSION 1.2.

    A message: command 1 (an object), transport 2 (DOE), size, all big-endian; then the object with
    its DOE header: vendor, type, reserved, length in 4-byte units.
    """
    VERSION = bytes.fromhex("1004000000010012")

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.seen = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        connection, _ = self.socket.accept()
        with connection, connection.makefile("rb") as stream:
            while len(header := stream.read(12)) == 12:
                command, transport, size = struct.unpack(">III", header)
                data = stream.read(size)
                if command != 1:
                    continue
                vendor, kind = struct.unpack_from("<HB", data)
                self.seen.append((vendor, kind, data[8:].hex()))
                answer = struct.pack("<HBBI", vendor, kind, 0, 2 + len(self.VERSION) // 4)
                answer += self.VERSION
                connection.sendall(struct.pack(">III", 1, transport, len(answer)) + answer)


@contextlib.contextmanager
def host_with_nvme(port):
    """A freshly booted L1 with an nvme in the place of the second igb; its VFs share its slot."""
    original = machine.arguments
    nvme = (f"nvme,id=nvme0,bus=rp2,serial=tdid,subsys=subsys0,sriov_max_vfs=2,"
            "sriov_vq_flexible=4,sriov_vi_flexible=2,max_ioqpairs=6,msix_qsize=8,"
            f"spdm_port={port}")

    def arguments(*positional):
        words = []
        for word in original(*positional):
            if word.startswith("igb,id=igb2,"):
                words += ["nvme-subsys,id=subsys0,nqn=subsys0", "-device", nvme]
            else:
                words.append(word)
        return words

    machine.arguments = arguments
    try:
        with Bed().boot(keep=False) as host:
            yield host
    finally:
        machine.arguments = original
