"""Signed documents: JWS Compact Serialization (RFC 7515) with ES256 or Ed25519 (RFC 7518, RFC 9864), no more.

joserfc signs and verifies. Reading the envelope is done here, because it has to be stricter than the RFC: the
header has exactly the members that the kind of document has, so neither a key nor an instruction can be
smuggled in, and what was signed has one spelling in base64url.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache

import joserfc.jws
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey, OKPKey
from joserfc.registry import HeaderParameter

from lightest_agents.errors import LightestError
from lightest_agents.trust import strict_json
from lightest_agents.trust.strict_json import MalformedError

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey

ALGORITHMS = frozenset({"ES256", "Ed25519"})

_REGISTRY = joserfc.jws.JWSRegistry({"iat": HeaderParameter("Claimed signing time", "int")}, ALGORITHMS)
_VERIFIERS = {name: _REGISTRY.get_alg(name) for name in ALGORITHMS}
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


class AlgorithmRefusedError(MalformedError):
    """A document is signed by an algorithm that is not accepted, or not at all."""

    reason = "algorithm-refused"


class SignatureInvalidError(LightestError):
    """A document's signature is not that of the certificate it carries."""

    reason = "signature-invalid"


class KeyRefusedError(LightestError):
    """A key or certificate cannot be used for signed documents."""

    reason = "key-refused"


