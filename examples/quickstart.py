# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job on one screen: a trusted device into a running VM, to RUN, and back."""
import argparse
import pathlib
import subprocess
import sys
import threading

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "system")]

import suite  # noqa: E402
from lab import PF, TSMS, Lab, lab  # noqa: E402

NAME, VF = "tvm0/ua-tdi-nic0", "0000:01:10.0"


def title(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def typed(host, line, **options):
    """Runs a command on the host, shown as somebody would have typed it."""
    print(f"host# {line}", flush=True)
    return host.run(line, stream=host.echo, **options)


def show(arguments):
    """False: the VM did not get it to RUN."""
    with lab(tsm=arguments.tsm) as host:
        l = Lab(host)
        title("A host with libvirt, QEMU and KVM; an SR-IOV card; two running VMs; tdid")
        typed(host, "virsh list; lspci -nn | grep -i ethernet; tdictl devices")
        print("The TSM and the devices' security are emulated: they protect nothing.")

        title("A virtual function into tvm0, by plain virsh")
        host.put(l.tvm0.vf_xml(0).encode(), "/root/vf.xml")
        typed(host, "cat vf.xml", cwd="/root")
        watch = host.spawn("watch", "tdictl watch tvm0")
        typed(host, "virsh attach-device tvm0 vf.xml", cwd="/root")
        runs = typed(host, "tdictl watch tvm0 --until running --timeout 40 >/dev/null", check=False)
        typed(host, "tdictl list")
        if runs.rc != 0:
            return False
        host.wait_for(f"tdictl show {NAME} | grep -q 'driver bound'", timeout=30)
        title("What the operator sees of it")
        typed(host, f"tdictl show {NAME}")
        typed(host, f"tdictl timeline {NAME}")
        typed(host, f"tdictl evidence {NAME}")
        if arguments.tsm == "linux":
            title("What the kernel says of it")
            typed(host, f"grep . /sys/bus/pci/devices/{PF}/tsm/connect "
                        f"/sys/bus/pci/devices/{VF}/tsm/bound")
        title("What the VM sees of it")
        print(l.tvm0.console()[-1500:])

        title("And back, by plain virsh")
        typed(host, "virsh detach-device tvm0 vf.xml", cwd="/root")
        typed(host, "tdictl watch tvm0 --until released --timeout 60 >/dev/null; tdictl list")
        host.process("tdid").wait_log(f"device_reclaim {PF}: done", timeout=30)
        typed(host, f"grep 'device_reclaim {PF}' /var/log/bed/tdid.log")
        watch.kill()
        title("Every step, as 'tdictl watch' saw it")
        print(watch.log())
        if arguments.shell:
            title("You are on the emulated host; exit ends it")
            subprocess.run([REPOSITORY / "tests" / "system" / "bed", "shell", "--run",
                            host.folder.name], check=False)
    return True


def main():
    parser = argparse.ArgumentParser(prog="examples/quickstart", description=__doc__)
    parser.add_argument("--tsm", choices=TSMS, default="emulated",
                        help="how tdid reaches the emulated TSM: straight, or as on real hosts "
                             "through the kernel's PCI/TSM (default: %(default)s)")
    parser.add_argument("--shell", action="store_true", help="leave me on the host at the end")
    arguments = parser.parse_args()

    suite.children.end_with_us()
    title("Building the programs, and the emulated host they run on")
    bed = threading.Thread(target=suite.guarded, args=(suite.prepare_bed,))
    bed.start()
    suite.build_programs()
    bed.join()
    if suite.failures:
        raise SystemExit(suite.failures[0])
    for tsm in TSMS[:TSMS.index(arguments.tsm) + 1]:  # each on top of the one before
        suite.prepare_lab(tsm)

    for again in (True, True, False):
        if show(arguments):
            return 0
        if again:
            title("Not in RUN: VMs of this nested emulation now and then stop in a hot-plug "
                  "(tests/system/README.md). Once more, from the start")
    return 1


if __name__ == "__main__":
    sys.exit(main())
