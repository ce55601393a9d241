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
import client
import host
import libvirt
from domain import ALIAS, Domain
from replay import CallFailed, Replay, call

LIMIT = 25  # seconds for whatever has to come about; tdid's own times (config) are all shorter


class Broken(Exception):
    pass


class Run:
    def __init__(self, bench, scenario, point=None, trace=False):
        self.bench, self.scenario, self.point, self.trace = bench, scenario, point, trace
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=bench.folder))
        self.log = open(self.folder / "tdid.log", "ab")
        self.tdid = self.tsm = None
        self.domains = [Domain(number, self.folder) for number in range(scenario.tvms)]
        answer = point.split()[2:] if point and point.split()[1] == "answer" else [None]
        self.answer = None if answer[0] in (None, *libvirt.WAYS) else answer  # the provider's
        self.way = answer if answer[0] in libvirt.WAYS else None  # libvirt's
        self.tdids_point = None if answer[0] else point
        self.attaches = 0  # by libvirt, that tdid has asked for
        self.detaches = 0  # that tdid has asked for
        self.hit, self.points, self.threads, self.complaints = None, [], [], []
        self.descriptors = {}

    # --- libvirt

    @property
    def domain(self):
        return self.domains[0]

    def libvirt(self, *more):
        """What libvirt knows by now, and then these lines."""
        self.tdid.tell(*(line for domain in self.domains for line in domain.lines()), *more)

    def attach(self, domain=None):
        domain = domain or self.domain
        domain.attached = True
        self.libvirt(domain.dirty("device-added"))

    def detached(self, domain=None):
        """The guest lets the device go: first QEMU tells, then libvirt."""
        domain = domain or self.domain
        self.libvirt(domain.dirty("device-deleted"))
        domain.attached = False
        self.libvirt(domain.dirty("device-removed"))

    def hook(self, domain, operation, **more):
        """As tdi-hook: waits for a tdid that is being started. False: it was refused or broke off."""
        deadline = time.monotonic() + LIMIT / 2
        while True:
            try:
                call(self.folder / "io.tdid.Hook", "io.tdid.Hook.Run",
                     {"domain": domain.name, "operation": operation, "sub_operation": "begin",
                      "extra": "-", "xml": domain.xml(), **more})
                return True
            except CallFailed as error:
                unreached = isinstance(error.__cause__, (ConnectionRefusedError, FileNotFoundError))
                if not unreached or time.monotonic() > deadline:
                    return False
                # No event tells that a socket takes connections again.
                time.sleep(0.02)

    def hook_again(self, domain, operation, **more):
        """A tdid that was killed may take a call, and drop it, before its socket is gone."""
        answers = []

        def work():
            while len(answers) < 4 and not any(answers):
                answers.append(self.hook(domain, operation, **more))
        self.beside(work)
        self.join()
        if not any(answers):
            raise Broken(f"the hook's {operation} is refused again and again")

    def hooks(self, *operations):
        """These, one after the other: a stop goes on whatever they say."""
        self.beside(lambda: [self.hook(self.domain, operation) for operation in operations])

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
        if self.complaints:
            raise Broken("; ".join(self.complaints))

    def ask(self, *arguments, **parameters):
        """As client.ask."""
        answers = []
        self.beside(lambda: answers.append(client.ask(self, *arguments, **parameters)))
        self.join()
        return answers[0]

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
        asked = self.tdid.asked
        self.start_tdid()
        # libvirt goes on with what it has begun, and a guest forgets what it was asked for.
        for what, uuid in asked:
            if what == "attach":
                libvirt.attached(self, next(d for d in self.domains if d.uuid == uuid))

    def attend(self):
        if self.tdid.ended:
            self.ended()
        while self.tdid.asked:
            what, uuid = self.tdid.asked.pop(0)
            how = "well"
            if self.way and self.way[0] == what:
                how, self.hit, self.way = self.way[1], " ".join(self.way), None
            self.detaches += what == "detach"
            libvirt.do(self, what, next(d for d in self.domains if d.uuid == uuid), how)

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
        self.bench.template.fill(self.folder, [d.folder for d in self.domains])
        (self.folder / "tdid.conf").write_text(json.dumps({
            "records": f"{self.folder}/records", "sockets": str(self.folder),
            "sysfs": f"{self.folder}/sys", "idle_grace_ms": self.scenario.idle_grace_ms,
            "guest_timeout_ms": 4000, "boot_timeout_ms": 4000, "operation_deadline_ms": 5000,
            "stop_timeout_ms": 5000,
            "tsms": [{"name": "emulated", "socket": f"{self.folder}/tsm", "uid": os.getuid()}]}))
        self.start_tsm()
        self.start_tdid(point=None if self.scenario.restarts else self.tdids_point)
        self.wait("the TSM", lambda s: s["ready"])
        self.descriptors = checks.open_descriptors(self)
        if not self.scenario.starts:
            self.begin()

    def begin(self):
        """The domains start; a start that is refused is tried again, as by its user."""
        for domain in self.domains:
            self.hook_again(domain, "prepare")
            self.hook_again(domain, "started", **domain.start(self.bench.agent))
            domain.guest.boot()
            self.wait("the agent", domain.booted)

    def start_tsm(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            (self.folder / "notify").unlink(missing_ok=True)
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
        return call(self.folder / "tsm", f"io.tdid.TsmEmulated.{method}", parameters)

    def fail_verb(self, verb, fault):
        """The provider answers that verb so, once. What hangs is let go of when tdid has given up."""
        device = host.PF if "connect" in verb else host.VF
        self.fault("FailVerb", device=device, verb=verb, fault=fault)

    def end_answer(self):
        """Guests' requests may wait behind what hangs."""
        if self.fault("Clear")["left"] == 0:
            self.hit = " ".join(self.answer)
        self.answer = None
        self.settle()

    def settle(self):
        def rests(state):
            attached = {d.uuid for d in self.domains if d.on and d.attached}
            return state["ready"] and not busy(state) and self.scenario.rests(state) and \
                attached <= {a["domain"] for a in state["assignments"]} and \
                attached >= {a["domain"] for a in state["assignments"]
                             if a["state"] in checks.NEEDS_BIND} and \
                (self.point or self.scenario.went_well(state)) and \
                (self.answer or not state["guest_calls"])
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
            checks.sanitizers(self)
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
            self.end_answer()
        checks.descriptors(self)
        checks.agreement(self)
        checks.api(self)
        self.scenario.again(self)
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
        checks.no_attach_records(self)
        self.scenario.afterwards(self)
        self.end_tdid()
        checks.files(self)
        checks.agents(self)
        self.tsm.terminate()
        if self.tsm.wait(LIMIT) != 0:
            raise Broken(f"the TSM ended with status {self.tsm.returncode}")
        checks.sanitizers(self)

    def close(self, keep=False):
        if self.tdid:
            self.tdid.kill()
            self.hit = self.hit or self.tdid.hit
        for domain in self.domains:
            if domain.guest:
                domain.guest.close()
        if self.tsm:
            self.tsm.kill()
            self.tsm.wait()
        self.log.close()
        if not keep:
            shutil.rmtree(self.folder)


def states_of(state):
    return [a["state"] for a in state["assignments"]]


def busy(state):
    return state["attaching"] or any(x["busy"] for x in [*state["assignments"], *state["dsms"]]) or \
        any(t["state"] == "clearing" for t in state["tdis"])


def summary(state):
    """What has to be the same after a restart; what is idle and owned by nobody needs no record."""
    over = ("released", "failed")  # why, is lost when the last record could not be written
    return {"assignments": [(a["domain"], a["name"], "over", a["generation"])
                            if a["state"] in over else
                            (a["domain"], a["name"], a["state"], a["fault"], a["generation"])
                            for a in state["assignments"]],
            "dsms": [(d["dsm"], d["state"], d["drained"]) for d in state["dsms"]
                     if d["state"] != "idle" or d["drained"]],
            "tdis": [(t["device"], t["state"], t["owned"]) for t in state["tdis"]
                     if t["owned"] or t["state"] != "known"],
            "tvms": [t["pid"] for t in state["tvms"]]}
