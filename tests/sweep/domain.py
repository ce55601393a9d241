# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain as libvirt has it, and the TVM in it."""
import pathlib

import host
from guest import Guest

ALIAS = "ua-tdi-nic0"
HOSTDEV = ("<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
           f"bus='0x01' slot='0x10' function='0x0'/></source><alias name='{ALIAS}'/></hostdev>")
PORT = "<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>"


class Domain:
    def __init__(self, number, folder):
        self.name = f"tvm{number}"
        self.uuid = f"11111111-2222-4333-8444-55555555555{number}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.key = folder / "keys" / f"{self.uuid}.key"
        self.guest = None
        self.on, self.attached = True, False

    def xml(self):
        return (f"<domain type='kvm'><name>{self.name}</name><uuid>{self.uuid}</uuid>"
                f"<sysinfo type='fwcfg'><entry name='opt/io.tdid/tvm-key' file='{self.key}'/>"
                f"</sysinfo><devices>{PORT}{HOSTDEV if self.attached else ''}</devices></domain>")

    def lines(self):
        """For tdid-replay: what libvirt knows of it."""
        return [f"domain {self.uuid} {self.name}" + (f" {self.xml()}" if self.on else ""),
                f"place {self.uuid} {ALIAS} {host.GUEST_BUS if self.attached else 0}",
                f"guest {self.uuid} {self.folder}/port"]

    def dirty(self, reason):
        return f"dirty {self.uuid} {reason}" + (f" {ALIAS}" if reason.startswith("device-") else "")

    def start(self, agent_program):
        """QEMU, as the hook's `started` tells of it."""
        self.guest = Guest(self.folder, self.key, agent_program)
        stat = pathlib.Path(f"/proc/{self.guest.qemu.pid}/stat").read_text()
        return {"qemu_pid": self.guest.qemu.pid,
                "qemu_start_time": int(stat.rsplit(")", 1)[1].split()[19])}

    def booted(self, state):
        return any(t["pid"] == self.guest.qemu.pid and t["booted"] == self.guest.boot_id
                   for t in state["tvms"])
