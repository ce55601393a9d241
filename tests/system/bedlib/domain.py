# SPDX-License-Identifier: LGPL-2.1-or-later
"""L2: a domain in L1, its initramfs with the test's own files in it, its devices and console."""
import pathlib
import uuid
from xml.sax.saxutils import escape

from . import cpio

TEMPLATE = pathlib.Path(__file__).resolve().parent.parent / "guest" / "domain.xml.in"
BASE = "/usr/lib/bed/l2"
# For a confined domain: AppArmor lets QEMU have nothing below /usr.
CONFINED_BASE = "/var/lib/bed/guest"
KEY = "/run/tdi-tsm-emulated/{uuid}.key"
# VF number N of the bed: two of each PF.
VFS = ("0000:01:10.0", "0000:01:10.2", "0000:02:10.0", "0000:02:10.2")
MEMORY = 192  # MiB; VFIO pins all of it
APPEND = ("console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off tsc=reliable "
          "no_timer_check cryptomgr.notests random.trust_cpu=on "
          # No blind scan of 256 buses after ACPI's own (1 s), no hardware that is not there; no
          # configuration space in memory, for the reason that domain.xml.in gives.
          "pci=lastbus=0,nommconf no-kvmapf 8250.nr_uarts=1 i8042.noaux i8042.nokbd hpet=disable lsm=capability "
          "initcall_blacklist=load_system_certificate_list,wakeup_sources_init")


class Domain:
    """A domain of L1. Nothing happens before `define` or `start`.

    `marked`: with the guest port and the key of the TSM (whose file must be there when QEMU starts);
    `port`, `key`: with one of them only.
    `confined`: as the distribution runs it, by AppArmor and with virtlogd, which wants a file for
    each of the two consoles.
    `files`: what the overlay adds to the guest: a folder of this machine, or a dictionary from path
    in the guest to a file of this machine (pathlib.Path) or to content (bytes or text). What lands
    in /etc/bed/start.d/ is started by the guest's init, output on the console.
    `devices`: XML of devices that are there from the start (`vf_xml`).
    """

    def __init__(self, host, name="l2", marked=True, files=None, memory=MEMORY, devices="",
                 metadata="", append="", port=None, key=None, confined=False):
        self.host = host
        self.name = name
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name + ".bed.invalid"))
        self.port = marked if port is None else port
        self.key = marked if key is None else key
        self.files = files
        self.memory = memory
        self.devices = devices
        self.metadata = metadata
        self.append = append
        self.folder = f"/var/lib/bed/{name}"
        self.console_path = f"/var/log/bed/{name}.console"
        self.base = CONFINED_BASE if confined else BASE
        self.serial_path = f"/var/log/bed/{name}.serial" if confined else self.console_path
        self.key_path = KEY.format(uuid=self.uuid)

    # --- description

    def xml(self):
        port = ("<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>"
                if self.port else "")
        key = ("<sysinfo type='fwcfg'><entry name='opt/io.tdid/tvm-key' "
               f"file='{self.key_path}'/></sysinfo>" if self.key else "")
        values = {"NAME": escape(self.name), "UUID": self.uuid, "MEMORY": self.memory,
                  "KERNEL": self.base + "/vmlinux", "INITRD": self.folder + "/initrd.img",
                  "APPEND": escape(f"{APPEND} {self.append}".strip()),
                  "CONSOLE": self.console_path, "SERIAL": self.serial_path,
                  "SYSINFO": key, "PORT": port, "DEVICES": self.devices, "METADATA": self.metadata}
        text = TEMPLATE.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    @staticmethod
    def vf_xml(number, alias=None, managed=True):
        """VF number N of the bed (or a BDF as text) as a device with alias ua-tdi-nicN."""
        bdf = VFS[number] if isinstance(number, int) else number
        domain, bus, rest = bdf.split(":")
        slot, function = rest.split(".")
        if alias is None:
            alias = f"ua-tdi-nic{VFS.index(bdf) if bdf in VFS else bdf.replace(':', '-').replace('.', '-')}"
        return (f"<hostdev mode='subsystem' type='pci' managed='{'yes' if managed else 'no'}'>\n"
                f"  <source><address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' "
                f"function='0x{function}'/></source>\n  <alias name='{alias}'/>\n</hostdev>\n")

    def overlay(self):
        """The cpio archive of `files`."""
        archive = cpio.Archive()
        if isinstance(self.files, (str, pathlib.Path)):
            archive.tree(self.files)
        else:
            for name, what in (self.files or {}).items():
                if isinstance(what, pathlib.Path):
                    if what.is_dir():
                        archive.tree(what, name.strip("/"))
                    else:
                        archive.file(name, what.read_bytes(), what.stat().st_mode & 0o777)
                else:
                    data = what.encode() if isinstance(what, str) else what
                    mode = 0o755 if data[:2] == b"#!" or data[:4] == b"\x7fELF" else 0o644
                    archive.file(name, data, mode)
        return archive.bytes()

    # --- life

    def define(self):
        """Puts initramfs and definition into L1."""
        self.host.put(self.overlay(), f"{self.folder}/overlay.img")
        self.host.put(self.xml().encode(), f"{self.folder}/domain.xml")
        self.host.run(f"cd {self.folder} && cat {self.base}/initrd.img overlay.img >initrd.img && "
                      "virsh define domain.xml", timeout=60)
        return self

    def start(self, wait=True, timeout=120):
        """`virsh start`, and the guest's L2-READY if `wait`."""
        self.define()
        self.host.run(f": >{self.console_path}")
        self.host.run(["virsh", "start", self.name], timeout=timeout)
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=120):
        return self.wait_console("^L2-READY", timeout)

    def state(self):
        """State and reason, e.g. "running (booted)"."""
        return self.host.run(["virsh", "domstate", "--reason", self.name]).out.strip()

    def destroy(self, timeout=60):
        self.host.run(["virsh", "destroy", self.name], timeout=timeout)

    def attach(self, number, alias=None, timeout=60, check=True):
        """`virsh attach-device` of VF number N (or a BDF); gives the command's Result."""
        return self.host.run(["virsh", "attach-device", self.name, "/dev/stdin"],
                             input=self.vf_xml(number, alias), timeout=timeout, check=check)

    def detach(self, number, alias=None, timeout=60, check=True):
        """`virsh detach-device`: returns when the guest let go, or after libvirt's 5 s."""
        return self.host.run(["virsh", "detach-device", self.name, "/dev/stdin"],
                             input=self.vf_xml(number, alias), timeout=timeout, check=check)

    # --- console

    def console(self):
        return self.host.read(self.console_path)

    def console_size(self):
        return self.host.size(self.console_path)

    def wait_console(self, pattern, timeout, offset=0):
        """The first matching line of the console, from a byte offset on; see Host.wait_line."""
        return self.host.wait_line(self.console_path, pattern, timeout, offset)
