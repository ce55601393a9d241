# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of a scenario: tdid, a TSM, a TVM and a replayed libvirt in a folder of their own.

The run goes on to its end whatever happens to tdid: when the point ends it, it is started again as
systemd would, and learns of libvirt and of its TVM what is so by then.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import checks
import host
from guest import Guest
from replay import CallFailed, Replay, call

TVM, NAME, ALIAS = "11111111-2222-4333-8444-555555555555", "tvm0", "ua-tdi-nic0"
LIMIT = 25  # seconds for whatever has to come about; tdid's own times (config) are all shorter
HOSTDEV = ("<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
           "bus='0x01' slot='0x10' function='0x0'/></source><alias name='{}'/></hostdev>")


class Broken(Exception):
    pass


class Run:
    def __init__(self, bench, scenario, point=None, trace=False):
        self.bench, self.scenario, self.point, self.trace = bench, scenario, point, trace
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=bench.folder))
        self.log = open(self.folder / "tdid.log", "ab")
        self.tdid = self.tsm = self.guest = None
        self.answer = point.split()[2:] if point and point.split()[1] == "answer" else None
        self.on, self.attached = True, False
        self.hit, self.points, self.threads = None, [], []
        self.descriptors = {}

    # --- libvirt

    def xml(self):
        devices = ("<channel type='unix'><target type='virtio' name='io.tdid.guest.0'/></channel>" +
                   (HOSTDEV.format(ALIAS) if self.attached else ""))
        return (f"<domain type='kvm'><name>{NAME}</name><uuid>{TVM}</uuid><sysinfo type='fwcfg'>"
                f"<entry name='opt/io.tdid/tvm-key' file='{self.folder}/keys/{TVM}.key'/></sysinfo>"
                f"<devices>{devices}</devices></domain>")

    def libvirt(self, *more):
        """What libvirt knows by now, and then these lines."""
        self.tdid.tell(f"guest {self.folder}/port",
                       f"place {ALIAS} {host.GUEST_BUS if self.attached else 0}",
                       f"domain {TVM} {NAME}" + (f" {self.xml()}" if self.on else ""), *more)

    def detached(self):
        """The guest lets the device go: first QEMU tells, then libvirt."""
        self.libvirt(f"dirty device-deleted {ALIAS}")
        self.attached = False
        self.libvirt(f"dirty device-removed {ALIAS}")

    def hook(self, operation, **more):
        """As tdi-hook: waits for a tdid that is being started. False: it was refused or broke off."""
        deadline = time.monotonic() + LIMIT / 2
        while True:
            try:
                call(self.folder / "io.tdid.Hook", "io.tdid.Hook.Run",
                     {"domain": NAME, "operation": operation, "sub_operation": "begin",
                      "extra": "-", "xml": self.xml(), **more})
                return True
            except CallFailed as error:
                unreached = isinstance(error.__cause__, (ConnectionRefusedError, FileNotFoundError))
                if not unreached or time.monotonic() > deadline:
                    return False
                # No event tells that a socket takes connections again.
                time.sleep(0.02)

    def hook_again(self, operation, **more):
        """A tdid that was killed may take a call, and drop it, before its socket is gone."""
        answers = []

        def work():
            while len(answers) < 4 and not any(answers):
                answers.append(self.hook(operation, **more))
        self.beside(work)
        self.join()
        if not any(answers):
            raise Broken(f"the hook's {operation} is refused again and again")

    def hooks(self, *operations):
        """These, one after the other: a stop goes on whatever they say."""
        self.beside(lambda: [self.hook(operation) for operation in operations])

    def beside(self, work):
        """In a thread, so that tdid is attended to meanwhile."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.threads.append(thread)

    def join(self):
        while self.threads:
            if not self.threads[0].is_alive():
                self.threads.pop(0)
                continue
            self.attend()
            self.tdid.turn(time.monotonic() + 0.02)

    # --- tdid

    def start_tdid(self, armed=False, point=None):
        self.tdid = Replay(self.bench.tdid, self.folder, self.log, point, armed, self.trace)
        deadline = time.monotonic() + LIMIT
        while not self.tdid.ready:
            if not self.tdid.turn(deadline):
                raise Broken("tdid does not start")
            if self.tdid.ended:
                self.ended()
                return
        self.libvirt("connect")

    def ended(self):
        """It was killed at the point, or could not start because of it: systemd starts it again."""
        status = self.tdid.process.returncode
        self.hit = self.hit or self.tdid.hit
        killed = self.point and self.point.startswith("kill") and self.tdid.was_killed()
        refused = not self.tdid.ready and status == 1
        if not self.tdid.hit or not (killed or refused):
            raise Broken(f"tdid ended with status {status}")
        self.points += self.tdid.points
        self.start_tdid()

    def attend(self):
        if self.tdid.ended:
            self.ended()
        while self.tdid.detaches:
            self.tdid.detaches.pop()
            self.detached()

    def wait(self, what, good, seconds=LIMIT):
        deadline = time.monotonic() + seconds
        while True:
            self.attend()
            if self.tdid.state and good(self.tdid.state):
                return
            if not self.tdid.turn(deadline):
                raise Broken(f"waited in vain for {what}: {json.dumps(self.tdid.state)}")

    def wait_state(self, *states):
        self.wait(f"{ALIAS} {' or '.join(states)}", lambda s: states_of(s) in [[x] for x in states])

    # --- the course of it

    def set_up(self):
        self.bench.template.fill(self.folder)
        (self.folder / "tdid.conf").write_text(json.dumps({
            "records": f"{self.folder}/records", "sockets": str(self.folder),
            "sysfs": f"{self.folder}/sys", "idle_grace_ms": self.scenario.idle_grace_ms,
            "guest_timeout_ms": 4000, "boot_timeout_ms": 4000, "operation_deadline_ms": 5000,
            "stop_timeout_ms": 5000,
            "tsms": [{"name": "emulated", "socket": f"{self.folder}/tsm", "uid": os.getuid()}]}))
        self.start_tsm()
        self.start_tdid(point=None if self.scenario.restarts or self.answer else self.point)
        self.wait("the TSM", lambda s: s["ready"])
        self.descriptors = checks.open_descriptors(self)
        if not self.scenario.starts:
            self.begin()

    def begin(self):
        """The domain starts; a start that is refused is tried again, as by its user."""
        self.hook_again("prepare")
        self.guest = Guest(self.folder, self.folder / "keys" / f"{TVM}.key", self.bench.agent)
        stat = pathlib.Path(f"/proc/{self.guest.qemu.pid}/stat").read_text()
        self.hook_again("started", qemu_pid=self.guest.qemu.pid,
                        qemu_start_time=int(stat.rsplit(")", 1)[1].split()[19]))
        self.guest.boot()
        self.wait("the agent", lambda s: s["tvms"] and s["tvms"][0]["booted"] == self.guest.boot_id)

    def start_tsm(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self.folder / "notify"))
            notify.settimeout(LIMIT)
            log = open(self.folder / "tsm.log", "ab")
            self.tsm = subprocess.Popen(
                [self.bench.tsm, "--config", self.folder / "tsm.conf"], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"),
                     "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
            log.close()
            if b"READY=1" not in notify.recv(256):
                raise Broken("the TSM does not start")

    def fault(self, method, **parameters):
        call(self.folder / "tsm", f"io.tdid.TsmEmulated.{method}", parameters)

    def fail_verb(self, verb, fault):
        """The provider answers that verb so, once. What hangs is let go of when tdid has given up."""
        device = host.PF if "connect" in verb else host.VF
        self.fault("FailVerb", device=device, verb=verb, fault=fault)
        self.hit = f"{verb} {fault}"

    def attach(self):
        self.attached = True
        self.libvirt(f"dirty device-added {ALIAS}")

    def settle(self):
        def rests(state):
            return state["ready"] and not busy(state) and self.scenario.rests(state)
        self.wait("an end", rests)
        self.join()
        self.wait("an end", rests)

    def disarm(self):
        """It may still end at its point until it says that it no longer counts."""
        while not self.tdid.disarmed:
            self.settle()
            self.tdid.tell("disarm")
            deadline = time.monotonic() + LIMIT
            while not self.tdid.disarmed and not self.tdid.ended:
                if not self.tdid.turn(deadline):
                    raise Broken("tdid does not answer")
        self.settle()

    def end_tdid(self):
        self.tdid.tell("end")
        deadline = time.monotonic() + LIMIT
        while not self.tdid.ended:
            if not self.tdid.turn(deadline):
                raise Broken("tdid does not end")
        self.hit = self.hit or self.tdid.hit
        self.points += self.tdid.points
        self.tdid.process.stdin.close()
        if self.tdid.process.returncode != 0:
            raise Broken(f"tdid ended with status {self.tdid.process.returncode}")

    def go(self):
        self.set_up()
        self.scenario.prepare(self)
        if not self.scenario.restarts:
            self.tdid.tell("arm")
        if self.answer:
            self.fail_verb(*self.answer)
        self.scenario.go(self)
        self.disarm()
        if self.answer:
            self.fault("Clear")
        checks.descriptors(self)
        checks.agreement(self)
        checks.api(self)
        before = summary(self.tdid.state)
        self.end_tdid()
        checks.files(self)
        # Its records alone have to bring it back to where it was.
        self.start_tdid()
        self.settle()
        if summary(self.tdid.state) != before:
            raise Broken(f"another state after a restart: {before} became "
                         f"{summary(self.tdid.state)}")
        checks.agreement(self)
        self.end_tdid()
        checks.files(self)
        self.tsm.terminate()
        if self.tsm.wait(LIMIT) != 0:
            raise Broken(f"the TSM ended with status {self.tsm.returncode}")
        checks.sanitizers(self)

    def close(self, keep=False):
        if self.tdid:
            self.tdid.kill()
            self.hit = self.hit or self.tdid.hit
        if self.guest:
            self.guest.close()
        if self.tsm:
            self.tsm.kill()
            self.tsm.wait()
        self.log.close()
        if not keep:
            shutil.rmtree(self.folder)


def states_of(state):
    return [a["state"] for a in state["assignments"]]


def busy(state):
    return state["guest_calls"] > 0 or \
        any(x["busy"] for x in [*state["assignments"], *state["dsms"]]) or \
        any(t["state"] == "clearing" for t in state["tdis"])


def summary(state):
    """What has to be the same after a restart; what is idle and owned by nobody needs no record."""
    return {"assignments": [(a["name"], a["state"], a["fault"], a["generation"])
                            for a in state["assignments"]],
            "dsms": [(d["dsm"], d["state"]) for d in state["dsms"] if d["state"] != "idle"],
            "tdis": [(t["device"], t["state"], t["owned"]) for t in state["tdis"]
                     if t["owned"] or t["state"] != "known"],
            "tvms": [t["pid"] for t in state["tvms"]]}
