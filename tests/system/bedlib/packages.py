# SPDX-License-Identifier: LGPL-2.1-or-later
"""The root tree: Debian packages that serve as L1's root, as L0's QEMU and as a kernel toolchain.

The mirror and the proxies are those of this machine's own apt configuration. The kernel is the
newest in SUITE-backports when the tree is first made; its version is kept in the build folder's
file `kernel`, which is the one place that everything else takes it from.
"""
import os
import pathlib
import re
import shutil

from . import cache, command, progress

SUITE = "trixie"
BACKPORTS = SUITE + "-backports"
FLAVOUR = "amd64"

# What the build machine needs: command, package.
TOOLS = (("mmdebstrap", "mmdebstrap"), ("mkfs.ext4", "e2fsprogs"), ("zstd", "zstd"),
         ("gpgv", "gpgv"))
KEYRING = "/usr/share/keyrings/debian-archive-trixie-stable.gpg"

RUNTIME = """busybox-static iproute2 jq kmod mount passwd pciutils procps python3 strace
    libvirt-clients libvirt-daemon libvirt-daemon-driver-nodedev libvirt-daemon-driver-qemu
    qemu-system-x86 qemu-utils seabios
    libjson-c5 libpci3 libssl3t64 libsystemd0 libvirt0 libxml2""".split()
# A host as the distribution sets one up: systemd, udev, AppArmor, and libvirt's own units and users.
SYSTEMD = """apparmor dbus libvirt-daemon-system polkitd systemd-sysv udev""".split()
# For out-of-tree modules; stays in the tree, does not enter the image.
TOOLCHAIN = "gcc-14 make".split()

PINS = f"""\
Package: *
Pin: release n={BACKPORTS}
Pin-Priority: 100

Package: src:linux src:linux-signed-amd64 src:qemu src:seabios src:ipxe
Pin: release n={BACKPORTS}
Pin-Priority: 990
"""


def setup(store):
    """Installs the build machine's missing tools with apt-get."""
    missing = sorted({package for tool, package in TOOLS if not shutil.which(tool)})
    if not os.path.exists(KEYRING):
        missing.append("debian-archive-keyring")
    if not missing:
        progress.say("build tools: all there")
        return
    if os.geteuid():
        raise command.BedError(f"missing build tools: {' '.join(missing)}",
                               hint=f"as root: apt-get install {' '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    log = store.logs / "setup.log"
    with progress.stage(f"installing {' '.join(missing)}"):
        install = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300",
                   "--no-install-recommends", "install", *missing]
        try:
            command.run(install, log, 600, env=env)
        except command.BedError:  # with old package lists, or none
            command.run(["apt-get", "-q", "update"], log, 300, env=env)
            command.run(install, log, 600, hint="is the package mirror reachable?", env=env)


def mirror():
    """The Debian mirror that this machine already uses."""
    sites = command.output(["apt-get", "indextargets", "--format", "$(SITE)",
                            "Created-By: Packages"]).split()
    for site in sites:
        if site.startswith("mirror+file:"):  # as Debian's cloud images have it: a list of mirrors
            try:
                listed = pathlib.Path(site[len("mirror+file:"):]).read_text()
            except OSError:
                continue
            sites += [line.split()[0] for line in listed.splitlines()
                      if line.strip() and not line.startswith("#")]
        elif site.rstrip("/").endswith("/debian"):
            return site.rstrip("/")
    raise command.BedError("no Debian mirror in this machine's apt configuration",
                           hint="a source whose address ends in /debian is needed")


def newest_kernel(folder, log):
    """The version of the newest linux-binary-VERSION package, e.g. 7.3.4+deb13-amd64."""
    apt = folder / "apt"
    for sub in ("lists/partial", "cache/archives/partial"):
        (apt / sub).mkdir(parents=True, exist_ok=True)
    (apt / "sources").write_text(f"deb [signed-by={KEYRING.replace('-stable', '-automatic')}] "
                                 f"{mirror()} {BACKPORTS} main\n")
    options = ["-o", f"Dir::Etc::SourceList={apt}/sources", "-o", "Dir::Etc::SourceParts=/dev/null",
               "-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}/cache",
               "-o", "APT::Sandbox::User=root", "-o", f"APT::Architecture={FLAVOUR}"]
    command.run(["apt-get", *options, "-q", "update"], log, 300,
                hint="is the package mirror reachable?")
    names = command.output(["apt-cache", *options, "pkgnames", "linux-binary-"]).split()
    shutil.rmtree(apt)
    found = []
    for name in names:
        match = re.fullmatch(rf"linux-binary-((\d+(?:\.\d+)+)\+\w+-{FLAVOUR})", name)
        if match:
            found.append(([int(n) for n in match[2].split(".")], match[1]))
    if not found:
        raise command.BedError(f"no linux-binary-VERSION-{FLAVOUR} in {BACKPORTS}", log)
    return max(found)[1]


