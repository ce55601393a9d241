# SPDX-License-Identifier: LGPL-2.1-or-later
"""Out-of-tree kernel modules for L1, built with the root tree's own compiler and headers."""
import pathlib
import shutil

from . import cache, command


def build(store, tree, source):
    """Builds the module in folder `source` (which has a Kbuild file); gives the .ko files."""
    source = pathlib.Path(source).resolve()
    log = store.logs / "module.log"

    def make(folder):
        log.unlink(missing_ok=True)
        work = tree.root / "tmp" / f"module-{folder.name}"
        cache.remove(work)
        shutil.copytree(source, work, ignore=shutil.ignore_patterns("*.ko", "*.o", "*.mod*", ".*"))
        try:
            # objtool reads /proc: the build runs in mount and process namespaces of its own.
            command.run(["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-ec",
                         'mount -t proc proc "$1/proc"; test -c "$1/dev/null" || '
                         'mknod -m 666 "$1/dev/null" c 1 3; '
                         'exec chroot "$1" make -C "$2" M="$3" CC=gcc-14 modules', "sh",
                         tree.root, f"/lib/modules/{tree.version}/build", f"/tmp/{work.name}"],
                        log, 300, hint=f"the module's source is {source}")
            folder.mkdir()
            for built in work.rglob("*.ko"):
                shutil.copy2(built, folder / built.name)
        finally:
            cache.remove(work)

    key = cache.digest(tree.root.name, source)
    folder = store.make(f"module/{source.name}", key, f"kernel module {source.name}", make)
    return sorted(folder.glob("*.ko"))
