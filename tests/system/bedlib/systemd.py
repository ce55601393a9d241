# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host as the distribution sets one up: systemd, udev, AppArmor, libvirt's own units and users.

Of the bed's there are the agent, an address, the VFs, and L2's kernel.
"""
import inspect

from . import cache, command, domain, image, machine

FILES = image.HERE / "systemd"
UNITS = ("bed-agent.service", "bed-host.service")
# A login on the console would only cost time.
MASKED = ("serial-getty@ttyS0.service", "getty@tty1.service")
APPEND = (" ".join(word for word in machine.APPEND.split()
                   if word not in ("apparmor=0", "audit=0")) + " systemd.firstboot=off")
# AppArmor's profiles that have to do with what is there; compiling the other hundred takes a minute.
PROFILES = ("abi", "abstractions", "disable", "force-complain", "libvirt", "local", "tunables",
            "usr.lib.libvirt.virt-aa-helper", "usr.sbin.libvirtd")
TIMEOUT = 420  # s, for a boot
MACHINE_ID = "b0b0b0b0b0b04000b000b0b0b0b0b0b0"


def image_key(tree, origin, install, inputs):
    return cache.digest(tree.root.name, origin.name, FILES, image.HOST / "agent.py",
                        image.HOST / "initrd-init", image.GUEST / "init", *image.MAKERS,
                        inspect.getsource(inspect.getmodule(image_key)),
                        inspect.getsource(install), *inputs)


def image_of(store, tree, origin, install, inputs):
    """The folder with vmlinux, initrd.img and root.ext4; `origin`: the root of a host with systemd."""
    def fill(stage, log):
        root(tree, stage, log)
        install(stage, log)

    return store.make("image-systemd", image_key(tree, origin, install, inputs),
                      "image of a host with systemd",
                      lambda folder: image.build(folder, tree, origin, fill, domain.CONFINED_BASE,
                                                 store.logs / "image-systemd.log"))


def root(tree, stage, log):
    bed = stage / "usr/lib/bed"
    # Where the kernel's package has it, for tdictl doctor.
    image.copy(tree.modules / "config", stage / f"usr/lib/modules/{tree.version}/config")
    image.copy(image.HOST / "agent.py", bed / "agent.py")
    image.copy(FILES / "host", bed / "host")
    (bed / "init").symlink_to("/lib/systemd/systemd")  # where the initramfs goes
    for unit in UNITS:
        image.copy(FILES / unit, stage / "etc/systemd/system" / unit)
    for profile in (stage / "etc/apparmor.d").iterdir():
        if profile.name not in PROFILES:
            profile.unlink()
    (stage / "var/log/bed").mkdir()
    image.write(stage / "etc/hostname", "l1\n")
    image.write(stage / "etc/hosts", "127.0.0.1 localhost l1\n")
    image.write(stage / "etc/machine-id", MACHINE_ID + "\n")
    for folder in ("etc", "var"):  # no caches to be made anew, as after an installation
        image.write(stage / folder / ".updated", "")
    systemctl(stage, log, "mask", *MASKED)
    systemctl(stage, log, "enable", *UNITS)


def systemctl(stage, log, *arguments):
    command.run(["chroot", stage, "systemctl", *arguments], log, 60)
