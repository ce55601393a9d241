# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bed: packages -> image -> booted L1 -> warm L1 -> prepared L1, each kept until its input changes."""
import inspect
import itertools
import json
import os
import pathlib
import time

from . import cache, image, machine, module, packages, progress, systemd
from .command import BedError
from .host import Host

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("TDID_BUILD_FOLDER") or REPOSITORY / "build").absolute()
KEEP_RUNS = 10
# What a prepared machine's domains are made of, besides the image.
DOMAIN = cache.digest(image.GUEST / "domain.xml.in", image.HERE / "bedlib" / "domain.py")


class Bed:
    def __init__(self, folder=None):
        """`folder`: where everything is kept (default: $TDID_BED, or bed in the build folder)."""
        self.store = cache.Cache(folder or os.environ.get("TDID_BED") or BUILD / "bed")

    # --- stages

    def build(self, update=False):
        """The root tree and the images; `update` looks for a newer kernel. Gives (tree, image)."""
        version = packages.kernel(self.store, update)
        tree = packages.Tree(packages.tree(self.store, version), version)
        return tree, image.image(self.store, tree)

    def module(self, source):
        """Builds an out-of-tree kernel module for L1; the .ko files, to be `put` and insmod'ed."""
        tree, _ = self.build()
        return module.build(self.store, tree, source)

    def boot(self, keep=True):
        """A freshly booted L1: `with bed.boot() as host`."""
        tree, folder = self.build()
        return self._boot(tree, folder, "boot", keep)

    def boot_systemd(self, install, inputs, keep=False):
        """A freshly booted host whose PID 1 is systemd and whose libvirt is the distribution's.

        `install(stage, log)` puts into its root what an administrator would, before it boots; the
        image is made anew when `inputs` or the code of `install` change (see `prepared`).
        """
        version = packages.kernel(self.store)
        tree = packages.Tree(packages.tree(self.store, version), version)
        folder = systemd.image_of(self.store, tree, packages.systemd_tree(self.store), install, inputs)
        return self._boot(tree, folder, "systemd", keep, systemd.APPEND, systemd.TIMEOUT)

    def _boot(self, tree, folder, name, keep, append=machine.APPEND, timeout=180):
        host = Host(machine.Machine(self.store, tree, folder, folder / "root.ext4",
                                    self._run_folder(name), append), keep=keep)
        try:
            begin = time.monotonic()
            host.machine.start()
            line = host.machine.wait_ready(timeout)
            progress.say(f"L1 booted: {time.monotonic() - begin:.1f} s ({line})")
        except BaseException:
            host.close()
            raise
        return host

    def warm_key(self):
        tree, _ = self.build()
        return cache.digest(image.image_key(tree), machine.SIGNATURE)

    def warm(self):
        """The saved warm L1: libvirtd answers, VFs are there."""
        def make(folder):
            with self.boot(keep=False) as host:
                host.run("/usr/lib/bed/warm", timeout=300,
                         stream=lambda data: [progress.say("  " + line) for line
                                              in data.decode(errors="replace").splitlines()])
                self._save(host, folder)

        return self.store.make("saved/host", self.warm_key(), "warm L1", make)

    def _save(self, host, folder):
        folder.mkdir()
        with progress.stage("save"):
            domains = host.suspend_domains()
            host.run("sync")
            host.machine.save(folder)
        (folder / "meta.json").write_text(json.dumps({"domains": domains, **host.notes}))

    def _thaw(self, saved, name, keep):
        tree, folder = self.build()
        try:
            meta = json.loads((saved / "meta.json").read_text())
        except FileNotFoundError:
            raise BedError(f"no saved machine {name}", hint="tests/system/bed status") from None
        host = Host(machine.Machine(self.store, tree, folder, saved / "disk.qcow2",
                                    self._run_folder(name)), keep=keep)
        host.notes.update({k: v for k, v in meta.items() if k != "domains"})
        try:
            begin = time.monotonic()
            host.machine.start(saved / "state")
            progress.say(f"thawed {name}: {time.monotonic() - begin:.2f} s")
            host.resume_domains(meta["domains"])
        except BaseException:
            host.close()
            raise
        return host

    def thaw(self, name="host", keep=False):
        """A new machine from a saved one: `with bed.thaw() as host`.

        "host" is the warm L1, made if need be; other names are what `prepared` has saved. The
        machine ends with the block. Its run folder stays if the block fails or with `keep`.
        """
        if name == "host":
            return self._thaw(self.warm(), name, keep)
        found = [f for f in (self.store.folder / "saved" / name).glob("*") if f.suffix != ".part"]
        if not found:
            raise BedError(f"no saved machine {name}", hint="tests/system/bed status lists them")
        return self._thaw(found[0], name, keep)

    def prepared(self, name, prepare, inputs=(), keep=False, parent=None):
        """A machine that `prepare(host)` has brought to where several tests begin.

        The first call thaws the parent, prepares it and saves it under `name`; later ones thaw
        that. It is made anew when `inputs` (pathlib.Path: by content; others: by value), the warm
        machine or the code of `prepare` change. `parent` is (name, prepare, inputs[, parent]) of
        another prepared machine; without it the warm L1. Domains may run: they are suspended and resumed.
        """
        return self._thaw(self._prepare(name, prepare, inputs, parent), name, keep)

    def _prepare(self, name, prepare, inputs=(), parent=None):
        origin = self._prepare(*parent) if parent else self.warm()
        key = cache.digest(origin.name, DOMAIN, inspect.getsource(prepare), *inputs)

        def make(folder):
            with self._thaw(origin, parent[0] if parent else "host", False) as host:
                prepare(host)
                self._save(host, folder)

        return self.store.make(f"saved/{name}", key, f"machine {name}", make)

    # --- runs

    def _run_folder(self, name):
        runs = self.store.folder / "runs"
        runs.mkdir(exist_ok=True)
        finished = sorted((f for f in runs.iterdir() if not running(f)),
                          key=lambda f: f.stat().st_mtime)
        for old in finished[:-KEEP_RUNS]:
            cache.remove(old)
        for n in itertools.count(1):
            folder = runs / f"{time.strftime('%H%M%S')}-{name}-{os.getpid()}.{n}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue


def running(folder):
    """Whether the machine of a run folder still runs."""
    try:
        pid = int((folder / "pid").read_text())
        return str(folder) in pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except (OSError, ValueError):
        return False
