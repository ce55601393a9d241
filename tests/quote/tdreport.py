# SPDX-License-Identifier: LGPL-2.1-or-later
"""TDREPORTs of the emulated platform, made without this project's C: layout of core/tdreport.h."""
import hashlib
import hmac

SIZE = 1024
REPORT_DATA_AT, MAC_AT, TCB_INFO_AT, TD_INFO_AT = 128, 224, 256, 512
TCB_INFO_SIZE = 239
MRTD_AT = TD_INFO_AT + 16


def make(key, report_data=bytes(64), mrtd=bytes(48), rtmrs=(bytes(48),) * 4, version=0):
    """What a TD's TDG.MR.REPORT gives on the platform with that key."""
    tcb_info = (0x1ff).to_bytes(8, "little") + bytes([3] * 16) + bytes(TCB_INFO_SIZE - 24)
    td_info = bytes(8) + (0xe7).to_bytes(8, "little") + mrtd + bytes(3 * 48) + b"".join(rtmrs)
    td_info += bytes(512 - len(td_info))
    maced = bytes([0x81, 0, version, 0]) + bytes(12) + bytes(16)
    maced += hashlib.sha384(tcb_info).digest() + hashlib.sha384(td_info).digest()
    maced += report_data.ljust(64, b"\0") + bytes(32)
    report = maced + hmac.digest(key, maced, "sha256") + tcb_info + bytes(17) + td_info
    assert len(maced) == MAC_AT and len(report) == SIZE
    return report


def altered(report, at, by=1):
    """With another byte there."""
    return report[:at] + bytes([report[at] ^ by]) + report[at + 1:]
