# SPDX-License-Identifier: LGPL-2.1-or-later
"""The certificate chain of an SPDM slot, up to a root that was given: P-384 throughout."""
import hashlib
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from refusal import Reader, Refusal

MAX_DEPTH = 6
PCI_SIG_NAME = x509.ObjectIdentifier("2.23.147")
IDENTITY = re.compile(r"Vendor=(?P<vendor>[0-9A-F]{4}):Device=(?P<device>[0-9A-F]{4})"
                      r":CC=(?P<class>[0-9A-F]{6}):REV=(?P<revision>[0-9A-F]{2})"
                      r":SSVID=(?P<subsystem_vendor>[0-9A-F]{4}):SSID=(?P<subsystem>[0-9A-F]{4})"
                      r"(:(?P<serial>[0-9A-F]{16}))?", re.I)
# What check() looks at; another one that is critical has to be refused (RFC 5280, 4.2).
KNOWN = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage,
         x509.SubjectAlternativeName)


class Identity(dict):
    """Lower-case digits by the names that the evidence document uses."""

    def __str__(self):
        return "{vendor}:{device} (class {class})".format(**self)


def trusted(pem):
    return x509.load_pem_x509_certificate(pem)


def _der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def _take_der(reader):
    """The bytes of one SEQUENCE with a definite length of one to three bytes."""
    at = reader.at
    head = reader.take(2)
    length = head[1]
    if head[0] != 0x30 or length == 0x80 or length > 0x82:
        raise Refusal(f"certificate chain: no DER certificate at byte {at}")
    if length > 0x80:
        length = int.from_bytes(reader.take(length - 0x80), "big")
    reader.take(length)
    return reader.data[at:reader.at]


def read(data):
    """The certificates, root first."""
    r = Reader(data, "the certificate chain")
    length = r.number(2)
    r.zero(2)
    root = r.take(48)
    if length != len(data):
        raise Refusal(f"the certificate chain of {len(data)} bytes says that it has {length}")
    chain = []
    while r.left():
        if len(chain) == MAX_DEPTH:
            raise Refusal(f"the certificate chain has more than {MAX_DEPTH} certificates")
        der = _take_der(r)
        if not chain and hashlib.sha384(der).digest() != root:
            raise Refusal("the certificate chain's root hash is not that of its first certificate")
        try:
            chain.append(x509.load_der_x509_certificate(der))
        except (ValueError, TypeError) as error:
            raise Refusal(f"certificate {len(chain) + 1} of the chain: {error}") from None
    if len(chain) < 2:
        raise Refusal("the certificate chain has no leaf below its root")
    return chain


def _extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_extensions(certificate, name, is_leaf, below):
    """below: how many authorities come after it."""
    for extension in certificate.extensions:
        if extension.critical and not isinstance(extension.value, KNOWN):
            raise Refusal(f"{name} has the critical extension {extension.oid.dotted_string}, which "
                          "this verifier does not know")
    # A key without the extension may be used for anything.
    usage = _extension(certificate, x509.KeyUsage)
    constraints = _extension(certificate, x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    if is_leaf:
        if is_authority:
            raise Refusal(f"{name} is one of a certificate authority")
        if usage and not usage.digital_signature:
            raise Refusal(f"{name}: its key may not be used to sign")
        return
    if not is_authority or usage and not usage.key_cert_sign:
        raise Refusal(f"{name} is not one of a certificate authority")
    if constraints.path_length is not None and constraints.path_length < below:
        raise Refusal(f"{name} allows {constraints.path_length} authorities below it, there are "
                      f"{below}")


def _check_signed(certificate, issuer, name):
    algorithm = certificate.signature_hash_algorithm
    if certificate.issuer != issuer.subject:
        raise Refusal(f"{name} names another issuer than the certificate before it")
    if not isinstance(algorithm, (hashes.SHA384, hashes.SHA512)):
        raise Refusal(f"{name} is not signed with SHA-384 or SHA-512")
    try:
        issuer.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes,
                                   ec.ECDSA(algorithm))
    except InvalidSignature:
        raise Refusal(f"{name} is not signed by the certificate before it") from None


def check(chain, root, now):
    """now: UTC, without a time zone. Raises Refusal."""
    if _der(chain[0]) != _der(root):
        raise Refusal(f"the chain's root {chain[0].subject.rfc4514_string()} (SHA-384 "
                      f"{hashlib.sha384(_der(chain[0])).hexdigest()}) is not the one that is "
                      "trusted")
    for i, certificate in enumerate(chain):
        is_leaf = i == len(chain) - 1
        name = "the leaf certificate" if is_leaf else f"certificate {i + 1} of {len(chain)}"
        try:
            key = certificate.public_key()
            if not (isinstance(key, ec.EllipticCurvePublicKey) and
                    isinstance(key.curve, ec.SECP384R1)):
                raise Refusal(f"{name}: its key is not one of P-384")
            if not certificate.not_valid_before <= now <= certificate.not_valid_after:
                raise Refusal(f"{name} is valid from {certificate.not_valid_before} to "
                              f"{certificate.not_valid_after}, now is {now:%Y-%m-%d %H:%M:%S}")
            _check_extensions(certificate, name, is_leaf, len(chain) - 2 - i)
            _check_signed(certificate, chain[i - 1 if i else 0], name)
        except (ValueError, TypeError, x509.DuplicateExtension,
                UnsupportedAlgorithm) as error:
            raise Refusal(f"{name}: {error}") from None  # what the library finds late


def key_digest(certificate):
    return hashlib.sha384(certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


def identity(leaf):
    """Who the leaf certificate says the device is: PCI-SIG's otherName, a UTF8String."""
    names = _extension(leaf, x509.SubjectAlternativeName)
    if names is None:
        raise Refusal("the leaf certificate names no device")
    found = [name.value for name in names.get_values_for_type(x509.OtherName)
             if name.type_id == PCI_SIG_NAME]
    # A UTF8String of less than 128 bytes, and nothing behind it.
    if len(found) != 1 or found[0][:2] != bytes([0x0c, (len(found[0]) - 2) & 0x7f]):
        raise Refusal("the leaf certificate does not have one name of PCI-SIG's form")
    match = IDENTITY.fullmatch(found[0][2:].decode("ascii", "replace"))
    if not match:
        raise Refusal("the leaf certificate's name is not of PCI-SIG's form")
    return Identity({name: value.lower() for name, value in match.groupdict().items() if value})
