# SPDX-License-Identifier: LGPL-2.1-or-later
"""The build folder: artefacts keyed by what they were made of.

`FOLDER/KIND/KEY` is complete or absent: it is made as KEY.part and renamed at the end, under a
lock per kind, so several test runs may ask for the same artefact at once. When a new key of a kind
is finished, the older ones are removed: what still runs from them keeps its open files.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil

from . import command, progress


def digest(*parts):
    """A short key: strings and bytes by value, paths by content, folders by every file in them."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            files = sorted(p for p in part.rglob("*") if p.is_file() and "__pycache__" not in p.parts
                           ) if part.is_dir() else [part]
            for file in files:
                name = str(file.relative_to(part)) if part.is_dir() else file.name
                total.update(f"file {name} {file.stat().st_mode & 0o777:o}\0".encode())
                total.update(hashlib.sha256(file.read_bytes()).digest())
        else:
            data = part if isinstance(part, bytes) else str(part).encode()
            total.update(b"data %d\0" % len(data) + data)
    return total.hexdigest()[:16]


class Cache:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).absolute()
        self.logs = self.folder / "logs"
        os.umask(0o022)  # what goes into images is for other users, too
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            (self.logs / "setup.log").open("a").close()
        except OSError as error:
            raise command.BedError(f"{self.folder}: cannot be written: {error.strerror}",
                                   hint="TDID_BUILD_FOLDER=FOLDER builds elsewhere") from None

    @contextlib.contextmanager
    def lock(self, name):
        """One process at a time; says so when it has to wait."""
        path = self.folder / "locks" / name
        path.parent.mkdir(exist_ok=True)
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say(f"waiting for another process that makes {name}")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def path(self, kind, key):
        return self.folder / kind / key

    def have(self, kind, key):
        return self.path(kind, key).is_dir()

    def make(self, kind, key, text, build):
        """The folder of KIND/KEY; `build(folder)` fills it if it is not there yet."""
        final = self.path(kind, key)
        if final.is_dir():
            return final
        with self.lock(kind.replace("/", "-")):
            if final.is_dir():
                return final
            part = final.with_name(key + ".part")
            remove(part)
            part.parent.mkdir(parents=True, exist_ok=True)
            with progress.stage(text):
                build(part)
            os.rename(part, final)
            for old in final.parent.iterdir():
                if old != final:
                    remove(old)
        return final


def remove(path):
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
