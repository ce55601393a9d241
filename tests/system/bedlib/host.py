# SPDX-License-Identifier: LGPL-2.1-or-later
"""L1 as a test sees it: run programs, move files, wait for things, take logs home."""
import io
import json
import os
import pathlib
import queue
import shlex
import signal
import sys
import tarfile
import threading
import time

from . import cache, channel, command, progress
from .domain import Domain

# Brought home when a run fails or when asked.
LOGS = ["/var/log/bed", "/var/log/libvirt", "/run/bed"]
GATHER = """exec 2>&1
dmesg >/var/log/bed/l1-dmesg.log; ps axfo pid,ppid,user,stat,etime,args >/var/log/bed/l1-ps.log
[ ! -d /run/systemd/system ] || journalctl -b >/var/log/bed/l1-journal.log
for d in $(timeout 10 virsh list --all --name); do
	timeout 10 virsh domstate --reason $d
	timeout 10 virsh dumpxml $d
done >/var/log/bed/l1-domains.log
"""


class TimedOut(Exception):
    """A deadline of the test passed."""


class CommandFailed(Exception):
    """A command in L1 ended with something else than 0."""

    def __init__(self, argv, result):
        text = "\n".join("  | " + line for line in
                         (result.out + result.err).rstrip("\n").split("\n")[-20:])
        super().__init__(f"{shell_line(argv)}: exit status {result.rc}\n{text}")
        self.result = result


class Result:
    """How a command ended: `rc`, `signal` (or None), `out` and `err` (text), `seconds`."""

    def __init__(self, answer, out, err, seconds):
        self.rc = answer["rc"]
        self.signal = answer.get("signal")
        self.raw = bytes(out)
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")
        self.seconds = seconds

    def __repr__(self):
        return f"Result(rc={self.rc}, out={self.out!r}, err={self.err!r})"


class Process:
    """A background program in L1, by the name it was spawned under; survives freeze and thaw."""

    def __init__(self, host, name, log):
        self.host = host
        self.name = name
        self.log_path = log

    def wait(self, timeout):
        """Its exit status; TimedOut if it still runs after `timeout` seconds."""
        answer = self.host.ask("wait", timeout, name=self.name, timeout=timeout)
        if answer.get("running"):
            raise TimedOut(f"{self.name} (pid {answer['pid']}) still runs after {timeout} s")
        return answer["rc"]

    @property
    def pid(self):
        return self.host.ask("wait", 10, name=self.name, timeout=0)["pid"]

    def running(self):
        return bool(self.host.ask("wait", 10, name=self.name, timeout=0).get("running"))

    def kill(self, number=signal.SIGTERM):
        """Signals its process group, if it still runs."""
        self.host.ask("kill", 10, name=self.name, signal=int(number))

    def log(self):
        return self.host.read(self.log_path)

    def wait_log(self, pattern, timeout, offset=0):
        """See Host.wait_line."""
        return self.host.wait_line(self.log_path, pattern, timeout, offset)


