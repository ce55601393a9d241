# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plain virsh attach-device and detach-device."""
import json

from lab import LIBEXEC, PF, TITLE, TSM_SOCKET, Lab, lab

NIC0, NIC1 = "ua-tdi-nic0", "ua-tdi-nic1"


def in_order(wanted, seen):
    """Whether `wanted` is a subsequence of `seen`."""
    rest = iter(seen)
    return all(word in rest for word in wanted)


def test_hotplug_by_plain_virsh_reaches_run_and_back():
    """attached, connecting, locked, running; driverless before RUN, bound after; released, reclaimed."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        at = l.tvm0.console_size()
        l.tvm0.attach(0)
        running = watch.wait(NIC0, "running")
        assert running["tdi_state"] == "run" and running["state_source"] == "tsm", running
        assert running["tsm"] == TITLE and not running["protection"], running
        assert in_order(["attached", "connecting", "binding", "locked", "running"],
                        watch.states(NIC0)), watch.states(NIC0)

        # The guest's own account: the function came without a driver and stayed so until RUN.
        l.tvm0.wait_console(r"NET 0000:02:00.0 driver=none interface=none", 30, at)
        l.tvm0.wait_console(r"NET 0000:02:00.0 driver=igbvf interface=eth0", 30, at)
        shown = l.wait_driver(f"tvm0/{NIC0}")
        marks = [m["name"] for m in shown["timeline"]]
        assert marks.index("running") < marks.index("guest: driver bound"), marks

        timeline = json.loads(l.tdictl("timeline", f"tvm0/{NIC0}", "--json").out)
        check_timeline(timeline, shown)

        def tsm_says():
            return json.loads(host.run([f"{LIBEXEC}/varlink-call", TSM_SOCKET,
                                        "io.tdid.Tsm.Query"]).out)

        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        state = tsm_says()
        assert all(t["state"] == "config_unlocked" for t in state["tdis"]), state
        assert any(d["dsm"] == PF and d["connected"] for d in state["dsms"]), state
        host.process("tdid").wait_log(f"device_reclaim {PF}: done", timeout=20)
        assert l.count("tdid", f"device_reclaim {PF}: done") == 1
        assert not any(d["connected"] for d in tsm_says()["dsms"])


def check_timeline(timeline, shown):
    """Segments from device-added to RUN sum to the total that the marks themselves give, in 1 %."""
    at = {m["name"]: m["at_usec"] for m in reversed(shown["timeline"])}
    total = at["running"] - at["device-added"]
    parts = [s for s in timeline["segments"] if s["start_usec"] < total]
    assert parts[0]["start_usec"] == 0, parts
    assert abs(sum(s["duration_usec"] for s in parts) - total) <= total / 100, (parts, total)
    assert total > 100000, f"device-added to RUN in {total} us is not to be believed"


def test_second_vf_of_a_connected_pf_needs_no_second_connect():
    """While the first VF runs, the second one binds without another device_connect."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.tvm0.attach(1)
        watch.wait(NIC1, "running")
        assert "connecting" not in watch.states(NIC1), watch.states(NIC1)
        assert l.count("tdid", f"device_connect {PF}: done") == 1


def test_vf_comes_back_after_detach():
    """attach, detach, attach of the same VF: a new bind, a new acceptance, RUN again."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        for bind in (1, 2):
            l.tvm0.attach(0)
            running = watch.wait(NIC0, "running")
            assert running["generation"] == bind, running
            l.tvm0.detach(0)
            watch.wait(NIC0, "released")


def test_virsh_destroy_releases_what_was_running():
    """virsh destroy of a TVM with a TDI in RUN: unbound before libvirt gives the VF back."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.tvm0.destroy()
        assert "tdi_unbind 0000:01:10.0: done" in host.process("tdid").log()
        driver = host.run("basename $(readlink /sys/bus/pci/devices/0000:01:10.0/driver)").out
        assert driver.strip() == "igbvf", driver
