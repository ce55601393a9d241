# SPDX-License-Identifier: LGPL-2.1-or-later
"""Through the kernel's PCI/TSM: what others do to it, and a TSM that hangs or dies."""
import json
import re
import time

from lab import (LIBEXEC, LINUX_CONFIG, MODULE, OTHER_PF, PF, SOCKETS, Lab, configure, fault, lab,
                 load_module, put_json, start_emulated, start_linux, start_tdid, stop, tvm)
from nvme import Responder, host_with_nvme

TSMS = ("linux",)
NIC0, NIC2 = "ua-tdi-nic0", "ua-tdi-nic2"
VF0, VF1, VF2 = "0000:01:10.0", "0000:01:10.2", "0000:02:10.0"
DEVICES = "/sys/bus/pci/devices"


class Kernel:
    """The kernel's own view, read and written by hand."""

    def __init__(self, host):
        self.host = host

    def attribute(self, function, name):
        """What a tsm attribute says; None if it is not there."""
        path = f"{DEVICES}/{function}/tsm/{name}"
        found = self.host.run(f"test ! -e {path} || cat {path}").out
        return found.strip() if found else None

    def write(self, path, text, timeout=60):
        return self.host.run(f"echo {text} >{DEVICES}/{path}", timeout=timeout, check=False)

    def connected(self, pf=PF):
        return self.attribute(pf, "connect") == "tsm0"

    def bound(self, vf=VF0):
        return self.attribute(vf, "bound") == "tsm0"


def emulated_says(host):
    """{device: state} of the TSM behind the kernel, and which DSMs it has a session with."""
    state = json.loads(host.run([f"{LIBEXEC}/varlink-call", SOCKETS["emulated"],
                                 "io.tdid.Tsm.Query"]).out)
    return ({t["device"]: t["state"] for t in state["tdis"]},
            {d["dsm"] for d in state["dsms"] if d["connected"]})


def nothing_leaks(host, kernel):
    """Neither the kernel nor the TSM holds anything, and the kernel has not complained."""
    tdis, dsms = emulated_says(host)
    assert set(tdis.values()) <= {"config_unlocked"}, tdis
    assert not [vf for vf in (VF0, VF1, VF2) if kernel.bound(vf)]
    text = host.run("dmesg").out
    for word in ("BUG", "WARNING", "Oops", "refcount", "hung_task"):
        assert word not in text, text[-4000:]
    return dsms


def agree(l, kernel, connected, bound, state=None):
    """sysfs by hand, `tdictl devices`, and what tdid believes say the same, and it is this."""
    shown = {d["device"]: d for d in json.loads(l.tdictl("devices", "--json").out)}
    pf, vf = shown[PF], shown[VF0]
    by_hand = kernel.attribute(PF, "connect"), kernel.attribute(VF0, "bound")
    assert by_hand == ("tsm0" if connected else "", ("tsm0" if bound else "") if connected else None)
    assert (pf["kernel"].get("connect"), vf["kernel"].get("bound")) == by_hand, (pf, vf)
    assert pf["tdid"]["dsm"]["connected"] == connected, pf
    assert vf["kernel"].get("dsm") == (PF if connected else None), vf
    assert vf["tdid"]["device"].get("tdi_state") == state, (state, vf)
    assert vf["tdid"]["device"].get("domain_name") == ("tvm0" if bound else None), vf
    assert vf["driver"] == ("vfio-pci" if bound else "igbvf"), vf


