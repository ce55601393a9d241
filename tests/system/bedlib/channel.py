# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client side of L1's agent (host/agent.py describes the protocol)."""
import json
import select
import socket
import struct
import time

GRACE = 20  # seconds that the agent gets beyond a request's own deadline
LIMIT = 16 << 20


class Disconnected(Exception):
    """L1 or its agent went away in the middle of a request."""


class Channel:
    """One request to the agent at 127.0.0.1:PORT; `host.Host` wraps it."""

    def __init__(self, port, request, timeout):
        self.deadline = time.monotonic() + timeout + GRACE
        try:
            self.sock = socket.create_connection(("127.0.0.1", port), timeout=GRACE)
        except OSError as error:
            raise Disconnected(f"no connection to L1's agent: {error}") from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._backlog = bytearray()
        self.send(b"R", json.dumps(request).encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, kind, payload):
        """Queues a frame; `frames` writes it out."""
        self._backlog += kind + struct.pack(">I", len(payload)) + payload

    def _ready(self, reads):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Disconnected("L1's agent does not answer: its deadline has passed")
        return select.select(reads, [self.sock] if self._backlog else [], [], left)[:2]

    def frames(self, source=None, watch=None):
        """Yields (kind, payload) up to and with X.

        `source()` gives chunks of standard input, b"" at its end, and is asked whenever the last
        chunk is on its way; `watch` is (fd, callable): called when the descriptor is readable.
        """
        while True:
            if source and not self._backlog:
                chunk = source()
                self.send(b"I", chunk)
                if not chunk:
                    source = None
            reads = [self.sock] + ([watch[0]] if watch else [])
            readable, writable = self._ready(reads)
            try:
                if writable:
                    del self._backlog[:self.sock.send(self._backlog[:262144])]
                if self.sock in readable:
                    data = self.sock.recv(262144)
                    if not data:
                        raise Disconnected("L1's agent closed the connection without a result")
                    self._buffer += data
            except OSError as error:
                raise Disconnected(f"L1's agent: {error}") from None
            if watch and watch[0] in readable:
                watch[1]()
            while len(self._buffer) >= 5:
                size = struct.unpack(">I", self._buffer[1:5])[0]
                if size > LIMIT:
                    raise Disconnected("L1's agent sent nonsense")
                if len(self._buffer) < 5 + size:
                    break
                kind, payload = bytes(self._buffer[:1]), bytes(self._buffer[5:5 + size])
                del self._buffer[:5 + size]
                yield kind, payload
                if kind == b"X":
                    return


def ask(port, request, timeout):
    """A request without streams; the answer as a dictionary."""
    with Channel(port, request, timeout) as channel:
        for kind, payload in channel.frames():
            if kind == b"X":
                return json.loads(payload)
