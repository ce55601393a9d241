# SPDX-License-Identifier: LGPL-2.1-or-later
"""tdid-replay as a process, and calls over varlink."""
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time


class CallFailed(Exception):
    def __init__(self, text, error=None, parameters=None):
        super().__init__(text)
        self.error, self.parameters = error, parameters


def replies(path, method, parameters=None, seconds=10, more=False):
    """The parameters of each reply, over a connection of its own; CallFailed when there is none, or
    an error."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(seconds)
        body = {"method": method, "parameters": parameters or {}, **({"more": True} if more else {})}
        rest, continues = b"", True
        try:
            peer.connect(str(path))
            peer.sendall(json.dumps(body).encode() + b"\0")
            while continues:
                while b"\0" not in rest:
                    piece = peer.recv(65536)
                    if not piece:
                        raise CallFailed(f"{method}: end of connection")
                    rest += piece
                text, _, rest = rest.partition(b"\0")
                answer = json.loads(text)
                if answer.get("error"):
                    raise CallFailed(f"{method}: {answer['error']} {answer.get('parameters')}",
                                     answer["error"], answer.get("parameters"))
                continues = answer.get("continues")
                yield answer.get("parameters") or {}
        except OSError as error:
            raise CallFailed(f"{method}: {error}") from error


def call(path, method, parameters=None, seconds=10):
    return next(replies(path, method, parameters, seconds))


class Replay:
    """One run of tdid-replay. What it says comes in by a thread; an end by a signal is no error."""

    def __init__(self, program, folder, log, point=None, armed=False, trace=False):
        environment = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        if point:
            environment["TDID_SWEEP_POINT"] = point
        if armed:
            environment["TDID_SWEEP_ARMED"] = "1"
        if trace:
            environment["TDID_SWEEP_TRACE"] = "1"
        self.process = subprocess.Popen(
            [program, "--config", folder / "tdid.conf"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, env=environment)
        self.said = queue.Queue()
        self.state = {}
        self.points = []
        self.hit = None
        self.asked = []  # of libvirt
        self.ready = self.disarmed = self.ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.said.put(line.decode().rstrip("\n"))
        self.said.put(None)

    def _take(self, line):
        if line is None:
            self.ended = True
            self.process.wait()
            return
        word, _, rest = line.partition(" ")
        if word == "state":
            self.state = json.loads(rest)
        elif word == "point":
            self.points.append(rest)
        elif word == "hit":
            self.hit = rest
        elif word in ("attach", "detach"):
            self.asked.append((word, rest.split()[0]))
        elif word == "ready":
            self.ready = True
        elif word == "disarmed":
            self.disarmed = True

    def turn(self, deadline):
        """Takes what is said next, and all that has been said. False: nothing until the deadline."""
        try:
            self._take(self.said.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            return False
        while not self.said.empty():
            self._take(self.said.get())
        return True

    def tell(self, *lines):
        try:
            self.process.stdin.write("".join(line + "\n" for line in lines).encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told by its output

    def was_killed(self):
        return self.ended and self.process.returncode == -signal.SIGKILL

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def fds(self):
        """What it has open, by kind; timers are the event loop's own, one for each clock."""
        kinds = {}
        folder = f"/proc/{self.process.pid}/fd"
        for name in os.listdir(folder):
            try:
                kind = re.sub(r"^(pipe|socket):.*", r"\1", os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                continue
            if kind != "anon_inode:[timerfd]":
                kinds[kind] = kinds.get(kind, 0) + 1
        return kinds
