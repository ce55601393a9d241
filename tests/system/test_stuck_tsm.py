# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TSM in which a connect hangs, or whose process stands still. (The kernel ends what hangs in it:
test_linux.py.)"""
import signal

from lab import PF, Lab, fault, lab, start_tdid_with_deadline

TSMS = ("emulated",)
NIC0 = "ua-tdi-nic0"


def test_hung_connect_and_a_frozen_provider_have_a_way_out():
    """device_connect that never answers: 'tdictl reclaim'; a provider that is stopped: tdid says so, and goes on."""
    with lab() as host:
        l = Lab(host)
        start_tdid_with_deadline(host, 3000)
        watch = l.watch()
        fault(host, "FailVerb", device=PF, verb="connect", fault="hang")
        l.tvm0.attach(0)
        failed = watch.wait(NIC0, "failed", timeout=60)
        assert f"tdictl reclaim {PF}" in failed["reason"], failed
        assert PF in l.tdictl("reclaim", PF, timeout=60).out

        host.process("tsm").kill(signal.SIGSTOP)
        l.tvm0.attach(0)
        host.process("tdid2").wait_log("said nothing of io.tdid.Tsm.Connect", timeout=60)
        doctor = l.tdictl("doctor", check=False)
        assert "not ready" in doctor.out + doctor.err, doctor
        host.process("tsm").kill(signal.SIGCONT)
        watch.wait(NIC0, "running", timeout=60)
