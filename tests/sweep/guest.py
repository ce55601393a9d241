# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TVM: a process that stands for its QEMU, and the real tdi-agent behind a guest port.

The port's host end is a listening socket, to which the replayed libvirt connects; its guest end is
a pseudo terminal, which the agent opens as its virtio port. A thread carries the bytes.
"""
import os
import selectors
import socket
import subprocess
import threading
import tty
import uuid

import host

PIECE = 4096


class Guest:
    def __init__(self, folder, key, agent_program):
        self.folder, self.agent_program = folder, agent_program
        self.root = folder / "guest"
        self.qemu = subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.agent = None
        self.boot_id = str(uuid.uuid4())
        host.make_guest(self.root, key, self.boot_id)
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        (self.root / "dev/vport0p1").symlink_to(os.ttyname(self.slave))
        os.set_blocking(self.master, False)
        self.path = folder / "port"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.setblocking(False)
        self.waker, self.woken = socket.socketpair()
        self.hold_locked = False
        self.dropped = None
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def boot(self):
        """A new boot of the guest: its agent starts, or starts again."""
        self.end_agent()
        if (self.root / "run/booted").exists():
            self.boot_id = str(uuid.uuid4())
            (self.root / "proc/sys/kernel/random/boot_id").write_text(self.boot_id + "\n")
        (self.root / "run/booted").touch()
        log = open(self.folder / "agent.log", "ab")
        self.agent = subprocess.Popen(
            [self.agent_program, "--root", self.root, "--policy", "/policy.json"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
        log.close()

    def end_agent(self):
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def end_qemu(self):
        self.end_agent()
        self.qemu.kill()
        self.qemu.wait()

    def hold(self, on):
        """Events Locked do not reach the agent, until they are let go."""
        self.hold_locked = on
        self.waker.send(b"x")

    def drop(self, event):
        """Events of this kind never reach the agent."""
        self.dropped = f'"event":"{event}"'.encode()

    def close(self):
        self.end_qemu()
        self.hold_locked = None
        self.waker.close()
        self.thread.join()
        for fd in (self.master, self.slave):
            os.close(fd)
        self.listener.close()
        self.woken.close()

    # --- the thread

    def _heard(self, data):
        """tdid writes whole frames, and they are short."""
        if not self.dropped:
            return data
        return b"\0".join(frame for frame in data.split(b"\0")
                          if self.dropped not in frame.replace(b" ", b""))

    def _carry(self):
        peer, to_guest, to_host, held = None, b"", b"", []
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(self.woken, selectors.EVENT_READ)
            selector.register(self.master, selectors.EVENT_READ)

            def drop():
                nonlocal peer, to_host
                selector.unregister(peer)
                peer.close()
                peer, to_host = None, b""

            while True:
                selector.modify(self.master, selectors.EVENT_READ |
                                (selectors.EVENT_WRITE if to_guest else 0))
                if peer:
                    selector.modify(peer, selectors.EVENT_READ |
                                    (selectors.EVENT_WRITE if to_host else 0))
                for key, events in selector.select():
                    if key.fileobj is self.woken:
                        if not self.woken.recv(64):
                            if peer:
                                peer.close()
                            return
                    elif key.fileobj is self.listener:
                        if peer:
                            drop()
                        peer, _ = self.listener.accept()
                        peer.setblocking(False)
                        selector.register(peer, selectors.EVENT_READ)
                    elif key.fileobj is peer:
                        try:
                            if events & selectors.EVENT_WRITE:
                                to_host = to_host[peer.send(to_host[:PIECE]):]
                            if events & selectors.EVENT_READ:
                                data = peer.recv(65536)
                                if not data:
                                    drop()
                                held.append(self._heard(data))
                        except BlockingIOError:
                            pass
                        except OSError:
                            drop()
                    elif key.fileobj == self.master:
                        try:
                            if events & selectors.EVENT_WRITE:
                                to_guest = to_guest[os.write(self.master, to_guest[:PIECE]):]
                            if events & selectors.EVENT_READ:
                                data = os.read(self.master, 65536)
                                if peer:
                                    to_host += data
                        except BlockingIOError:
                            pass
                all_held = b"".join(held)
                if self.hold_locked and b'"event":"Locked"' in all_held.replace(b" ", b""):
                    held = [all_held]
                else:
                    to_guest, held = to_guest + all_held, []