class Host:
    def __init__(self, machine, keep=False):
        self.machine = machine
        self.notes = {}  # goes with the machine when it is saved; JSON values
        self.keep = keep
        self.folder = machine.run
        self.logs = list(LOGS)

    # --- programs

    def ask(self, op, deadline, **request):
        answer = self._guard(channel.ask, self.machine.port, {"op": op, **request}, deadline)
        if "error" in answer:
            raise command.BedError(f"L1's agent: {op}: {answer['error']}")
        return answer

    def _guard(self, function, *arguments):
        try:
            return function(*arguments)
        except channel.Disconnected as error:
            if self.machine.ended():
                raise self.machine.failure("L1 is gone") from None
            raise self.machine.failure(str(error)) from None

    def run(self, argv, timeout=60, check=True, input=b"", env=None, cwd=None, stream=None):
        """Runs a shell line (a string, by bash) or a program (a list) in L1 and waits for its end.

        `input`: bytes, text, or a callable that gives chunks and b"" at the end. `stream`: called
        with each piece of output (bytes) as it comes; `Host.echo` prints it. Anything but exit
        status 0 raises CommandFailed unless `check` is False; the deadline raises TimedOut.
        """
        words = ["/bin/bash", "-c", argv] if isinstance(argv, str) else [str(a) for a in argv]
        if isinstance(input, str):
            input = input.encode()
        source = input if callable(input) else _chunks(input)
        begin = time.monotonic()
        out, err = bytearray(), bytearray()

        def talk():
            request = {"op": "run", "argv": words, "timeout": timeout, "env": env or {}, "cwd": cwd}
            with channel.Channel(self.machine.port, request, timeout) as connection:
                for kind, payload in connection.frames(source):
                    if kind == b"X":
                        return json.loads(payload)
                    (out if kind == b"O" else err).extend(payload)
                    if stream:
                        stream(payload)

        answer = self._guard(talk)
        if "error" in answer:
            raise command.BedError(f"L1: {shell_line(argv)}: {answer['error']}")
        result = Result(answer, out, err, time.monotonic() - begin)
        if answer["expired"]:
            text = (result.out + result.err).rstrip("\n").split("\n")[-10:]
            raise TimedOut(f"{shell_line(argv)}: still running after {timeout} s, killed\n"
                           + "\n".join("  | " + line for line in text))
        if check and result.rc:
            raise CommandFailed(argv, result)
        return result

    @staticmethod
    def echo(data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def spawn(self, name, argv, env=None, cwd=None):
        """Starts a shell line or a program in the background; output in /var/log/bed/NAME.log."""
        words = ["/bin/bash", "-c", argv] if isinstance(argv, str) else [str(a) for a in argv]
        log = f"/var/log/bed/{name}.log"
        self.ask("spawn", 30, name=name, argv=words, env=env or {}, cwd=cwd, log=log)
        return Process(self, name, log)

    def process(self, name):
        """The handle of a program spawned earlier, also before a freeze."""
        return Process(self, name, f"/var/log/bed/{name}.log")

    # --- waiting

    def wait_for(self, what, timeout, every=0.25):
        """Until a shell line succeeds in L1, or a callable gives something true; gives it back."""
        deadline = time.monotonic() + timeout
        while True:
            if callable(what):
                last = what()
                if last:
                    return last
            else:
                last = self.run(what, timeout=max(1, deadline - time.monotonic()), check=False)
                if last.rc == 0:
                    return last
            if time.monotonic() >= deadline:
                name = getattr(what, "__name__", what)
                raise TimedOut(f"{name}: not so after {timeout} s; last: {last!r}")
            time.sleep(every)

    def wait_line(self, path, pattern, timeout, offset=0):
        """The first line of a file in L1 that matches, from a byte offset on.

        Waits for it by inotify; the file may appear later. Gives (line, offset behind it): pass
        the offset on to see only what comes after.
        """
        answer = self.ask("match", timeout, path=str(path), pattern=pattern, timeout=timeout,
                          offset=offset)
        if answer.get("expired"):
            last = self.run(["tail", "-n", "15", path], check=False).out
            raise TimedOut(f"{path}: no line matches {pattern!r} after {timeout} s; it ends with\n"
                           + "\n".join("  | " + line[:160] + (" ... " + line[-160:] if len(line) > 320 else "")
                                       for line in last.rstrip("\n").split("\n")))
        return answer["line"], answer["offset"]

    def size(self, path):
        """Bytes in a file of L1, 0 if there is none: an offset to begin to wait at."""
        return int(self.run(["sh", "-c", 'stat -c %s "$1" 2>/dev/null || echo 0', "sh", path]).out)

    # --- files

    def put(self, source, target, mode=None, timeout=120):
        """Copies a file or a folder's content into L1.

        A target that ends in "/" is a folder (made if need be); otherwise it is the file's own new
        name, or for a folder the folder's. `source` may be bytes: a file's content.
        """
        target = str(target)
        if isinstance(source, bytes):
            folder, name = os.path.split(target)
            entries = [(name, None)]
        else:
            source = pathlib.Path(source)
            if source.is_dir():
                folder, entries = target, [(".", source)]
            elif target.endswith("/"):
                folder, entries = target, [(source.name, source)]
            else:
                folder, name = os.path.split(target)
                entries = [(name, source)]

        def owner(info):
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            if mode is not None and info.isfile():
                info.mode = mode
            return info

        pipe = _Pipe()

        def write():
            try:
                with tarfile.open(fileobj=pipe, mode="w|", bufsize=tarfile.RECORDSIZE) as tar:
                    for name, path in entries:
                        if path is None:
                            info = tarfile.TarInfo(name)
                            info.size, info.mode = len(source), mode or 0o644
                            info.mtime = time.time()
                            tar.addfile(owner(info), io.BytesIO(source))
                        else:
                            tar.add(path, name, filter=owner)
                pipe.end()
            except BaseException as error:
                pipe.end(error)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        # Unlinks first: a program that runs from the old file keeps it.
        self.run(["sh", "-c", 'mkdir -p "$1" && tar -x --unlink-first -C "$1"', "sh", folder or "/"],
                 timeout=timeout, input=pipe.read)
        writer.join()

    def get(self, path, target, timeout=120):
        """Copies a file or folder of L1 (with its name) into the folder `target` here."""
        folder, name = os.path.split(str(path).rstrip("/"))
        target = pathlib.Path(target)
        target.mkdir(parents=True, exist_ok=True)
        argv = ["tar", "-c", "-C", folder or "/", "--", name]
        result = self.run(argv, timeout=timeout, check=False)
        if result.rc > 1:  # 1: a file changed while it was read, as logs do
            raise CommandFailed(argv, Result({"rc": result.rc}, b"", result.err.encode(), 0))
        with tarfile.open(fileobj=io.BytesIO(result.raw)) as tar:
            tar.extractall(target, filter="data") if hasattr(tarfile, "data_filter") else \
                tar.extractall(target)
        return target / name

    def read(self, path, timeout=30):
        """A file of L1 as text."""
        return self.run(["cat", "--", path], timeout=timeout).out

    # --- domains

    def domain(self, name="l2", **options):
        """See domain.Domain."""
        return Domain(self, name, **options)

    def guest_console(self, name="l2"):
        """What the domain's serial console has shown so far."""
        return self.domain(name).console()

    # --- the whole machine

    def suspend_domains(self):
        """Suspends what runs: a vCPU saved inside nested guest code does not load again."""
        lines = self.run("for d in $(virsh list --state-running --name); do virsh suspend $d "
                         ">/dev/null && echo $d; done", timeout=120).out
        return lines.split()

    def resume_domains(self, names):
        if names:
            self.run(" && ".join(f"virsh resume {shlex.quote(name)}" for name in names),
                     timeout=120)

    def collect(self, target=None):
        """Logs, consoles, dmesg and core files of L1 into `target` (default: the run folder)."""
        target = pathlib.Path(target or self.folder / "l1")
        target.mkdir(parents=True, exist_ok=True)
        try:
            self.run(GATHER, timeout=60, check=False)
            result = self.run(["tar", "-c", "--ignore-failed-read", "--warning=none", "-C", "/",
                               *(path.lstrip("/") for path in self.logs)],
                              timeout=120, check=False)
            with tarfile.open(fileobj=io.BytesIO(result.raw)) as tar:
                for member in tar:
                    if member.isfile() or member.isdir():
                        member.mode |= 0o600
                        tar.extract(member, target)
        except Exception as error:  # the test's own failure is what must be seen
            progress.say(f"logs of L1 are not complete: {type(error).__name__}: {error}")
        return target

    def close(self):
        self.machine.stop()

    def __enter__(self):
        return self

    def _say_if_kvm_failed(self):
        """A fault that is known to be the bed's own."""
        for log in self.folder.glob("l1/var/log/libvirt/qemu/*.log"):
            if "KVM internal error" in log.read_text(errors="replace"):
                progress.say(f"bed's own fault: KVM internal error in {log.stem}")

    def __exit__(self, kind, error, _):
        try:
            if kind and issubclass(kind, Exception):
                if self.machine.running():
                    self.collect()
                    self._say_if_kvm_failed()
                progress.say(f"failed; consoles and logs: {self.folder}")
            elif not kind and self.keep and self.machine.running():
                self.collect()
        finally:
            self.machine.stop()
            if not kind and not self.keep:
                cache.remove(self.folder)


class _Pipe:
    """A bounded pipe between tarfile's writer thread and the channel."""

    def __init__(self):
        self._queue = queue.Queue(maxsize=64)
        self._done = False

    def write(self, data):
        self._queue.put(bytes(data))
        return len(data)

    def end(self, error=None):
        self._queue.put(error or b"")

    def read(self):
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item


def _chunks(data):
    pieces = iter([data[i:i + 65536] for i in range(0, len(data), 65536)])
    return lambda: next(pieces, b"")


def shell_line(argv):
    line = argv if isinstance(argv, str) else shlex.join(str(a) for a in argv)
    return line if len(line) <= 200 else line[:200] + "..."
