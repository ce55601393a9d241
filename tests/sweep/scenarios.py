# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is swept. `prepare` leads to where counting begins; `go` is what is counted, to its rest."""
from host import VF
from run import states_of

END = {"failed", "held", "quarantined"}  # designed ends of a way that a fault has cut short


def reclaimed(state):
    """No session is kept, but for a TDI of which nobody knows."""
    return {d["state"] for d in state["dsms"]} <= {"idle", "quarantined"} or \
        any(t["state"] == "quarantined" for t in state["tdis"])


class Scenario:
    tvms = 1
    starts = False  # counting begins before the domain does
    restarts = False  # or with a start of tdid
    idle_grace_ms = 600000
    verbs = ()  # of the provider, that are called
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


ALL = [Start(), Attach(), Detach(), Move(), Error(), Stop(), Reset(), Resume(), Resume_Locked(),
       Provider()]
