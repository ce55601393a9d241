# SPDX-License-Identifier: LGPL-2.1-or-later
"""One emulated machine: the QEMU process that is L1, from its start to its end.

A machine's life is a Python `with` block, and QEMU ends with the process that started it, whatever
way that ends. At most SLOTS machines run at a time; who comes later waits (the lock file is open in
QEMU, too).
"""
import fcntl
import re
import shutil
import signal
import socket
import subprocess
import time

from . import cache, channel, command, progress
from .qmp import Qmp, QmpError

SLOTS = 2
MEMORY = "3G"
APPEND = ("console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off intel_iommu=on "
          "apparmor=0 audit=0 nowatchdog random.trust_cpu=on cryptomgr.notests "
          "rcupdate.rcu_expedited=1 tsc=reliable no_timer_check")


def arguments(image, run, qmp_fd, append=APPEND):
    """QEMU's arguments: the same to save and to thaw, but for the run folder and the descriptor."""
    nics = []
    for n in (1, 2):
        nics += ["-device", f"pcie-root-port,id=rp{n},bus=pcie.0,chassis={n},slot={n},addr={3 + n}",
                 "-netdev", f"user,id=pf{n},restrict=on",
                 "-device", f"igb,id=igb{n},bus=rp{n},netdev=pf{n},mac=52:54:00:aa:00:0{n}"]
    return ["-name", "l1", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=1024",
            "-cpu", "max,la57=off", "-smp", "1", "-m", MEMORY,
            "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
            "-run-with", "exit-with-parent=on",
            "-device", "intel-iommu,intremap=on",
            "-kernel", f"{image}/vmlinux", "-initrd", f"{image}/initrd.img", "-append", append,
            "-serial", f"file:{run}/l1-console.log",
            "-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control",
            "-drive", f"file={run}/disk.qcow2,format=qcow2,if=none,id=root,cache=unsafe",
            "-device", "virtio-blk-pci,drive=root",
            "-netdev", "user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:0-:2222",
            "-device", "virtio-net-pci,netdev=control,mac=52:54:00:aa:00:00",
            *nics]


SIGNATURE = " ".join(arguments("IMAGE", "RUN", 0))


class Machine:
    def __init__(self, store, tree, image, backing, run, append=APPEND):
        """A new machine in folder `run` whose disk is a layer on `backing`; `start` starts it."""
        self.store = store
        self.tree = tree
        self.image = image
        self.run = run
        self.backing = backing
        self.append = append
        self.process = self.qmp = self.port = self._slot = None
        self.log = run / "qemu.log"
        self.console = run / "l1-console.log"

    def _take_slot(self):
        folder = self.store.folder / "locks"
        folder.mkdir(exist_ok=True)
        files = [open(folder / f"slot{n}", "a") for n in range(SLOTS)]
        said = False
        while not self._slot:
            for file in files:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._slot = file
                    break
                except BlockingIOError:
                    pass
            else:
                if not said:
                    progress.say(f"{SLOTS} machines run already: waiting for one to end")
                    said = True
                time.sleep(0.2)
        for file in files:
            if file is not self._slot:
                file.close()

    def start(self, state=None):
        """Boots, or loads the state file; returns when QEMU runs."""
        self._take_slot()
        kind = "raw" if self.backing.suffix == ".ext4" else "qcow2"
        command.run([*self.tree.program("qemu-img"), "create", "-q", "-f", "qcow2",
                     "-b", self.backing, "-F", kind, self.run / "disk.qcow2"], self.log, 30)
        ours, theirs = socket.socketpair()
        argv = [*self.tree.qemu(), *arguments(self.image, self.run, theirs.fileno(), self.append)]
        if state:
            argv += ["-incoming", "defer"]
        with theirs, open(self.log, "ab") as log:
            log.write(("+ " + " ".join(map(str, argv)) + "\n").encode())
            log.flush()
            # A session of its own: Ctrl-C reaches Python, which then ends QEMU in order.
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=[theirs.fileno(), self._slot.fileno()])
        (self.run / "pid").write_text(f"{self.process.pid}\n")
        try:
            self.qmp = Qmp(ours)
            self.port = self._control_port()
            (self.run / "port").write_text(f"{self.port}\n")
            if state:
                self.qmp.migration("migrate-incoming", f"file:{state}", 120)
                self.qmp.execute("cont")
                channel.ask(self.port, {"op": "clock", "now": time.time()}, 30)
        except (QmpError, channel.Disconnected) as error:
            raise self.failure(f"L1 did not start: {error}") from None

    def _control_port(self):
        """The port that QEMU chose for the agent: 0 in its arguments leaves no race over it."""
        for line in self.qmp.monitor("info usernet").splitlines():
            match = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+2222", line)
            if match:
                return int(match[1])
        raise QmpError("no forwarded port in `info usernet`")

    def wait_ready(self, timeout=180):
        """Until the agent of a booting machine says that it listens; returns its line."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.console.exists():
                match = re.search(r"L1-READY[^\r\n]*", self.console.read_text(errors="replace"))
                if match:
                    return match[0]
            # The console is a file on this machine: its growth has no event to wait for.
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise self.failure("L1 ended while it booted")
        raise self.failure(f"L1 did not boot in {timeout} s")

    def save(self, folder):
        """Saves the machine to FOLDER/{disk.qcow2,state} and ends it."""
        try:
            self.qmp.execute("stop")
            self.qmp.migration("migrate", f"file:{folder}/state", 300)
            self.qmp.execute("quit")
        except QmpError as error:
            raise self.failure(f"L1 could not be saved: {error}") from None
        self.process.wait(30)
        shutil.move(self.run / "disk.qcow2", folder / "disk.qcow2")

    def failure(self, message):
        log = self.console if command.tail(self.console, 1) else self.log
        code = self.process.poll() if self.process else None
        if code is not None:
            message += f" (QEMU's exit status {code})"
            log = self.log
        return command.BedError(message, log, f"all of this run is in {self.run}")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def ended(self):
        """After a lost connection: whether that is because QEMU ends, a moment ago or just now."""
        try:
            self.process.wait(1)
            return True
        except subprocess.TimeoutExpired:
            return False

    def stop(self):
        """Ends QEMU at once, if it runs. The disk layer goes with it."""
        if self.qmp:
            self.qmp.close()
        if self.process:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(3)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
        if self._slot:
            self._slot.close()
            self._slot = None
        for name in ("pid", "port", "disk.qcow2"):
            cache.remove(self.run / name)
