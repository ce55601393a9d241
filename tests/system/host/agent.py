# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bed's way into L1: runs programs for whoever connects to TCP port 2222.

One connection, one request. Frames both ways: type (1 byte), length (4 bytes, big-endian), payload.
  to the agent    R  the request, JSON
                  I  standard input; an empty one is its end
                  W  JSON [rows, columns]: new size of the terminal
  from the agent  O  standard output          E  standard error
                  X  the result, JSON; the connection ends with it
Requests: run, spawn, wait, kill, match, clock. A client that goes away takes its program with it.
"""
import ctypes
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

CHUNK = 65536
LIMIT = 1 << 20
IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80
libc = ctypes.CDLL(None, use_errno=True)
spawned = {}


class Gone(Exception):
    """The client closed the connection."""


def send(sock, kind, payload):
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    sock.sendall(kind + struct.pack(">I", len(payload)) + payload)


def exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Gone
        data += more
    return data


def receive(sock):
    head = exactly(sock, 5)
    size = struct.unpack(">I", head[1:])[0]
    if size > LIMIT:
        raise Gone
    return head[:1], exactly(sock, size)


def status(code):
    return {"rc": code} if code >= 0 else {"rc": 128 - code, "signal": -code}


def kill_group(pid, number=signal.SIGKILL):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def run(sock, request):
    """Runs argv; ends when the program ends, even if a child of its still holds the output."""
    terminal = request.get("terminal")
    options = {"cwd": request.get("cwd") or "/root", "start_new_session": True,
               "env": {**os.environ, **request.get("env", {})}}
    if terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *terminal, 0, 0))
        process = subprocess.Popen(
            request["argv"], stdin=theirs, stdout=theirs, stderr=theirs,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **options)
        os.close(theirs)
        outputs, stdin = {ours: b"O"}, os.dup(ours)
    else:
        process = subprocess.Popen(request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0, **options)
        outputs = {process.stdout.fileno(): b"O", process.stderr.fileno(): b"E"}
        stdin = os.dup(process.stdin.fileno())
        process.stdin.close()
        os.set_blocking(stdin, False)
    pidfd = os.pidfd_open(process.pid)
    deadline = time.monotonic() + request["timeout"] if request.get("timeout") else None
    expired = False
    pending = bytearray()
    ending = False

    def forward(fd):
        try:
            data = os.read(fd, CHUNK)
        except OSError:  # a terminal whose other side closed
            data = b""
        if data:
            send(sock, outputs[fd], data)
        else:
            del outputs[fd]
        return bool(data)

    try:
        while True:
            reads = [pidfd, *outputs]
            if len(pending) < LIMIT:
                reads.append(sock)
            writes = [stdin] if stdin is not None and pending else []
            left = None if deadline is None else max(0, deadline - time.monotonic())
            ready, writable, _ = select.select(reads, writes, [], left)
            if not ready and not writable:
                expired = True
                break
            if sock in ready:
                kind, data = receive(sock)
                if kind == b"I" and data:
                    pending += data
                elif kind == b"I":
                    ending = True
                elif kind == b"W" and terminal:
                    fcntl.ioctl(stdin, termios.TIOCSWINSZ, struct.pack("HHHH", *json.loads(data), 0, 0))
            if writable:
                try:
                    del pending[:os.write(stdin, pending)]
                except BrokenPipeError:
                    pending.clear()
                    ending = True
            if ending and not pending and stdin is not None:
                os.close(stdin)
                stdin = None
            for fd in [fd for fd in outputs if fd in ready]:
                forward(fd)
            if pidfd in ready:
                break
    except BaseException:
        kill_group(process.pid)
        raise
    finally:
        if expired:
            kill_group(process.pid)
        code = process.wait()
        os.close(pidfd)
        if stdin is not None:
            os.close(stdin)
    while outputs:
        ready = select.select(list(outputs), [], [], 0)[0]
        if not ready:
            break
        for fd in ready:
            forward(fd)
    if terminal:
        os.close(ours)
    else:
        process.stdout.close()
        process.stderr.close()
    return {**status(code), "expired": expired}


def spawn(request):
    """Starts argv in the background with its output in a file; it outlives the connection."""
    name = request["name"]
    old = spawned.get(name)
    if old and old.poll() is None:
        return {"error": f"{name} already runs as pid {old.pid}"}
    with open(request["log"], "ab") as log:
        process = subprocess.Popen(request["argv"], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, cwd=request.get("cwd") or "/root",
                                   env={**os.environ, **request.get("env", {})},
                                   start_new_session=True)
    spawned[name] = process
    return {"pid": process.pid}


def wait(request):
    process = spawned.get(request["name"])
    if not process:
        return {"error": f"nothing was spawned as {request['name']}"}
    try:
        return {"pid": process.pid, **status(process.wait(request["timeout"]))}
    except subprocess.TimeoutExpired:
        return {"pid": process.pid, "running": True}


def kill(request):
    process = spawned.get(request["name"])
    if not process:
        return {"error": f"nothing was spawned as {request['name']}"}
    if process.poll() is None:
        kill_group(process.pid, request["signal"])
    return {"pid": process.pid}


def match_line(sock, request):
    """Waits until a line of a file (which may not exist yet) matches, from a byte offset on."""
    path = request["path"]
    pattern = re.compile(request["pattern"].encode())
    deadline = time.monotonic() + request["timeout"]
    notify = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    watched = None
    libc.inotify_add_watch(notify, os.path.dirname(path).encode(), IN_CREATE | IN_MOVED_TO)
    offset = request.get("offset", 0)
    rest = b""
    try:
        while True:
            try:
                with open(path, "rb") as file:
                    if os.fstat(file.fileno()).st_ino != watched:
                        libc.inotify_add_watch(notify, path.encode(), IN_MODIFY)
                        watched = os.fstat(file.fileno()).st_ino
                    if os.fstat(file.fileno()).st_size < offset:  # truncated: begins anew
                        offset, rest = 0, b""
                    file.seek(offset)
                    data = file.read()
            except FileNotFoundError:
                data = b""
            offset += len(data)
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            position = offset - len(rest)
            for index, line in enumerate(lines):
                if pattern.search(line):
                    after = position - sum(len(l) + 1 for l in lines[index + 1:])
                    return {"line": line.decode(errors="replace").rstrip("\r"), "offset": after}
            left = deadline - time.monotonic()
            if left <= 0:
                return {"expired": True, "offset": offset}
            ready = select.select([notify, sock], [], [], left)[0]
            if sock in ready and not sock.recv(1):
                raise Gone
            if notify in ready:
                os.read(notify, CHUNK)
    finally:
        os.close(notify)


def serve(sock):
    try:
        kind, data = receive(sock)
        if kind != b"R":
            return
        request = json.loads(data)
        try:
            match request["op"]:
                case "run":
                    answer = run(sock, request)
                case "spawn":
                    answer = spawn(request)
                case "wait":
                    answer = wait(request)
                case "kill":
                    answer = kill(request)
                case "match":
                    answer = match_line(sock, request)
                case "clock":
                    time.clock_settime(time.CLOCK_REALTIME, request["now"])
                    answer = {"uptime": time.clock_gettime(time.CLOCK_BOOTTIME)}
                case other:
                    answer = {"error": f"unknown request {other}"}
        except (OSError, KeyError, ValueError, re.error) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        send(sock, b"X", answer)
        sock.shutdown(socket.SHUT_WR)
    except (Gone, ConnectionError, BrokenPipeError):
        pass
    finally:
        sock.close()


def main():
    server = socket.create_server(("0.0.0.0", 2222), backlog=16)
    with open("/dev/console", "w") as console:
        console.write("L1-READY uptime=%.2f\n" % time.clock_gettime(time.CLOCK_BOOTTIME))
    while True:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


main()
