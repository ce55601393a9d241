# SPDX-License-Identifier: LGPL-2.1-or-later
"""An independent judge of TDX quotes: Google's go-tdx-guest, as Debian packages it.

judge.go is built with the Go compiler and libraries of the bed's Debian release, which are
unpacked for that and thrown away. What stays is one static program, kept in the bed's folder until
judge.go or the way to build it changes.
"""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

from bedlib import cache, command, packages  # noqa: E402
from bedlib.bed import BUILD  # noqa: E402

SOURCE = HERE / "judge.go"
PACKAGES = ("golang-go", "golang-github-google-go-tdx-guest-dev")
OPTIONS = ("--mode=root", "--variant=extract", "--format=directory", f"--arch={packages.FLAVOUR}",
           '--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"',
           *(f"--dpkgopt=path-exclude=/usr/share/{f}/*"
             for f in ("doc", "man", "locale", "go-*/test")))
LIBRARIES = "usr/share/gocode"
# verify.go embeds Intel's root from a file that the package does not ship, and without it does not
# compile. Ours has a block with nothing in it: whoever names no root trusts none.
EMBEDDED = "src/github.com/google/go-tdx-guest/verify/trusted_root.pem"
NOTHING = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


class Refused(Exception):
    """What the verifier said."""


def build(store, folder):
    log = store.logs / "judge.log"
    log.unlink(missing_ok=True)
    folder.mkdir()
    tree, work = folder / "tree", folder / "work"
    packages.unpack(store, OPTIONS, PACKAGES, tree, log)
    embedded = tree / LIBRARIES / EMBEDDED
    if not embedded.exists():
        embedded.write_text(NOTHING)
    work.mkdir()
    # The compiler is a static program: it runs from where it lies.
    go = tree / "usr/lib/go"
    command.run([go / "bin/go", "build", "-trimpath", "-ldflags=-s -w",
                 "-gcflags=all=-N -l", "-o", folder / "judge", SOURCE],
                log, 600, cwd=work,
                env={"PATH": "/usr/bin:/bin", "HOME": str(work), "GOCACHE": str(work / "cache"),
                     "GOROOT": str(go.resolve()), "GOPATH": str(tree / LIBRARIES),
                     "GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"})
    cache.remove(tree)
    cache.remove(work)


def program():
    """The judge; built if it is not there yet, which takes the network and a minute."""
    store = cache.Cache(os.environ.get("TDID_BED") or BUILD / "bed")
    key = cache.digest(packages.SUITE, *PACKAGES, *OPTIONS, SOURCE, pathlib.Path(__file__).resolve())
    return store.make("judge", key, "judge of quotes",
                      lambda folder: build(store, folder)) / "judge"


def verify(quote, root):
    """Whether go-tdx-guest accepts the quote in that file, given the root's PEM in that one.

    Raises Refused with the verifier's words.
    """
    done = subprocess.run([program(), quote, root], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    words = (done.stderr + done.stdout).strip()
    if done.returncode == 1:
        raise Refused(words)
    if done.returncode:
        raise RuntimeError(f"judge: exit status {done.returncode}: {words}")


if __name__ == "__main__":
    print(program())
