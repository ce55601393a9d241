# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices, TSMs and guests that fail: each ends as designed, and nobody else is touched."""
import json
import signal

from lab import LIBEXEC, PF, TSM_SOCKET, Lab, fault, lab, start_tdid, tvm

NIC0, NIC1, NIC2 = "ua-tdi-nic0", "ua-tdi-nic1", "ua-tdi-nic2"
VF0, VF1 = "0000:01:10.0", "0000:01:10.2"


def tsm_says(host):
    return json.loads(host.run([f"{LIBEXEC}/varlink-call", TSM_SOCKET, "io.tdid.Tsm.Query"]).out)


def test_reset_of_the_pf_takes_every_tdi_of_both_tvms():
    """FLR of the PF under two TDIs in RUN in two TVMs: ERROR for both, unbound, detached; no more."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()  # its agent expects another firmware
        other = tvm(host, "tvm2").start()
        watch, watch1 = l.watch(), l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        other.attach(1)
        watch1.wait(NIC1, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        l.wait_driver(f"tvm2/{NIC1}")
        fault(host, "ResetFunction", device=PF)
        for w, name in ((watch, NIC0), (watch1, NIC1)):
            failed = w.wait(name, "failed", timeout=60)
            assert failed["reason"], failed
            assert "quarantined" not in w.states(name), w.states(name)
        state = tsm_says(host)
        assert all(t["state"] == "config_unlocked" for t in state["tdis"]), state
        # The device is to be had again.
        l.tvm0.attach(0)
        running = watch.wait(NIC0, "running", timeout=60)
        assert running["generation"] == 2, running


def test_hung_bind_is_quarantined_and_others_go_on_and_clear_is_the_way_out():
    """tdi_bind that never answers: deadline, quarantined; another VF runs; 'tdictl clear' ends it."""
    with lab() as host:
        l = Lab(host)
        host.run("sed -i 's/{/{\"operation_deadline_ms\": 3000, /' /etc/tdid/tdid.conf")
        host.process("tdid").kill()
        host.process("tdid").wait(20)
        start_tdid(host, "tdid2")
        watch = l.watch()
        fault(host, "FailVerb", device=VF0, verb="bind", fault="hang")
        l.tvm0.attach(0)
        quarantined = watch.wait(NIC0, "quarantined", timeout=60)
        assert "tdictl clear" in quarantined["reason"], quarantined
        l.tvm0.attach(1)
        watch.wait(NIC1, "running", timeout=60)
        refused = l.tdictl("clear", VF0, check=False, timeout=60)
        fault(host, "Clear")
        if refused.rc:
            l.tdictl("clear", VF0, timeout=60)
        watch.wait(NIC0, "failed", timeout=60)
        assert l.show(f"tvm0/{NIC1}")["state"] == "running"
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=60)


def test_qemu_killed_under_run_unbinds_and_forgets():
    """kill -9 of QEMU: unbound, the TSM holds nothing of it, the VF serves another TVM."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        pid = host.run("cat /run/libvirt/qemu/tvm0.pid").out.strip()
        host.run(["kill", "-9", pid])
        host.wait_for(lambda: all(t["state"] == "config_unlocked" for t in tsm_says(host)["tdis"]),
                      timeout=30)
        host.wait_for(lambda: NIC0 not in l.tdictl("list").out, timeout=30)
        l.tvm0.start()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=60)


def test_tdid_killed_while_connecting_and_while_unbinding():
    """SIGKILL in mid-connect and in mid-unbind: the next tdid finishes what was begun, once."""
    with lab() as host:
        l = Lab(host)
        fault(host, "FailVerb", device=PF, verb="connect", fault="late", milliseconds=4000)
        watch = l.watch()
        host.put(l.tvm0.vf_xml(0).encode(), "/root/vf.xml")
        attach = host.spawn("attach", ["virsh", "attach-device", "tvm0", "/root/vf.xml"])
        watch.wait(NIC0, "connecting")
        host.process("tdid").kill(signal.SIGKILL)
        host.process("tdid").wait(10)
        start_tdid(host, "tdid2")
        assert attach.wait(60) == 0
        watch = l.watch()
        running = watch.wait(NIC0, "running", timeout=60)
        assert running["generation"] == 1, running
        l.wait_driver(f"tvm0/{NIC0}")

        fault(host, "FailVerb", device=VF0, verb="unbind", fault="late", milliseconds=4000)
        host.spawn("detach", ["virsh", "detach-device", "tvm0", "/root/vf.xml"])
        watch.wait(NIC0, "unbinding")
        host.process("tdid2").kill(signal.SIGKILL)
        host.process("tdid2").wait(10)
        start_tdid(host, "tdid3")
        host.wait_for(lambda: l.show(f"tvm0/{NIC0}")["state"] == "released", timeout=30)
        state = tsm_says(host)
        assert all(t["state"] == "config_unlocked" for t in state["tdis"]), state
        assert host.process("tsm").running()


def test_libvirtd_killed_under_run_and_back():
    """libvirtd dies and comes back under a TDI in RUN: it stays in RUN; a detach then is seen."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        at = len(host.process("tdid").log())
        host.run("kill -9 $(pidof libvirtd)")
        host.process("tdid").wait_log("libvirt: ", 30, at)
        host.run(["/usr/lib/bed/libvirt-up"], timeout=120)
        host.process("tdid").wait_log("libvirt: connected", 60, at)
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"
        l.tvm0.detach(0)
        watch.wait(NIC0, "released", timeout=60)
        assert watch.states(NIC0).count("running") == 1, watch.states(NIC0)