def test_sysfs_by_hand_and_tdictl_devices_agree_at_each_step():
    """connect, bound, dsm, TDI state: before, locked, running, detached, reclaimed; by request, too."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        watch = l.watch()
        agree(l, kernel, connected=False, bound=False, state="config_unlocked")
        calls = host.spawn("calls", ["strace", "-f", "-qq", "-e", "trace=ioctl,pidfd_getfd,write", "-p",
                                     str(host.process("tsm-linux").pid)])
        # Held still from the moment the TDI is locked.
        host.spawn("freezer", "tdictl watch --until locked --timeout 60 >/dev/null && "
                              "kill -STOP $(pidof qemu-system-x86_64)")
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        host.process("freezer").wait(30)
        agree(l, kernel, connected=True, bound=True, state="config_locked")
        host.run("kill -CONT $(pidof qemu-system-x86_64)")
        watch.wait(NIC0, "running")
        agree(l, kernel, connected=True, bound=True, state="run")
        # By the sysfs attribute, with QEMU's own KVM VM, and by the proxy: nothing went another way.
        for call in (r'write\(\d+, "tsm0", 4\)', r"pidfd_getfd\(",
                     *(rf"_IOC\(.*, 0x54, {number}, " for number in ("0xd8", "0xda"))):
            assert re.search(call, calls.log()), (call, calls.log())
        calls.kill()
        l.wait_driver(f"tvm0/{NIC0}")
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        host.wait_for(f"test $(basename $(readlink {DEVICES}/{VF0}/driver)) = igbvf", 30)
        agree(l, kernel, connected=True, bound=False, state="config_unlocked")
        host.process("tdid").wait_log(f"device_reclaim {PF}: done", timeout=30)
        agree(l, kernel, connected=False, bound=False, state="config_unlocked")
        # Without any bind, by request; and back.
        assert "connected" in l.tdictl("connect", PF).out
        agree(l, kernel, connected=True, bound=False, state="config_unlocked")
        refused = l.tdictl("connect", VF0, check=False)
        assert refused.rc == 1 and PF in refused.err, refused
        l.tdictl("reclaim", PF)
        agree(l, kernel, connected=False, bound=False, state="config_unlocked")
        report = l.tdictl("doctor", "--json", check=False)
        checks = {c["id"]: c["status"] for c in json.loads(report.out)["checks"]}
        assert checks["kernel.pci-tsm"] == checks["tdid.socket"] == "ok", checks


def test_nvme_with_a_doe_mailbox_reaches_run_and_back():
    """A VF of an nvme whose PF has a DOE mailbox: connect by sysfs, RUN, back, reclaimed."""
    responder = Responder()
    vf = "0000:02:00.1"
    with host_with_nvme(responder.port) as host:
        host.run(f"modprobe nvme; echo 0 >{DEVICES}/{OTHER_PF}/sriov_drivers_autoprobe")
        host.run("/usr/lib/bed/warm", timeout=300)
        l = Lab(host)
        kernel = Kernel(host)
        configure(host, "linux")
        load_module(host, capable=f"{MODULE['capable']},{OTHER_PF}")
        start_emulated(host)
        start_linux(host)
        start_tdid(host)
        assert "doe" in host.run(f"ls {DEVICES}/{OTHER_PF}").out, "no mailbox"
        domain = tvm(host, "tvm0", device=OTHER_PF, kind="nvme")
        domain.start()
        watch = l.watch()
        domain.attach(vf, alias="ua-tdi-nvme0")
        running = watch.wait("ua-tdi-nvme0", "running")
        assert running["dsm"] == OTHER_PF, running
        assert kernel.connected(OTHER_PF) and kernel.bound(vf)
        domain.detach(vf, alias="ua-tdi-nvme0")
        watch.wait("ua-tdi-nvme0", "released")
        assert not kernel.bound(vf)
        host.process("tdid").wait_log(f"device_reclaim {OTHER_PF}: done", timeout=30)
        assert not kernel.connected(OTHER_PF)
        nothing_leaks(host, kernel)


def test_disconnect_by_hand_under_a_running_tdi_is_seen_and_told():
    """echo tsm0 >tsm/disconnect under RUN: the TDI fails with the reason; others and later go on."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        l.tvm0.attach(2)
        watch.wait(NIC2, "running")
        assert kernel.write(f"{PF}/tsm/disconnect", "tsm0").rc == 0
        failed = watch.wait(NIC0, "failed")
        assert failed["reason"], failed
        assert not kernel.bound(VF0) and kernel.bound(VF2)
        assert l.show(f"tvm0/{NIC2}")["state"] == "running"
        # By hand and with nobody using it: it is seen, and a bind takes it as it is.
        assert kernel.write(f"{PF}/tsm/connect", "tsm0").rc == 0
        l.tvm0.attach(0)
        again = watch.wait(NIC0, "running")
        assert again["generation"] == 2, again
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        l.tvm0.detach(2)
        watch.wait(NIC2, "released")
        nothing_leaks(host, kernel)


def test_sriov_disabled_and_pf_removed_under_running_tdis():
    """SR-IOV off under one TDI in RUN, the other PF removed under another: released, nothing left."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.tvm0.attach(2)
        watch.wait(NIC2, "running")
        assert kernel.write(f"{PF}/sriov_numvfs", "0").rc == 0
        ended = watch.wait(NIC0, "(?:released|failed)")
        assert l.show(f"tvm0/{NIC2}")["state"] == "running", ended
        assert kernel.write(f"{OTHER_PF}/remove", "1").rc == 0
        watch.wait(NIC2, "(?:released|failed)")
        listed = json.loads(l.tdictl("list", "--json").out)
        assert all(a["state"] in ("released", "failed") for a in listed), listed
        nothing_leaks(host, kernel)
        # They come back, and are as good as before.
        assert kernel.write(f"{PF}/sriov_numvfs", "2").rc == 0
        host.wait_for(f"virsh nodedev-list --cap pci | grep -q pci_0000_01_10_0 || "
                      f"test -e {DEVICES}/{VF0}", timeout=20)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")


def test_tsm_killed_under_a_running_tdi_voids_its_binds():
    """SIGKILL of the user-space TSM under RUN: every bind is void, told, and the next TSM serves."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        assert host.run("rmmod tsm-proxy", check=False).rc != 0, "unloaded in use"
        host.process("tsm").kill(9)
        host.process("tsm").wait(20)
        assert kernel.attribute(PF, "connect") is None
        # Nobody can say what state the TDI is in before there is a TSM again.
        host.wait_for(lambda: "tdi_state" not in l.show(f"tvm0/{NIC0}"), timeout=20)
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"
        assert "companion" in l.tdictl("devices").out
        # The module can be taken out and put back meanwhile, when nothing has it open.
        stop(host, "tsm-linux")
        host.run("rmmod tsm-proxy")
        load_module(host)
        start_linux(host, "tsm-linux-again")
        start_emulated(host, "tsm-again")
        failed = watch.wait(NIC0, "failed")
        assert "does not hold this bind any more" in failed["reason"], failed
        nothing_leaks(host, kernel)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")


