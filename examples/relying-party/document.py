# SPDX-License-Identifier: LGPL-2.1-or-later
"""The evidence document: exactly the members that its schema has, and its base64 decoded."""
import base64
import binascii
import json
import re

from refusal import Refusal

NUMBER = range(0, 2 ** 63)
BLOBS = ("statement", "certificates", "vca", "measurements", "report")
DIGESTS = ("certificates", "vca", "measurements", "report")
SEQUENCES = ("identity_sequence", "measurements_sequence", "report_sequence")


def _object(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refusal("the evidence document has a member twice")
    return members


def _no_constant(text):
    raise Refusal(f"the evidence document has {text} in place of a number")


def _hex(digits):
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value)


def _text(pattern):
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value)


def _number(value):
    return type(value) is int and value in NUMBER  # a bool is an int, too


def _bool(value):
    return isinstance(value, bool)


def _members(value, checks, where, optional=()):
    if not isinstance(value, dict):
        raise Refusal(f"{where} is no object")
    for name in value:
        if name not in checks:
            raise Refusal(f"{where} has the unknown member '{name}'")
    for name, check in checks.items():
        if name not in value and name not in optional:
            raise Refusal(f"{where} lacks '{name}'")
        if name in value and not check(value[name]):
            raise Refusal(f"{where}: '{name}' is not of the form that the schema says")
    return True


def _bars(value):
    checks = {"bar": lambda n: _number(n) and n <= 5, "is_64bit": _bool, "address": _number,
              "size": lambda n: _number(n) and n > 0 and n & (n - 1) == 0}
    return (isinstance(value, list) and len(value) <= 6 and
            all(_members(bar, checks, "a BAR") for bar in value) and
            len({bar["bar"] for bar in value}) == len(value))


def _function(value):
    checks = {"address": _text(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]"), "vendor": _hex(4),
              "device": _hex(4), "class": _hex(6), "revision": _hex(2),
              "subsystem_vendor": _hex(4), "subsystem": _hex(4), "serial": _hex(16), "bars": _bars}
    return _members(value, checks, "'function'", optional=("serial",))


def _quote(value):
    return _members(value, {**{name: _hex(96) for name in DIGESTS},
                            **{name: _number for name in SEQUENCES}}, "'quote'")


def _decode(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # One way to write it only.
    return data if base64.b64encode(data).decode() == text else None


def read(text):
    """The document with bytes in place of base64. Raises Refusal."""
    try:
        document = json.loads(text.decode(), object_pairs_hook=_object,
                              parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"the evidence is no JSON document: {error}") from None
    blob = lambda value: isinstance(value, str) and _decode(value) is not None  # noqa: E731
    _members(document, {
        "version": lambda value: type(value) is int and value == 1,
        "tvm": _text("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        "function": _function, "generation": lambda value: _number(value) and value > 0,
        "protected": _bool, "nonce": _hex(64), **{name: blob for name in BLOBS}, "quote": _quote,
    }, "the evidence document")
    return {**document, **{name: _decode(document[name]) for name in BLOBS}}
