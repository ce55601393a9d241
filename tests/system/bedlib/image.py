# SPDX-License-Identifier: LGPL-2.1-or-later
"""What boots: L1's kernel, initramfs and ext4 image, and L2's kernel and initramfs inside it."""
import lzma
import pathlib
import shutil
import stat

from . import cache, command, cpio, domain, kernel

HERE = pathlib.Path(__file__).resolve().parent.parent
HOST = HERE / "host"
GUEST = HERE / "guest"

# Modules, with what they depend on. Those of HOST_BOOT are in L1's initramfs.
HOST_BOOT = ("virtio_blk", "ext4")
HOST_ROOT = ("virtio_net", "kvm-amd", "vfio-pci", "vfio_iommu_type1", "igb", "igbvf", "nvme",
             "vhost_vsock", "vmw_vsock_virtio_transport", "vsock_loopback", "tun", "bridge",
             "tsm_report")
GUEST_LOAD = ("qemu_fw_cfg", "igbvf", "igb")
# Of virtio devices that only some guests have, by the PCI device's id.
GUEST_WITH_DEVICE = {"0x1041": ("virtio_net",), "0x1053": ("vmw_vsock_virtio_transport",)}

# Parts of the tree that L1 does not run.
LEFT_OUT = """usr/src usr/lib/gcc usr/libexec/gcc usr/lib/linux-kbuild-* usr/include
    usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/bug usr/share/lintian
    var/cache/apt/* var/cache/debconf/* var/lib/apt/lists/* var/lib/dpkg/info/* boot/*
    usr/bin/x86_64-linux-gnu-* usr/bin/pahole usr/bin/codiff usr/bin/dtagnames usr/bin/pdwtags
    usr/bin/pfunct usr/bin/scncopy usr/bin/syscse usr/bin/lto-dump-14 usr/bin/*gcc* usr/bin/cpp*
    usr/bin/gcov*
    usr/lib/x86_64-linux-gnu/libasan* usr/lib/x86_64-linux-gnu/libtsan*
    usr/lib/x86_64-linux-gnu/libubsan* usr/lib/x86_64-linux-gnu/liblsan*
    usr/lib/x86_64-linux-gnu/libhwasan* usr/lib/x86_64-linux-gnu/libcc1*
    usr/lib/x86_64-linux-gnu/libbfd* usr/lib/x86_64-linux-gnu/libopcodes*
    usr/lib/x86_64-linux-gnu/gprofng""".split()

MAKERS = [HERE / "bedlib" / name for name in ("image.py", "cpio.py", "kernel.py")]


def image_key(tree):
    return cache.digest(tree.root.name, HOST, GUEST / "init", *MAKERS)


def image(store, tree):
    """The folder with vmlinux, initrd.img and root.ext4."""
    return store.make("image", image_key(tree), "L1 image, L2 kernel and initramfs",
                      lambda folder: build(folder, tree, tree.root, root, domain.BASE,
                                           store.logs / "image.log"))


def build(folder, tree, origin, fill, base, log):
    """Fills `folder`: the disk is a copy of the tree `origin` as `fill` has changed it.

    `base`: where L2's kernel and initramfs go.
    """
    log.unlink(missing_ok=True)
    folder.mkdir()
    elf = kernel.vmlinux(tree.modules / "vmlinuz")
    (folder / "vmlinux").write_bytes(elf)
    (folder / "initrd.img").write_bytes(initramfs(tree, HOST / "initrd-init", HOST_BOOT))
    stage = folder / "stage"
    command.run(["cp", "-al", origin, stage], log, 120)
    try:
        trim(stage)
        modules(tree, stage, HOST_ROOT, log)
        fill(stage, log)
        guest(tree, stage / base.lstrip("/"), elf)
        size = sum(f.lstat().st_size for f in stage.rglob("*")) >> 20
        disk = folder / "root.ext4"
        with open(disk, "wb") as file:
            file.truncate((size * 5 // 4 + 400) << 20)
        # No journal: a disk that is thrown away after each run has nothing to recover.
        command.run(["mkfs.ext4", "-q", "-F", "-d", stage, "-O", "^has_journal,^metadata_csum",
                     "-E", "lazy_itable_init=1,nodiscard", "-m", "0", disk], log, 300)
    finally:
        shutil.rmtree(stage)


def unpacked(path):
    """A module's content and its name without the compression's suffix."""
    data = path.read_bytes()
    return (lzma.decompress(data), path.name[:-3]) if path.suffix == ".xz" else (data, path.name)


def initramfs(tree, init, modules, with_device=None):
    """busybox, /init, and modules as /modules/order and /modules/with-ID list them."""
    archive = cpio.Archive()
    archive.device("dev/console", 5, 1)
    for folder in ("proc", "sys", "run", "tmp", "root", "etc"):
        archive.folder(folder)
    archive.file("bin/busybox", (tree.root / "usr/bin/busybox").read_bytes(), 0o755)
    archive.link("bin/sh", "busybox")
    archive.file("init", init.read_bytes(), 0o755)
    listings = {"order": modules,
                **{f"with-{device}": names for device, names in (with_device or {}).items()}}
    for listing, names in listings.items():
        loaded = []
        for path in tree.module_files(*names):
            data, name = unpacked(path)
            archive.file("modules/" + name, data)
            loaded.append(name)
        archive.file("modules/" + listing, "".join(f"{name}\n" for name in loaded).encode())
    return archive.bytes()


# A stage is a hard-linked copy of a tree: files are replaced, never rewritten.


def trim(stage):
    for pattern in LEFT_OUT:
        for path in stage.glob(pattern):
            cache.remove(path)
    for path in list(stage.rglob("*.pyc")) + list(stage.rglob("*.a")):
        path.unlink()


def modules(tree, stage, names, log):
    folder = stage / "usr/lib/modules" / tree.version
    cache.remove(folder)
    folder.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy2(tree.modules / name, folder / name)
    for path in tree.module_files(*names):
        data, name = unpacked(path)
        place = folder / path.relative_to(tree.modules).parent
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    command.run(["chroot", stage, "/usr/sbin/depmod", tree.version], log, 60)


def guest(tree, folder, elf):
    """L2's kernel and initramfs."""
    folder.mkdir(parents=True)
    (folder / "vmlinux").write_bytes(elf)
    (folder / "initrd.img").write_bytes(initramfs(tree, GUEST / "init", GUEST_LOAD,
                                                  GUEST_WITH_DEVICE))


def root(stage, log):
    """What is L1's own."""
    for name in ("init", "agent.py", "warm", "libvirt-up"):
        copy(HOST / name, stage / "usr/lib/bed" / name)
    copy(HOST / "hook-shim", stage / "etc/libvirt/hooks/qemu.d/50-tdid")
    for name in ("qemu.conf", "libvirtd.conf"):
        copy(HOST / name, stage / "etc/libvirt" / name)
    write(stage / "etc/hostname", "l1\n")
    write(stage / "etc/hosts", "127.0.0.1 localhost l1\n")


def write(path, text):
    cache.remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    cache.remove(target)
    shutil.copyfile(source, target)
    target.chmod(stat.S_IMODE(source.stat().st_mode) | 0o444)
