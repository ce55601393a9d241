# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPDM 1.2 (DMTF DSP0274): what was negotiated, the signed measurements, and what they should be."""
import hashlib
import json
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from refusal import Reader, Refusal
from statement import SESSION_SECURED

VERSION_1_2 = 0x12
ECDSA_P384, SHA384, MEASUREMENT_SHA384 = 0x80, 2, 4
DHE, AEAD = 2, 3  # tables of NEGOTIATE_ALGORITHMS and ALGORITHMS
AES_256_GCM, SECP_GROUPS = 2, (0x08, 0x10)
DMTF = 1
SIGNATURE_SIZE = 96  # r || s
CONTEXT = b"responder-measurements signing"
PREFIX = b"dmtf-spdm-v1.2.*" * 4 + CONTEXT.rjust(36, b"\0")
CONTENT_CHANGED = 1
COUNT, ALL = 0x00, 0xff
SVN, DEVICE_MODE = 7, 5
NORMAL = 1 << 2  # of a device's operational states


def _header(r, code, version=VERSION_1_2):
    got_version, got_code, param1, param2 = r.take(4)
    if got_code != code:
        raise Refusal(f"{r.what}: message 0x{got_code:02x} where 0x{code:02x} was expected")
    if got_version != version:
        raise Refusal(f"{r.what}: message 0x{code:02x} is of SPDM version 0x{got_version:02x}")
    return param1, param2


# --- the negotiation


def _tables(r, count):
    tables = {}
    for _ in range(count):
        kind, _, value = r.number(1), r.number(1), r.number(2)
        tables[kind] = value
    return tables


def check_negotiation(vca, stated):
    """The device signs with P-384 and SHA-384, its session is encrypted, and the TSM says the
    same."""
    r = Reader(vca, "the VCA")
    _header(r, 0x84, 0x10)  # GET_VERSION
    _header(r, 0x04, 0x10)  # VERSION
    r.zero(1)
    versions = [r.number(2) >> 8 for _ in range(r.number(1))]
    for code in (0xe1, 0x61):  # GET_CAPABILITIES, CAPABILITIES
        _header(r, code)
        r.take(16)
    tables, _ = _header(r, 0xe3)  # NEGOTIATE_ALGORITHMS
    r.take(28 + 4 * tables)
    tables, _ = _header(r, 0x63)  # ALGORITHMS
    r.take(2)
    specification = r.number(1)
    r.take(1)
    measurement_hash, base_asym, base_hash = (r.number(4) for _ in range(3))
    r.take(16)
    tables = _tables(r, tables)
    r.end()
    if VERSION_1_2 not in versions or stated.spdm_version != VERSION_1_2:
        raise Refusal("the session with the device is not of SPDM 1.2")
    if (specification, measurement_hash, base_asym, base_hash) != (
            DMTF, MEASUREMENT_SHA384, ECDSA_P384, SHA384):
        raise Refusal(f"negotiated were measurement specification {specification:#x} with hash "
                      f"{measurement_hash:#x}, signature {base_asym:#x}, hash {base_hash:#x}; "
                      "expected DMTF's, ECDSA P-384 and SHA-384")
    session = tables.get(AEAD, 0), tables.get(DHE, 0)
    if (stated.base_asym, stated.base_hash, stated.aead, stated.dhe) != (
            base_asym, base_hash, *session):
        raise Refusal("the TSM states other algorithms than the VCA")
    if stated.flags & SESSION_SECURED and not (session[0] == AES_256_GCM and
                                               session[1] in SECP_GROUPS):
        raise Refusal(f"the session with the device has cipher {session[0]:#x} and key exchange "
                      f"{session[1]:#x}, expected AES-256-GCM over secp384r1 or secp256r1")


# --- the transcript


@dataclass
class Block:
    index: int
    kind: int
    raw: bool
    value: bytes

    def digest(self):
        return hashlib.sha384(self.value).digest() if self.raw else self.value


def _read_blocks(record, count, blocks):
    r = Reader(record, "a measurement record")
    for _ in range(count):
        index, specification, size, kind, value_size = (r.number(n) for n in (1, 1, 2, 1, 2))
        block = Block(index, kind & 0x7f, bool(kind & 0x80), r.take(value_size))
        if not 1 <= index <= 0xfe or index in blocks:
            raise Refusal(f"measurement 0x{index:02x} is reserved, or there twice")
        if specification != DMTF or size != value_size + 3:
            raise Refusal(f"measurement 0x{index:02x} is not of DMTF's form")
        if not block.raw and value_size != 48:
            raise Refusal(f"measurement 0x{index:02x} is a digest of {value_size} bytes")
        blocks[index] = block
    r.end()


@dataclass
class Pair:
    signed: bool
    operation: int
    nonce: bytes
    asked_slot: int
    slot: int
    changed: int
    count: int
    record: bytes
    signature: bytes


