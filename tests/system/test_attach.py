# SPDX-License-Identifier: LGPL-2.1-or-later
"""tdictl attach, detach and drain: what a control plane does, and what tdid refuses."""
import json

from lab import PF, Lab, lab, put_json, start_tdid, stop, tdid_config

VF0, VF1 = "0000:01:10.0", "0000:01:10.2"
NIC0 = "ua-tdi-nic0"


def attach(l, *more, check=True, device=VF0):
    return l.tdictl("attach", "tvm0", device, "--name", "nic0", *more, timeout=120, check=check)


def test_attach_waits_for_run_and_detach_for_released():
    """tdictl attach --wait running, again with its token, detach, and once more with that token."""
    with lab() as host:
        l = Lab(host)
        plan = json.loads(attach(l, "--dry-run", "--json").out)
        assert plan["name"] == NIC0 and plan["connects"] and not plan["already_attached"], plan
        assert f"<alias name='{NIC0}'/>" in plan["xml"], plan
        assert json.loads(l.tdictl("list", "--json").out) == []

        running = json.loads(attach(l, "--wait", "running", "--token", "t1", "--json").out)
        assert running["state"] == "running" and running["device"] == VF0, running
        again = json.loads(attach(l, "--wait", "running", "--token", "t1", "--json").out)
        assert again["state"] == "running" and again["generation"] == 1, again
        assert l.count("tdid", f"device_connect {PF}: done") == 1
        l.wait_driver(f"tvm0/{NIC0}")

        other = attach(l, "--token", "t1", check=False, device=VF1)
        assert other.rc == 1 and "client_token t1 stands for" in other.err, other
        taken = l.tdictl("attach", "tvm1", VF0, check=False)
        assert taken.rc == 1 and "it is still tvm0's" in taken.err, taken

        at = l.tvm0.console_size()
        released = json.loads(l.tdictl("detach", f"tvm0/{NIC0}", "--json", timeout=90).out)
        assert released["state"] == "released", released
        marks = [m["name"] for m in released["timeline"]]
        # The guest lets go before libvirt is asked: unbound first, taken out after.
        assert marks.index("guest asked to release it") < marks.index("unbinding"), marks
        assert marks.index("unbinding") < marks.index("detaching"), marks
        l.tvm0.wait_console("NET nothing", 30, at)
        assert l.tdictl("detach", f"tvm0/{NIC0}").rc == 0
        assert json.loads(attach(l, "--token", "t1", "--json").out)["state"] == "released"


def test_attach_refuses_what_tdid_conf_excludes():
    """excluded in tdid.conf: tdictl attach is refused, plain virsh attach is taken out again."""
    with lab() as host:
        l = Lab(host)
        stop(host, "tdid")
        put_json(host, tdid_config(excluded=[VF0]), "/etc/tdid/tdid.conf")
        start_tdid(host, "tdid2")
        refused = attach(l, check=False)
        assert refused.rc == 1 and f"tdid.conf excludes it ('{VF0}'" in refused.err, refused
        watch = l.watch()
        l.tvm0.attach(0)
        failed = watch.wait(NIC0, "failed")
        assert "tdid.conf excludes it" in failed["reason"], failed
        assert l.count("tdid2", "device_connect .*: done") == 0


def test_drain_takes_a_device_out_of_use():
    """tdictl drain: what runs is detached, the DSM is reclaimed, nobody gets a VF; undrain."""
    with lab() as host:
        l = Lab(host)
        attach(l, "--wait", "running")
        l.wait_driver(f"tvm0/{NIC0}")
        dsm = json.loads(l.tdictl("drain", PF, "--json", timeout=120).out)
        assert dsm["state"] == "idle" and dsm["drained"] and not dsm["connected"], dsm
        assert l.show(f"tvm0/{NIC0}")["state"] == "released"
        refused = attach(l, check=False)
        assert refused.rc == 1 and "is being drained" in refused.err, refused

        stop(host, "tdid")
        start_tdid(host, "tdid2")
        refused = attach(l, check=False)
        assert refused.rc == 1 and f"'tdictl undrain {PF}' ends that" in refused.err, refused
        l.tdictl("undrain", PF)
        attach(l, "--wait", "running")
