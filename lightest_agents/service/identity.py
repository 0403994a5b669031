"""An agent's own keys and certificates: made on its host, never sent anywhere.

Nobody signs these certificates: whoever relies on one finds its key in the DNS, as TLSA (RFC 6698) for a TLS
server and as SMIMEA (RFC 8162) for a signer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lightest_agents.errors import LightestError
from lightest_agents.service.files import write_whole

# The DNS says how long a key is in force; the certificate only carries it.
_LIFETIME = timedelta(days=3650)


class IdentityError(LightestError):
    """An agent's keys cannot be made or read."""

    reason = "identity-unusable"


@dataclass(frozen=True, slots=True)
class Digests:
    """What the DNS has to say about an agent's keys, as rdata in presentation form.

    Attributes:
        tls: TLSA records for the key in use and for the next one, so that a later change of keys finds the
            next one in every cache (RFC 7671, section 8.1).
        signer: the SMIMEA record for the key of the signing certificate; None where the agent signs nothing.
    """

    tls: tuple[str, ...]
    signer: str | None


def make_identity(folder: Path, name: str, *, signer: bool) -> bool:
    """Make what is missing: `tls.key`, `tls.crt`, `tls-next.key`, for a signer `signer.key`, `signer.crt`.

    Args:
        folder: the agent's state folder, which its user can write.
        name: the DNS name of the service, without the final dot.

    Returns:
        Whether anything was made.

    Raises:
        IdentityError: the folder cannot be written, or a key in it is unusable.
    """
    made = [_make_certificate(folder, "tls", name, _server_certificate), _make_key(folder / "tls-next.key")]
    if signer:
        made.append(_make_certificate(folder, "signer", name, _signer_certificate))
    return any(made)


def read_digests(folder: Path) -> Digests:
    """The digests of the keys in `folder`: SHA-256 of the SubjectPublicKeyInfo, usage DANE-EE.

    Raises:
        IdentityError: a key is missing or unusable.
    """
    signer = folder / "signer.key"
    return Digests(
        tls=tuple(_rdata(_read_key(folder / f"{stem}.key")) for stem in ("tls", "tls-next")),
        signer=_rdata(_read_key(signer)) if signer.exists() else None,
    )


def _rdata(key: ec.EllipticCurvePrivateKey) -> str:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return f"3 1 1 {digest.finalize().hex()}"


def _make_certificate(
    folder: Path,
    stem: str,
    name: str,
    extend: Callable[[x509.CertificateBuilder, str], x509.CertificateBuilder],
) -> bool:
    """The key first: a certificate without its key would be of no use, a key without certificate gets one."""
    made = _make_key(folder / f"{stem}.key")
    path = folder / f"{stem}.crt"
    if path.exists() and not made:
        return False
    key = _read_key(folder / f"{stem}.key")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not find the certificate unborn.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    certificate = extend(builder, name).sign(key, hashes.SHA256())
    _write(path, certificate.public_bytes(Encoding.PEM))
    return True


def _server_certificate(builder: x509.CertificateBuilder, _name: str) -> x509.CertificateBuilder:
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)


def _signer_certificate(builder: x509.CertificateBuilder, _name: str) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(usage, critical=True)


def _make_key(path: Path) -> bool:
    if path.exists():
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem)
    return True


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise IdentityError(
            f"{path} cannot be read ({error.strerror}): make it with `lightest identity`"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(
            f"{path} holds no usable key: restore it, or remove it to have a new one made"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{path} is no P-256 key: restore it, or remove it to have a new one made")
    return key


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise IdentityError(
            f"{path} cannot be written ({error.strerror}): make its folder writable"
        ) from error