def _take_pair(r):
    param1, operation = _header(r, 0xe0)  # GET_MEASUREMENTS
    signed = bool(param1 & 1)
    nonce, asked_slot = (r.take(32), r.number(1)) if signed else (b"", 0)
    _, param2 = _header(r, 0x60)  # MEASUREMENTS
    count = r.number(1)
    record = r.take(r.number(3))
    r.take(32)  # the device's nonce
    r.take(r.number(2))  # opaque data
    signature = r.take(SIGNATURE_SIZE) if signed else b""
    return Pair(signed, operation, nonce, asked_slot, param2 & 0xf, param2 >> 4 & 3, count, record,
                signature)


def verify(transcript, vca, key, nonce, slot):
    """{index: Block}. Only what the signature covers is looked into. Raises Refusal."""
    r = Reader(transcript, "the measurement transcript")
    pairs = []
    while r.left():
        pairs.append(_take_pair(r))
        if pairs[-1].signed:
            break
    r.end()
    if not pairs or not pairs[-1].signed:
        raise Refusal("the measurement transcript does not end with a signature")
    last = pairs[-1]
    if last.nonce != nonce:
        raise Refusal("the measurements answer another nonce than the agent's")
    if last.asked_slot != slot or last.slot != slot:
        raise Refusal(f"the measurements are signed by slot {last.slot}, the session's is {slot}")
    _check_signature(last.signature, vca + transcript[:-SIGNATURE_SIZE], key)
    blocks = {}
    for pair in pairs:
        if pair.changed == CONTENT_CHANGED:
            raise Refusal("the device says that its measurements changed while they were read")
        if pair.operation == COUNT and pair.count:
            raise Refusal("the device measures where it was only asked to count")
        before = len(blocks)
        _read_blocks(pair.record, pair.count, blocks)
        if pair.operation not in (COUNT, ALL) and list(blocks)[before:] != [pair.operation]:
            raise Refusal(f"asked for measurement 0x{pair.operation:02x}, got another")
    return blocks


def _check_signature(signature, signed, key):
    half = SIGNATURE_SIZE // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    try:
        key.verify(utils.encode_dss_signature(r, s), PREFIX + hashlib.sha384(signed).digest(),
                   ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise Refusal("the signature over VCA and measurements is not that of the leaf "
                      "certificate's key") from None


# --- what they should be


class References:
    """Members of the agent's policy, in a file of their own; see its schema."""

    def __init__(self, text):
        published = json.loads(text)
        self.devices = published["devices"]
        self.shared = published.get("allow_shared_ranges", [])

    def device(self, named, function):
        """The first entry that fits the certificate's Identity; the function is that device's."""
        for part in ("vendor", "subsystem_vendor"):
            if named[part] != function[part]:
                raise Refusal(f"the certificate names {named}, another {part} than the function's")
        for device in self.devices:
            if all(device[part] == named[part]
                   for part in ("vendor", "device", "class", "subsystem_vendor")
                   if part in device):
                return device
        raise Refusal(f"there are no reference values for {named}")

    def check(self, device, blocks):
        """Each reference has its measurement, each measurement its reference. Same index again:
        either will do."""
        wanted = {}
        for reference in device.get("measurements", ()):
            wanted.setdefault(reference["index"], []).append(reference)
        for index, references in wanted.items():
            if index not in blocks:
                raise Refusal(f"measurement 0x{index:02x} is not among the device's")
            if not any(_holds(blocks[index], reference) for reference in references):
                raise Refusal(f"measurement 0x{index:02x} is {_words(blocks[index])}, expected "
                              f"{_wanted_words(references[0])}")
        for block in blocks.values():
            if block.kind == DEVICE_MODE:
                _check_mode(block)
            elif block.index not in wanted:
                raise Refusal(f"there is no reference for measurement 0x{block.index:02x}")


def _svn(block):
    if block.kind == SVN and block.raw and len(block.value) == 8:
        return int.from_bytes(block.value, "little")
    return None


def _holds(block, reference):
    if "minimum_svn" in reference:
        svn = _svn(block)
        return svn is not None and svn >= reference["minimum_svn"]
    return block.digest().hex() == reference["digest"]


def _words(block):
    return block.digest().hex() if _svn(block) is None else f"version {_svn(block)}"


def _wanted_words(reference):
    if "minimum_svn" in reference:
        return f"version {reference['minimum_svn']} or later"
    return reference["digest"]


def _check_mode(block):
    if not block.raw or len(block.value) != 16:
        raise Refusal("the device's mode cannot be read")
    _, operational, _, debug = (int.from_bytes(block.value[at:at + 4], "little")
                                for at in range(0, 16, 4))
    if operational != NORMAL or debug:
        raise Refusal(f"the device is in operational state {operational:#x} with debug state "
                      f"{debug:#x}, expected {NORMAL:#x} and 0")
