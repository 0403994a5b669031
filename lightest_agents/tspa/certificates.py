"""A sensor's certificate, as the TSPA takes it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from lightest_agents.tspa.errors import CertificateRefusedError

# A sensor's clock may be ahead of this host's when it dates its certificate.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SensorCertificate:
    """A certificate in DER and its SHA-256 in hexadecimal."""

    der: bytes
    fingerprint: str


def read_sensor_certificate(pem: bytes, claim: str, now: datetime) -> SensorCertificate:
    """The one certificate in `pem`, if verifiers can use it for the sensor of that claim.

    Its key is on P-256 or Ed25519, its IssuerAltName (RFC 5280, section 4.2.1.7) has the claim as its one
    dNSName, and it is valid at `now`, an aware time.

    Raises:
        CertificateRefusedError: it is not so; the message says what.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateRefusedError("this is no certificate in PEM") from error
    if len(certificates) != 1:
        raise CertificateRefusedError(f"these are {len(certificates)} certificates; send the sensor's alone")
    certificate = certificates[0]
    _check_key(certificate)
    _check_name(certificate, claim)
    if certificate.not_valid_before_utc > now + _SKEW:
        raise CertificateRefusedError(
            f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}Z; check its clock"
        )
    if certificate.not_valid_after_utc <= now:
        raise CertificateRefusedError(f"it expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}Z")
    der = certificate.public_bytes(Encoding.DER)
    return SensorCertificate(der, sha256(der).hexdigest())


def _check_key(certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        raise CertificateRefusedError("its public key cannot be read") from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRefusedError("its key is neither on P-256 nor Ed25519")


def _check_name(certificate: x509.Certificate, claim: str) -> None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName)
        found = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateRefusedError("its extensions cannot be read") from error
    if [name.lower() for name in found] != [claim]:
        raise CertificateRefusedError(
            f"its IssuerAltName has {', '.join(found) or 'no dNSName'}; it has to have {claim} alone"
        )
