# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of a device that left the way to RUN: the policies of tdid.conf and of the metadata."""
import base64

from lab import Lab, fault, lab, put_json, start_tdid, stop, tdid_config
from test_attacks import TDI_VALIDATE, EvilHost, wait_for_validate

NIC0 = "ua-tdi-nic0"
VF0 = "0000:01:10.0"


def under(host, **policy):
    """tdid, started anew with this policy."""
    stop(host, "tdid")
    put_json(host, tdid_config(**policy), "/etc/tdid/tdid.conf")
    start_tdid(host, "tdid-policy")
    return Lab(host)


def set_metadata(host, name, text, where="--live"):
    host.run(["virsh", "metadata", name, "urn:tdid:domain:1", where, "--key", "tdi", "--set", text])


def is_in(host, name):
    return "slot='0x10' function='0x0'" in host.run(["virsh", "dumpxml", name]).out


def test_rejected_device_is_held_or_taken_out_as_the_metadata_says():
    """on_reject: hold keeps it, unbound; the metadata tightens that to detach, live, and not more."""
    with lab() as host:
        l = under(host, on_reject="hold")
        watch = l.watch()
        l.tvm1.attach(0)
        held = watch.wait(NIC0, "held")
        assert "measurement" in held["reason"] and "detach it" in held["reason"], held
        assert "running" not in watch.states(NIC0), watch.states(NIC0)
        assert is_in(host, "tvm1")
        l.tvm1.detach(0)
        watch.wait(NIC0, "failed")

        set_metadata(host, "tvm1", "<policy on-reject='detach'/>")
        l.tvm1.attach(0)
        watch.wait(NIC0, "failed")
        assert watch.states(NIC0)[-2:] == ["detaching", "failed"], watch.states(NIC0)
        assert not is_in(host, "tvm1")

        # Looser than tdid.conf: no effect. Nonsense: the strictest, and no start with it.
        set_metadata(host, "tvm1", "<policy on-reject='rebind'/>")
        l.tvm1.attach(0)
        watch.wait(NIC0, "held")
        l.tvm1.detach(0)
        watch.wait(NIC0, "failed")
        set_metadata(host, "tvm1", "<policy on-reject='keep'/>", "--config")
        l.tvm1.destroy()
        refused = host.run(["virsh", "start", "tvm1"], check=False, timeout=60)
        assert refused.rc != 0 and "on-reject='keep'" in refused.err, refused


def test_silent_agent_is_bound_again_and_its_late_acceptance_is_refused():
    """No acceptance in time: unbound, bound again, RUN; the acceptance of the dead bind starts nothing.

    It comes late but in order and sealed, so that it is the TSM that finds its bind gone.
    """
    with lab() as host:
        l = Lab(host)
        evil = EvilHost(host, guest_timeout_ms=6000, on_timeout="rebind", rebinds=2,
                        rebind_backoff_ms=20000)
        evil.attack("withhold-until", "/run/let-go")
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        late = base64.b64encode(wait_for_validate(host, evil)).decode()
        attached = watch.wait(NIC0, "attached", timeout=30)
        assert "did not validate it in time" in attached["reason"], attached
        assert evil.tdi_state() == "config_unlocked" and not evil.seen("reply", TDI_VALIDATE)
        at = len(host.process("tsm").log())
        host.run("touch /run/let-go")
        host.wait_for(lambda: evil.seen("reply", TDI_VALIDATE), timeout=20)
        taken = evil.seen("reply", TDI_VALIDATE)[0]["reply"]
        assert "error" not in taken, taken
        assert evil.tdi_state() == "config_unlocked"
        host.process("tsm").wait_log(f"TVM {l.tvm0.uuid}: its request is refused", 10, at)
        running = watch.wait(NIC0, "running", timeout=60)
        assert running["generation"] > 1 and not running.get("reason"), running
        marks = [f"{m['name']} {m.get('detail', '')}" for m in running["timeline"]]
        assert any(m.startswith("rebind 1 of 2") for m in marks), marks
        # And once more, now that there is a bind: a replay.
        answer = evil.tsm("GuestRequest", {"tvm": l.tvm0.uuid, "scope": "state_change",
                                           "message": late}, check=False)
        assert "GuestMessageRejected" in answer.err, answer
        assert evil.tdi_state() == "run"


def test_error_under_run_is_told_and_bound_again_until_the_budget_is_spent():
    """ERROR under RUN: operator and agent are told; rebind once, RUN; at the second ERROR it is held."""
    with lab() as host:
        l = under(host, on_error="rebind", rebinds=1, rebind_backoff_ms=500)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        at = l.tvm0.console_size()
        fault(host, "Violate", device=VF0)
        told = watch.wait(NIC0, "unbinding")
        assert told["reason"], told
        # The guest lets the driver go before the next bind's acceptance gives it back.
        _, at = l.tvm0.wait_console("NET 0000:02:00.0 driver=none", 60, at)
        l.tvm0.wait_console("NET 0000:02:00.0 driver=igbvf", 60, at)
        running = watch.wait(NIC0, "running")
        assert running["generation"] == 2, running
        host.wait_for(lambda: [m["name"] for m in l.show(f"tvm0/{NIC0}")["timeline"]]
                      .count("guest: driver bound") == 2, timeout=30)
        fault(host, "Violate", device=VF0)
        held = watch.wait(NIC0, "held")
        assert "detach it" in held["reason"], held
        assert is_in(host, "tvm0")
        # Its guest boots anew: that is the way back.
        host.run(["virsh", "reset", "tvm0"])
        running = watch.wait(NIC0, "running", timeout=120)
        assert running["generation"] == 3, running


def test_guest_reset_under_run_keeps_the_device():
    """QEMU resets the function first: ERROR and then the reset is no failure, whatever the policy."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        # What an FLR does to a TDI; alone it is a fault, which is decided upon after the unbind.
        fault(host, "FailVerb", device=VF0, verb="unbind", fault="late", milliseconds=3000)
        fault(host, "ResetFunction", device=VF0)
        unbinding = watch.wait(NIC0, "unbinding")
        assert "function level reset" in unbinding["reason"], unbinding
        host.run(["virsh", "reset", "tvm0"])
        running = watch.wait(NIC0, "running", timeout=120)
        assert running["generation"] == 2, running
        assert "detaching" not in watch.states(NIC0), watch.states(NIC0)
        assert is_in(host, "tvm0")
