# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of a TDX quoting service, made without this project's C: layout of core/qgs-message.h."""
import collections
import contextlib
import fcntl
import socket
import socketserver
import struct
import termios
import threading

GET_QUOTE, GET_COLLATERAL, GET_PLATFORM_INFO = 0, 2, 4
INVALID_PARAMETER = 0x12003

Answer = collections.namedtuple("Answer", "version type error parts")


def connect(address, timeout=20):
    """`address`: a unix socket's path, or (host, port), the host a numeric address."""
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else
                      socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    s.settimeout(timeout)
    s.connect(address)
    return s


def request(kind, *parts):
    """With its frame."""
    return message(kind, b"", parts)


def message(kind, fixed, parts):
    """With its frame: `fixed` bytes, then the sizes of its parts, then the parts."""
    body = fixed + b"".join(struct.pack("<I", len(part)) for part in parts) + b"".join(parts)
    message = struct.pack("<HHIII", 1, 1, kind, 16 + len(body), 0) + body
    return struct.pack(">I", len(message)) + message


def unread(s):
    """How much of what was sent has not been taken at the other end, of a unix socket."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]


def all_of(s):
    """What comes until the other end closes."""
    data = b""
    while piece := s.recv(1 << 16):
        data += piece
    return data


def ask(address, data):
    """What comes back to these bytes, sent in one piece, until the service closes."""
    with connect(address) as s:
        s.sendall(data)
        return all_of(s)


def parse(data, fixed=0):
    """A framed answer: `fixed` bytes, then sizes, then as many parts."""
    size, = struct.unpack_from(">I", data)
    major, minor, kind, said, error = struct.unpack_from("<HHIII", data, 4)
    assert size == said == len(data) - 4, (size, said, len(data))
    at = 20 + fixed
    sizes = struct.unpack_from("<II", data, at)
    at += 8
    parts = []
    for n in sizes:
        parts.append(data[at:at + n])
        at += n
    assert at == len(data), (at, len(data))
    return Answer((major, minor), kind, error, parts)


def quote(address, report):
    """The quote of a report, or the service's error as a number."""
    answer = parse(ask(address, request(GET_QUOTE, report, b"")))
    assert answer.version == (1, 1) and answer.type == 1, answer
    return answer.error or answer.parts[1]


@contextlib.contextmanager
def service(path, answers):
    """A quoting service at that path with a test's own answers: {type asked for: framed response}.

    Gives the list of what it has been asked, frames included.
    """
    asked = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            frame = self.request.recv(4, socket.MSG_WAITALL)
            if len(frame) < 4:
                return
            message = self.request.recv(*struct.unpack(">I", frame), socket.MSG_WAITALL)
            asked.append(frame + message)
            self.request.sendall(answers[struct.unpack_from("<I", message, 4)[0]])

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()
