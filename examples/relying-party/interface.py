# SPDX-License-Identifier: LGPL-2.1-or-later
"""The TDI's interface report (TDISP 1.0, DEVICE_INTERFACE_REPORT), and the BARs that the TVM sees."""
from dataclasses import dataclass

from refusal import Reader, Refusal

PAGE = 4096
MAX_RANGES = 64
NO_FW_UPDATE = 1 << 0  # the same bit in INTERFACE_INFO and in LOCK_INTERFACE's flags
PASID, ATS, PRS = 1 << 2, 1 << 3, 1 << 4
LOCK_MSIX, LOCK_P2P = 1 << 2, 1 << 3
MSIX_TABLE, MSIX_PBA, NON_TEE = 1 << 0, 1 << 1, 1 << 2


@dataclass
class Range:
    first: int  # page; only differences mean anything
    pages: int
    attributes: int
    bar: int


@dataclass
class Report:
    info: int
    ranges: list


def read(data):
    r = Reader(data, "the interface report")
    info = r.number(2)
    r.zero(2)
    r.take(8)  # MSI-X, LNR and TPH control
    count = r.number(4)
    if count > MAX_RANGES:
        raise Refusal(f"the interface report has {count} ranges, at most {MAX_RANGES} are taken")
    ranges = [Range(r.number(8), r.number(4), r.number(2), r.number(2)) for _ in range(count)]
    r.take(r.number(4))  # device specific information
    r.end()
    if info >> 5:
        raise Refusal(f"the interface report's INTERFACE_INFO {info:#06x} has reserved bits")
    for each in ranges:
        if each.attributes >> 4 or each.bar > 5 or each.pages == 0:
            raise Refusal(f"the interface report has the range {each}, which is none")
    return Report(info, ranges)


def _is_shared(each, lock_flags):
    """Memory that the host may read and write."""
    msix = 0 if lock_flags & LOCK_MSIX else MSIX_TABLE | MSIX_PBA
    return each.attributes & (NON_TEE | msix)


def _check_bar(bar, size, ranges, lock_flags, shared):
    for before, after in zip(ranges, ranges[1:]):
        if before.first + before.pages != after.first:
            raise Refusal(f"BAR {bar}: ranges overlap, or leave a gap, at page {after.first:#x}")
    if sum(each.pages for each in ranges) != -(-size // PAGE):
        raise Refusal(f"BAR {bar} has {size} bytes, the interface report's ranges cover "
                      f"{sum(each.pages for each in ranges)} pages")
    for each in ranges:
        begin = (each.first - ranges[0].first) * PAGE
        end = begin + each.pages * PAGE
        if _is_shared(each, lock_flags) and not any(
                region["bar"] == bar and region["offset"] <= begin and
                end <= region["offset"] + region["size"] for region in shared):
            raise Refusal(f"BAR {bar}, bytes {begin:#x} to {end - 1:#x} are shared with the host, "
                          "and the references do not list them")


def check(report, bars, lock_flags, shared):
    """Each BAR is covered by its own ranges, and only `shared` is shared. Raises Refusal.

    A TDI may leave parts of a BAR out. Whoever has such a device lists them, as "allow_gaps" of the
    agent's policy does; here is none.
    """
    if not report.info & lock_flags & NO_FW_UPDATE:
        raise Refusal("the device's firmware may be updated while it is in use")
    if report.info & (PASID | ATS | PRS) or lock_flags & LOCK_P2P:
        raise Refusal("the interface may use ATS, PRS, PASID or peer-to-peer streams "
                      f"(INTERFACE_INFO {report.info:#06x}, locked with {lock_flags:#04x})")
    sizes = {bar["bar"]: bar["size"] for bar in bars}
    for each in report.ranges:
        if each.bar not in sizes:
            raise Refusal(f"the interface report has a range of BAR {each.bar}, which this TVM "
                          "does not see as memory")
    for bar, size in sizes.items():
        ranges = sorted((each for each in report.ranges if each.bar == bar),
                        key=lambda each: each.first)
        _check_bar(bar, size, ranges, lock_flags, shared)
