# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is swept. `prepare` leads to where counting begins; `go` is what is counted, to its rest."""
import time

import client
from domain import ALIAS
from host import PF, VF
from run import Broken, states_of

END = {"failed", "held", "quarantined"}  # designed ends of a way that a fault has cut short


def reclaimed(state):
    """No session is kept, but for a TDI of which nobody knows."""
    return {d["state"] for d in state["dsms"]} <= {"idle", "quarantined"} or \
        any(t["state"] == "quarantined" for t in state["tdis"])


def is_to_be_had(state):
    """The device, again."""
    return states_of(state) == ["released"] and \
        not any(d["state"] == "quarantined" for d in state["dsms"])


class Scenario:
    tvms = 1
    starts = False  # counting begins before the domain does
    restarts = False  # or with a start of tdid
    idle_grace_ms = 600000
    sample = 30  # of its points, unless all are swept
    verbs = ()  # of the provider, that are called
    libvirt = ()  # attach, detach: what it is asked for
    ends = {"running"} | END
    good = {"running"}  # where it ends when nothing fails

    @property
    def name(self):
        return type(self).__name__.lower().replace("_", "-")

    def prepare(self, run):
        run.attach()
        run.wait_state("running")

    def rests(self, state):
        found = states_of(state)
        return len(found) == 1 and found[0] in self.ends

    def went_well(self, state):
        return set(states_of(state)) <= self.good

    def again(self, run):
        """At rest: changes nothing."""

    def afterwards(self, run):
        """After the restart of tdid that follows."""


class Start(Scenario):
    """The domain starts: the hook's prepare and started, the guest port, the agent's Hello."""
    starts = True

    def prepare(self, run):
        pass

    def go(self, run):
        run.begin()

    def rests(self, state):
        return len(state["tvms"]) == 1 and not state["assignments"]


class Attach(Scenario):
    """A hot-plug: device_connect, tdi_bind, the agent's verification and acceptance, RUN."""
    verbs = ("connect", "bind")

    def prepare(self, run):
        pass

    def go(self, run):
        run.attach()


class Detach(Scenario):
    """virsh detach-device of a running TDI: tdi_unbind, and device_reclaim after the idle grace."""
    verbs = ("unbind", "disconnect")
    idle_grace_ms = 1
    ends = {"released"} | END
    good = {"released"}

    def go(self, run):
        run.detached()

    def rests(self, state):
        return super().rests(state) and reclaimed(state)


class Stop(Scenario):
    """The domain ends: QEMU, then libvirt's hook."""
    verbs = ("unbind", "disconnect")
    idle_grace_ms = 1
    good = set()

    def go(self, run):
        run.domain.guest.end_qemu()
        run.hooks("stopped", "release")
        run.domain.on = False
        run.libvirt(run.domain.dirty("stopped"))

    def rests(self, state):
        """A TDI of which nobody knows keeps its assignment, and that its TVM."""
        return (not state["tvms"] or state["assignments"]) and \
            set(states_of(state)) <= {"quarantined"} and reclaimed(state)


class Reset(Scenario):
    """The guest is reset: it boots anew, and its device is bound anew."""
    verbs = ("unbind", "bind")

    def go(self, run):
        run.domain.guest.end_agent()
        run.libvirt(run.domain.dirty("reboot"))
        run.domain.guest.boot()

    def rests(self, state):
        found = state["assignments"]
        return super().rests(state) and (found[0]["state"] != "running" or
                                         found[0]["generation"] > 1)


class Move(Scenario):
    """A TDI goes from one TVM to another."""
    tvms = 2
    verbs = ("unbind", "bind")

    def go(self, run):
        run.detached()
        run.wait("the end of its bind", lambda s: set(states_of(s)) <= {"released"} | END)
        run.attach(run.domains[1])

    def rests(self, state):
        found = {a["domain"][-1]: a["state"] for a in state["assignments"]}
        return len(found) == 2 and found["0"] in {"released"} | END and found["1"] in self.ends

    def went_well(self, state):
        found = {a["domain"][-1]: a["state"] for a in state["assignments"]}
        return found == {"0": "released", "1": "running"}


class Error(Scenario):
    """The TDI goes to ERROR: tdi_unbind, and out of the domain."""
    verbs = ("unbind",)
    libvirt = ("detach",)
    ends = END | {"released"}
    good = {"failed", "released"}  # the guest may have let it go before

    def go(self, run):
        run.fault("Violate", device=VF)


class Resume(Scenario):
    """tdid is killed and started again while its TDI runs."""
    restarts = True

    def go(self, run):
        run.tdid.kill()
        run.start_tdid(armed=True, point=run.point)


class Resume_Locked(Resume):
    """The same, while the guest still verifies."""

    def prepare(self, run):
        run.domain.guest.hold(True)
        run.attach()
        run.wait_state("locked")

    def go(self, run):
        super().go(run)
        run.domain.guest.hold(False)


class Provider(Scenario):
    """The TSM's provider is killed and started again: every bind of before is void."""
    ends = END | {"released"}
    good = {"failed", "released"}

    def go(self, run):
        run.tsm.kill()
        run.tsm.wait()
        run.start_tsm()


