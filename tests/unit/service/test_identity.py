"""The keys that an agent makes for itself."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from lightest_agents.service.identity import IdentityError, make_identity, read_digests

NAME = "verifier.raspidemo"


def spki_digest(path: Path) -> str:
    key = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    assert make_identity(tmp_path, NAME, signer=True) is True
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"tls.key", "tls.crt", "tls-next.key", "signer.key", "signer.crt"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert make_identity(tmp_path, NAME, signer=True) is False
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_digests_are_of_the_keys_in_use_and_of_the_next_one(tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=True)
    digests = read_digests(tmp_path)
    assert digests.tls == tuple(
        f"3 1 1 {spki_digest(tmp_path / name)}" for name in ("tls.key", "tls-next.key")
    )
    assert digests.signer == f"3 1 1 {spki_digest(tmp_path / 'signer.key')}"


def test_a_service_that_signs_nothing_has_no_signer(tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=False)
    assert read_digests(tmp_path).signer is None


def test_the_certificate_names_the_service_and_carries_its_key(tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=False)
    certificate = x509.load_pem_x509_certificate((tmp_path / "tls.crt").read_bytes())
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == spki_digest(tmp_path / "tls.key")


def test_a_key_without_its_certificate_gets_one_and_stays(tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=False)
    (tmp_path / "tls.crt").unlink()
    key = (tmp_path / "tls.key").read_bytes()
    assert make_identity(tmp_path, NAME, signer=False) is True
    assert (tmp_path / "tls.key").read_bytes() == key


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_told_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    make_identity(tmp_path, NAME, signer=False)
    (tmp_path / "tls.key").write_bytes(content)
    with pytest.raises(IdentityError, match="holds no usable key: restore it"):
        read_digests(tmp_path)
    (tmp_path / "tls.crt").unlink()
    with pytest.raises(IdentityError, match="holds no usable key"):
        make_identity(tmp_path, NAME, signer=False)
    assert (tmp_path / "tls.key").read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=False)
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "tls.key").write_bytes(pem)
    with pytest.raises(IdentityError, match="is no P-256 key"):
        read_digests(tmp_path)


def test_without_keys_the_message_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="make it with `lightest identity`"):
        read_digests(tmp_path)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="cannot be written"):
        make_identity(tmp_path / "nowhere", NAME, signer=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    make_identity(tmp_path, NAME, signer=True)
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {12345}
