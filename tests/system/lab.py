# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine in which the end-to-end tests begin: tdid, the emulated TSM and two TVMs are running.

tvm0's agent has the policy that fits the emulated devices; tvm1's expects another firmware.
"""
import hashlib
import json
import os
import pathlib
import re

from bedlib import Bed
from bedlib.bed import BUILD

BUILT = pathlib.Path(os.environ.get("TDID_BUILD") or BUILD / "programs")
PROGRAMS = {
    "tdid": BUILT / "plugin/daemon/tdid",
    "tdictl": BUILT / "plugin/cli/tdictl",
    "tdi-hook": BUILT / "hooks/tdi-hook",
    "tdi-tsm-emulated": BUILT / "plugin/tsm/emulated/tdi-tsm-emulated",
    "tdi-agent": BUILT / "plugin/agent/tdi-agent",
}
LIBEXEC = "/usr/libexec/tdid"
PF = "0000:01:00.0"
TSM_SOCKET = "/run/tdid-tsm/emulated"
TSM_CONFIG = {
    "socket": TSM_SOCKET,
    "state": "/var/lib/tdi-tsm-emulated",
    "keys": "/run/tdi-tsm-emulated",
    "allow_uids": [0, 990],
    "devices": [{"device": PF, "tee_io": True}, {"device": "0000:02:00.0", "tee_io": True}],
    "latencies": {"connect": 50, "bind": 10},
}
TDID_CONFIG = {
    "idle_grace_ms": 8000,
    "guest_timeout_ms": 60000,
    "tsms": [{"name": "emulated", "socket": TSM_SOCKET, "uid": 0}],
}
TOOLS = pathlib.Path(__file__).resolve().parent / "tools"
AGENT = "#!/bin/sh\nexec /usr/sbin/tdi-agent\n"
# The guest's own account of PCI functions, their drivers and network interfaces.
ACCOUNT = r"""#!/bin/sh
before=
while :; do
	now=
	for d in /sys/bus/pci/devices/*; do
		read -r class <$d/class
		case $class in 0x02*) ;; *) continue ;; esac
		driver=none; [ -e $d/driver ] && driver=$(readlink $d/driver) && driver=${driver##*/}
		net=none; for n in $d/net/*; do [ -e $n ] && net=${n##*/}; done
		now="$now NET ${d##*/} driver=$driver interface=$net"
	done
	[ "$now" = "$before" ] || echo "${now:- NET nothing}"
	before=$now
	sleep 0.2
done
"""


def installed(name):
    return f"/usr/bin/{name}" if name == "tdictl" else f"{LIBEXEC}/{name}"


def configure(host):
    """Programs and configuration: all that an administrator would install."""
    host.run("getent passwd tdid >/dev/null || useradd -r -u 990 -G libvirt tdid; "
             "mkdir -p /etc/tdid /var/lib/tdi-tsm-emulated /run/tdid-tsm; "
             "install -d -o tdid -g tdid /run/tdid")
    host.put(TOOLS, LIBEXEC)
    for name, path in PROGRAMS.items():
        if name != "tdi-agent":
            host.put(path, installed(name), mode=0o755)
    host.put(json.dumps(TSM_CONFIG).encode(), "/etc/tdid/tsm-emulated.conf")
    host.put(json.dumps(TDID_CONFIG).encode(), "/etc/tdid/tdid.conf")


def policy(host, spoil=False):
    """An agent policy from what the devices' vendor publishes; spoiled: for another firmware."""
    published = json.loads(host.run([f"{LIBEXEC}/tdi-tsm-emulated", "--config",
                                     "/etc/tdid/tsm-emulated.conf", "reference", PF]).out)
    if spoil:
        for measurement in published["devices"][0]["measurements"]:
            if measurement["index"] == 2:
                measurement["digest"] = "0" * 96
    return json.dumps({"version": 1, "allow_emulated": True, **published,
                       "allow_shared_ranges": [{"bar": 3, "offset": 0, "size": 16384}],
                       "unverified": ["virtio"]})


def start_tsm(host):
    process = host.spawn("tsm", [f"{LIBEXEC}/tdi-tsm-emulated", "--config",
                                 "/etc/tdid/tsm-emulated.conf"])
    host.wait_for(f"test -S {TSM_SOCKET}", timeout=20)
    return process


