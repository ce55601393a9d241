# SPDX-License-Identifier: LGPL-2.1-or-later
"""tdid dies and comes back."""
import signal

from lab import Lab, lab, start_tdid

NIC0 = "ua-tdi-nic0"


def test_tdid_killed_while_locked_then_acceptance_still_leads_to_run():
    """SIGKILL of tdid while the TDI waits LOCKED; started again, the acceptance leads to RUN."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        # The guest stands still from the moment the TDI is locked, so that it cannot validate yet.
        host.spawn("freezer", "tdictl watch --until locked --timeout 60 >/dev/null && "
                              "kill -STOP $(pidof qemu-system-x86_64 | tr ' ' '\\n' | head -n 99)")
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        host.process("freezer").wait(30)
        assert l.show(f"tvm0/{NIC0}")["state"] == "locked"
        host.process("tdid").kill(signal.SIGKILL)
        host.process("tdid").wait(10)
        host.run("kill -CONT $(pidof qemu-system-x86_64)")
        start_tdid(host, "tdid2")
        again = l.watch()
        running = again.wait(NIC0, "running")
        assert running["generation"] == 1, running
        l.wait_driver(f"tvm0/{NIC0}")
        l.tvm0.detach(0)
        again.wait(NIC0, "released")


def test_guest_reset_voids_the_bind_and_the_new_boot_accepts_anew():
    """virsh reset under a TDI in RUN: unbound, a new bind, and RUN by the new boot's acceptance."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        host.run(["virsh", "reset", "tvm0"])
        watch.wait(NIC0, "unbinding")
        running = watch.wait(NIC0, "running", timeout=120)
        assert running["generation"] == 2, running
        marks = [m["name"] for m in l.show(f"tvm0/{NIC0}")["timeline"]]
        assert "guest reset" in marks, marks


def test_tdid_killed_in_run_leaves_the_device_running():
    """SIGKILL of tdid under a TDI in RUN: it stays in RUN, and the next tdid releases it."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        host.process("tdid").kill(signal.SIGKILL)
        host.process("tdid").wait(10)
        start_tdid(host, "tdid2")
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"
        again = l.watch()
        l.tvm0.detach(0)
        again.wait(NIC0, "released")
