# SPDX-License-Identifier: LGPL-2.1-or-later
"""The TSM's statement: about this TVM, this function, this bind, this question; and by which digests
it vouches for everything else. Nothing else is parsed before its digest fits."""
import hashlib
import uuid
from dataclasses import dataclass

from document import DIGESTS, SEQUENCES
from refusal import Reader, Refusal

SIZE = 376
EMULATED, SESSION_SECURED, IDE_KEYS, INTEGRATED, FRESH, ACCEPTED = (1 << bit for bit in range(6))
LINKS = ("none", "selective IDE", "integrated", "emulated")
STATES = ("config_unlocked", "config_locked", "run", "error")


@dataclass
class Statement:
    flags: int
    tvm: str
    rid: int
    generation: int
    state: int
    spdm_version: int
    slot: int
    link: int
    lock_flags: int
    base_asym: int
    base_hash: int
    aead: int
    dhe: int
    leaf_key: bytes
    digests: dict
    sequences: dict
    nonce: bytes


def read(data):
    if len(data) != SIZE:
        raise Refusal(f"the TSM's statement has {len(data)} bytes, expected {SIZE}")
    r = Reader(data, "the TSM's statement")
    version, size = r.number(2), r.number(2)
    if (version, size) != (1, SIZE):
        raise Refusal(f"the TSM's statement is of version {version} and size {size}")
    flags, tvm, rid = r.number(4), str(uuid.UUID(bytes=r.take(16))), r.number(4)
    r.zero(4)
    generation = r.number(8)
    state, spdm_version, slot, link = (r.number(1) for _ in range(4))
    lock_flags = r.number(2)
    r.zero(2)
    base_asym, base_hash, aead, dhe = (r.number(size) for size in (4, 4, 2, 2))
    r.zero(4)
    certificates, leaf_key, vca, measured, report = (r.take(48) for _ in range(5))
    sequences = {name: r.number(8) for name in SEQUENCES}
    r.take(16)  # the TSM's instance
    nonce = r.take(32)
    r.end()
    if flags >> 6 or state >= len(STATES) or link >= len(LINKS) or slot > 7 or lock_flags >> 5:
        raise Refusal("the TSM's statement has values that this verifier does not know")
    return Statement(flags, tvm, rid, generation, state, spdm_version, slot, link, lock_flags,
                     base_asym, base_hash, aead, dhe, leaf_key,
                     dict(zip(DIGESTS, (certificates, vca, measured, report))), sequences, nonce)


def requester_id(address):
    segment, bus, slot = address.split(":")
    device, function = slot.split(".")
    return (int(segment, 16) << 16 | int(bus, 16) << 8 | int(device, 16) << 3 | int(function))


def _check_protection(stated, document, allow_emulated):
    emulated = bool(stated.flags & EMULATED)
    if document["protected"] == emulated:
        raise Refusal("the document's 'protected' is not what the TSM states")
    if emulated:
        if not allow_emulated:
            raise Refusal("the TSM is emulated and protects nothing (--allow-emulated lets it "
                          "through)")
        return
    if not stated.flags & SESSION_SECURED:
        raise Refusal("the SPDM session with the device is not secured")
    encrypted = LINKS[stated.link] == "selective IDE" and stated.flags & IDE_KEYS
    inside = LINKS[stated.link] == "integrated" and stated.flags & INTEGRATED
    if not encrypted and not inside:
        raise Refusal(f"the link is protected by '{LINKS[stated.link]}', expected selective IDE "
                      "with keys set over the session, or an integrated device")


def _check_digests(stated, document):
    for name in DIGESTS:
        digest = hashlib.sha384(document[name]).digest()
        if digest != stated.digests[name]:
            raise Refusal(f"'{name}' has SHA-384 {digest.hex()}, the TSM states "
                          f"{stated.digests[name].hex()}")
        if document["quote"][name] != digest.hex():
            raise Refusal(f"the agent would quote another digest of '{name}' than that of what "
                          "is here")
    for name in SEQUENCES:
        if document["quote"][name] != stated.sequences[name]:
            raise Refusal(f"the agent would quote {document['quote'][name]} as '{name}', the TSM "
                          f"states {stated.sequences[name]}")


def check(document, allow_emulated):
    """The Statement of a document from document.read(). Raises Refusal."""
    stated = read(document["statement"])
    if stated.tvm != document["tvm"]:
        raise Refusal(f"the TSM's statement is for TVM {stated.tvm}")
    if stated.rid != requester_id(document["function"]["address"]):
        raise Refusal(f"the TSM's statement is about requester id {stated.rid:#x}, not "
                      f"{document['function']['address']}")
    if stated.generation != document["generation"]:
        raise Refusal(f"the TSM's statement is about bind {stated.generation}, not "
                      f"{document['generation']}")
    if stated.nonce != bytes.fromhex(document["nonce"]):
        raise Refusal("the TSM's statement answers another nonce")
    if STATES[stated.state] not in ("config_locked", "run"):
        raise Refusal(f"the TDI is in state {STATES[stated.state]}")
    _check_protection(stated, document, allow_emulated)
    _check_digests(stated, document)
    return stated
