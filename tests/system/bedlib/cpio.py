# SPDX-License-Identifier: LGPL-2.1-or-later
"""cpio archives in the kernel's initramfs format ("newc"); archives may follow one another."""
import os
import stat


class Archive:
    """Collects files owned by root; `bytes()` gives the archive."""

    def __init__(self):
        self._parts = []
        self._known = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        if name in self._known:
            return
        self._known.add(name)
        raw = name.encode() + b"\0"
        inode = len(self._known)
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(raw), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts.append(_pad(header + raw) + _pad(data))

    def folder(self, name, mode=0o755):
        parent = os.path.dirname(name)
        if parent:
            self.folder(parent)
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        name = name.lstrip("/")
        if os.path.dirname(name):
            self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        name = name.lstrip("/")
        if os.path.dirname(name):
            self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor, mode=0o600):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | mode, rdev=(major, minor))

    def tree(self, folder, name=""):
        """A whole folder of this machine as folder `name` of the archive."""
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            inside = f"{name}/{entry.name}".lstrip("/")
            if entry.is_symlink():
                self.link(inside, os.readlink(entry.path))
            elif entry.is_dir():
                self.folder(inside, entry.stat().st_mode & 0o777)
                self.tree(entry.path, inside)
            else:
                with open(entry.path, "rb") as file:
                    self.file(inside, file.read(), entry.stat().st_mode & 0o777)

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        data = b"".join(self._parts)
        return data + b"\0" * (-len(data) % 512)


def _pad(data):
    return data + b"\0" * (-len(data) % 4)
