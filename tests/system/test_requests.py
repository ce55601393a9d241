# SPDX-License-Identifier: LGPL-2.1-or-later
"""A platform on which the host issues LOCK and START, each for its TVM's request."""
import json

from lab import EMULATED_CONFIG, LIBEXEC, SOCKETS, Lab, fault, lab, put_json, start_emulated, stop

NIC0 = "ua-tdi-nic0"
VF0 = "0000:01:10.0"
TSMS = ("emulated",)


def carry(host):
    """The TSM is one for which the host carries both."""
    stop(host, "tsm")
    put_json(host, {**EMULATED_CONFIG, "lock_by": "tvm", "start_by": "host_on_request"},
             "/etc/tdid/tsm-emulated.conf")
    start_emulated(host, "tsm2")
    host.wait_for(lambda: host.process("tdid").log().count("ready, ") >= 2, timeout=20)


def marks(l):
    return [m["name"] for m in l.show(f"tvm0/{NIC0}")["timeline"]]


def test_host_locks_and_starts_for_the_tvms_requests_and_not_else():
    """lock_by tvm, start_by host_on_request: RUN by Lock and Start for the TVM; refused START: never RUN."""
    with lab() as host:
        l = Lab(host)
        carry(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        order = ["bound", "tdi_lock started", "locked", "tdi_start started", "running"]
        seen = [m for m in marks(l) if m in order]
        assert seen == order, marks(l)
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")

        # By hand there is nothing to be had by another number than the TVM's own.
        fault(host, "FailVerb", device=VF0, verb="start", fault="refuse")
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        host.wait_for(lambda: "tdi_start refused" in marks(l), timeout=60)
        state = json.loads(host.run([f"{LIBEXEC}/varlink-call", SOCKETS["emulated"],
                                     "io.tdid.Tsm.Query"]).out)
        held = next(t for t in state["tdis"] if t["device"] == VF0)
        assert held["state"] == "config_locked" and not held["accepted"], held
        assert held["request"]["what"] == "start", held
        refused = host.run([f"{LIBEXEC}/varlink-call", SOCKETS["emulated"], "io.tdid.Tsm.Start",
                            json.dumps({"operation": "by hand", "tvm": held["tvm"], "device": VF0,
                                        "generation": held["generation"],
                                        "request": held["request"]["id"] + 1})], check=False)
        assert refused.rc != 0 and "InvalidState" in refused.out + refused.err, refused
        assert watch.states(NIC0).count("running") == 1, watch.states(NIC0)
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