def same(run, answer):
    """What a control plane is told is the one assignment that there is."""
    error, found = answer
    told = (found or {}).get("assignment") or {}
    if error not in (None, "NotReached"):
        raise Broken(f"the token is answered with {error} {found}")
    run.wait(f"what the token is answered with ({told})", lambda state: [
        (a["domain"], a["name"], a["state"], a["generation"]) for a in state["assignments"]] == [
        tuple(told.get(key) for key in ("domain", "name", "state", "generation"))])


class Api_Attach(Scenario):
    """A control plane attaches with a token; it goes away at the first word, and asks again."""
    sample = 15
    verbs = ("connect", "bind")
    libvirt = ("attach",)
    parameters = {"domain": "tvm0", "device": VF, "name": ALIAS, "client_token": "nic0-of-tvm0",
                  "wait_for": "running"}

    def prepare(self, run):
        pass

    def go(self, run):
        def control_plane():
            client.leave(run, "Attach", **self.parameters)
            client.ask(run, "Attach", **self.parameters)
        run.beside(control_plane)

    def again(self, run):
        self.asked_again(run)

    def asked_again(self, run):
        same(run, run.ask("Attach", **self.parameters))
        if run.attaches != 1:
            raise Broken(f"attached {run.attaches} times")

    def afterwards(self, run):
        """Detached by somebody else, it is not attached by that token once more."""
        if states_of(run.tdid.state) == ["running"]:
            run.detached()
            run.wait_state("released")
        self.asked_again(run)


class Api_Attach_Left(Api_Attach):
    """It asks again only when somebody else has detached it: until then the records have to do."""

    def go(self, run):
        def control_plane():
            deadline = time.monotonic() + client.LIMIT
            while not client.leave(run, "Attach", **self.parameters):
                if time.monotonic() > deadline:
                    run.complaints.append("Attach: no plan")
                    break
                time.sleep(client.PAUSE / 10)
        run.beside(control_plane)

    def again(self, run):
        pass

    def rests(self, state):
        """What libvirt has refused is nowhere."""
        return not state["assignments"] or super().rests(state)

    def went_well(self, state):
        return states_of(state) == ["running"]


class Api_Detach(Scenario):
    """The same with a detach: the guest's agent is asked to release it, then libvirt."""
    sample = 15
    verbs = ("unbind", "disconnect")
    libvirt = ("detach",)
    idle_grace_ms = 1
    ends = {"released"} | END
    good = {"released"}
    parameters = {"domain": "tvm0", "name": ALIAS, "client_token": "nic0-of-tvm0"}

    def go(self, run):
        def control_plane():
            client.leave(run, "Detach", **self.parameters)
            client.ask(run, "Detach", **self.parameters)
        run.beside(control_plane)

    def rests(self, state):
        return super().rests(state) and reclaimed(state)

    def again(self, run):
        asked = run.detaches
        same(run, run.ask("Detach", **self.parameters))
        if run.detaches != asked:
            raise Broken("the token has it detached once more")

    def afterwards(self, run):
        """Attached by somebody else, it is not detached by that token once more."""
        if is_to_be_had(run.tdid.state):
            run.attach()
            run.wait_state("running")
        self.again(run)


class Drain(Scenario):
    """A DSM with a TDI in RUN is drained: the TDI leaves, and the session ends."""
    sample = 15
    verbs = ("unbind", "disconnect")
    libvirt = ("detach",)
    ends = {"released"} | END
    good = {"released"}

    def go(self, run):
        run.beside(lambda: client.ask(run, "Drain", dsm=PF))

    def rests(self, state):
        return super().rests(state) and reclaimed(state) and \
            [d["drained"] for d in state["dsms"]] == [True]

    def again(self, run):
        """Nobody gets a TDI of it."""
        error, found = run.ask("Attach", 1, **{**Api_Attach.parameters, "client_token": "another"})
        if error != "Refused" or not run.tdid.state["dsms"][0]["drained"]:
            raise Broken(f"drained, and an Attach is answered with {error} {found}")

    def afterwards(self, run):
        self.again(run)
        had_again(run)


class Undrain(Scenario):
    """Taken back while the guest is still to let the TDI go, of which it hears nothing."""
    sample = 10
    ends = {"running", "released"} | END  # libvirt is asked where the agent's session is not up yet
    good = {"running"}

    def go(self, run):
        def control_plane():
            client.ask(run, "Drain", dsm=PF, timeout_ms=1)
            client.ask(run, "Undrain", dsm=PF)
        run.domain.guest.drop("Withdrawn")
        run.beside(control_plane)

    def rests(self, state):
        return super().rests(state) and not any(d["drained"] for d in state["dsms"])

    def afterwards(self, run):
        had_again(run)


def had_again(run):
    """An Undrain makes it so."""
    if is_to_be_had(run.tdid.state):
        run.ask("Undrain", dsm=PF)
        run.ask("Attach", **Api_Attach.parameters)
        run.wait_state("running")


ALL = [Start(), Attach(), Detach(), Move(), Error(), Stop(), Reset(), Resume(), Resume_Locked(),
       Provider(), Api_Attach(), Api_Attach_Left(), Api_Detach(), Drain(), Undrain()]
