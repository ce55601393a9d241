# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running tdi-qe-emulated of a test's own."""
import contextlib
import functools
import json
import os
import pathlib
import socket
import subprocess
import tempfile

import sanitized

PROGRAM = sanitized.BUILD / "plugin/quote/emulated/tdi-qe-emulated"


class Qe:
    def __init__(self, folder, **config):
        self.folder = folder
        self.socket, self.control = f"{folder}/qgs", f"{folder}/control"
        self.key_file, self.root = folder / "platform-key", folder / "root.pem"
        self.config = folder / "qe.conf"
        self.config.write_text(json.dumps({
            "socket": self.socket, "control": self.control, "state": f"{folder}/state",
            "platform_key": str(self.key_file), **config}))
        self.process = None
        self.start()
        self.root.write_text(self.run("root").stdout)

    @property
    def key(self):
        return self.key_file.read_bytes()

    def run(self, *arguments, **options):
        return subprocess.run([PROGRAM, "--config", self.config, *arguments], check=True, text=True,
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=20, **options)

    def start(self, **options):
        """Comes back when it serves; `options` of Popen."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            path = self.folder / "notify"
            path.unlink(missing_ok=True)
            ready.bind(str(path))
            ready.settimeout(20)
            self.process = subprocess.Popen([PROGRAM, "--config", self.config],
                                            stdin=subprocess.DEVNULL,
                                            env=sanitized.environment(self.folder, path), **options)
            assert b"READY=1" in ready.recv(4096)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        sanitized.expect_none(self.folder)
        assert self.process.returncode == 0, self.process.returncode

    @contextlib.contextmanager
    def controlled(self):
        """call(method, parameters...) of io.tdid.QeEmulated, all over one connection."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.control)
            yield functools.partial(call, s)

    def call(self, method, **parameters):
        """One method of io.tdid.QeEmulated; the reply's parameters."""
        with self.controlled() as controlled:
            return controlled(method, **parameters)


def call(s, method, **parameters):
    s.sendall(json.dumps({"method": f"io.tdid.QeEmulated.{method}",
                          "parameters": parameters}).encode() + b"\0")
    data = b""
    while not data.endswith(b"\0"):
        piece = s.recv(65536)
        assert piece, "no answer"
        data += piece
    reply = json.loads(data[:-1])
    assert "error" not in reply, reply
    return reply.get("parameters", {})


@contextlib.contextmanager
def qe(**config):
    """With `config` besides what every test needs."""
    with tempfile.TemporaryDirectory(prefix="tdid-qe-") as folder:
        it = Qe(pathlib.Path(folder), **config)
        try:
            yield it
            it.stop()
        finally:
            if it.process.poll() is None:
                it.process.kill()
                it.process.wait()