def start_tdid(host, name="tdid"):
    process = host.spawn(name, ["setpriv", "--reuid=tdid", "--regid=tdid", "--init-groups",
                                f"{LIBEXEC}/tdid", "--debug"])
    process.wait_log("libvirt: connected", timeout=30)
    process.wait_log("tsm .* ready", timeout=30)
    return process


def tvm(host, name, spoil=False):
    return host.domain(name, files={"/usr/sbin/tdi-agent": PROGRAMS["tdi-agent"],
                                    "/etc/tdi-agent/policy.json": policy(host, spoil),
                                    "/etc/bed/start.d/agent": AGENT,
                                    "/etc/bed/start.d/account": ACCOUNT})


def wait_agents(host):
    for name in ("tvm0", "tvm1"):
        host.process("tdid").wait_log(f"{name}: .*hello", timeout=60)


def install(host):
    configure(host)
    start_tsm(host)
    start_tdid(host)
    domains = [tvm(host, "tvm0"), tvm(host, "tvm1", spoil=True)]
    for domain in domains:
        domain.start(wait=False)
    for domain in domains:
        domain.wait_ready()
    wait_agents(host)


def upgrade(host):
    """The host's programs as they are now, under TVMs that keep running."""
    if all(host.run(["sha256sum", installed(name)]).out.split()[0]
           == hashlib.sha256(path.read_bytes()).hexdigest()
           for name, path in PROGRAMS.items() if name != "tdi-agent"):
        return
    for name in ("tdid", "tsm"):
        host.process(name).kill()
        host.process(name).wait(20)
    configure(host)
    start_tsm(host)
    start_tdid(host)
    wait_agents(host)


class Lab:
    """What a test sees: the host, its TVMs, and tdictl."""

    def __init__(self, host):
        self.host = host
        self.tvm0 = host.domain("tvm0")
        self.tvm1 = host.domain("tvm1")
        self.watches = 0

    def tdictl(self, *arguments, timeout=30, check=True):
        return self.host.run(["tdictl", *arguments], timeout=timeout, check=check)

    def show(self, name):
        return json.loads(self.tdictl("show", name, "--json").out)

    def watch(self):
        """Every change from here on; see Watch."""
        self.watches += 1
        return Watch(self.host, f"watch{self.watches}")

    def wait_driver(self, name):
        """Until the guest has said that its driver is bound; gives the assignment."""
        def shown():
            assignment = self.show(name)
            return (assignment if any(mark["name"] == "guest: driver bound"
                                      for mark in assignment["timeline"]) else None)

        return self.host.wait_for(shown, timeout=30)

    def count(self, log, pattern):
        return len(re.findall(pattern, self.host.process(log).log()))


class Watch:
    """`tdictl watch --json` in the background."""

    def __init__(self, host, name):
        self.host = host
        self.process = host.spawn(name, ["tdictl", "watch", "--json"])
        self.offset = 0
        self.process.wait_log('"initial": ?true}|^\\{"sequence"', timeout=20)

    def wait(self, name, state, timeout=60):
        """Until the device of this alias is in this state; gives the assignment."""
        pattern = rf'"name": ?"{name}".*"state": ?"{state}"'
        line, self.offset = self.process.wait_log(pattern, timeout, self.offset)
        return json.loads(line).get("assignment", json.loads(line))

    def states(self, name):
        """The states it went through, in order, each once in a row."""
        seen = []
        for line in self.process.log().split("\n")[:-1]:
            change = json.loads(line)
            assignment = change.get("assignment") or change
            if assignment.get("name") == name and assignment["state"] != (seen or [None])[-1]:
                seen.append(assignment["state"])
        return seen


def lab(keep=False):
    """`with lab() as host`: a thawed machine; Lab(host) is what tests use.

    Two saved machines, so that a change of the host's programs does not boot the TVMs anew: one
    with the agent and TVMs that run, and on top of it one with the host's programs.
    """
    tvms = ("tvms", install, [PROGRAMS["tdi-agent"], json.dumps([TSM_CONFIG, TDID_CONFIG]),
                              *sorted(TOOLS.iterdir()), pathlib.Path(__file__).resolve()])
    host_programs = [path for name, path in PROGRAMS.items() if name != "tdi-agent"]
    return Bed().prepared("lab", upgrade, inputs=host_programs, keep=keep, parent=tvms)
