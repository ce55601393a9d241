# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host on which tdid was installed as the README says: systemd, AppArmor, libvirt as Debian has it.

tdid -> tdi-tsm-linux -> the kernel's PCI/TSM -> tsm-proxy -> tdi-tsm-emulated, each from its own
unit and in its own sandbox.
"""
import inspect
import json

import lab
from bedlib import Bed, command, image, systemd
from bedlib.bed import REPOSITORY

LIBEXEC = "/usr/local/libexec/tdid"  # the prefix that the README's commands give
UNITS = ("tdid", "tdi-tsm-linux", "tdi-tsm-emulated", "tdi-quoted", "tdi-qe-emulated")
EXAMPLES = REPOSITORY / "examples"
QE = {"socket": "/run/tdi-qe-emulated/qgs.socket",
      "platform_key": "/var/lib/tdid-emulated-platform/key"}
# What README and hooks/README.md have an administrator enable, and the emulated TSM.
ENABLED = ("tdi-tsm-linux.socket", "tdid.socket", "tdid.service", "tdi-tsm-emulated.socket",
           "tdi-quoted.socket", "tdi-quoted.service", "tdi-qe-emulated.service")


def example(name, **changes):
    """A configuration of examples/, with what this host needs otherwise; None takes a member out."""
    text = json.loads((EXAMPLES / name).read_text())
    return json.dumps({k: v for k, v in {**text, **changes}.items() if v is not None}) + "\n"


def configuration():
    functions = [{"device": bdf, "tee_io": True} for bdf in (lab.PF, lab.OTHER_PF)]
    return {
        "tdid.conf": example("tdid.conf", idle_grace_ms=8000),
        "tsm-linux.conf": example("tsm-linux.conf", companion={"socket": "/run/tdid/tsm/emulated",
                                                               "uid": 0}),
        "tsm-emulated.conf": example("tsm-emulated.conf", devices=functions, proxy="/dev/tsm-proxy",
                                     group=None),
        "tdi-quoted.conf": example("tdi-quoted.conf", upstreams=[f"unix:{QE['socket']}"],
                                   listen=["tcp:127.0.0.1:4050"]),
        "qe-emulated.conf": json.dumps(QE) + "\n",
    }


def install(stage, log):
    """The README's commands, in the root of a host before it boots."""
    command.run(["meson", "install", "-C", lab.BUILT, "--no-rebuild", "--destdir", stage], log, 60)
    command.run(["chroot", stage, "systemd-sysusers"], log, 60)
    command.run(["chroot", stage, "install", "-D", "-m", "0755", f"{LIBEXEC}/tdi-hook",
                 "/etc/libvirt/hooks/qemu.d/50-tdid"], log, 60)
    for name, text in configuration().items():
        image.write(stage / "etc/tdid" / name, text)
    version = next((stage / "usr/lib/modules").iterdir()).name
    image.copy(lab.module(), stage / "usr/lib/modules" / version / "extra/tsm-proxy.ko")
    command.run(["chroot", stage, "depmod", version], log, 60)
    image.write(stage / "etc/modules-load.d/tsm-proxy.conf", "tsm-proxy\n")
    image.write(stage / "etc/modprobe.d/tsm-proxy.conf", "options tsm-proxy " + " ".join(
        f"{name}={value}" for name, value in lab.MODULE.items()) + "\n")
    systemd.systemctl(stage, log, "enable", *ENABLED)


def inputs():
    """All that `install` puts there."""
    units = [path for where in ("plugin/daemon", "plugin/tsm/linux", "plugin/tsm/emulated",
                                         "plugin/quote", "plugin/quote/emulated")
             for path in sorted((REPOSITORY / where / "units").iterdir())]
    return [*lab.PROGRAMS.values(), *units, lab.module(), json.dumps(configuration()),
            json.dumps(lab.MODULE), ENABLED, inspect.getsource(inspect.getmodule(inputs))]


def boot(keep=False):
    return Bed().boot_systemd(install, inputs(), keep)
