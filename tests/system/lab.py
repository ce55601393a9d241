# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine in which the end-to-end tests begin: tdid, a TSM and two TVMs are running.

tvm0's agent has the policy that fits the emulated devices; tvm1's expects another firmware.

$TDID_TSM says which way tdid reaches the TSM:
    emulated   straight, over the emulated TSM's socket
    linux      tdi-tsm-linux -> the kernel's PCI/TSM -> tsm-proxy -> the emulated TSM
"""
import hashlib
import inspect
import json
import os
import pathlib
import re

from bedlib import Bed
from bedlib.bed import BUILD, REPOSITORY

TSM = os.environ.get("TDID_TSM") or "emulated"
TSMS = ("emulated", "linux")
BUILT = pathlib.Path(os.environ.get("TDID_BUILD") or BUILD / "programs")
PROGRAMS = {
    "tdid": BUILT / "plugin/daemon/tdid",
    "tdictl": BUILT / "plugin/cli/tdictl",
    "tdi-hook": BUILT / "hooks/tdi-hook",
    "tdi-tsm-emulated": BUILT / "plugin/tsm/emulated/tdi-tsm-emulated",
    "tdi-qe-emulated": BUILT / "plugin/quote/emulated/tdi-qe-emulated",
    "tdi-quoted": BUILT / "plugin/quote/tdi-quoted",
    "tdi-tsm-linux": BUILT / "plugin/tsm/linux/tdi-tsm-linux",
    "tdi-agent": BUILT / "plugin/agent/tdi-agent",
}
HOST_PROGRAMS = {name: path for name, path in PROGRAMS.items() if name != "tdi-agent"}
LIBEXEC = "/usr/libexec/tdid"
PF, OTHER_PF = "0000:01:00.0", "0000:02:00.0"
SOCKETS = {name: f"/run/tdid-tsm/{name}" for name in TSMS}
TSM_SOCKET = SOCKETS[TSM]  # of the provider that tdid calls
PLATFORM_KEY = "/var/lib/tdid-emulated-platform/key"
TITLE = {"emulated": "emulated (no protection)", "linux": "linux (emulated, no protection)"}[TSM]
EMULATED_CONFIG = {
    "socket": SOCKETS["emulated"],
    "state": "/var/lib/tdi-tsm-emulated",
    "keys": "/run/tdi-tsm-emulated",
    "platform_key": PLATFORM_KEY,
    "allow_uids": [0, 990],
    "faults": True,
    "devices": [{"device": PF, "tee_io": True}, {"device": OTHER_PF, "tee_io": True}],
    "latencies": {"connect": 50, "bind": 10},
}
LINUX_CONFIG = {
    "socket": SOCKETS["linux"],
    "allow_uids": [0, 990],
    "companion": {"socket": SOCKETS["emulated"], "uid": 0},
}
MODULE = {"capable": "8086:10c9", "deadline_ms": 10000}
TDID_CONFIG = {
    "idle_grace_ms": 8000,
    "guest_timeout_ms": 60000,
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


def tdid_config(tsm=TSM, **more):
    return {**TDID_CONFIG, "tsms": [{"name": tsm, "socket": SOCKETS[tsm], "uid": 0}], **more}


def put_json(host, value, path):
    host.put(json.dumps(value).encode(), path)


def configure(host, tsm=TSM):
    """Programs and configuration: all that an administrator would install."""
    host.run("getent passwd tdid >/dev/null || useradd -r -u 990 -G libvirt tdid; "
             "mkdir -p /etc/tdid /var/lib/tdi-tsm-emulated /run/tdid-tsm; "
             "install -d -o tdid -g tdid /run/tdid")
    host.put(TOOLS, LIBEXEC)
    for name, path in HOST_PROGRAMS.items():
        host.put(path, installed(name), mode=0o755)
    behind = {"proxy": "/dev/tsm-proxy"} if tsm == "linux" else {}
    put_json(host, {**EMULATED_CONFIG, **behind}, "/etc/tdid/tsm-emulated.conf")
    put_json(host, LINUX_CONFIG, "/etc/tdid/tsm-linux.conf")
    put_json(host, tdid_config(tsm), "/etc/tdid/tdid.conf")


# Where the emulated functions have their MSI-X tables.
SHARED = {"igb": [{"bar": 3, "offset": 0, "size": 16384}],
          "nvme": [{"bar": 0, "offset": 8192, "size": 8192}]}


def policy(host, spoil=False, device=PF, kind="igb", libexec=LIBEXEC, **more):
    """An agent policy from what the device's vendor publishes; spoiled: for another firmware."""
    published = json.loads(host.run([f"{libexec}/tdi-tsm-emulated", "--config",
                                     "/etc/tdid/tsm-emulated.conf", "reference", device]).out)
    if spoil:
        for measurement in published["devices"][0]["measurements"]:
            if measurement["index"] == 2:
                measurement["digest"] = "0" * 96
    return json.dumps({"version": 1, "allow_emulated": True, **published,
                       "allow_shared_ranges": SHARED[kind],
                       "unverified": ["virtio"], **more})


def module():
    """The tsm-proxy kernel module's file, built if need be."""
    return Bed().module(REPOSITORY / "plugin" / "kmod")[0]


def load_module(host, **parameters):
    host.put(module(), f"{LIBEXEC}/tsm-proxy.ko")
    host.run(["insmod", f"{LIBEXEC}/tsm-proxy.ko",
              *(f"{name}={value}" for name, value in {**MODULE, **parameters}.items())])


