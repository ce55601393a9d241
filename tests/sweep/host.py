# SPDX-License-Identifier: LGPL-2.1-or-later
"""Made-up trees of files: the host's sysfs for the emulated TSM, the guest's for its agent."""
import json
import shutil
import struct
import subprocess

PF, VF = "0000:01:00.0", "0000:01:10.0"
GUEST_BUS = 1
IN_GUEST = f"0000:{GUEST_BUS:02x}:00.0"
BAR_SIZE = 0x4000
IDS = {"vendor": "0x8086", "class": "0x020000", "revision": "0x01", "subsystem_vendor": "0x8086",
       "subsystem_device": "0xa03c"}
NO_BAR = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
MEMORY_64 = 0x14220c
MSIX_BAR = 3


def resource(first, second):
    """BAR 0 and BAR 3, the latter with MSI-X, as sysfs has them."""
    line = "0x{:016x} 0x{:016x} 0x{:016x}\n".format
    return (line(first, first + BAR_SIZE - 1, MEMORY_64) + NO_BAR * 2 +
            line(second, second + BAR_SIZE - 1, MEMORY_64) + NO_BAR * 2)


def config_space(first=0, second=0):
    """With power management and MSI-X: table in BAR 3 at 0, PBA at 0x2000."""
    space = bytearray(4096)
    space[0x06], space[0x34] = 0x10, 0x40
    space[0x40:0x42] = b"\x01\x70"
    space[0x70], space[0x72], space[0x74] = 0x11, 2, MSIX_BAR
    space[0x78:0x7a] = bytes((MSIX_BAR, 0x20))
    struct.pack_into("<Q", space, 0x10, first | 0xc if first else 0)
    struct.pack_into("<Q", space, 0x1c, second | 0xc if second else 0)
    return bytes(space)


def function(folder, device, bars, space):
    folder.mkdir(parents=True)
    for name, value in {**IDS, "device": device}.items():
        (folder / name).write_text(value + "\n")
    (folder / "resource").write_text(bars)
    (folder / "config").write_bytes(space)


def make_sysfs(root):
    """A PF and a VF of it, with VFIO's driver."""
    devices = root / "bus/pci/devices"
    function(devices / PF, "0x10c9", resource(0xfe800000, 0xfe820000), config_space())
    function(devices / VF, "0x10ca", resource(0x800000000, 0x800020000), config_space())
    (devices / VF / "physfn").symlink_to(f"../{PF}")
    (devices / PF / "virtfn0").symlink_to(f"../{VF}")
    (devices / VF / "iommu_group").symlink_to("../../../../kernel/iommu_groups/17")
    (devices / VF / "driver").symlink_to("../../../../bus/pci/drivers/vfio-pci")


def make_guest(root, key, boot_id):
    """What the agent looks at; the function is there already, as after a hot-plug."""
    first, second = 0x380000000000, 0x380000100000
    key_folder = root / "sys/firmware/qemu_fw_cfg/by_name/opt/io.tdid/tvm-key"
    port = root / "sys/class/virtio-ports/vport0p1"
    for folder in (key_folder, port, root / "proc/sys/kernel/random", root / "run", root / "dev",
                   root / "sys/bus/pci/drivers"):
        folder.mkdir(parents=True)
    shutil.copy(key, key_folder / "raw")
    (port / "name").write_text("io.tdid.guest.0\n")
    (root / "proc/sys/kernel/random/boot_id").write_text(boot_id + "\n")
    (root / "sys/bus/pci/drivers_autoprobe").write_text("1\n")
    (root / "sys/bus/pci/drivers_probe").write_text("")
    at = root / "sys/bus/pci/devices" / IN_GUEST
    function(at, "0x10ca", resource(first, second), config_space(first, second))
    (at / "enable").write_text("0\n")


def tsm_config(folder):
    return {"socket": f"{folder}/tsm", "state": f"{folder}/state", "keys": f"{folder}/keys",
            "sysfs": f"{folder}/sys", "allow_uids": [0], "faults": True,
            "devices": [{"device": PF, "tee_io": True}]}


class Template:
    """What all runs have in common and is made once: CA and devices' keys, and the agent's policy."""

    def __init__(self, folder, tsm_program):
        self.folder = folder
        folder.mkdir()
        make_sysfs(folder / "sys")
        (folder / "tsm.conf").write_text(json.dumps(tsm_config(folder)))
        published = json.loads(subprocess.run(
            [tsm_program, "--config", folder / "tsm.conf", "reference", PF], check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout)
        self.policy = {"version": 1, "allow_emulated": True, **published,
                       "allow_shared_ranges": [{"bar": MSIX_BAR, "offset": 0, "size": BAR_SIZE}],
                       "unverified": ["virtio"]}

    def fill(self, folder, domains):
        shutil.copytree(self.folder / "sys", folder / "sys", symlinks=True)
        shutil.copytree(self.folder / "state", folder / "state")
        (folder / "tsm.conf").write_text(json.dumps(tsm_config(folder)))
        for domain in domains:
            (domain / "guest").mkdir()
            (domain / "guest/policy.json").write_text(json.dumps(self.policy))
