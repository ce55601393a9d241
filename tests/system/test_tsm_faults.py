# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TSM and devices that misbehave, in each of the ways that io.tdid.TsmEmulated has but hanging."""
import json

from lab import LIBEXEC, PF, SOCKETS, TSM, Lab, fault, lab

NIC0 = "ua-tdi-nic0"
VF0 = "0000:01:10.0"


def holds_nothing(host):
    state = json.loads(host.run([f"{LIBEXEC}/varlink-call", SOCKETS["emulated"],
                                 "io.tdid.Tsm.Query"]).out)
    held = [t for t in state["tdis"] if t["state"] != "config_unlocked" or t.get("tvm")]
    assert not held, held


def in_domain(host):
    return "slot='0x10' function='0x0'" in host.run(["virsh", "dumpxml", "tvm0"]).out


def fails(l, watch, *words):
    """attach, and out again, without RUN; the reason has these words."""
    before = watch.states(NIC0).count("running")
    l.tvm0.attach(0)
    failed = watch.wait(NIC0, "failed")
    for word in words:
        assert word in failed["reason"], (word, failed["reason"])
    assert watch.states(NIC0).count("running") == before, watch.states(NIC0)
    assert not in_domain(l.host)
    holds_nothing(l.host)
    return failed


def test_what_the_tsm_refuses_is_told_and_the_next_try_runs():
    """connect, bind refused: out again with that reason, nothing held; unbind: asked again, or kept."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        # How often a connect is asked for depends on who comes first: it is begun ahead of the device.
        for device, verb in ((PF, "connect"), (VF0, "bind")):
            fault(host, "FailVerb", device=device, verb=verb, fault="refuse", times=10)
            fails(l, watch, f"{verb} {device}", "refuse")
            fault(host, "Clear")
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        fault(host, "FailVerb", device=VF0, verb="unbind", fault="refuse", times=2)
        l.tvm0.detach(0)
        if TSM == "linux":  # whose unbind cannot be refused: the kernel has forgotten the bind
            watch.wait(NIC0, "quarantined")
            l.tdictl("clear", VF0)
        else:
            watch.wait(NIC0, "released")
            assert l.count("tdid", "tdi_unbind.*asked again") >= 1
        holds_nothing(host)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")


def test_what_was_done_and_is_said_to_have_failed_is_kept_from_everybody():
    """connect, bind, unbind done but reported as failed: quarantined, and the way out that is named."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        fault(host, "FailVerb", device=PF, verb="connect", fault="done_but_failed")
        for _ in range(2):
            fails(l, watch, f"tdictl reclaim {PF}")
        l.tdictl("reclaim", PF)

        fault(host, "FailVerb", device=VF0, verb="bind", fault="done_but_failed")
        l.tvm0.attach(0)
        quarantined = watch.wait(NIC0, "quarantined")
        assert f"tdictl clear {VF0}" in quarantined["reason"], quarantined
        assert "running" not in watch.states(NIC0), watch.states(NIC0)
        l.tdictl("clear", VF0)
        watch.wait(NIC0, "failed")
        holds_nothing(host)

        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        fault(host, "FailVerb", device=VF0, verb="unbind", fault="done_but_failed")
        l.tvm0.detach(0)
        # The kernel unbinds as well, when QEMU closes the function. Is it the first, what the TSM says
        # is its to hear, and tdid is told afterwards that nothing is bound.
        end = watch.wait(NIC0, "(?:quarantined|released)" if TSM == "linux" else "quarantined")
        if end["state"] == "quarantined":
            assert f"tdictl clear {VF0}" in end["reason"], end
            l.tdictl("clear", VF0)
        holds_nothing(host)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")


def test_devices_that_lie_never_run():
    """Another nonce than LOCK's, a report that is cut or leaves a page out: never RUN, with the reason."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tdictl("connect", PF)
        for what, words in (("wrong_nonce", ["at validate", "device refused"]),
                            ("malformed_report", [f"tdi_bind {VF0}", "Refused"]),
                            ("wrong_report", ["at ranges", "page 0x3"])):
            fault(host, "FailDevice", device=VF0, faults=[what])
            fails(l, watch, *words)
        fault(host, "FailDevice", device=VF0, faults=[])
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")


def test_device_that_does_not_confirm_stop_is_quarantined():
    """STOP answered with an error, after the emulated reset as well: nobody gets it until it answers."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        fault(host, "FailDevice", device=VF0, faults=["no_stop", "stuck"])
        l.tvm0.detach(0)
        quarantined = watch.wait(NIC0, "quarantined")
        assert "STOP" in quarantined["reason"], quarantined
        refused = l.tdictl("clear", VF0, check=False)
        assert refused.rc == 1 and "STOP" in refused.err, refused
        assert l.show(f"tvm0/{NIC0}")["state"] == "quarantined"
        if TSM == "linux":  # the kernel sends no STOP to what it has no bind of
            return
        fault(host, "FailDevice", device=VF0, faults=[])
        l.tdictl("clear", VF0)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        # Where the provider's reset helps, there is no quarantine.
        l.wait_driver(f"tvm0/{NIC0}")
        fault(host, "FailDevice", device=VF0, faults=["no_stop"])
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
