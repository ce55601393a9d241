# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running tdi-quoted of a test's own, and processes that stand for QEMU before it."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import sanitized

BUILD = pathlib.Path(os.environ.get("TDID_BUILD") or
                     pathlib.Path(__file__).resolve().parents[2] / "build" / "programs")
PROGRAM = sanitized.BUILD / "plugin/quote/tdi-quoted"
TDICTL = BUILD / "plugin/cli/tdictl"
HERE = pathlib.Path(__file__).resolve().parent
# A host may be without: a test that asks from a second address does not do that part then.
HAS_IPV6 = socket.has_ipv6 and pathlib.Path("/proc/net/if_inet6").exists()


def free_address(host):
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host
                              else socket.AF_INET) as free:
        return free.getsockname()[:2]


def uuid(n):
    return f"11111111-2222-4333-8444-{n:012d}"


def start_time(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


class Refused(Exception):
    pass


class Relay:
    def __init__(self, folder, upstreams, **config):
        self.folder = folder
        self.control = f"{folder}/io.tdid.Quote"
        self.sockets = folder / "run/tdid"  # as they have to be called
        self.sockets.mkdir(parents=True)
        self.tcp, self.tcp6 = free_address("127.0.0.1"), HAS_IPV6 and free_address("::1")
        self.config = folder / "quoted.conf"
        self.config.write_text(json.dumps({
            "sockets": str(self.sockets), "control": self.control, "records": f"{folder}/records",
            "upstreams": upstreams, "listen": [f"tcp:127.0.0.1:{self.tcp[1]}",
                                              *([f"tcp:[::1]:{self.tcp6[1]}"] if HAS_IPV6 else [])],
            "rate_per_second": 100000, "burst": 100000, **config}))
        self.log = folder / "quoted.log"
        self.process = self.connection = None
        self.start()

    def start(self, **options):
        """Comes back when it serves."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, \
                open(self.log, "ab") as log:
            path = self.folder / "quoted-notify"
            path.unlink(missing_ok=True)
            ready.bind(str(path))
            ready.settimeout(20)
            self.process = subprocess.Popen([PROGRAM, "--config", self.config], stderr=log,
                                            stdin=subprocess.DEVNULL,
                                            env=sanitized.environment(self.folder, path), **options)
            assert b"READY=1" in ready.recv(4096)

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def stop(self):
        self.hang_up()
        self.process.terminate()
        self.process.wait(20)
        sanitized.expect_none(self.folder)
        assert self.process.returncode == 0, self.process.returncode

    def kill(self):
        self.hang_up()
        self.process.kill()
        self.process.wait()
        sanitized.expect_none(self.folder)

    def said(self):
        return self.log.read_text(errors="replace")

    def audited(self, who, outcome):
        """The log's lines about requests of that domain, or peer, that ended so."""
        begin = re.compile(fr".*quote: {re.escape(who)}( [-0-9a-f]{{36}})? {outcome}\b")
        return [line for line in self.said().splitlines() if begin.match(line)]

    def call(self, method, **parameters):
        """One method of io.tdid.Quote; the reply's parameters. All go over one connection."""
        if not self.connection:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.settimeout(20)
            self.connection.connect(self.control)
        self.connection.sendall(json.dumps({"method": f"io.tdid.Quote.{method}",
                                            "parameters": parameters}).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            piece = self.connection.recv(1 << 20)
            assert piece, "no answer"
            data += piece
        reply = json.loads(data[:-1])
        if "error" in reply:
            raise Refused(f"{reply['error']}: {reply['parameters']}")
        return reply.get("parameters", {})

    def socket_of(self, n):
        return f"{self.sockets}/{uuid(n)}.sock"

    def prepare(self, n):
        """As tdid does when libvirt's hook tells of a start."""
        self.call("Prepare", domain=uuid(n), name=f"tvm{n}", socket=self.socket_of(n))
        return self.socket_of(n)

    def started(self, n, pid=None, **more):
        pid = pid or os.getpid()
        self.call("Started", domain=uuid(n), name=f"tvm{n}", qemu_pid=pid,
                  qemu_start_time=start_time(pid), **more)

    def tvm(self, n):
        """A domain whose QEMU is this very process."""
        self.prepare(n)
        self.started(n)
        return self.socket_of(n)

    def tdictl(self, *arguments):
        """What it prints, asked of this one."""
        return subprocess.run([TDICTL, *arguments, "--socket", self.control], check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=20).stdout

    def asker(self, name):
        return next(a for a in self.call("List")["askers"] if a["name"] == name)

    def upstream(self, n):
        return self.call("List")["upstreams"][n]

    def wait(self, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.said()[-4000:]
            time.sleep(0.01)

    def descriptors(self):
        """How many it has, our own connection among them."""
        self.call("List")
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextlib.contextmanager
def relay(upstreams, **config):
    with tempfile.TemporaryDirectory(prefix="tdid-quoted-") as folder:
        it = Relay(pathlib.Path(folder), upstreams, **config)
        try:
            yield it
            it.stop()
        except BaseException:
            sys.stderr.write(it.said()[-6000:])
            raise
        finally:
            if it.process.poll() is None:
                it.kill()


class Qemu:
    """Another process: a line with a socket's path makes it ask there, as often as it says."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, HERE / "fake_qemu.py"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def pid(self):
        return self.process.pid

    def begin(self, path, report):
        self.process.stdin.write(f"{path} {report.hex()}\n")
        self.process.stdin.flush()

    def end(self):
        """The answer: bytes, or the words of what went wrong."""
        word, rest = self.process.stdout.readline().strip("\n").split(" ", 1)
        return bytes.fromhex(rest) if word == "ok" else rest

    def ask(self, path, report):
        self.begin(path, report)
        return self.end()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextlib.contextmanager
def qemu():
    it = Qemu()
    try:
        yield it
    finally:
        it.kill()
