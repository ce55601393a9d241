# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QMP client: commands with deadlines, events kept until somebody waits for them."""
import json
import select
import socket
import time


class QmpError(Exception):
    """QEMU refused a command, went away, or did not answer in time."""


class Qmp:
    def __init__(self, sock, timeout=30):
        """`sock` is a connected socket; QEMU greets first."""
        self.sock = sock
        self._buffer = bytearray()
        self._events = []
        self._message(time.monotonic() + timeout)
        self.execute("qmp_capabilities")

    @classmethod
    def connect(cls, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        return cls(sock)

    def close(self):
        self.sock.close()

    def _message(self, deadline):
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise QmpError("QEMU does not answer")
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                raise QmpError(f"QEMU went away: {error}") from None
            if not data:
                raise QmpError("QEMU went away")
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return json.loads(line)

    def execute(self, command, timeout=30, **arguments):
        message = {"execute": command}
        if arguments:
            message["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.sock.sendall(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._message(deadline)
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error'].get('desc')}")
            else:
                return answer.get("return")

    def monitor(self, line):
        """A human monitor command, where QMP has none."""
        return self.execute("human-monitor-command", command_line=line)

    def migration(self, command, uri, timeout):
        """Saves (`migrate`) or loads (`migrate-incoming`) the machine and waits for its end."""
        self.execute("migrate-set-capabilities",
                     capabilities=[{"capability": name, "state": True}
                                   for name in ("events", "mapped-ram")])
        self._events.clear()
        self.execute(command, timeout, uri=uri)
        deadline = time.monotonic() + timeout
        while True:
            while self._events:
                event = self._events.pop(0)
                if event["event"] != "MIGRATION":
                    continue
                if event["data"]["status"] == "completed":
                    return
                if event["data"]["status"] in ("failed", "cancelled"):
                    why = self.execute("query-migrate").get("error-desc", "no reason given")
                    raise QmpError(f"{command}: {event['data']['status']}: {why}")
            answer = self._message(deadline)
            if "event" in answer:
                self._events.append(answer)