def test_tsm_killed_in_mid_connect_and_mid_bind():
    """SIGKILL of the user-space TSM while it connects, and while it binds: unknown, then told."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        watch = l.watch()
        fault(host, "FailVerb", device=PF, verb="connect", fault="hang")
        l.tvm0.attach(0)
        watch.wait(NIC0, "connecting")
        l.wait_mark(f"tvm0/{NIC0}", "device_connect started")
        host.process("tsm").kill(9)
        failed = watch.wait(NIC0, "failed")
        assert "user-space TSM ended" in failed["reason"], failed
        start_emulated(host, "tsm2")
        host.wait_for(f"test -e {DEVICES}/{PF}/tsm/connect", timeout=20)
        assert not nothing_leaks(host, kernel)
        host.wait_for(f"tdictl reclaim {PF}", timeout=20)

        fault(host, "FailVerb", device=VF0, verb="bind", fault="hang")
        l.tvm0.attach(0)
        watch.wait(NIC0, "binding")
        l.wait_mark(f"tvm0/{NIC0}", "tdi_bind started")
        host.process("tsm2").kill(9)
        quarantined = watch.wait(NIC0, "quarantined")
        assert "user-space TSM ended" in quarantined["reason"], quarantined
        refused = host.run(["virsh", "attach-device", "tvm1", "/dev/stdin"], check=False,
                           input=l.tvm1.vf_xml(0, "ua-tdi-other"))
        assert refused.rc != 0 or "tdictl clear" in watch.wait("ua-tdi-other", "failed")["reason"]
        start_emulated(host, "tsm3")
        host.wait_for(f"test -e {DEVICES}/{PF}/tsm/connect", timeout=20)
        assert not nothing_leaks(host, kernel)
        # The way out, when there is a TSM to say that nothing is left.
        host.wait_for(f"tdictl clear {VF0}", timeout=30)
        watch.wait(NIC0, "failed")
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")


def test_start_is_refused_where_no_tsm_is_registered():
    """Cold plug on a host whose kernel has no TSM: refused in virsh's own error, with that reason."""
    with lab() as host:
        l = Lab(host)
        l.tvm0.destroy()
        host.run(["virsh", "attach-device", "tvm0", "/dev/stdin", "--config"],
                 input=l.tvm0.vf_xml(0))
        stop(host, "tsm-linux", "tsm")
        put_json(host, {k: v for k, v in LINUX_CONFIG.items() if k != "companion"},
                 "/etc/tdid/tsm-linux.conf")
        start_linux(host, "tsm-linux-alone")
        host.process("tdid").wait_log("no TSM is registered", timeout=20)
        result = host.run(["virsh", "start", "tvm0"], check=False, timeout=60)
        for word in ("ua-tdi-nic0", VF0, "no TSM is registered with the kernel", "/sys/class/tsm"):
            assert word in result.err, (word, result.err)
        assert "missing" in l.tdictl("doctor", check=False).out


def test_connect_that_hangs_quarantines_that_device_only_and_there_is_a_way_out():
    """A device that hangs in connect: deadline, quarantine of its DSM; others work; tdictl reclaim."""
    with lab() as host:
        l, kernel = Lab(host), Kernel(host)
        host.run("echo 3000 >/sys/module/tsm_proxy/parameters/deadline_ms")
        watch = l.watch()
        fault(host, "FailVerb", device=PF, verb="connect", fault="hang")
        begin = time.monotonic()
        l.tvm0.attach(0)
        failed = watch.wait(NIC0, "failed", timeout=30)
        assert time.monotonic() - begin < 25
        assert "device_connect 0000:01:00.0" in failed["reason"], failed
        assert not kernel.connected()
        # Another device is not affected.
        l.tvm0.attach(2)
        watch.wait(NIC2, "running")
        # The quarantined one is taken out again at once, and the reason names the way out.
        l.tvm0.attach(0)
        failed = watch.wait(NIC0, "failed")
        assert "tdictl reclaim 0000:01:00.0" in failed["reason"], failed
        out = l.tdictl("reclaim", PF).out
        assert PF in out, out
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        l.tvm0.detach(2)
        watch.wait(NIC2, "released")
        nothing_leaks(host, kernel)
