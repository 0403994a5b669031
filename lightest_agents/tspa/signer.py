"""The list signer: the key that the SMIMEA records of all schemes of this TSPA point to."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from lightest_agents.trust.signed_list import sign_list
from lightest_agents.trust.trust_list import TrustList
from lightest_agents.tspa.errors import InstallationError


@dataclass(frozen=True, slots=True)
class ListSigner:
    """A private key and its certificate.

    Attributes:
        fingerprint: SHA-256 of the certificate in hexadecimal, as the SMIMEA record has it.
    """

    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    certificate: x509.Certificate
    fingerprint: str

    @classmethod
    def read(cls, state: Path) -> "ListSigner":
        """The signer whose `signer.key` and `signer.crt` are in the state folder.

        Raises:
            InstallationError: they cannot be read, or do not belong together.
        """
        try:
            key = load_pem_private_key((state / "signer.key").read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((state / "signer.crt").read_bytes())
            public = certificate.public_key()
        except OSError as error:
            raise InstallationError(f"{error.filename}: cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InstallationError(f"{state}/signer.key or signer.crt is not usable: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise InstallationError(f"{state}/signer.key is neither on P-256 nor Ed25519")
        if key.public_key() != public:
            raise InstallationError(f"{state}/signer.crt is not the certificate of signer.key")
        return cls(key, certificate, sha256(certificate.public_bytes(Encoding.DER)).hexdigest())

    def sign(self, trust_list: TrustList) -> bytes:
        """The signed document."""
        return sign_list(trust_list, self.key, self.certificate)