def kernel(store, update=False):
    """The kernel version in use; looked up once, or again with `update`."""
    path = store.folder / "kernel"
    if path.exists() and not update:
        return path.read_text().strip()
    with store.lock("kernel"):
        if path.exists() and not update:
            return path.read_text().strip()
        with progress.stage(f"newest kernel in {BACKPORTS}"):
            version = newest_kernel(store.folder, store.logs / "kernel.log")
        progress.say(f"kernel {version}")
        part = path.with_suffix(".part")
        part.write_text(version + "\n")
        os.rename(part, path)
        return version


def names(version):
    return sorted(RUNTIME + TOOLCHAIN + [f"linux-{part}-{version}"
                                         for part in ("binary", "modules", "headers")])


def tree_key(version):
    return cache.digest(SUITE, PINS, " ".join(names(version)), " ".join(OPTIONS))


OPTIONS = ("--mode=root", "--variant=essential", "--format=directory", "--arch=amd64",
           '--aptopt=Acquire::Check-Valid-Until "false"', '--aptopt=Acquire::Languages "none"',
           '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
           *(f"--dpkgopt=path-exclude=/usr/share/{f}/*"
             for f in ("doc", "man", "locale", "info", "i18n")))


def tree(store, version):
    """The folder with the root tree; made by mmdebstrap if it is not there."""
    return make(store, "tree", tree_key(version), names(version))


def systemd_tree(store):
    """The root of a host with systemd: no kernel, which is the root tree's, and no toolchain."""
    packages = sorted(RUNTIME + SYSTEMD)
    return make(store, "tree-systemd", cache.digest(SUITE, PINS, *packages, " ".join(OPTIONS)),
                packages)


def unpack(store, options, names, folder, log, suites=(SUITE,), hint=None):
    """The packages and what they depend on, as mmdebstrap's `options` say, in `folder`."""
    if os.geteuid():
        raise command.BedError("the root tree can only be made by root (owners, device nodes)",
                               hint="run this as root")
    setup(store)
    proxies = [f"--aptopt={line.rstrip(';')}" for line in
               command.output(["apt-config", "dump"]).splitlines()
               if re.match(r'Acquire::https?::[^ ]*Proxy[^ ]* "[^"]', line)]
    site = mirror()
    # Mount and process namespaces of its own: however this ends, its mounts and children do, too.
    command.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "mmdebstrap", *options, *proxies, "--include=" + ",".join(names), SUITE, folder,
                 *(f"deb {site} {suite} main" for suite in suites)], log, 900, hint=hint)


def make(store, kind, key, packages):
    log = store.logs / f"{kind}.log"

    def build(folder):
        log.unlink(missing_ok=True)
        pins = store.folder / "pins"
        pins.write_text(PINS)
        unpack(store, [*OPTIONS, f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d"; '
                                 f'cp "{pins}" "$1/etc/apt/preferences.d/bed"'],
               packages, folder, log, (SUITE, BACKPORTS),
               "a kernel that left the archive: bed build --update")

    return store.make(kind, key, f"root {kind}, {len(packages)} packages and what they depend on",
                      build)


class Tree:
    """Paths and commands of a root tree."""

    def __init__(self, root, version):
        self.root = root
        self.version = version
        self.modules = root / "usr/lib/modules" / version

    def program(self, name):
        """argv of one of the tree's programs, run by the tree's own loader: no chroot, no root."""
        lib = f"{self.root}/usr/lib/x86_64-linux-gnu"
        return [f"{self.root}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{lib}:{lib}/nss",
                f"{self.root}/usr/bin/{name}"]

    def qemu(self):
        share = f"{self.root}/usr/share"
        return [*self.program("qemu-system-x86_64"), "-L", f"{share}/qemu", "-L",
                f"{share}/seabios", "-L", f"{self.root}/usr/lib/ipxe/qemu"]

    def module_files(self, *names):
        """The modules and what they depend on, in load order; built-in ones give nothing."""
        files = {}
        for name in names:
            for line in command.output(["chroot", self.root, "/usr/sbin/modprobe", "-S",
                                        self.version, "--show-depends", name]).splitlines():
                match = re.match(r"insmod /lib/(\S+)", line)
                if match:
                    files[self.root / "usr/lib" / match[1]] = None
        return list(files)
