# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices, TSMs and guests that fail: each ends as designed, and nobody else is touched."""
import json
import re
import signal

from lab import (LIBEXEC, PF, TSM, TSM_SOCKET, Lab, fault, lab, start_tdid,
                 start_tdid_with_deadline, tvm)

NIC0, NIC1, NIC2 = "ua-tdi-nic0", "ua-tdi-nic1", "ua-tdi-nic2"
VF0 = "0000:01:10.0"
VF0_IN_XML = "bus='0x01' slot='0x10' function='0x0'"
# In place of the agent: as fast as the port takes it, now and then something that looks real.
FLOOD = r"""#!/bin/sh
for p in /sys/class/virtio-ports/*; do
	read -r name <$p/name
	[ "$name" = io.tdid.guest.0 ] && device=/dev/${p##*/}
done
[ "$device" ] || exit 1
(while :; do
	head -c 65536 /dev/urandom
	printf '\000{"session":"0123456789abcdef0123456789abcdef","id":1,"call":"Hello","parameters":'
	printf '{"protocol":1,"agent":"flood","boot_id":"%s"}}\000{"session":' $RANDOM
done) >$device &
echo FLOODING $device
"""
IDLE = """
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
for _ in range(1000):
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/tdid/io.tdid.Assignments")
    held.append(s)
print(len(held), "connected", flush=True)
time.sleep(600)
"""


def tsm_says(host):
    return json.loads(host.run([f"{LIBEXEC}/varlink-call", TSM_SOCKET, "io.tdid.Tsm.Query"]).out)


def test_reset_of_the_pf_takes_every_tdi_of_both_tvms():
    """FLR of the PF under two TDIs in RUN in two TVMs: ERROR for both, unbound; quarantined."""
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
            unbinding = w.wait(name, "unbinding")
            assert unbinding["reason"] == "reset of the physical function", unbinding
            assert unbinding["tdi_state"] == "error", unbinding
            # There is no session any more over which the device could confirm STOP.
            quarantined = w.wait(name, "quarantined", timeout=60)
            assert "STOP" in quarantined["reason"], quarantined
            assert "tdictl clear" in quarantined["reason"], quarantined
            assert w.states(name)[-3:] == ["running", "unbinding", "quarantined"], w.states(name)
        assert not any(t.get("tvm") for t in tsm_says(host)["tdis"]), tsm_says(host)


def test_hung_bind_is_quarantined_and_others_go_on_and_clear_is_the_way_out():
    """tdi_bind that never answers: deadline, quarantined; a VF of another device runs; 'tdictl clear' ends it."""
    with lab() as host:
        l = Lab(host)
        start_tdid_with_deadline(host, 3000)
        watch = l.watch()
        fault(host, "FailVerb", device=VF0, verb="bind", fault="hang")
        l.tvm0.attach(0)
        quarantined = watch.wait(NIC0, "quarantined", timeout=60)
        assert "tdictl clear" in quarantined["reason"], quarantined
        l.tvm0.attach(2)
        watch.wait(NIC2, "running", timeout=60)
        if TSM == "emulated":  # its bind is queued behind what hangs, and the way out is not
            l.tvm0.attach(1)
            watch.wait(NIC1, "binding", timeout=60)
        # Taken out there and given to another: it is for nobody, and that one hears why.
        l.tvm0.detach(0)
        host.wait_for(lambda: VF0_IN_XML not in host.run(["virsh", "dumpxml", "tvm0"]).out, 30)
        other = l.watch()
        l.tvm1.attach(0, alias="ua-tdi-doubtful")
        refused = other.wait("ua-tdi-doubtful", "detaching", timeout=60)
        assert "quarantined" in refused["reason"], refused
        assert f"tdictl clear {VF0}" in refused["reason"], refused
        l.tvm1.destroy()  # a guest that has just been given a device may not hear that it is to go
        cleared = l.tdictl("clear", VF0, check=False, timeout=60)
        # The emulated TSM has what hangs give way to it. Of what the kernel still waits for nothing
        # is known, and it stays quarantined.
        if TSM == "emulated":
            assert cleared.rc == 0, cleared
            watch.wait(NIC1, "running", timeout=60)
        elif cleared.rc:
            assert cleared.rc == 1 and "It stays quarantined" in cleared.err, cleared
            fault(host, "Clear")
            l.tdictl("clear", VF0, timeout=60)
        host.wait_for(lambda: l.show(f"tvm0/{NIC0}")["state"] == "failed", timeout=30)
        assert l.show(f"tvm0/{NIC2}")["state"] == "running"
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=60)


