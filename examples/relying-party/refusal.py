# SPDX-License-Identifier: LGPL-2.1-or-later
"""Why a device is not accepted, and a reader of bytes that refuses instead of running out."""


class Refusal(Exception):
    """One line for the operator, with what was expected and what was found."""

    def __str__(self):
        text = "".join(c if c.isprintable() else "?" for c in super().__str__())
        return text[:497] + "..." if len(text) > 500 else text


class Reader:
    """Little-endian fields, one behind the other."""

    def __init__(self, data, what):
        self.data = data
        self.at = 0
        self.what = what

    def left(self):
        return len(self.data) - self.at

    def take(self, size):
        if self.left() < size:
            raise Refusal(f"{self.what} ends at byte {len(self.data)}, {size} more were expected "
                          f"at byte {self.at}")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def zero(self, size):
        if any(self.take(size)):
            raise Refusal(f"{self.what}: reserved bytes before byte {self.at} are not 0")

    def end(self):
        if self.left():
            raise Refusal(f"{self.what} has {self.left()} bytes behind its end")
