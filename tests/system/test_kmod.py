# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel module tsm-proxy on a stock kernel: connect and bind by sysfs and KVM, and their ends.

The TSM behind it is tools/proxy-tsm, the VMM in front of it tools/proxy-vmm.
"""
import contextlib
import json
import pathlib
import re
import time

from bedlib import Bed
from nvme import Responder, host_with_nvme

TSMS = ()
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(__file__).resolve().parent / "tools"
PF, VF, VF1, OTHER_PF = "0000:01:00.0", "0000:01:10.0", "0000:01:10.2", "0000:02:00.0"
DEVICES = "/sys/bus/pci/devices"
TVM = "6f1c2a9e-0b5d-4d4b-9a54-6d1f0b1d7c11"
RID = 0x200
DEADLINE = 2.0
SLACK = 1.5  # for what an emulated processor adds to a deadline
UNKNOWN = 0xffffffff


class Kmod:
    """The host with the module loaded, as a test sees it."""

    def __init__(self, host):
        self.host = host
        self.generation = 0
        self.tsm = None

    def load(self, capable="8086:10c9"):
        self.host.run(f"insmod /run/kmod/tsm-proxy.ko capable={capable} "
                      f"deadline_ms={int(DEADLINE * 1000)}")

    def rules(self, *lines):
        self.host.put("".join(line + "\n" for line in lines).encode(), "/run/kmod/rules")

    def start_tsm(self, *rules):
        self.rules(*rules)
        self.generation += 1
        self.tsm = self.host.spawn(f"tsm{self.generation}", ["/run/kmod/proxy-tsm", "/run/kmod/rules"])
        self.tsm.wait_log("^OPEN", timeout=20)
        return self.tsm

    def end_tsm(self, number=9):
        self.tsm.kill(number)
        self.tsm.wait(20)

    def attribute(self, function, name):
        """What a tsm attribute says; None if it is not there."""
        path = f"{DEVICES}/{function}/tsm/{name}"
        found = self.host.run(f"test ! -e {path} || cat {path}").out
        return found.strip() if found else None

    def write(self, function, name, text="tsm0", timeout=30):
        """Writes a tsm attribute; gives (None or the error's name, seconds)."""
        program = ("import errno,os,sys,time\nfd=os.open(sys.argv[1],os.O_WRONLY)\n"
                   "b=time.monotonic()\ntry:\n os.write(fd,sys.argv[2].encode());e=None\n"
                   "except OSError as x:\n e=errno.errorcode[x.errno]\n"
                   "print(e,time.monotonic()-b)")
        words = self.host.run(["python3", "-c", program, f"{DEVICES}/{function}/tsm/{name}", text],
                              timeout=timeout).out.split()
        return None if words[0] == "None" else words[0], float(words[1])

    def connect(self, function=PF):
        assert self.write(function, "connect")[0] is None

    def vmm(self, *arguments, timeout=30):
        return json.loads(self.host.run(["/run/kmod/proxy-vmm", *map(str, arguments)],
                                        timeout=timeout).out)

    def bind(self, function=VF, rid=RID, tvm=TVM):
        return self.vmm("bind", "l2", function, rid, tvm)

    def state(self, function=VF):
        return self.vmm("state", function)

    def is_bound(self, function=VF):
        """sysfs and STATE agree."""
        by_sysfs = self.attribute(function, "bound") or ""
        assert (by_sysfs != "") == ("bound" in self.state(function)["flags"])
        return by_sysfs != ""

    def size(self):
        return self.host.size(self.tsm.log_path)

    def log(self):
        """What the TSM was asked: [(op, function, {field: value})]."""
        entries = []
        for line in self.tsm.log().splitlines():
            words = line.split()
            if len(words) > 2 and "=" in words[2]:
                entries.append((words[0], words[1], dict(word.split("=", 1) for word in words[2:])))
        return entries

    def asked(self, op, function=None):
        return [fields for name, which, fields in self.log()
                if name == op and function in (None, which)]

    def vm_references(self):
        """Of the module that a living VM pins."""
        return int(self.host.run("cat /sys/module/kvm_amd/refcnt").out)

    def unload(self):
        self.host.run("rmmod tsm-proxy")
        assert self.host.run("ls /sys/class/tsm; ls -d /dev/tsm-proxy* 2>/dev/null",
                             check=False).out == ""


def check_kernel_log(host):
    text = host.run("dmesg").out
    bad = [line for line in text.splitlines()
           if re.search(r"BUG|WARNING|Oops|refcount|hung_task|blocked for more|Call Trace", line)]
    assert not bad, "\n".join(bad)


def prepare(host):
    """A TVM-to-be with VF 0 in it, by plain virsh."""
    l2 = host.domain("l2", marked=False)
    l2.start()
    l2.attach(0)


@contextlib.contextmanager
def kmod(with_vm=False, load=True):
    bed = Bed()
    modules = bed.module(REPOSITORY / "plugin" / "kmod")
    machine = bed.prepared("kmod", prepare) if with_vm else bed.thaw()
    with machine as host:
        for path in [*modules, TOOLS / "proxy-tsm", TOOLS / "proxy-vmm"]:
            host.put(path, "/run/kmod/")
        kmod = Kmod(host)
        if load:
            kmod.load()
        yield kmod
        check_kernel_log(host)


def test_kmod_connects_while_a_user_space_tsm_is_there_and_only_then():
    """tsm-proxy: connect by sysfs, VFs get their DSM; the TSM's end disconnects; unload is clean."""
    with kmod(load=False) as k:
        for bad in ("8086", "8086:10c9x", "0000:01:00.8", "0000:01:20.0", "g086:10c9"):
            assert k.host.run(f"insmod /run/kmod/tsm-proxy.ko capable={bad}", check=False).rc != 0
        assert k.host.run("insmod /run/kmod/tsm-proxy.ko deadline_ms=5", check=False).rc != 0

        k.load(capable=PF)
        assert k.attribute(PF, "connect") is None, "attributes without a TSM"
        assert k.state()["flags"] == [] and k.state(PF)["flags"] == ["capable"]
        k.start_tsm()
        assert k.attribute(PF, "connect") == "" and k.attribute(OTHER_PF, "connect") is None
        assert k.host.run(["/run/kmod/proxy-tsm", "/run/kmod/rules"], check=False).rc != 0
        assert k.host.run("rmmod tsm-proxy", check=False).rc != 0, "unloaded while in use"
        watch = k.host.spawn("watch", ["/run/kmod/proxy-vmm", "changes", "3"])
        watch.wait_log("watching", 10)
        k.connect()
        assert k.attribute(PF, "connect") == "tsm0"
        assert k.write(PF, "connect")[0] == "EBUSY"
        for vf in (VF, VF1):
            assert k.attribute(vf, "dsm") == PF and k.attribute(vf, "bound") == ""
            assert k.state(vf)["flags"] == ["tsm", "connected", "probed"]
            assert len(k.asked("PROBE", vf)) == 1
        assert k.write(PF, "disconnect")[0] is None
        assert k.attribute(PF, "connect") == "" and k.attribute(VF, "dsm") is None
        assert len(k.asked("CONNECT", PF)) == len(k.asked("DISCONNECT", PF)) == 1
        assert len(k.asked("REMOVE", VF)) == 1
        watch.wait(30)
        assert json.loads(watch.log().splitlines()[-1])["changes"] > 0

        k.connect()
        k.end_tsm()
        assert k.attribute(PF, "connect") is None and k.attribute(VF, "dsm") is None
        assert k.state(VF)["flags"] == []
        assert k.host.run("ls /sys/class/tsm").out == ""
        k.start_tsm()
        assert k.attribute(PF, "connect") == "", "the next TSM begins with nothing connected"
        k.connect()
        assert k.attribute(VF, "dsm") == PF
        k.end_tsm()
        k.unload()


def test_kmod_connect_that_fails_hangs_or_loses_its_tsm_stays_truthful():
    """tsm-proxy: a connect refused, too late, never read, killed, and a TSM that dies in it."""
    with kmod() as k:
        k.start_tsm("CONNECT refuse EACCES")
        assert k.write(PF, "connect")[0] == "EACCES" and k.attribute(PF, "connect") == ""

        k.rules("CONNECT silent")
        error, seconds = k.write(PF, "connect")
        assert error == "ETIMEDOUT" and DEADLINE <= seconds < DEADLINE + SLACK, (error, seconds)
        assert k.attribute(PF, "connect") == ""
        k.tsm.wait_log("^CANCEL", 10)
        assert k.asked("CANCEL")[-1]["target"] == k.asked("CONNECT")[-1]["id"]

        k.rules("CONNECT late 2600")
        assert k.write(PF, "connect")[0] == "ETIMEDOUT"
        k.tsm.wait_log("^TOO-LATE CONNECT ENOENT", 10)
        k.rules("PROBE refuse EPERM")
        k.connect()
        assert k.attribute(PF, "connect") == "tsm0"
        assert k.attribute(VF, "dsm") is None, "a function that the TSM does not serve"
        assert k.write(PF, "disconnect")[0] is None

        # A writer that is killed ends at once, and the TSM learns of it.
        k.rules("CONNECT silent")
        at = k.size()
        writer = k.host.spawn("writer", f"echo tsm0 >{DEVICES}/{PF}/tsm/connect")
        k.tsm.wait_log("^CONNECT", 10, offset=at)
        begin = time.monotonic()
        writer.kill(9)
        k.tsm.wait_log("^CANCEL", 10, offset=at)
        assert time.monotonic() - begin < DEADLINE / 2
        assert k.attribute(PF, "connect") == ""

        # A TSM that does not even read: nothing was done, and soon nobody waits for long.
        k.rules()
        k.connect()
        k.tsm.kill(19)
        error, seconds = k.write(OTHER_PF, "connect")
        assert error == "ETIME" and DEADLINE <= seconds < DEADLINE + SLACK, (error, seconds)
        error, seconds = k.write(PF, "disconnect")
        assert error is None and seconds < DEADLINE / 2, seconds
        assert k.attribute(PF, "connect") == ""
        at = k.size()
        k.tsm.kill(18)
        k.tsm.wait_log(f"^DISCONNECT {PF}", 10, offset=at)
        assert len(k.asked("CONNECT", OTHER_PF)) == 0
        k.connect()

        k.rules("CONNECT die")
        assert k.write(OTHER_PF, "connect")[0] == "ECONNRESET"
        k.tsm.wait(20)
        assert k.attribute(OTHER_PF, "connect") is None and k.attribute(PF, "connect") is None
        k.start_tsm("CONNECT hang")
        writer = k.host.spawn("writer2", f"echo tsm0 >{DEVICES}/{PF}/tsm/connect")
        k.tsm.wait_log("^CONNECT", 10)
        assert k.host.run("rmmod tsm-proxy", check=False).rc != 0, "unloaded with work in flight"
        begin = time.monotonic()
        k.end_tsm()
        assert writer.wait(10) != 0 and time.monotonic() - begin < DEADLINE / 2
        k.unload()


def test_kmod_binds_for_qemus_own_vm_and_the_drivers_end_unbinds():
    """tsm-proxy: bind with QEMU's KVM descriptor, guest request, TDISP state; detach unbinds."""
    with kmod(with_vm=True) as k:
        l2 = k.host.domain("l2", marked=False)
        assert k.vm_references() > 0
        assert k.bind()["error"] == "ENOTCONN"
        k.start_tsm("BIND state 1")
        assert k.bind()["error"] == "ENXIO"
        k.connect()
        assert k.bind(VF1)["error"] == "EACCES", "held by the host's driver"
        assert k.vmm("bind-fd", "/etc/passwd", VF, RID)["error"] == "EBADF"
        k.host.run("cp /etc/passwd /run/kmod/kvm-vm")
        assert k.vmm("bind-fd", "/run/kmod/kvm-vm", VF, RID)["error"] == "EXDEV"
        assert not k.asked("BIND"), "none of these was the TSM's to refuse"
        assert not k.is_bound()

        answer = k.bind()
        assert answer["error"] is None and answer["code"] == 7, answer
        assert k.is_bound() and k.attribute(VF, "bound") == "tsm0"
        asked = k.asked("BIND", VF)[-1]
        pid = k.host.run("cat /run/libvirt/qemu/l2.pid").out.strip()
        assert asked["tdi"] == hex(RID) and asked["flags"] == "0x5" and asked["pid"] == pid
        assert asked["tvm"] == TVM.replace("-", "")
        k.host.wait_for(lambda: k.state()["tdisp"] == 1, 10)
        state = k.state()
        assert state["tdi"] == RID and state["tvm"] == TVM.replace("-", "")
        assert state["pid"] == int(pid)
        assert k.bind()["error"] is None and len(k.asked("BIND")) == 1, "the same once more"
        assert k.bind(rid=0x300)["error"] == "EALREADY"

        assert k.vmm("request", VF, 0, "desserts")["reply"] == "stressed"
        long = k.vmm("request", VF, 1, "x" * 100000, 60000)
        assert len(long["reply"]) == 60000 and long["code"] == 7
        assert k.vmm("request", VF, 2, "debug")["error"] == "EINVAL"
        assert k.vmm("request", VF1, 0, "not bound")["error"] == "ENXIO"
        k.rules("GUEST_REQ refuse EPERM")
        assert k.vmm("request", VF, 0, "no")["error"] == "EPERM"

        assert k.vmm("unbind", VF)["confirmed"] is True and not k.is_bound()
        assert k.vmm("unbind", VF)["confirmed"] == "ENXIO"
        assert k.vmm("request", VF, 0, "late")["error"] == "ENXIO"
        assert k.bind()["error"] is None
        assert k.state()["tdisp"] == UNKNOWN, "what was said of an earlier binding is forgotten"
        at = k.size()
        l2.detach(0)
        k.tsm.wait_log(f"^UNBIND {VF}", 20, offset=at)
        assert not k.is_bound()
        k.host.wait_for(f"test $(basename $(readlink {DEVICES}/{VF}/driver)) = igbvf", 30)

        # Disconnect unbinds first; the binding does not keep a VM that is gone.
        l2.attach(0)
        assert k.bind()["error"] is None
        at = k.size()
        assert k.write(PF, "disconnect")[0] is None
        told = [line.split()[0] for line in k.tsm.log()[at:].splitlines()]
        assert told == ["UNBIND", "REMOVE", "REMOVE", "DISCONNECT", "REMOVE"], told
        assert k.attribute(VF, "bound") is None
        k.connect()
        assert k.bind()["error"] is None
        l2.destroy()
        k.host.wait_for(f"test $(basename $(readlink {DEVICES}/{VF}/driver)) = igbvf", 30)
        assert not k.is_bound()
        k.host.wait_for(lambda: k.vm_references() == 0, 20)
        k.end_tsm(15)
        k.unload()


def test_kmod_bind_that_hangs_or_loses_its_tsm_or_its_function_stays_truthful():
    """tsm-proxy: a bind refused, too late, killed, its TSM dead, its driver leaving; unbind too."""
    with kmod(with_vm=True) as k:
        assert k.vm_references() > 0
        k.start_tsm("BIND refuse EREMOTEIO")
        k.connect()
        assert k.bind()["error"] == "EREMOTEIO" and not k.is_bound()
        assert k.state()["flags"] == ["tsm", "connected", "probed"]

        k.rules("BIND silent")
        answer = k.bind()
        assert answer["error"] == "ETIMEDOUT" and DEADLINE <= answer["seconds"] < DEADLINE + SLACK
        k.tsm.wait_log("^CANCEL", 10)
        assert k.asked("CANCEL", VF)[-1]["target"] == k.asked("BIND")[-1]["id"]
        assert not k.is_bound()

        at = k.size()
        caller = k.host.spawn("caller", ["/run/kmod/proxy-vmm", "bind", "l2", VF, hex(RID), TVM])
        k.tsm.wait_log("^BIND", 20, offset=at)
        assert "binding" in k.state()["flags"]
        begin = time.monotonic()
        caller.kill(9)
        k.tsm.wait_log("^CANCEL", 10, offset=at)
        assert time.monotonic() - begin < DEADLINE / 2 and not k.is_bound()

        # What the kernel does, it does: an unbind that nobody confirms is an unbind.
        k.rules("UNBIND silent")
        assert k.bind()["error"] is None and k.is_bound()
        answer = k.vmm("unbind", VF)
        assert answer["error"] is None and answer["confirmed"] == "ETIMEDOUT", answer
        assert not k.is_bound()

        # The TSM dies while bound, in mid-bind, in a guest's request.
        k.rules("GUEST_REQ die")
        assert k.bind()["error"] is None
        assert k.vmm("request", VF, 0, "x")["error"] == "ECONNRESET"
        k.tsm.wait(20)
        assert k.attribute(VF, "bound") is None and k.state()["flags"] == []
        k.start_tsm("BIND die")
        k.connect()
        assert k.bind()["error"] == "ECONNRESET"
        k.tsm.wait(20)
        assert k.attribute(VF, "bound") is None
        k.start_tsm("BIND hang")
        k.connect()
        caller = k.host.spawn("caller2", ["/run/kmod/proxy-vmm", "bind", "l2", VF, hex(RID), TVM])
        k.tsm.wait_log("^BIND", 20)
        k.end_tsm()
        caller.wait(10)
        assert json.loads(caller.log())["error"] == "ECONNRESET"

        # The driver leaves in mid-bind: it does not wait for the TSM.
        k.start_tsm("BIND silent")
        k.connect()
        caller = k.host.spawn("caller3", ["/run/kmod/proxy-vmm", "bind", "l2", VF, hex(RID), TVM])
        k.tsm.wait_log("^BIND", 20)
        k.host.spawn("leave", f"echo {VF} >{DEVICES}/{VF}/driver/unbind")
        caller.wait(10)
        answer = json.loads(caller.log())
        assert answer["error"] == "ECANCELED" and answer["seconds"] < DEADLINE, answer
        k.tsm.wait_log("^CANCEL", 10)
        assert not k.is_bound()
        k.host.domain("l2").destroy()
        k.host.wait_for(lambda: k.vm_references() == 0, 20)
        k.end_tsm()
        k.unload()


def test_kmod_survives_sriov_disabled_and_pf_removed_under_a_binding():
    """tsm-proxy: SR-IOV off and the PF removed under a bound VF; the PF comes back capable."""
    with kmod(with_vm=True) as k:
        k.start_tsm()
        k.connect()
        assert k.bind()["error"] is None and k.is_bound()
        at = k.size()
        k.host.run(f"echo 0 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        k.tsm.wait_log(f"^UNBIND {VF}", 10, offset=at)
        k.tsm.wait_log(f"^REMOVE {VF}", 10, offset=at)
        assert k.attribute(PF, "connect") == "tsm0" and k.state(PF)["flags"][-1] == "probed"
        assert k.state(VF)["error"] == "ENODEV" and k.bind()["error"] == "ENODEV"

        # VFs that come after the connect are asked for, also of a TSM that does not answer.
        k.host.run(f"echo 2 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        assert k.attribute(VF, "dsm") == PF and k.attribute(VF1, "dsm") == PF
        k.host.run(f"echo 0 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        k.tsm.kill(19)
        begin = time.monotonic()
        k.host.run(f"echo 2 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        assert time.monotonic() - begin < 2 * DEADLINE + SLACK
        assert k.attribute(VF, "dsm") is None
        k.tsm.kill(18)

        at = k.size()
        k.host.run(f"echo 1 >{DEVICES}/{PF}/remove", timeout=60)
        k.tsm.wait_log(f"^DISCONNECT {PF}", 10, offset=at)
        k.tsm.wait_log(f"^REMOVE {PF}", 10, offset=at)
        k.host.run("echo 1 >/sys/bus/pci/rescan", timeout=60)
        assert k.attribute(PF, "connect") == "", "a function that appears later counts as well"
        k.connect()
        k.host.run(f"echo 1 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        assert k.attribute(VF, "dsm") == PF
        k.end_tsm()
        k.unload()


def test_kmod_carries_doe_exchanges_and_takes_a_vf_that_is_probed_twice():
    """tsm-proxy on an nvme: SPDM over its DOE mailbox for the TSM; VFs in the PF's own slot."""
    nvme, vfs = OTHER_PF, ("0000:02:00.1", "0000:02:00.2")
    responder = Responder()
    with host_with_nvme(responder.port) as host:
        k = Kmod(host)
        for path in [*Bed().module(REPOSITORY / "plugin" / "kmod"), TOOLS / "proxy-tsm"]:
            host.put(path, "/run/kmod/")
        host.put(TOOLS / "proxy-vmm", "/run/kmod/")
        host.run("modprobe -a kvm_amd nvme igb")
        k.load(capable=f"{nvme},8086:10c9")
        k.start_tsm("CONNECT doe 1 10840000")
        k.connect(nvme)
        line, _ = k.tsm.wait_log("^DOE", 10)
        assert line == "DOE " + Responder.VERSION.hex(), line
        assert responder.seen == [(1, 1, "10840000")], responder.seen
        for rule, outcome in (("doe 3 10840000", "EINVAL"), ("doe 1 " + "00" * 70000, "EMSGSIZE")):
            assert k.write(nvme, "disconnect")[0] is None
            k.rules("CONNECT " + rule)
            at = k.size()
            k.connect(nvme)
            assert k.tsm.wait_log("^DOE", 10, offset=at)[0] == "DOE " + outcome
        k.rules("CONNECT doe 1 10840000")
        at = k.size()
        k.connect(PF)
        assert k.tsm.wait_log("^DOE", 10, offset=at)[0] == "DOE ENOTSUP", "an igb has no mailbox"

        assert k.write(nvme, "disconnect")[0] is None
        host.run(f"echo 2 >{DEVICES}/{nvme}/sriov_numvfs")
        for _ in range(3):
            before = len(k.log())
            k.connect(nvme)
            assert k.write(nvme, "disconnect")[0] is None
            seen = [(op, function) for op, function, _ in k.log()[before:]]
            for vf in vfs:
                assert seen.count(("PROBE", vf)) == seen.count(("REMOVE", vf)) == 1, seen
        k.connect(nvme)
        assert [k.attribute(vf, "dsm") for vf in vfs] == [nvme, nvme]
        host.run(f"echo 0 >{DEVICES}/{nvme}/sriov_numvfs")
        host.run(f"echo 1 >{DEVICES}/{nvme}/remove")
        k.end_tsm()
        k.unload()
        check_kernel_log(host)


def test_kmod_forgets_vfs_that_a_disconnect_during_sriov_enable_misses():
    """tsm-proxy: a disconnect that falls between two VFs being made leaves no context behind."""
    with kmod() as k:
        k.start_tsm()
        k.host.run(f"echo 0 >{DEVICES}/{PF}/sriov_numvfs", timeout=60)
        k.connect()
        # The kernel counts VFs, and so finds them, only when the last is made.
        k.rules("PROBE late 1000")
        at = k.size()
        enable = k.host.spawn("enable", f"echo 2 >{DEVICES}/{PF}/sriov_numvfs")
        k.tsm.wait_log(f"^PROBE {VF}", 20, offset=at)
        assert k.write(PF, "disconnect")[0] is None
        assert enable.wait(30) == 0
        assert len(k.asked("REMOVE", VF)) == 1 and "probed" not in k.state(VF)["flags"]
        assert len(k.asked("PROBE", VF1)) == 0, "the disconnect came too late for what is to be shown"
        k.rules()
        k.connect()
        assert k.attribute(VF, "dsm") == PF
        k.end_tsm()
        k.unload()