def test_qemu_killed_under_run_unbinds_and_forgets():
    """kill -9 of QEMU: unbound, the TSM holds nothing of it, the VF serves the domain's next start."""
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
        l.start_again(l.tvm0)
        l.tvm0.attach(0)
        running = l.watch().wait(NIC0, "running", timeout=60)
        assert running["generation"] == 2, running


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
        for verb in (f"{PF}: connect", f"{VF0}: bind", f"{VF0}: unbind"):
            assert l.count("tsm", f"{verb} done") == 1, host.process("tsm").log()


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


def test_guest_that_does_not_eject_keeps_nothing_but_the_function():
    """ERROR while the guest stands still: unbound at once, out of the domain when it goes on."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        host.run(["virsh", "suspend", "tvm0"])
        fault(host, "Violate", device=VF0)
        detaching = watch.wait(NIC0, "detaching", timeout=60)
        assert detaching["reason"] and detaching["tdi_state"] != "run", detaching
        state = tsm_says(host)
        assert all(t["state"] == "config_unlocked" for t in state["tdis"]), state
        assert VF0_IN_XML in host.run(["virsh", "dumpxml", "tvm0"]).out
        host.run(["virsh", "resume", "tvm0"])
        watch.wait(NIC0, "failed", timeout=60)
        assert VF0_IN_XML not in host.run(["virsh", "dumpxml", "tvm0"]).out


def test_guest_that_never_ejects_is_asked_again_until_it_is_destroyed():
    """ERROR in a guest that runs but ejects nothing: unbound at once; asked again; virsh destroy ends it."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()
        domain = tvm(host, "tvm2", devices=l.tvm0.vf_xml(0),
                     append="pcie_ports=compat acpiphp.disable=1").start()
        watch = l.watch()
        host.wait_for(lambda: l.show(f"tvm2/{NIC0}")["state"] == "running", timeout=60)
        fault(host, "Violate", device=VF0)
        detaching = watch.wait(NIC0, "detaching", timeout=60)
        assert detaching["reason"] and detaching["tdi_state"] == "config_unlocked", detaching
        host.process("tdid").wait_log("has not let it go", timeout=90)
        assert VF0_IN_XML in host.run(["virsh", "dumpxml", "tvm2"]).out
        shown = l.show(f"tvm2/{NIC0}")
        assert shown["state"] == "detaching", shown
        assert shown["timeline"][-1]["name"] == "asked again", shown
        domain.destroy()
        host.wait_for(lambda: NIC0 not in l.tdictl("list").out, timeout=30)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=60)


def test_guest_that_floods_its_port_disturbs_nobody():
    """One guest writes garbage as fast as it can; another goes to RUN, and tdid stays small."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()
        flooder = host.domain("flooder", files={"/etc/bed/start.d/flood": FLOOD})
        flooder.start(wait=False)
        flooder.wait_console("FLOODING", 120)
        pid = host.process("tdid").pid
        memory = int(host.run(f"grep VmRSS /proc/{pid}/status").out.split()[1])
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=120)
        l.tvm0.detach(0)
        watch.wait(NIC0, "released", timeout=120)
        grown = int(host.run(f"grep VmRSS /proc/{pid}/status").out.split()[1]) - memory
        assert grown < 16 * 1024, f"{grown} KiB more"
        assert 0 < l.count("tdid", "flooder: guest port: (?!hello)") < 200


def test_thousand_idle_callers_and_the_api_goes_on():
    """1,000 connections that say nothing: tdictl is served, the hook too."""
    with lab() as host:
        l = Lab(host)
        host.put(IDLE.encode(), "/run/idle")
        host.spawn("idle", ["python3", "/run/idle"]).wait_log("1000 connected", 60)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running", timeout=60)
        l.tvm1.destroy()
        host.run(["virsh", "start", "tvm1"], timeout=120)
        served = re.search(r"^tdid_api_connections (\d+)$", l.tdictl("metrics").out, re.M)
        assert int(served[1]) > 1000, served
