"""Certificate paths and the names in certificates, for the TLSA usages that ask for them.

Paths are built and checked by `cryptography` (signatures, validity, basic constraints, path length, name
constraints, critical extensions; RFC 5280, section 6), which takes RSA and NIST-curve issuers. What the Web
PKI demands beyond that, such as a subject alternative name, RFC 7671 does not.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from typing import cast

import dns.exception
import dns.name
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

_ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_EVER = datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


class Purpose(Enum):
    """What the first certificate of a path is used for."""

    TLS_SERVER = "TLS server"
    ANY = "any"


class PathFinder:
    """Finds valid paths up from the first certificate of a chain, and how far up something is on them."""

    def __init__(
        self, chain: Sequence[bytes], roots: Sequence[bytes], now: datetime, purpose: Purpose
    ) -> None:
        """Nothing is parsed before a path is asked for; what cannot be parsed is on no path.

        Args:
            chain: DER certificates, the first of which the path starts from.
            roots: DER certificates of trust anchors.
            now: an aware time.
            purpose: of the first certificate.
        """
        self.roots = roots
        self._chain = chain
        self._now = now.astimezone(UTC)
        self._purpose = purpose

    def depth_of_leaf(self) -> int | None:
        """0 if a path leads to a root, else None."""
        return 0 if self._path(_parse(self._chain[1:]), _parse(self.roots)) else None

    def depth_below_root(self, certificate: bytes) -> int | None:
        """How far up an issuer is on a path to a root, or None."""
        if certificate in self.roots:
            return self.depth_of_anchor(certificate)
        issuers = _parse(self._chain[1:])
        for wanted in _parse([certificate]):
            # Another certificate of the same issuer would do as well, and hide this one.
            rivals = [one for one in issuers if one.subject == wanted.subject and one != wanted]
            path = self._path([one for one in issuers if one not in rivals], _parse(self.roots))
            if wanted in path:
                return path.index(wanted) or None
        return None

    def depth_of_anchor(self, certificate: bytes) -> int | None:
        """How far up a trust anchor is, which need be neither in the chain nor signed by itself, or None."""
        return _depth_of_last(self._path(_parse(self._chain[1:]), _parse([certificate])))

    def depth_of_key(self, key: bytes) -> int | None:
        """How far up a trust anchor is of which only the public key is known, or None."""
        certificates = _parse(self._chain)
        try:
            public = load_der_public_key(key)
            anchors = [_stand_in(issuer, public) for issuer in {one.issuer for one in certificates}]
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None
        return _depth_of_last(self._path(certificates[1:], anchors))

    def _path(
        self, issuers: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
    ) -> list[x509.Certificate]:
        """A valid path from the first certificate to an anchor, both included; empty if there is none."""
        leaf = _parse(self._chain[:1])
        if not leaf or not anchors:
            return []
        builder = PolicyBuilder().store(Store(list(anchors))).time(self._now)
        builder = builder.extension_policies(
            ca_policy=_ca_policy(self._purpose), ee_policy=_leaf_policy(self._purpose)
        )
        try:
            return list(builder.build_client_verifier().verify(leaf[0], list(issuers)).chain)
        except (VerificationError, ValueError):
            return []


def _depth_of_last(path: Sequence[x509.Certificate]) -> int | None:
    """None also for a peer that is its own anchor: an issuer is above it."""
    return len(path) - 1 if len(path) > 1 else None


def names_match(certificate: bytes, names: Sequence[str]) -> bool:
    """Whether a DER certificate is for one of some DNS names.

    Its DNS-IDs are compared (RFC 9525, section 6), never its common name. `*` stands for one whole leftmost
    label below at least two others. Names and DNS-IDs may have A-labels; names may also have U-labels.
    """
    references = [reference for name in names if (reference := _labels(name))]
    return any(
        _is_for(presented, reference)
        for presented in map(_labels, _dns_ids(certificate))
        if presented
        for reference in references
    )


def _is_for(presented: tuple[bytes, ...], reference: tuple[bytes, ...]) -> bool:
    if presented[0] == b"*":
        return len(presented) > 2 and presented[1:] == reference[1:]
    return presented == reference


def _labels(name: str) -> tuple[bytes, ...]:
    """The labels in lower case, without the root's; none if this is no DNS name."""
    try:
        parsed = dns.name.from_text(name, origin=None, idna_codec=dns.name.IDNA_2008_Practical)
    except (dns.exception.DNSException, UnicodeError):
        return ()
    return tuple(label.lower() for label in parsed.labels if label)


def _dns_ids(certificate: bytes) -> list[str]:
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return alternatives.value.get_values_for_type(x509.DNSName)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return []


def _parse(certificates: Sequence[bytes]) -> list[x509.Certificate]:
    found = []
    for certificate in certificates:
        with suppress(ValueError):
            found.append(x509.load_der_x509_certificate(certificate))
    return found


def _stand_in(subject: x509.Name, key: PublicKeyTypes) -> x509.Certificate:
    """A certificate for a trust anchor's bare key; nobody checks the signature of an anchor."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(cast(CertificatePublicKeyTypes, key)).serial_number(1)
    builder = builder.not_valid_before(_EVER[0]).not_valid_after(_EVER[1])
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def _ca_policy(purpose: Purpose) -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    policy = policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_certificate_signing)
    return _for_purpose(policy, purpose)


def _leaf_policy(purpose: Purpose) -> ExtensionPolicy:
    return _for_purpose(ExtensionPolicy.permit_all(), purpose)


def _for_purpose(policy: ExtensionPolicy, purpose: Purpose) -> ExtensionPolicy:
    if purpose is Purpose.ANY:
        return policy
    return policy.may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_server_use)


def _require_certificate_signing(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an issuer's key usage must include keyCertSign")


def _require_server_use(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and not {ExtendedKeyUsageOID.SERVER_AUTH, _ANY_USE} & set(usage):
        raise ValueError("the extended key usage must include serverAuth")
