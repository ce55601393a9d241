# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TVM that ends, or whose guest starts anew, in each state on the way to RUN and back.

Which file has which:
                     connecting       locked           unbinding        running
    virsh destroy    here             here             here             test_hotplug.py
    virsh reboot     here             here             here             test_restart.py
    QEMU killed      here             here             here             test_faults.py
    tdid killed      test_faults.py   test_restart.py  test_faults.py   test_restart.py

Nothing moves meanwhile: a verb that hangs in the emulated TSM, a guest that is suspended or whose
agent is stopped.
"""
import json

from lab import PF, fault, lab, tvm
from test_coldplug import declare
from test_faults import tsm_says
from test_policy import under
from test_restart import GUEST_AGENT, GUEST_AGENT_PORT

TSMS = ("emulated",)  # whose verbs hang as long as a test likes
TIMEOUT = 900  # several boots of a guest
BOOT = 240
NIC0 = "ua-tdi-nic0"
VF0 = "0000:01:10.0"
DRIVER = f"basename $(readlink /sys/bus/pci/devices/{VF0}/driver)"


def machine(host):
    """tdid with time enough for whatever hangs until the test goes on."""
    return under(host, operation_deadline_ms=900000, stop_timeout_ms=14000)


def is_under_way(host, verb):
    return any(o["verb"] == verb and o["progress"] == "started"
               for o in tsm_says(host)["operations"])


def hang(host, device, verb):
    fault(host, "FailVerb", device=device, verb=verb, fault="hang")


def begin_unbind(l, watch, name):
    """ERROR under RUN, whose unbind hangs."""
    l.wait_driver(name)
    hang(l.host, VF0, "unbind")
    fault(l.host, "Violate", device=VF0)
    watch.wait(NIC0, "unbinding")
    l.host.wait_for(lambda: is_under_way(l.host, "unbind"), timeout=30)


def records_of(l, domain):
    """The names of tdid's records of it; the last line of each counts, unless it is empty."""
    lines = l.host.read("/run/tdid/records/journal").splitlines()[1:]
    last = dict(line.split(" ", 1) for line in lines)
    return [name for name, text in last.items() if text and domain.uuid in name]


def nothing_is_left(l):
    """Once the host's driver has the function again, nobody knows of tvm0's bind any more."""
    host = l.host
    host.wait_for(f'test "$({DRIVER})" = igbvf', timeout=60)
    held = [t for t in tsm_says(host)["tdis"] if t["state"] != "config_unlocked" or t.get("tvm")]
    assert not held, held
    host.wait_for(lambda: json.loads(l.tdictl("list", "--json").out) == [], timeout=30)
    assert not records_of(l, l.tvm0), records_of(l, l.tvm0)


def destroy(l):
    """In the background; gives what waits for its end."""
    process = l.host.spawn("destroy", ["virsh", "destroy", "tvm0"])

    def end():
        assert process.wait(60) == 0, process.log()

    return end


def kill(l):
    l.host.run("kill -9 $(cat /run/libvirt/qemu/tvm0.pid)")
    return lambda: l.host.wait_for(lambda: "shut off" in l.tvm0.state(), timeout=60)


def ends_in_each_state(end):
    """connecting, locked, unbinding; each followed by a start with the device in its XML."""
    with lab() as host:
        l = machine(host)
        watch = l.watch()
        hang(host, PF, "connect")
        l.tvm0.attach(0)
        watch.wait(NIC0, "connecting")
        host.wait_for(lambda: is_under_way(host, "connect"), timeout=30)
        end(l)()
        nothing_is_left(l)
        assert is_under_way(host, "connect")  # which nobody has waited for
        assert watch.states(NIC0)[-2:] == ["connecting", "released"], watch.states(NIC0)

        # The next start waits for the same connect, and is locked when its guest stands still.
        declare(l, l.tvm0, 0)
        host.run(["virsh", "start", "tvm0"], timeout=BOOT)
        watch = l.watch()
        watch.wait(NIC0, "connecting")
        l.wait_mark(f"tvm0/{NIC0}", "guest ready", timeout=BOOT)
        host.run(["virsh", "suspend", "tvm0"])
        fault(host, "Clear")
        locked = watch.wait(NIC0, "locked")
        assert locked["generation"] == 1, locked
        assert l.count("tsm", f"{PF}: connect done") == 1
        assert len(records_of(l, l.tvm0)) == 2, records_of(l, l.tvm0)
        end(l)()
        nothing_is_left(l)
        assert watch.states(NIC0)[-3:] == ["locked", "unbinding", "released"], watch.states(NIC0)

        host.run(["virsh", "start", "tvm0"], timeout=BOOT)
        watch = l.watch()
        running = watch.wait(NIC0, "running", timeout=BOOT)
        assert running["generation"] == 2, running
        begin_unbind(l, watch, f"tvm0/{NIC0}")
        ended = end(l)
        # libvirt waits with giving the function back, as long as it is bound.
        host.wait_for("pgrep -f 'tdi-hook tvm0 stopped'", timeout=60)
        assert is_under_way(host, "unbind")
        assert host.run(DRIVER).out.strip() == "vfio-pci"
        fault(host, "Clear")
        ended()
        nothing_is_left(l)
        assert watch.states(NIC0)[-3:] == ["running", "unbinding", "failed"], watch.states(NIC0)

        host.run(["virsh", "start", "tvm0"], timeout=BOOT)
        running = l.watch().wait(NIC0, "running", timeout=BOOT)
        assert running["generation"] == 3, running


