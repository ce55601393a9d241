# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel as an uncompressed ELF file: QEMU boots it by PVH, nothing is unpacked in emulation."""
import lzma
import struct
import subprocess

from . import command


def vmlinux(bzimage):
    """The ELF file inside a bzImage (Documentation/arch/x86/boot.rst: payload_offset)."""
    data = bzimage.read_bytes()
    if data[0x202:0x206] != b"HdrS":
        raise command.BedError(f"{bzimage}: not a bzImage")
    sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = data[start:start + length]
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The kernel's build appends the unpacked size, 4 bytes little-endian.
        done = subprocess.run(["zstd", "-dcq"], input=payload[:-4], capture_output=True, timeout=60)
        elf = done.stdout
        if done.returncode:
            raise command.BedError(f"{bzimage}: zstd: {done.stderr.decode(errors='replace')}")
    elif payload.startswith(b"\xfd7zXZ\0"):
        elf = lzma.LZMADecompressor().decompress(payload)
    else:
        raise command.BedError(f"{bzimage}: payload {payload[:6].hex()} is neither zstd nor xz")
    if not elf.startswith(b"\x7fELF"):
        raise command.BedError(f"{bzimage}: the payload is not an ELF file")
    return elf
