# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest that refuses, a host that cheats: what the TVM and the TSM do not let through."""
import base64
import json
import struct

from lab import TSM_SOCKET, Lab, lab, start_tdid, tdid_config, tvm

NIC0, NIC1, NIC2 = "ua-tdi-nic0", "ua-tdi-nic1", "ua-tdi-nic2"
VF0 = "0000:01:10.0"
EVIL_SOCKET = "/run/tdid-tsm/evil"
EVIL_LOG = "/var/log/bed/guest-messages.log"
TDI_INFO, TDI_VALIDATE = 2, 3
HEADER = struct.Struct("<IBBBBII16sQQ")  # plugin/core/guest-message.h


class EvilHost:
    """Puts tools/evil-host between tdid and the TSM's provider, and says what it sees."""

    def __init__(self, host, **more):
        self.host = host
        self.starts = 0
        config = tdid_config(**more)
        config["tsms"][0]["socket"] = EVIL_SOCKET
        host.put(json.dumps(config).encode(), "/etc/tdid/tdid.conf")
        host.process("tdid").kill()
        host.process("tdid").wait(20)
        self.attack()
        start_tdid(host, "tdid-attacked")
        self.tdid = host.process("tdid-attacked")

    def attack(self, *what):
        """Starts it anew with another attack (none: it only listens in)."""
        if self.starts:
            self.host.process(f"evil{self.starts}").kill()
            self.host.process(f"evil{self.starts}").wait(10)
            ready = len(self.tdid.log())
        self.starts += 1
        process = self.host.spawn(f"evil{self.starts}", ["/usr/libexec/tdid/evil-host", EVIL_SOCKET,
                                                         TSM_SOCKET, EVIL_LOG, *what])
        process.wait_log("listening", 20)
        if self.starts > 1:
            self.tdid.wait_log("tsm .* ready", 30, ready)

    def seen(self, event, kind=None):
        return [entry for entry in map(json.loads, self.host.read(EVIL_LOG).splitlines())
                if entry["event"] == event and (kind is None or entry.get("type") == kind)]

    def tsm(self, method, parameters=None, check=True):
        return self.host.run(["/usr/libexec/tdid/varlink-call", TSM_SOCKET, f"io.tdid.Tsm.{method}",
                              json.dumps(parameters or {})], check=check)

    def tdi_state(self):
        state = json.loads(self.tsm("Query").out)
        return {t["device"]: t["state"] for t in state["tdis"]}.get(VF0)


def test_agent_with_another_reference_measurement_never_runs():
    """Wrong reference: never RUN; unbound, detached, and the reason in tdictl show and the log."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm1.attach(0)
        failed = watch.wait(NIC0, "failed")
        states = watch.states(NIC0)
        assert "running" not in states and "locked" in states, states
        assert states[-4:] == ["unbinding", "attached", "detaching", "failed"], states
        assert "measurement" in failed["reason"].lower(), failed
        assert "measurement" in l.tdictl("show", f"tvm1/{NIC0}").out.lower()
        assert failed["reason"] in host.process("tdid").log()
        assert VF0 not in host.run(["virsh", "dumpxml", "tvm1"]).out
        assert "bus='0x01' slot='0x10'" not in host.run(["virsh", "dumpxml", "tvm1"]).out


def test_evidence_swapped_by_the_host_is_refused_before_parsing():
    """Another certificate chain, an older measurement, a report with another range: refused by digest."""
    with lab() as host:
        l = Lab(host)
        evil = EvilHost(host)
        watch = l.watch()
        # One honest bind of each of two devices, to have evidence that is genuine but not this.
        l.tvm0.attach(2)
        watch.wait(NIC2, "running")
        other = evil.seen("evidence")[-1]
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        older = evil.seen("evidence")[-1]
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        assert other["certificates"] != older["certificates"]
        report = bytearray(base64.b64decode(older["report"]))
        report[16 + 8] ^= 1  # the first range's page count
        swaps = {"certificates": other["certificates"], "measurements": older["measurements"],
                 "report": base64.b64encode(bytes(report)).decode()}
        evil.attack("swap-file", "/run/swap.json")
        words = {"certificates": "certificate chain", "measurements": "measurement",
                 "report": "report"}
        for field, blob in swaps.items():
            host.put(json.dumps({field: blob}).encode(), "/run/swap.json")
            l.tvm0.attach(0)
            failed = watch.wait(NIC0, "failed")
            assert "at digests" in failed["reason"], (field, failed["reason"])
            assert words[field] in failed["reason"], (field, failed["reason"])
        assert watch.states(NIC0).count("running") == 1, watch.states(NIC0)


def test_validate_forged_without_the_tvms_key_leaves_the_tdi_locked():
    """A tdi_validate that somebody without the TVM's key made up: the TDI stays LOCKED."""
    with lab() as host:
        l = Lab(host)
        evil = EvilHost(host)
        evil.attack("withhold")
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        genuine = wait_for_validate(host, evil)
        header = list(HEADER.unpack_from(genuine))
        forged = bytearray(genuine)
        forged[HEADER.size + 4] ^= 0xFF  # another ciphertext under the same header
        attempts = [bytes(forged), HEADER.pack(*header) + bytes(len(genuine) - HEADER.size)]
        header[8] += 1  # the next sequence number
        attempts.append(HEADER.pack(*header) + genuine[HEADER.size:])
        for message in attempts:
            answer = evil.tsm("GuestRequest", {"tvm": l.tvm0.uuid, "scope": "state_change",
                                               "message": base64.b64encode(message).decode()},
                              check=False)
            assert "GuestMessageRejected" in answer.err, answer
            assert evil.tdi_state() == "config_locked"
        assert l.show(f"tvm0/{NIC0}")["state"] == "locked"