def test_virsh_destroy_while_connecting_locked_and_unbinding():
    """virsh destroy in each: nothing is left, the VF goes home unbound, the next start has it."""
    ends_in_each_state(destroy)


def test_qemu_killed_while_connecting_locked_and_unbinding():
    """kill -9 of QEMU in each: nothing is left, the VF goes home unbound, the next start has it."""
    ends_in_each_state(kill)


def reboot(l, domain):
    """`virsh reboot`, until the new boot's agent has said hello."""
    at, tdid = domain.console_size(), l.host.process("tdid-policy")
    l.host.wait_for(f"virsh reboot {domain.name} --mode agent", timeout=60)
    domain.wait_console("REBOOTING", 60, at)
    tdid.wait_log(f"{domain.name}: .*hello", BOOT, l.host.size(tdid.log_path))


def test_virsh_reboot_while_connecting_locked_and_unbinding():
    """virsh reboot in each: void is what was before; RUN by a new bind's own acceptance."""
    with lab() as host:
        l = machine(host)
        l.tvm1.destroy()
        hang(host, PF, "connect")
        domain = tvm(host, "tvm2", devices=GUEST_AGENT_PORT + l.tvm0.vf_xml(0),
                     files={"/etc/bed/start.d/guest-agent": GUEST_AGENT}).start(timeout=BOOT)
        name = f"tvm2/{NIC0}"
        watch = l.watch()
        watch.wait(NIC0, "connecting")
        l.wait_mark(name, "guest ready", timeout=60)
        reboot(l, domain)
        again = l.wait_mark(name, "guest ready", timeout=60)
        assert again["state"] == "connecting", again
        assert again["timeline"][0]["name"] == "guest reset", again

        # Its agent has said all that a bind asks for, and then says nothing more.
        host.wait_for("""virsh qemu-agent-command tvm2 '{"execute":"stop-tdi-agent"}'""", 60)
        fault(host, "Clear")
        locked = watch.wait(NIC0, "locked")
        assert locked["generation"] == 1, locked
        assert l.count("tsm", f"{PF}: connect done") == 1
        reboot(l, domain)
        running = watch.wait(NIC0, "running", timeout=60)
        assert running["generation"] == 2, running
        assert running["timeline"][0]["name"] == "guest reset", running
        states = watch.states(NIC0)
        assert states.count("running") == 1, states
        assert states[states.index("locked") + 1] == "unbinding", states

        begin_unbind(l, watch, name)
        reboot(l, domain)
        assert l.show(name)["state"] == "unbinding" and is_under_way(host, "unbind")
        fault(host, "Clear")
        running = watch.wait(NIC0, "running", timeout=60)
        assert running["generation"] == 3, running
        assert "detaching" not in watch.states(NIC0), watch.states(NIC0)
        held = [t for t in tsm_says(host)["tdis"] if t.get("tvm")]
        assert len(held) == 1 and held[0]["device"] == VF0, held
        assert held[0]["tvm"] == domain.uuid and held[0]["generation"] == 3, held
        assert held[0]["state"] == "run" and held[0]["accepted"], held


def test_stop_that_waits_in_vain_quarantines_and_clear_is_the_way_out():
    """virsh destroy whose unbind hangs: it goes on in time, the TDI is for nobody until 'tdictl clear'."""
    with lab() as host:
        l = under(host, operation_deadline_ms=900000, stop_timeout_ms=3000)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        begin_unbind(l, watch, f"tvm0/{NIC0}")
        destroy(l)()
        quarantined = watch.wait(NIC0, "quarantined")
        assert "its domain's stop waits" in quarantined["reason"], quarantined
        assert f"tdictl clear {VF0}" in quarantined["reason"], quarantined
        host.wait_for(f'test "$({DRIVER})" = igbvf', timeout=60)
        assert is_under_way(host, "unbind")
        refused = l.tdictl("attach", "tvm1", VF0, "--dry-run", check=False)
        assert refused.rc == 1 and "quarantined" in refused.err, refused
        l.tdictl("clear", VF0, timeout=60)
        nothing_is_left(l)
        l.tdictl("attach", "tvm1", VF0, "--dry-run")
