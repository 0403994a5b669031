"""The sensor's own key, made on the device and never sent anywhere, and its certificate.

Nobody signs the certificate: the manufacturer's trust list says that it is the sensor's. Its IssuerAltName
carries the claim, where LIGHTest verifiers look for it.
"""

import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lightest_agents.sensor.errors import EnrolmentError
from lightest_agents.service.files import write_whole

# The trust list says how long a key is in force; the certificate only carries it.
_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the manufacturer has to know of a sensor.

    Attributes:
        certificate: as PEM.
        changed: whether key or certificate were made just now.
    """

    certificate: str
    changed: bool


def enrol(folder: Path, claim: str) -> Enrolment:
    """Make `sensor.key` and `sensor.crt` where they are missing; both together stay as they are for ever.

    Args:
        folder: the sensor's state folder.
        claim: the sensor's name without the final dot.

    Raises:
        EnrolmentError: the folder cannot be written; the files are damaged, do not belong together or are
            another claim's; or there is a certificate without its key.
    """
    key_file, certificate_file = folder / "sensor.key", folder / "sensor.crt"
    changed = False
    if not key_file.exists():
        if certificate_file.exists():
            raise EnrolmentError(
                f"{key_file} is missing under {certificate_file}: restore it, or remove the certificate to "
                "begin again; the manufacturer then has to publish the new one"
            )
        changed = _make(key_file, _new_key())
    key = read_key(folder)
    if not certificate_file.exists():
        changed |= _make(certificate_file, _self_signed(claim, key).public_bytes(Encoding.PEM), mode=0o644)
    certificate = _read_certificate(certificate_file)
    _check(certificate, certificate_file, key, claim)
    return Enrolment(certificate.public_bytes(Encoding.PEM).decode(), changed)


def read_key(folder: Path) -> EllipticCurvePrivateKey:
    """The P-256 key of an enrolled sensor.

    Raises:
        EnrolmentError: it is missing, damaged, of another kind, or others may read it.
    """
    path = folder / "sensor.key"
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise EnrolmentError(f"{path}: others than its owner may read it; run chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise EnrolmentError(f"{path} is missing: make it with `lightest sensor enrol`") from error
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EnrolmentError(f"{path} holds no usable key: restore it") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise EnrolmentError(f"{path} holds no P-256 key: restore the right one")
    return key


def _new_key() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _make(path: Path, content: bytes, mode: int = 0o600) -> bool:
    try:
        write_whole(path, content, mode=mode, replace=False)
    except FileExistsError:
        return False  # another enrolment was quicker; one key is as good as the other
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be written: {error.strerror}") from error
    return True


def _self_signed(claim: str, key: EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, claim[:64])])
    alternative = x509.GeneralNames([x509.DNSName(claim)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A verifier's clock that is a little behind must not find the certificate unborn.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.IssuerAlternativeName(alternative), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise EnrolmentError(
            f"{path} is no certificate: restore it, or remove it to have another made for the same key"
        ) from error


def _check(certificate: x509.Certificate, path: Path, key: EllipticCurvePrivateKey, claim: str) -> None:
    if certificate.public_key() != key.public_key():
        raise EnrolmentError(
            f"{path} is not the certificate of the key beside it: restore what belongs together"
        )
    try:
        found = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName)
        claims = found.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        claims = []
    if claims != [claim]:
        raise EnrolmentError(
            f"{path} is for {', '.join(claims) or 'no claim'}, not for {claim}: each sensor needs a state "
            "folder of its own"
        )