def wait_for_validate(host, evil, after=0):
    found = host.wait_for(lambda: evil.seen("request", TDI_VALIDATE)[after:], timeout=60)
    return base64.b64decode(found[-1]["message"])


def test_validate_replayed_from_the_previous_bind_leaves_the_tdi_locked():
    """The genuine tdi_validate of the previous bind, sent again: the TDI stays LOCKED."""
    with lab() as host:
        l = Lab(host)
        evil = EvilHost(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        old = evil.seen("request", TDI_VALIDATE)
        assert old
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        evil.attack("withhold")
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        wait_for_validate(host, evil, after=len(old))
        for entry in old:
            answer = evil.tsm("GuestRequest", {"tvm": l.tvm0.uuid, "scope": "state_change",
                                               "message": entry["message"]}, check=False)
            assert "GuestMessageRejected" in answer.err, answer
            assert evil.tdi_state() == "config_locked"
        assert l.show(f"tvm0/{NIC0}")["state"] == "locked"


def test_measurements_collected_anew_between_info_and_validate_are_refused_by_the_tsm():
    """The host collects measurements anew under the agent's feet: the TSM refuses the validate."""
    with lab() as host:
        l = Lab(host)
        evil = EvilHost(host)
        evil.attack("measure")
        watch = l.watch()
        l.tvm0.attach(0)
        failed = watch.wait(NIC0, "failed", timeout=90)
        assert evil.seen("measured"), "the attack did not happen"
        assert "running" not in watch.states(NIC0), watch.states(NIC0)
        assert "stale" in failed["reason"].lower() or "no longer current" in failed["reason"], failed


def test_another_tvms_validate_leaves_the_tdi_locked():
    """Another TVM's genuine tdi_validate of the same guest address, as its own and in this one's name."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()  # its agent expects another firmware
        other = tvm(host, "tvm2").start()
        evil = EvilHost(host)
        evil.attack("withhold-of", l.tvm0.uuid)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        wait_for_validate(host, evil)
        other.attach(1)
        watch.wait(NIC1, "running")
        assert (l.show(f"tvm0/{NIC0}")["guest_address"]
                == l.show(f"tvm2/{NIC1}")["guest_address"])
        assert evil.tdi_state() == "config_locked"
        sent = evil.seen("request", TDI_VALIDATE)
        assert {entry["tvm"] for entry in sent} == {l.tvm0.uuid, other.uuid}
        for entry in sent:
            name = other.uuid if entry["tvm"] == l.tvm0.uuid else l.tvm0.uuid
            answer = evil.tsm("GuestRequest", {"tvm": name, "scope": "state_change",
                                               "message": entry["message"]}, check=False)
            assert "GuestMessageRejected" in answer.err, answer
            assert evil.tdi_state() == "config_locked"
        assert l.show(f"tvm0/{NIC0}")["state"] == "locked"
