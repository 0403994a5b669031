"""Servers' keys and self-signed certificates, and free ports for them."""

import datetime
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Identity:
    """A self-signed P-256 certificate and its key."""

    name: str
    certificate: Path
    key: Path
    der: bytes

    @property
    def tlsa(self) -> str:
        """Its TLSA or SMIMEA 3 1 1 record."""
        spki = (
            x509.load_der_x509_certificate(self.der)
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return f"3 1 1 {sha256(spki).hexdigest()}"


def free_port() -> int:
    """A loopback port that nobody uses for TCP or UDP now."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])


def make_identity(folder: Path, name: str) -> Identity:
    """A new self-signed certificate for `name`, valid from a day ago to a day ahead, as files in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    stem = folder / f"{name}-{secrets.token_hex(4)}"
    key_file, certificate_file = stem.with_name(f"{stem.name}.key"), stem.with_name(f"{stem.name}.crt")
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Identity(name, certificate_file, key_file, certificate.public_bytes(serialization.Encoding.DER))