def start_emulated(host, name="tsm"):
    process = host.spawn(name, [f"{LIBEXEC}/tdi-tsm-emulated", "--config",
                                "/etc/tdid/tsm-emulated.conf"])
    host.wait_for(f"test -S {SOCKETS['emulated']}", timeout=20)
    return process


def start_linux(host, name="tsm-linux"):
    """With no more power than plugin/tsm/linux/units gives it."""
    process = host.spawn(name, ["unshare", "--net", "setpriv", "--no-new-privs", "--inh-caps=-all",
                                "--bounding-set=-all,+sys_ptrace,+dac_read_search",
                                f"{LIBEXEC}/tdi-tsm-linux", "--config", "/etc/tdid/tsm-linux.conf"])
    host.wait_for(f"test -S {SOCKETS['linux']}", timeout=20)
    return process


def start_tsm(host, tsm=TSM):
    """The TSM and the provider that tdid calls."""
    if tsm == "linux":
        if host.run("test -e /dev/tsm-proxy", check=False).rc:
            load_module(host)
    start_emulated(host)
    if tsm == "linux":
        start_linux(host)


def fault(host, method, **parameters):
    """Makes the emulated TSM, or a device of it, fail: plugin/tsm/emulated/io.tdid.TsmEmulated."""
    host.run([f"{LIBEXEC}/varlink-call", SOCKETS["emulated"], f"io.tdid.TsmEmulated.{method}",
              json.dumps(parameters)])


def stop(host, *names):
    for name in names:
        host.process(name).kill()
    for name in names:
        host.process(name).wait(20)


def start_tdid(host, name="tdid"):
    process = host.spawn(name, ["setpriv", "--reuid=tdid", "--regid=tdid", "--init-groups",
                                f"{LIBEXEC}/tdid", "--debug"])
    process.wait_log("libvirt: connected", timeout=30)
    process.wait_log("tsm .* ready", timeout=30)
    return process


def start_tdid_with_deadline(host, milliseconds):
    """In place of the one that runs; verbs have so long from here on."""
    host.run(f"sed -i 's/{{/{{\"operation_deadline_ms\": {milliseconds}, /' /etc/tdid/tdid.conf")
    host.process("tdid").kill()
    host.process("tdid").wait(20)
    return start_tdid(host, "tdid2")


def tvm(host, name, files=None, confined=False, devices="", append="", key=None, **expected):
    """A domain with an agent, and more files, devices and kernel parameters; see policy()."""
    return host.domain(name, confined=confined, devices=devices, append=append, key=key,
                       files={"/usr/sbin/tdi-agent": PROGRAMS["tdi-agent"],
                              "/etc/tdi-agent/policy.json": policy(host, **expected),
                              "/etc/bed/start.d/agent": AGENT,
                              "/etc/bed/start.d/account": ACCOUNT, **(files or {})})


def wait_agents(host):
    for name in ("tvm0", "tvm1"):
        host.process("tdid").wait_log(f"{name}: .*hello", timeout=60)


def install(host):
    configure(host, "emulated")
    start_tsm(host, "emulated")
    start_tdid(host)
    domains = [tvm(host, "tvm0"), tvm(host, "tvm1", spoil=True)]
    for domain in domains:
        domain.start(wait=False)
    for domain in domains:
        domain.wait_ready()
    wait_agents(host)


def upgrade(host):
    """The host's programs as they are now, under TVMs that keep running."""
    stop(host, "tdid", "tsm")
    configure(host, "emulated")
    start_tsm(host, "emulated")
    start_tdid(host)
    wait_agents(host)


def behind_kernel(host):
    """The emulated TSM moves behind the kernel, under TVMs that keep running."""
    stop(host, "tdid", "tsm")
    configure(host, "linux")
    start_tsm(host, "linux")
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

    def wait_mark(self, name, mark, timeout=30):
        """Until its timeline has this mark; gives the assignment."""
        def shown():
            assignment = self.show(name)
            return assignment if mark in [m["name"] for m in assignment["timeline"]] else None

        return self.host.wait_for(shown, timeout)

    def wait_driver(self, name):
        """Until the guest has said that its driver is bound; gives the assignment."""
        return self.wait_mark(name, "guest: driver bound")

    def start_again(self, domain, timeout=120):
        """`virsh start` of one of these TVMs, as it is defined, until its guest is ready."""
        at = domain.console_size()
        self.host.run(["virsh", "start", domain.name], timeout=timeout)
        domain.wait_console("^L2-READY", timeout, at)

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


def sources(*functions):
    return [inspect.getsource(function) for function in functions]


def lab(keep=False, tsm=TSM):
    """`with lab() as host`: a thawed machine; Lab(host) is what tests use.

    Saved machines on top of each other, so that a change of the host's programs does not boot the
    TVMs anew: "tvms" with the agent and TVMs that run, "lab" with the host's programs of today,
    "lab-linux" with the TSM behind the kernel.
    """
    configs = json.dumps([EMULATED_CONFIG, LINUX_CONFIG, TDID_CONFIG, SOCKETS])
    shared = sources(configure, start_tsm, start_emulated, start_tdid, wait_agents)
    tvms = ("tvms", install, [PROGRAMS["tdi-agent"], *sources(policy, tvm), AGENT, ACCOUNT])
    host_programs = ("lab", upgrade, [*HOST_PROGRAMS.values(), *sorted(TOOLS.iterdir()), configs,
                                      *shared], tvms)
    if tsm == "emulated":
        return Bed().prepared(*host_programs[:3], keep=keep, parent=tvms)
    return Bed().prepared("lab-linux", behind_kernel,
                          inputs=[module(), json.dumps(MODULE), *shared, *sources(start_linux)],
                          keep=keep, parent=host_programs)
