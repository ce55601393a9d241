# SPDX-License-Identifier: LGPL-2.1-or-later
"""io.tdid.Assignments for a control plane: calls, and a copy of what there is that stays right.

varlink is JSON objects with a NUL behind each, over a unix socket; replies come in the order of the
calls. What holds a connection up for long (follow, wait, attach) therefore gets one of its own.
"""
import json
import socket
import time

SOCKET = "/run/tdid/io.tdid.Assignments"
INTERFACE = "io.tdid.Assignments"
AGAIN_SECONDS = (0.1, 2.0)  # between attempts to reach tdid: the first, and the longest


class Refused(Exception):
    """tdid's answer is an error: `name` without its interface, and its parameters."""

    def __init__(self, error, parameters):
        self.name = error.removeprefix(INTERFACE + ".")
        self.parameters = parameters
        words = parameters.get("message") or " ".join(f"{k}={v}" for k, v in parameters.items())
        super().__init__(f"{self.name}: {words}")


class Lost(Exception):
    """The connection has ended; what was asked for may have been done all the same."""


class Connection:
    def __init__(self, path=SOCKET):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buffer = b""
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise Lost(f"{path}: {error.strerror}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _receive(self):
        while b"\0" not in self.buffer:
            try:
                piece = self.socket.recv(65536)
            except OSError as error:
                raise Lost(error.strerror) from error
            if not piece:
                raise Lost("tdid has closed the connection")
            self.buffer += piece
        frame, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(frame)

    def stream(self, method, **parameters):
        """The parameters of each reply, as they come. What is None is left out of the call."""
        call = {"method": f"{INTERFACE}.{method}", "more": True,
                "parameters": {k: v for k, v in parameters.items() if v is not None}}
        try:
            self.socket.sendall(json.dumps(call).encode() + b"\0")
        except OSError as error:
            raise Lost(error.strerror) from error
        while True:
            reply = self._receive()
            if "error" in reply:
                raise Refused(reply["error"], reply.get("parameters", {}))
            yield reply.get("parameters", {})
            if not reply.get("continues"):
                return

    def call(self, method, **parameters):
        """The last reply's parameters."""
        for reply in self.stream(method, **parameters):
            pass
        return reply


class Tdid:
    """Every call on a connection of its own."""

    def __init__(self, path=SOCKET):
        self.path = path

    def call(self, method, **parameters):
        with Connection(self.path) as connection:
            return connection.call(method, **parameters)

    def list(self, domain=None):
        return self.call("List", domain=domain)["assignments"]

    def metrics(self):
        return self.call("Metrics")["text"]

    def wait(self, domain, name, *states, seconds=None):
        """The assignment in one of these states; None: it is not there, which counts as released.

        Refused NotReached and TimedOut say where it is instead, and why. A restart of tdid does
        not end the wait: all that it waits for is in tdid's records.
        """
        end = None if seconds is None else time.monotonic() + seconds
        pause = AGAIN_SECONDS[0]
        while True:
            left = None if end is None else max(0, int((end - time.monotonic()) * 1000))
            try:
                return self.call("Wait", domain=domain, name=name, states=list(states),
                                 timeout_ms=left).get("assignment")
            except Lost:
                if end is not None and time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS[1])

    def repeated(self, method, **parameters):
        """Each step as it comes, the last one with the result. A request whose answer was lost may
        have been carried out: one with a token is made again, and is the same request then."""
        pause = AGAIN_SECONDS[0]
        while True:
            try:
                with Connection(self.path) as connection:
                    yield from connection.stream(method, **parameters)
                return
            except Lost:
                if not parameters.get("client_token"):
                    raise
            time.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS[1])

    def attach(self, domain, device, name=None, client_token=None, wait_for=None, dry_run=None,
               seconds=None):
        return self.repeated("Attach", domain=domain, device=device, name=name,
                             client_token=client_token, wait_for=wait_for, dry_run=dry_run,
                             timeout_ms=seconds and int(seconds * 1000))

    def detach(self, domain, name, client_token=None, seconds=None):
        return self.repeated("Detach", domain=domain, name=name, client_token=client_token,
                             timeout_ms=seconds and int(seconds * 1000))

    def drain(self, dsm):
        return self.call("Drain", dsm=dsm)["dsm"]

    def undrain(self, dsm):
        return self.call("Undrain", dsm=dsm)["dsm"]


class Mirror:
    """A copy of all assignments, or of one domain's, kept by follow()."""

    def __init__(self, tdid, domain=None):
        self.tdid, self.domain = tdid, domain
        self.assignments = {}  # (UUID of the domain, alias, host address): assignment
        self.instance, self.sequence = None, 0  # where to go on from

    def _take(self, entry):
        if entry["instance"] != self.instance or entry["initial"] and self.sequence:
            self.assignments.clear()  # what was known is void
        self.instance, self.sequence = entry["instance"], entry["sequence"]
        assignment = entry.get("assignment")
        if not assignment:
            return
        key = (assignment["domain"], assignment["name"], assignment["device"])
        if entry.get("removed"):
            self.assignments.pop(key, None)
        else:
            self.assignments[key] = assignment

    def follow(self):
        """("state" | "change" | "removed", assignment), ("current", None) when the copy is up to
        date, and ("lost", reason) while tdid cannot be reached; for ever."""
        pause = AGAIN_SECONDS[0]
        while True:
            try:
                with Connection(self.tdid.path) as connection:
                    # Entries of the initial state have sequence 0: nothing to go on from.
                    since = self.sequence or None
                    if not since:
                        self.assignments.clear()
                    for entry in connection.stream("Monitor", domain=self.domain, since=since,
                                                   instance=self.instance if since else None):
                        self._take(entry)
                        pause = AGAIN_SECONDS[0]
                        if not entry.get("assignment"):
                            yield "current", None
                        elif entry.get("removed"):
                            yield "removed", entry["assignment"]
                        else:
                            yield "state" if entry["initial"] else "change", entry["assignment"]
            except Lost as lost:
                yield "lost", str(lost)
            time.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS[1])