@dataclass(frozen=True, slots=True)
class Jws:
    """The parts of a JWS, read but NOT verified."""

    algorithm: str
    payload: bytes
    signing_input: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CertifiedJws:
    """A JWS that was signed with the certificate (DER) that it carries."""

    header: Mapping[str, object]
    payload: bytes
    signer: bytes


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key ready for use, with the one algorithm that it verifies; made once per certificate."""

    algorithm: str
    key: ECKey | OKPKey

    def verifies(self, jws: Jws) -> bool:
        """Whether `jws` was signed by this key's owner; false for any other algorithm than the key's."""
        return jws.algorithm == self.algorithm and _VERIFIERS[self.algorithm].verify(
            jws.signing_input, jws.signature, self.key
        )


class CertifiedSigner:
    """Signs documents of one kind, with the signer's certificate in the header (`x5c`, RFC 7515, 4.1.6)."""

    def __init__(
        self,
        kind: str,
        key: PrivateKey,
        certificate: x509.Certificate,
        members: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare the header, with more `members` if given.

        Raises:
            KeyRefusedError: the key cannot be used or is not the certificate's.
        """
        if certificate.public_key() != key.public_key():
            raise KeyRefusedError(
                "the certificate is not that of the signing key; give the pair that belongs together"
            )
        algorithm, self._key = _signing_key(key)
        self._algorithm = _REGISTRY.get_alg(algorithm)
        der = certificate.public_bytes(Encoding.DER)
        x5c = [base64.b64encode(der).decode("ascii")]
        self._header = _encode(
            strict_json.dump({"alg": algorithm, "typ": kind, "x5c": x5c, **(members or {})})
        )

    def sign(self, payload: bytes) -> bytes:
        """A JWS over `payload`."""
        signing_input = self._header + b"." + _encode(payload)
        return signing_input + b"." + _encode(self._algorithm.sign(signing_input, self._key))


def key_of_certificate(der: bytes) -> VerificationKey:
    """The key of a certificate.

    Raises:
        KeyRefusedError: it is not a certificate of a P-256 or Ed25519 key.
    """
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefusedError(f"not a usable X.509 certificate: {error}") from error
    match key:
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return VerificationKey("ES256", ECKey.import_key(key))
        case Ed25519PublicKey():
            return VerificationKey("Ed25519", OKPKey.import_key(key))
        case _:
            raise KeyRefusedError("the certificate's key is neither P-256 nor Ed25519; make one that is")


def sign(kind: str, payload: bytes, key: PrivateKey, members: Mapping[str, object] | None = None) -> bytes:
    """A JWS of type `kind` over `payload`, with more header `members` if given.

    Raises:
        KeyRefusedError: `key` is not a P-256 or Ed25519 key.
    """
    algorithm, jwk = _signing_key(key)
    header = {"alg": algorithm, "typ": kind, **(members or {})}
    return joserfc.jws.serialize_compact(header, payload, jwk, registry=_REGISTRY).encode("ascii")


def read(body: bytes, kind: str) -> Jws:
    """The parts of a JWS of type `kind`, whose header has `alg` and `typ` and nothing else.

    Raises:
        AlgorithmRefusedError: `alg` is neither ES256 nor Ed25519.
        MalformedError: it is anything else.
    """
    signing_input, header, payload, signature = _split(body)
    return Jws(_bare_algorithm(header, kind), _decode(payload), signing_input, _decode(signature))


def read_with_certificate(body: bytes, kind: str, members: Set[str] = frozenset()) -> CertifiedJws:
    """The parts of a JWS that is signed by the certificate in its header, and VERIFIED with that.

    The header has `alg`, `typ`, `x5c` and exactly `members`. The certificate is the document's own word: the
    caller still has to know it from elsewhere.

    Raises:
        AlgorithmRefusedError: as `read`.
        MalformedError: as `read`, or `x5c` is not exactly one certificate.
        SignatureInvalidError: the certificate's key is not usable or did not sign this.
    """
    signing_input, header_text, payload_text, signature = _split(body)
    header = _header(header_text, kind, members | {"x5c"})
    der = _only_certificate(header["x5c"])
    payload = _decode(payload_text)
    try:
        key = key_of_certificate(der)
    except KeyRefusedError as error:
        raise SignatureInvalidError(f"x5c: {error}") from error
    if not key.verifies(Jws(str(header["alg"]), payload, signing_input, _decode(signature))):
        raise SignatureInvalidError("the signature is not that of the certificate in x5c")
    return CertifiedJws(header, payload, der)


def thumbprint(der: bytes) -> str:
    """The `x5t#S256` of a certificate (RFC 7515, section 4.1.8)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


def _signing_key(key: PrivateKey) -> tuple[str, ECKey | OKPKey]:
    match key:
        case EllipticCurvePrivateKey(curve=SECP256R1()):
            return "ES256", ECKey.import_key(key)
        case Ed25519PrivateKey():
            return "Ed25519", OKPKey.import_key(key)
        case _:
            raise KeyRefusedError("a document is signed by a P-256 or an Ed25519 key; make one of these")


def _only_certificate(value: object) -> bytes:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
        raise MalformedError("x5c must be one certificate")
    try:
        der = base64.b64decode(value[0], validate=True)
    except ValueError as error:
        raise MalformedError(f"x5c: {error}") from error
    return der


def _split(body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    signing_input, _, signature = body.rpartition(b".")
    header, dot, payload = signing_input.partition(b".")
    if not dot:  # one too many ends up in the payload's segment, where it is refused
        raise MalformedError("not a JWS of three segments")
    return signing_input, header, payload, signature


# All sensors of a fleet write the same few headers, so reading one again would be a large part of the work.
@lru_cache(maxsize=64)
def _bare_algorithm(segment: bytes, kind: str) -> str:
    return str(_header(segment, kind, frozenset())["alg"])


def _header(segment: bytes, kind: str, members: Set[str]) -> Mapping[str, object]:
    header = strict_json.load(_decode(segment))
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise MalformedError("the JWS header names no algorithm")
    if header["alg"] not in ALGORITHMS:
        raise AlgorithmRefusedError(f"algorithm {header['alg'][:20]!r}; ES256 and Ed25519 are accepted")
    if header.get("typ") != kind:
        raise MalformedError(f"the JWS is not of type {kind}")
    if header.keys() != members | {"alg", "typ"}:
        raise MalformedError(f"the JWS header has {sorted(header)}, but must have alg, typ {sorted(members)}")
    return header


def _encode(octets: bytes) -> bytes:
    return binascii.b2a_base64(octets, newline=False).rstrip(b"=").translate(_TO_URL)


def _decode(segment: bytes) -> bytes:
    # What the encoder would not have written is refused: padding, other alphabets, spaces, bits left over.
    text = segment.translate(_FROM_URL)
    try:
        octets = binascii.a2b_base64(text + b"==")
    except ValueError as error:
        raise MalformedError(f"not base64url: {error}") from error
    if binascii.b2a_base64(octets, newline=False).rstrip(b"=") != text:
        raise MalformedError("not base64url as RFC 7515 writes it")
    return octets
